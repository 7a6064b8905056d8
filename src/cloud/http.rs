//! The one-method seam between the client and the network.

use std::error::Error as _;
use std::fmt::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, header};
use reqwest::{Body, Certificate, Client, NoProxy, Proxy, Url, redirect, retry};
use tokio::sync::OnceCell;

use super::Error;
use crate::config::{Environment, ProxyUrl};
use crate::reason::Reason;

/// The largest answer that is read, after decompression, in bytes.
pub const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// Who we are to servers.
const USER_AGENT: &str = concat!("cwp-exporter/", env!("CARGO_PKG_VERSION"));

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

/// Why a client could not be made: what is wrong, and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{}; {}", self.what(), self.remedy())]
pub enum ClientError {
    /// The certificate file cannot be used.
    CaFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The proxy cannot be used.
    Proxy,
    /// The TLS library refused to start.
    Tls(String),
}

impl ClientError {
    /// What is wrong.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Self::CaFile { path, why } => format!("api.ca_file: cannot use {path}: {why}"),
            Self::Proxy => "the proxy is not a usable URL".to_owned(),
            Self::Tls(why) => format!("cannot set up TLS: {why}"),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::CaFile { .. } => "name a file of PEM certificates",
            Self::Proxy => "write http://host:port in api.proxy_url or HTTPS_PROXY",
            Self::Tls(_) => {
                "install the system's CA certificates (Debian: ca-certificates) or set api.ca_file"
            }
        }
    }
}

/// The proxy of requests that leave this machine.
#[derive(Clone)]
pub struct ProxySettings {
    url: String,
    except: String,
}

impl ProxySettings {
    /// The configured proxy, otherwise that of `HTTPS_PROXY` or `ALL_PROXY`, if any.
    /// Hosts in `NO_PROXY` and this machine itself are reached without it.
    #[must_use]
    pub fn new(configured: Option<&ProxyUrl>, environment: &Environment) -> Option<Self> {
        let first = |names: &[&str]| {
            let mut set = names.iter().filter_map(|name| environment.get(name));
            set.next().map(str::to_owned)
        };
        let url = configured.map(|url| url.expose().to_owned());
        let variables = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
        let except = first(&["NO_PROXY", "no_proxy"]).unwrap_or_default();
        Some(Self {
            url: url.or_else(|| first(&variables))?,
            except: format!("localhost,127.0.0.0/8,::1,{except}"),
        })
    }
}

impl ProxySettings {
    /// The proxy's URL, with user name and password if it has them.
    #[must_use]
    pub fn expose_url(&self) -> &str {
        &self.url
    }

    /// The hosts that are reached without it, separated by commas.
    #[must_use]
    pub fn except(&self) -> &str {
        &self.except
    }
}

/// The real network.
pub struct Network {
    settings: Settings,
    client: OnceCell<Client>,
    /// The address of the last request, parsed: nearly all go to the same one.
    last: Mutex<Option<(Uri, Url)>>,
}

/// What a client is built from.
#[derive(Clone)]
struct Settings {
    trusted: Trusted,
    proxy: Option<Proxy>,
}

/// Whose certificates are trusted.
#[derive(Clone)]
enum Trusted {
    /// Those that the system trusts. Reading them takes milliseconds.
    System,
    /// Those that these have signed.
    Only(Vec<Certificate>),
}

