//! The web configuration: the files that are accepted, and what they make of the server.

mod auth;
mod files;
mod identities;
mod listening;
mod tls;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use cwp_exporter::commands::daemon::AppOptions;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::{Cloud, Exporter, config_for};
use identities::{Authority, Identity};

/// A folder with a web configuration and what it names: `server.crt` and `server.key`
/// for `localhost`, and `client-ca.crt`.
pub(crate) struct Folder {
    folder: TempDir,
    server: Authority,
    client: Authority,
}

impl Folder {
    pub(crate) fn new(web: &str) -> Self {
        let folder = Self {
            folder: tempfile::tempdir().unwrap(),
            server: Authority::new("server authority"),
            client: Authority::new("client authority"),
        };
        folder.replace("client-ca.crt", &folder.client.certificate());
        folder.new_server_identity();
        folder.replace("web.yml", web);
        folder
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces a file whole, as deployments do.
    fn replace(&self, name: &str, text: &str) {
        let new = self.path("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.path(name)).unwrap();
    }

    /// Gives the server another certificate, and returns it.
    fn new_server_identity(&self) -> Identity {
        let identity = self.server.identity(&["localhost"]);
        self.replace("server.crt", &identity.certificate);
        self.replace("server.key", &identity.key);
        identity
    }

    /// An exporter that is guarded as the file says.
    async fn exporter(&self) -> ProtectedExporter {
        self.exporter_with(|_| ()).await
    }

    async fn exporter_with(&self, change: impl FnOnce(&mut AppOptions)) -> ProtectedExporter {
        self.exporter_among(&[], change).await
    }

    /// The same with more variables in its environment.
    async fn exporter_among(
        &self,
        more: &[(&str, &str)],
        change: impl FnOnce(&mut AppOptions),
    ) -> ProtectedExporter {
        let cloud = Cloud::with_accounts(1).await;
        let (config, mut variables) = config_for(&cloud, 1);
        let more = more.iter();
        variables.extend(more.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let exporter = Exporter::start_with(&config, variables, |options| {
            options.web_config = Some(self.path("web.yml"));
            change(options);
        })
        .await;
        ProtectedExporter {
            exporter,
            _cloud: cloud,
        }
    }

    /// What a client needs that trusts the server, and has `identity`, if any.
    fn client(&self, identity: Option<&Identity>, protocols: &[&[u8]]) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.server.roots());
        let mut client = match identity {
            Some(identity) => builder
                .with_client_auth_cert(identity.chain(), identity.private_key())
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        client.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        // So that every connection is judged anew.
        client.resumption = rustls::client::Resumption::disabled();
        client
    }
}

/// An exporter with a web configuration, and the cloud that it collects.
struct ProtectedExporter {
    exporter: Exporter,
    _cloud: Cloud,
}

impl ProtectedExporter {
    fn address(&self) -> &str {
        self.exporter.url.strip_prefix("http://").unwrap()
    }

    /// A TLS connection, if the client is content with the server. Whether the server is
    /// content with the client shows at the first request.
    async fn connect(&self, client: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address()).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(client))
            .connect(name, stream)
            .await
    }

    /// The status of a request over HTTP/1.1 and TLS; nothing if it is not answered.
    async fn status(&self, client: ClientConfig, path: &str) -> Option<u16> {
        let stream = self.connect(client).await.ok()?;
        Connection::http1(stream).await?.status(path).await
    }
}

/// A connection of a client that can be asked again and again.
enum Connection {
    Http1(hyper::client::conn::http1::SendRequest<Empty<Bytes>>),
    Http2(hyper::client::conn::http2::SendRequest<Empty<Bytes>>),
}

impl Connection {
    async fn http1(stream: TlsStream<TcpStream>) -> Option<Self> {
        let io = TokioIo::new(stream);
        let (sender, connection) = hyper::client::conn::http1::handshake(io).await.ok()?;
        tokio::spawn(connection);
        Some(Self::Http1(sender))
    }

    async fn http2(stream: TlsStream<TcpStream>) -> Option<Self> {
        let io = TokioIo::new(stream);
        let executor = TokioExecutor::new();
        let (sender, connection) = hyper::client::conn::http2::handshake(executor, io)
            .await
            .ok()?;
        tokio::spawn(connection);
        Some(Self::Http2(sender))
    }

    async fn status(&mut self, path: &str) -> Option<u16> {
        let request = http::Request::get(format!("https://localhost{path}"))
            .header(http::header::HOST, "localhost")
            .body(Empty::new())
            .unwrap();
        let answer = match self {
            Self::Http1(sender) => sender.send_request(request).await,
            Self::Http2(sender) => sender.send_request(request).await,
        };
        Some(answer.ok()?.status().as_u16())
    }
}

/// The files of the fixtures in `tests/fixtures/web-config`, by name.
fn fixtures() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/web-config");
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".yml")).collect();
    names.sort();
    names
}
