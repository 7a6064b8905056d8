//! The one-method seam between the client and the network.

use std::error::Error as _;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{Request, Response};
use reqwest::{Certificate, Client, ClientBuilder, NoProxy, Proxy, redirect, retry};

use super::Error;
use crate::config::ProxyUrl;
use crate::reason::Reason;

/// The largest answer that is read, after decompression, in bytes.
pub const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// How long an idle connection is kept for the next collection.
const KEEP_ALIVE: Duration = Duration::from_secs(120);

/// Sends an HTTP request and reads the whole answer.
pub trait HttpSend: Send + Sync {
    /// The answer to `request`, whatever its status. Redirects are answers too.
    ///
    /// The future fails with `network` when no answer came, `response` when it was
    /// cut, could not be decompressed or exceeds [`MAX_ANSWER`].
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, Error>>;
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The certificate file cannot be used.
    #[error("api.ca_file: cannot use {path}: {why}; name a file of PEM certificates")]
    CaFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The proxy cannot be used.
    #[error("api.proxy_url: {0}")]
    Proxy(String),
    /// The TLS library refused to start.
    #[error(
        "cannot set up TLS: {0}; install the system's CA certificates (Debian: ca-certificates) or set api.ca_file"
    )]
    Tls(String),
}

/// The real network.
#[derive(Debug)]
pub struct Network {
    /// For endpoints on this machine: a proxy has no business there.
    loopback: Client,
    /// For all others; absent when there are none, because it loads certificates.
    remote: Option<Client>,
}

impl Network {
    /// A client for loopback endpoints, and with `remote` for all others too.
    ///
    /// `proxy` and `ca_file` (which replaces the system's certificates) concern
    /// remote endpoints; without `proxy`, `HTTPS_PROXY` and `NO_PROXY` are heeded.
    ///
    /// # Errors
    ///
    /// When a certificate or the proxy cannot be used.
    pub fn new(
        remote: bool,
        proxy: Option<&ProxyUrl>,
        ca_file: Option<&Path>,
    ) -> Result<Self, ClientError> {
        // Fails only if a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let certificates = ca_file.map(read_certificates).transpose()?;
        let loopback = builder()
            .no_proxy()
            .tls_certs_only(certificates.clone().unwrap_or_default())
            .build()
            .map_err(|error| ClientError::Tls(with_sources(&error)))?;
        if !remote {
            return Ok(Self {
                loopback,
                remote: None,
            });
        }
        let mut builder = builder();
        if let Some(certificates) = certificates {
            builder = builder.tls_certs_only(certificates);
        }
        if let Some(proxy) = proxy {
            let proxy = Proxy::all(proxy.expose())
                .map_err(|_| ClientError::Proxy("not a usable URL".to_owned()))?;
            builder = builder.proxy(proxy.no_proxy(NoProxy::from_env()));
        }
        let remote = builder
            .build()
            .map_err(|error| ClientError::Tls(with_sources(&error)))?;
        Ok(Self {
            loopback,
            remote: Some(remote),
        })
    }

    fn client_for(&self, request: &Request<Bytes>) -> &Client {
        match &self.remote {
            Some(remote) if request.uri().scheme_str() == Some("https") => remote,
            _ => &self.loopback,
        }
    }
}

impl HttpSend for Network {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, Error>> {
        let client = self.client_for(&request);
        Box::pin(async move {
            let request = reqwest::Request::try_from(request)
                .map_err(|error| Error::new(Reason::Request, with_sources(&error)))?;
            let mut response = client.execute(request).await.map_err(no_answer)?;
            let mut head = Response::new(());
            *head.status_mut() = response.status();
            *head.headers_mut() = std::mem::take(response.headers_mut());

            let mut body = BytesMut::new();
            while let Some(chunk) = response.chunk().await.map_err(cut)? {
                if body.len() + chunk.len() > MAX_ANSWER {
                    return Err(Error::new(
                        Reason::Response,
                        format!("the answer exceeds {} MiB", MAX_ANSWER / 1024 / 1024),
                    ));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(head.map(|()| body.freeze()))
        })
    }
}

fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("cwp-exporter/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .pool_idle_timeout(KEEP_ALIVE)
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate>, ClientError> {
    let unusable = |why: String| ClientError::CaFile {
        path: path.display().to_string(),
        why,
    };
    let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if certificates.is_empty() => {
            Err(unusable("it has no certificate".to_owned()))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unusable(with_sources(&error))),
    }
}

fn no_answer(error: reqwest::Error) -> Error {
    let reason = if error.is_timeout() {
        Reason::Timeout
    } else if error.is_decode() || error.is_body() {
        Reason::Response
    } else {
        Reason::Network
    };
    Error::new(
        reason,
        format!("no answer: {}", with_sources(&error.without_url())),
    )
}

fn cut(error: reqwest::Error) -> Error {
    let reason = if error.is_timeout() {
        Reason::Timeout
    } else {
        Reason::Response
    };
    Error::new(
        reason,
        format!(
            "the answer broke off: {}",
            with_sources(&error.without_url())
        ),
    )
}

/// An error with its causes, which reqwest leaves out of its own words.
fn with_sources(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}
