//! The API over TLS: certificates that are trusted and not, and what is sent.

use std::sync::Arc;

use bytes::Bytes;
use cwp_exporter::cloud::tc3::{self, CanonicalRequest, CredentialScope};
use cwp_exporter::simulator::documented_example;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::harness::{Exporter, LICENSES_ALONE, Pipe, Program, page_once_ready, within};

type Received = watch::Sender<Vec<(HeaderMap, Bytes)>>;

/// An API behind TLS with a certificate of its own for `localhost`.
struct TlsApi {
    port: u16,
    certificate: String,
    received: Received,
}

impl TlsApi {
    async fn start() -> Self {
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Received::default();
        let log = received.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let log = log.clone();
                let service = service_fn(move |request| answer(request, log.clone()));
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Self {
            port,
            certificate: signed.cert.pem(),
            received,
        }
    }

    /// An exporter of this API with a temporary key and a region.
    async fn exporter(&self, ca_file: &str) -> Exporter {
        self.exporter_with(ca_file, &[]).await
    }

    /// The same with further variables.
    async fn exporter_with(&self, ca_file: &str, more: &[(&str, &str)]) -> Exporter {
        let variables = [("KEY", "key-a0"), ("TOKEN", "token-a0")];
        let variables = variables.iter().chain(more);
        let variables = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Exporter::start(&self.config(ca_file), variables.collect()).await
    }

    fn config(&self, ca_file: &str) -> String {
        format!(
            "{LICENSES_ALONE}poll: {{interval: 1s}}
api: {{endpoint: 'https://localhost:{}'{ca_file}}}
accounts:
  - name: a0
    region: ap-guangzhou
    credentials: {{type: static, secret_id: AKIDa0, secret_key_env: KEY, token_env: TOKEN}}
",
            self.port
        )
    }
}

