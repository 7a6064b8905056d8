//! Services and proxies behind TLS.

use std::ops::Range;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::copy_bidirectional;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A certificate and what a server greets its clients with.
struct Identity {
    pem: String,
    acceptor: TlsAcceptor,
}

impl Identity {
    /// Of `name`, valid in these years.
    fn of(name: &str, years: Range<i32>) -> Self {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Self {
            pem: certificate.pem(),
            acceptor: TlsAcceptor::from(Arc::new(tls)),
        }
    }

    /// Serves each connection over TLS by `serve`; says where.
    async fn listen<F>(&self, serve: impl Fn(TlsStream) -> F + Send + 'static) -> String
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let acceptor = self.acceptor.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await {
                    tokio::spawn(serve(stream));
                }
            }
        });
        address
    }
}

type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

/// A network that trusts the certificates `pem`, with the further settings `api`.
fn trusting(pem: &str, api: &str) -> Network {
    let folder = tempfile::tempdir().unwrap();
    let (ca_file, config) = (folder.path().join("ca.pem"), folder.path().join("cwp.yml"));
    std::fs::write(&ca_file, pem).unwrap();
    let ca_file = ca_file.display();
    let text = format!(
        "api: {{ca_file: '{ca_file}'{api}}}\naccounts: [{{name: a, credentials: {{type: env}}}}]"
    );
    std::fs::write(&config, text).unwrap();
    let environment = Environment::default();
    let config = Config::load(Some(&config), &environment, &[]).unwrap();
    let trust = Trust::of(&config, &environment);
    Network::new(trust, config.proxies)
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_told_with_both_times() {
    for (years, problem) in [
        (3020..3021, "is not valid before 3020-01-01T00:00:00Z"),
        (2020..2021, "has expired at 2021-01-01T00:00:00Z"),
    ] {
        let identity = Identity::of("127.0.0.1", years);
        let address = identity
            .listen(|stream| serve(stream, Some("200 OK")))
            .await;
        let network = trusting(&identity.pem, "");
        let error = send(&network, &format!("https://{address}/")).await;
        let error = error.unwrap_err();
        assert_eq!(error.reason, Reason::Network, "the machine's clock is good");
        let words = format!(
            "no TLS with {address}: its certificate {problem}, and this machine's clock says 20"
        );
        assert!(error.message.starts_with(&words), "{}", error.message);
    }
}

/// A proxy that leads to `service`, whatever it is asked for, once it is told the password.
async fn tunnel(mut stream: TlsStream, service: String) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_buf(&mut request).await.unwrap();
    }
    let request = String::from_utf8(request).unwrap();
    assert!(request.starts_with("CONNECT cwp.example:443 HTTP/1.1\r\n"));
    let login = "proxy-authorization: basic bwu6ahvudgvymg==\r\n";
    if !request.to_ascii_lowercase().contains(login) {
        let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
        let _ = stream.write_all(refusal).await;
        return;
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let mut service = TcpStream::connect(service).await.unwrap();
    let _ = copy_bidirectional(&mut stream, &mut service).await;
}

#[tokio::test]
async fn requests_pass_a_proxy_that_is_behind_tls_itself() {
    let years = 2020..3020;
    let (outer, inner) = (
        Identity::of("localhost", years.clone()),
        Identity::of("cwp.example", years),
    );
    let service = inner.listen(|stream| serve(stream, Some("200 OK"))).await;
    let proxy = outer.listen(move |stream| tunnel(stream, service.clone()));
    let proxy = proxy.await.replace("127.0.0.1", "localhost");
    let url = "https://cwp.example/";
    let with = |pem: &str, login: &str| {
        let proxy_url = format!(", proxy_url: 'https://{login}{proxy}'");
        trusting(pem, &proxy_url)
    };
    let both = format!("{}{}", outer.pem, inner.pem);
    assert_eq!(send(&with(&both, "me:hunter2@"), url).await, Ok(200));

    for (pem, login, words) in [
        (
            &*both,
            "me:wrong@",
            format!(
                "the proxy https://{proxy} answered with HTTP status 407 Proxy Authentication \
                 Required instead of a tunnel to cwp.example; the proxy requires another user name"
            ),
        ),
        (
            &*inner.pem,
            "me:hunter2@",
            format!("no TLS with the proxy https://{proxy}: "),
        ),
        (
            &*outer.pem,
            "me:hunter2@",
            "no TLS with cwp.example: ".to_owned(),
        ),
    ] {
        let error = send(&with(pem, login), url).await.unwrap_err();
        assert_eq!(error.reason, Reason::Network);
        assert!(error.message.starts_with(&words), "{}", error.message);
        assert!(error.message.contains("cwp.example"), "{}", error.message);
        assert!(error.message.contains(&proxy), "{}", error.message);
    }
}
