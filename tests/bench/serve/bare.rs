//! The bare server: hyper, which answers everything with the same bytes.

use std::convert::Infallible;
use std::process::Command;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::Server;
use crate::program::{Outcome, free_address};

/// An answer of the exporter's, to be served again and again.
pub(crate) struct Recorded {
    headers: HeaderMap,
    body: Bytes,
    folder: tempfile::TempDir,
}

impl Recorded {
    /// What is answered at `url`.
    pub(crate) async fn of(url: &str, accept: &str, coding: &str) -> Outcome<Self> {
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]);
        let http = http.no_gzip().no_deflate().build()?;
        let request = http.get(url).header("accept", accept);
        let response = request.header("accept-encoding", coding).send().await?;
        Ok(Self {
            headers: response.headers().clone(),
            body: response.error_for_status()?.bytes().await?,
            folder: tempfile::tempdir()?,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// A bare server of it, in a process of its own.
    pub(crate) fn serve(&self) -> Outcome<Server> {
        let mut headers = String::new();
        for (name, value) in &self.headers {
            // hyper writes these two itself.
            if !["content-length", "date"].contains(&name.as_str()) {
                headers += &format!("{name}: {}\n", value.to_str()?);
            }
        }
        std::fs::write(self.folder.path().join("headers"), headers)?;
        std::fs::write(self.folder.path().join("body"), &self.body)?;
        let address = free_address()?.to_string();
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--bare").arg(self.folder.path()).arg(&address);
        Server::start(&mut command, &address)
    }
}

/// Serves what is in `folder` at `address` for ever.
pub(crate) async fn run(folder: &str, address: &str) -> Outcome<()> {
    let mut headers = HeaderMap::new();
    for line in std::fs::read_to_string(format!("{folder}/headers"))?.lines() {
        let (name, value) = line.split_once(": ").ok_or("a header without a value")?;
        headers.insert(name.parse::<HeaderName>()?, HeaderValue::from_str(value)?);
    }
    let body = Bytes::from(std::fs::read(format!("{folder}/body"))?);
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let _ = stream.set_nodelay(true);
        let (headers, body) = (headers.clone(), body.clone());
        tokio::spawn(async move {
            let service = service_fn(|_| {
                let mut response = Response::new(Full::new(body.clone()));
                *response.headers_mut() = headers.clone();
                async { Ok::<_, Infallible>(response) }
            });
            // The load generator leaves without a word.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