async fn answer(
    request: Request<Incoming>,
    log: Received,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    log.send_modify(|received| received.push((head.headers, body)));
    let mut fields = documented_example();
    fields.insert("RequestId".to_owned(), "r-1".into());
    let body = serde_json::json!({ "Response": fields }).to_string();
    Ok(Response::new(Full::new(body.into())))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_tls_carry_token_region_and_the_host_as_signed() {
    let api = TlsApi::start().await;
    let ca_file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca_file.path(), &api.certificate).unwrap();
    let setting = format!(", ca_file: '{}'", ca_file.path().display());
    let exporter = api.exporter(&setting).await;
    let scrape = exporter.ready().await;
    assert_eq!(scrape.succeeded("a0"), Some(true));

    let received = api.received.borrow();
    let (headers, body) = &received[0];
    let text = |name: &str| headers[name].to_str().unwrap();
    let host = format!("localhost:{}", api.port);
    assert_eq!(text("host"), host);
    assert_eq!(text("x-tc-token"), "token-a0");
    assert_eq!(text("x-tc-region"), "ap-guangzhou");
    assert_eq!(body.as_ref(), b"{}");
    let time = Timestamp::from_second(text("x-tc-timestamp").parse().unwrap()).unwrap();
    let scope = CredentialScope::new("cwp", time);
    let expected = tc3::authorization(
        "AKIDa0",
        &tc3::signing_key("key-a0", &scope),
        &scope,
        &CanonicalRequest {
            method: "POST",
            query: "",
            headers: &[("content-type", text("content-type")), ("host", &host)],
            payload: body,
        },
    );
    assert_eq!(text("authorization"), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_vouches_for_is_a_network_failure() {
    let api = TlsApi::start().await;
    let exporter = api.exporter("").await;
    let scrape = exporter.ready().await;
    assert_eq!(scrape.failure_reason("a0"), Some("network"));
    assert!(api.received.borrow().is_empty());
}

#[tokio::test]
async fn certificates_that_the_system_lacks_fail_collections_but_not_the_start() {
    let nowhere = tempfile::tempdir().unwrap();
    let config = nowhere.path().join("cwp.yml");
    let text = "accounts: [{name: a0, endpoint: 'https://localhost:1', credentials: {type: env}}]";
    std::fs::write(&config, text).unwrap();
    let none = nowhere.path().join("none").display().to_string();
    let mut program = Program::start(
        &[
            "--config.file",
            config.to_str().unwrap(),
            "--web.listen-address=127.0.0.1:0",
        ],
        &[
            ("TENCENTCLOUD_SECRET_ID", "AKIDa0"),
            ("TENCENTCLOUD_SECRET_KEY", "key-a0"),
            ("SSL_CERT_FILE", &none),
            ("SSL_CERT_DIR", &none),
        ],
    );
    let url = program.url().await;
    let page = page_once_ready(&url).await;
    assert!(page.contains("reason=\"network\"} 1"), "{page}");
    let line = program.logged("cannot set up TLS").await;
    assert!(line.contains("ca-certificates"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_reads_the_trusted_certificates_anew_wherever_they_are() {
    let api = TlsApi::start().await;
    let other = TlsApi::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &other.certificate).unwrap();
    let setting = format!(", ca_file: '{}'", file.path().display());
    let exporter = api.exporter(&setting).await;
    let scrape = exporter.ready().await;
    assert_eq!(scrape.failure_reason("a0"), Some("network"));

    std::fs::write(file.path(), "damaged").unwrap();
    let refused = exporter.reload(&api.config(&setting)).await;
    assert_eq!(refused.status(), 500);
    assert!(refused.text().await.unwrap().contains("api.ca_file"));

    std::fs::write(file.path(), &api.certificate).unwrap();
    assert_eq!(exporter.reload(&api.config(&setting)).await.status(), 200);
    exporter
        .until("trust", |scrape| scrape.succeeded("a0") == Some(true))
        .await;

    // The other way round, trust ends too.
    std::fs::write(file.path(), &other.certificate).unwrap();
    assert_eq!(exporter.reload(&api.config(&setting)).await.status(), 200);
    exporter
        .until("distrust", |scrape| {
            scrape.failure_reason("a0") == Some("network")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_reads_the_systems_certificates_anew_too() {
    let api = TlsApi::start().await;
    let other = TlsApi::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &other.certificate).unwrap();
    let path = file.path().display().to_string();
    let exporter = api.exporter_with("", &[("SSL_CERT_FILE", &path)]).await;
    let scrape = exporter.ready().await;
    assert_eq!(scrape.failure_reason("a0"), Some("network"));
    std::fs::write(file.path(), &api.certificate).unwrap();
    assert_eq!(exporter.reload(&api.config("")).await.status(), 200);
    exporter
        .until("trust", |scrape| scrape.succeeded("a0") == Some(true))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn system_certificates_that_hang_at_a_reload_hold_up_neither_collections_nor_the_end() {
    let api = TlsApi::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (config, path) = (folder.path().join("cwp.yml"), folder.path().join("ca.pem"));
    std::fs::write(&config, api.config("")).unwrap();
    std::fs::write(&path, &api.certificate).unwrap();
    // The program has one thread that collects. In the process of the test, other threads of
    // the runtime would go on with what a thread that waits for a file leaves.
    let mut program = Program::start(
        &[
            "--config.file",
            config.to_str().unwrap(),
            "--web.listen-address=127.0.0.1:0",
        ],
        &[
            ("KEY", "key-a0"),
            ("TOKEN", "token-a0"),
            ("SSL_CERT_FILE", path.to_str().unwrap()),
        ],
    );
    page_once_ready(&program.url().await).await;
    let pipe = Pipe::in_place_of(&path);
    program.signal("HUP").await;
    let reading = pipe.reader().await;
    let further = api.received.borrow().len() + 3;
    let mut received = api.received.subscribe();
    let collected = received.wait_for(|received| received.len() >= further);
    within("collections", collected).await.unwrap();
    program.signal("TERM").await;
    assert!(program.ended().await.success());
    drop(reading);
}
