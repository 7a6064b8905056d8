//! `doctor` and the route to an endpoint.

use std::sync::Arc;

use rcgen::CertificateParams;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Diagnosis, STEPS};
use crate::harness::Cloud;

#[tokio::test]
async fn certificates_that_cannot_be_used_are_a_problem_of_the_configuration() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "not a certificate").unwrap();
    let api = format!(", ca_file: '{}'", file.path().display());
    let found = Diagnosis::of_endpoint("https://localhost:1", &api).await;
    assert_eq!(found.code, Some(1));
    let problem = &found.json["configuration"]["problems"][0];
    assert_eq!(problem["key"], "api.ca_file");
    assert_eq!(problem["detail"], "the file it names has no certificate");
    assert_eq!(
        problem["remedy"],
        "name a file of certificates in PEM format"
    );
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_failure_of_dns() {
    let found = Diagnosis::of_endpoint("https://nowhere.invalid", "").await;
    found.assert_failed(&["dns"]);
    found.assert_detail("dns", &["nowhere.invalid does not resolve"]);
    for step in &STEPS[2..] {
        assert_eq!(found.step(0, step)["status"], "skipped", "{step}");
    }
}

/// A port of this machine on which no program listens.
async fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn a_port_that_is_closed_is_a_failure_of_tcp() {
    let port = closed_port().await;
    let found = Diagnosis::of_endpoint(&format!("http://localhost:{port}"), "").await;
    found.assert_failed(&["tcp"]);
    found.assert_detail("dns", &["localhost is", "127.0.0.1"]);
    found.assert_detail("tcp", &[&format!("127.0.0.1:{port}"), "refused"]);
}

#[tokio::test]
async fn an_address_needs_no_dns() {
    let port = closed_port().await;
    let found = Diagnosis::of_endpoint(&format!("http://127.0.0.1:{port}"), "").await;
    found.assert_failed(&["tcp"]);
    assert_eq!(found.step(0, "dns")["status"], "skipped");
}

/// A server with a certificate for `localhost` that is valid until `year`; it closes each
/// connection after the handshake. Returns the port and the certificate.
async fn tls_server(year: i32) -> (u16, tempfile::NamedTempFile) {
    let mut certificate = CertificateParams::new(["localhost".to_owned()]).unwrap();
    certificate.not_after = rcgen::date_time_ymd(year, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let signed = certificate.self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), signed.pem()).unwrap();
    (port, file)
}

#[tokio::test]
async fn a_certificate_is_refused_for_its_issuer_its_name_or_its_age() {
    let (port, file) = tls_server(2090).await;
    let trusting = format!(", ca_file: '{}'", file.path().display());
    let name = format!("https://localhost:{port}");
    let found = Diagnosis::of_endpoint(&name, "").await;
    found.assert_failed(&["tls"]);
    found.assert_detail("tls", &["issuer is not trusted"]);
    let remedy = |found: &Diagnosis| found.step(0, "tls")["remedy"].as_str().unwrap().to_owned();
    assert!(remedy(&found).starts_with("install the system's CA certificates"));

    // With `ca_file`, the system's certificates are not trusted.
    let (_, other) = tls_server(2091).await;
    let of_another = format!(", ca_file: '{}'", other.path().display());
    let found = Diagnosis::of_endpoint(&name, &of_another).await;
    found.assert_failed(&["tls"]);
    assert!(remedy(&found).starts_with("add the certificate of the endpoint's authority"));

    let address = format!("https://127.0.0.1:{port}");
    let found = Diagnosis::of_endpoint(&address, &trusting).await;
    found.assert_failed(&["tls"]);
    found.assert_detail("tls", &["is for another name", "localhost"]);

    // The server closes the connection after the handshake.
    let found = Diagnosis::of_endpoint(&name, &trusting).await;
    found.assert_failed(&["answer"]);
    found.assert_detail(
        "tls",
        &["TLS 1.3, certificate trusted, valid until 2090-01-01"],
    );

    let (port, file) = tls_server(2020).await;
    let trusting = format!(", ca_file: '{}'", file.path().display());
    let found = Diagnosis::of_endpoint(&format!("https://localhost:{port}"), &trusting).await;
    found.assert_failed(&["tls"]);
    found.assert_detail("tls", &["has expired"]);
}

#[tokio::test]
async fn a_server_without_tls_is_a_failure_of_tls() {
    let cloud = Cloud::with_accounts(1).await;
    let endpoint = cloud.url.replace("http://", "https://");
    let found = Diagnosis::of_endpoint(&endpoint, "").await;
    found.assert_failed(&["tls"]);
    assert!(cloud.handle.received().is_empty());
}

#[tokio::test]
async fn with_a_proxy_the_connection_goes_to_the_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    // Takes connections, but makes no tunnel.
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let with_password = proxy.replace("http://", "http://me:hunter2@");
    let api = format!(", proxy_url: '{with_password}'");
    let found = Diagnosis::of_endpoint("https://cwp.example", &api).await;
    found.assert_failed(&["tls"]);
    found.assert_detail("tcp", &["the proxy 127.0.0.1:"]);
    assert_eq!(found.json["accounts"][0]["proxy"], proxy.as_str());
    let said = format!("{}{}", found.text, found.json);
    assert!(said.contains(&format!("proxy {proxy}")));
    assert!(!said.contains("hunter2"), "{said}");
}