impl Network {
    /// A client for `http://` endpoints, and with `tls` for `https://` ones too.
    ///
    /// `ca_file` replaces the system's certificates, which are read for TLS only and
    /// not before the first request. If they cannot be used, that request fails.
    ///
    /// # Errors
    ///
    /// When a certificate of `ca_file` or the proxy cannot be used.
    pub fn new(
        tls: bool,
        proxy: Option<&ProxySettings>,
        ca_file: Option<&Path>,
    ) -> Result<Self, ClientError> {
        // Fails only if a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let trusted = match ca_file {
            Some(path) => Trusted::Only(read_certificates(path)?),
            None if tls => Trusted::System,
            None => Trusted::Only(Vec::new()),
        };
        let proxy = proxy.map(|ProxySettings { url, except }| {
            // The error could quote the URL, which may hold a password.
            let proxy = Proxy::https(url.as_str()).map_err(|_| ClientError::Proxy)?;
            Ok(proxy.no_proxy(NoProxy::from_string(except)))
        });
        let settings = Settings {
            trusted,
            proxy: proxy.transpose()?,
        };
        let client = match settings.trusted {
            Trusted::System => OnceCell::new(),
            Trusted::Only(_) => OnceCell::new_with(Some(settings.client()?)),
        };
        Ok(Self {
            settings,
            client,
            last: Mutex::default(),
        })
    }

    fn url(&self, uri: Uri) -> Result<Url, Error> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((known, url)) if *known == uri => Ok(url.clone()),
            _ => {
                let url = Url::parse(&uri.to_string());
                let url = url.map_err(|error| Error::new(Reason::Request, error.to_string()))?;
                *last = Some((uri, url.clone()));
                Ok(url)
            }
        }
    }

    async fn client(&self) -> Result<&Client, Error> {
        let build = || async {
            let settings = self.settings.clone();
            let built = tokio::task::spawn_blocking(move || settings.client()).await;
            match built {
                Ok(Ok(client)) => Ok(client),
                Ok(Err(error)) => Err(Error::new(Reason::Network, error.to_string())),
                Err(error) => Err(Error::new(Reason::Network, error.to_string())),
            }
        };
        self.client.get_or_try_init(build).await
    }
}

/// Adds the headers of a request with this `body` that the client would add otherwise, for
/// which it makes space with each request anew.
pub(super) fn add_own_headers(headers: &mut HeaderMap, body: &Bytes) {
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    let codings = HeaderValue::from_static("gzip,deflate");
    headers.insert(header::ACCEPT_ENCODING, codings);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
}

impl Settings {
    fn client(&self) -> Result<Client, ClientError> {
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(redirect::Policy::none())
            // With none at the most, no copy of a request is kept for one.
            .retry(retry::never().max_retries_per_request(0))
            .referer(false)
            .pool_idle_timeout(KEEP_ALIVE)
            .no_proxy();
        if let Trusted::Only(certificates) = &self.trusted {
            builder = builder.tls_certs_only(certificates.clone());
        }
        if let Some(proxy) = &self.proxy {
            builder = builder.proxy(proxy.clone());
        }
        let client = builder.build();
        client.map_err(|error| ClientError::Tls(with_sources(&error)))
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

impl HttpSend for Network {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, Error>> {
        Box::pin(async move {
            let client = match self.client.get() {
                Some(client) => client,
                // Boxed, as it would take space from then on, for what happens once.
                None => Box::pin(self.client()).await?,
            };
            let (parts, body) = request.into_parts();
            let mut request = reqwest::Request::new(parts.method, self.url(parts.uri)?);
            *request.headers_mut() = parts.headers;
            *request.body_mut() = Some(Body::from(body));
            let mut response = client.execute(request).await.map_err(no_answer)?;
            let mut head = Response::new(());
            *head.status_mut() = response.status();
            *head.headers_mut() = std::mem::take(response.headers_mut());

            let announced = response.content_length().unwrap_or_default();
            if announced > MAX_ANSWER as u64 {
                return Err(oversized());
            }
            // Nearly every answer comes in one piece, which needs no copy.
            let first = response.chunk().await.map_err(cut)?.unwrap_or_default();
            let mut joined: Option<BytesMut> = None;
            while let Some(chunk) = response.chunk().await.map_err(cut)? {
                let joined = joined.get_or_insert_with(|| BytesMut::from(&*first));
                if joined.len() + chunk.len() > MAX_ANSWER {
                    return Err(oversized());
                }
                joined.extend_from_slice(&chunk);
            }
            let body = joined.map_or(first, BytesMut::freeze);
            if body.len() > MAX_ANSWER {
                return Err(oversized());
            }
            Ok(head.map(|()| body))
        })
    }
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

fn oversized() -> Error {
    Error::new(
        Reason::Response,
        format!("the answer exceeds {} MiB", MAX_ANSWER / 1024 / 1024),
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
