//! The network over sockets of this machine.

mod tls;

use std::io;

use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;
use crate::config::{Config, Environment};

/// A server on this machine that counts connections and lets `answer` say what each of them
/// gets, by its number from 0; nothing if it gets no answer.
struct Server {
    url: String,
    connections: watch::Receiver<usize>,
}

impl Server {
    async fn start(answer: impl Fn(usize) -> Option<&'static str> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (count, connections) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = *count.borrow();
                count.send_replace(number + 1);
                tokio::spawn(serve(stream, answer(number)));
            }
        });
        Self {
            url: format!("http://{address}/"),
            connections,
        }
    }

    fn connections(&self) -> usize {
        *self.connections.borrow()
    }

    /// Waits for a connection.
    async fn connected(&self) {
        let mut connections = self.connections.clone();
        connections.wait_for(|count| *count > 0).await.unwrap();
    }
}

/// Answers each request that has no body.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: Option<&str>) {
    let mut received = Vec::new();
    while stream
        .read_buf(&mut received)
        .await
        .is_ok_and(|read| read > 0)
    {
        if received.ends_with(b"\r\n\r\n") {
            received.clear();
            let Some(answer) = answer else { continue };
            let head = format!("HTTP/1.1 {answer}\r\ncontent-length: 2\r\n\r\nok");
            let _ = stream.write_all(head.as_bytes()).await;
        }
    }
}

fn network(max_age: Duration) -> Network {
    let setup = Setup::new(Trust::Nobody, Proxies::default(), max_age);
    Network(Mutex::new(Arc::new(setup)))
}

async fn send(network: &Network, url: &str) -> Result<u16, Error> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = url.parse().unwrap();
    let response = network.send(request).await?;
    Ok(response.status().as_u16())
}

#[tokio::test]
async fn requests_share_a_connection_until_it_is_old() {
    let server = Server::start(|_| Some("200 OK")).await;
    let fresh = network(MAX_AGE);
    for _ in 0..20 {
        assert_eq!(send(&fresh, &server.url).await, Ok(200));
    }
    assert_eq!(server.connections(), 1);
    let old = network(Duration::ZERO);
    for _ in 0..2 {
        assert_eq!(send(&old, &server.url).await, Ok(200));
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_retry_takes_a_new_connection_after_a_status_that_says_that_the_service_failed() {
    for status in ["500 X", "502 Bad Gateway", "503 X", "504 X"] {
        let server =
            Server::start(move |number| Some(if number == 0 { status } else { "200 OK" })).await;
        let network = network(MAX_AGE);
        assert!(send(&network, &server.url).await.unwrap() >= 500);
        assert_eq!(send(&network, &server.url).await, Ok(200), "{status}");
        assert_eq!(send(&network, &server.url).await, Ok(200));
        assert_eq!(server.connections(), 2);
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_leaves_all_connections_to_its_service() {
    let hung = Server::start(|number| (number > 0).then_some("200 OK")).await;
    let other = Server::start(|_| Some("200 OK")).await;
    let network = network(MAX_AGE);
    assert_eq!(send(&network, &other.url).await, Ok(200));
    let mut given_up = Box::pin(send(&network, &hung.url));
    tokio::select! {
        _ = &mut given_up => panic!("nobody answers"),
        () = hung.connected() => {}
    }
    let in_use = |url: &str| {
        let setup = network.setup();
        let ready = setup.ready.get().unwrap();
        ready.connections.to(&url.parse().unwrap()).unwrap()
    };
    let (before, unconcerned) = (in_use(&hung.url), in_use(&other.url));
    drop(given_up);
    assert!(!Arc::ptr_eq(&before, &in_use(&hung.url)));
    assert!(Arc::ptr_eq(&unconcerned, &in_use(&other.url)));
    assert_eq!(send(&network, &hung.url).await, Ok(200));
}

#[tokio::test]
async fn a_service_that_keeps_failing_is_not_connected_to_anew_for_every_request() {
    let server = Server::start(|_| Some("503 X")).await;
    let network = network(MAX_AGE);
    for _ in 0..100 {
        assert_eq!(send(&network, &server.url).await, Ok(503));
    }
    assert!(
        (2..=12).contains(&server.connections()),
        "{}",
        server.connections()
    );
}

#[tokio::test]
async fn a_failed_request_names_the_host_and_the_step() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    for (url, words) in [
        (
            format!("https://{closed}/"),
            format!("cannot connect to {closed}: "),
        ),
        (
            "https://cwp.invalid/".to_owned(),
            "the name of cwp.invalid does not resolve: ".to_owned(),
        ),
        (
            format!("https://localhost:{}/", closed.port()),
            format!("cannot connect to localhost:{}: ", closed.port()),
        ),
    ] {
        let error = send(&network(MAX_AGE), &url).await.unwrap_err();
        assert_eq!(error.reason, Reason::Network);
        let cause = error.message.strip_prefix(&words);
        assert!(cause.is_some_and(|cause| !cause.is_empty()), "{error}");
    }
}

#[tokio::test]
async fn a_service_that_speaks_no_tls_or_hangs_up_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", ""] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read_buf(&mut Vec::new()).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    for (scheme, words) in [
        ("https", format!("no TLS with {address}: ")),
        (
            "http",
            format!("the connection to {address} broke before an answer came: "),
        ),
    ] {
        let sent = send(&network(MAX_AGE), &format!("{scheme}://{address}/")).await;
        let error = sent.unwrap_err();
        assert_eq!(error.reason, Reason::Network);
        assert!(error.message.starts_with(&words), "{}", error.message);
    }
}

/// The address of a server that answers to one request with these bytes, and hangs up.
async fn answering_once(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut received = Vec::new();
        while !received.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut received).await.unwrap();
        }
        let _ = stream.write_all(&answer).await;
    });
    format!("http://{address}/")
}

/// What the client says where the system gives up waiting for a connection.
async fn given_up_by_the_system() -> reqwest::Error {
    let error = io::Error::from(io::ErrorKind::TimedOut);
    let broken = stream::iter([Err::<Frame<Bytes>, _>(error)]);
    let response = Response::new(Body::wrap(StreamBody::new(broken)));
    let body = reqwest::Response::from(response).bytes().await;
    body.unwrap_err()
}

#[tokio::test]
async fn a_connection_that_the_system_gives_up_is_a_timeout() {
    let error = cut(given_up_by_the_system().await);
    assert_eq!(error.reason, Reason::Timeout);
    assert!(
        error.message.starts_with("the answer broke off: "),
        "{error}"
    );
    let hops = Hops {
        service: &Url::parse("https://cwp.example/").unwrap(),
        proxy: None,
    };
    let error = hops.no_answer(&given_up_by_the_system().await);
    assert_eq!(error.reason, Reason::Timeout);
    assert_eq!(error.message, "no answer from cwp.example in time");
}

#[tokio::test]
async fn a_body_that_is_cut_or_cannot_be_decompressed_is_an_unreadable_answer() {
    for (header, words) in [
        ("content-length: 9", "body"),
        ("content-length: 4\r\ncontent-encoding: gzip", "gzip"),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{header}\r\n\r\nhalf");
        let url = answering_once(answer.into()).await;
        let error = send(&network(MAX_AGE), &url).await.unwrap_err();
        assert_eq!(error.reason, Reason::Response, "{error}");
        let cause = error.message.strip_prefix("the answer broke off: ");
        assert!(cause.is_some_and(|cause| cause.contains(words)), "{error}");
    }
}

#[tokio::test]
async fn a_body_of_4_mib_is_read_and_a_longer_one_is_refused_however_it_comes() {
    let most = 4 * 1024 * 1024;
    for (length, is_announced) in [
        (most, true),
        (most, false),
        (most + 1, true),
        (most + 1, false),
    ] {
        let header = match is_announced {
            true => format!("content-length: {length}\r\n"),
            false => String::new(),
        };
        let mut answer = format!("HTTP/1.1 200 OK\r\n{header}\r\n").into_bytes();
        answer.resize(answer.len() + length, b'x');
        let url = answering_once(answer).await;
        let sent = send(&network(MAX_AGE), &url).await;
        if length == most {
            assert_eq!(sent, Ok(200));
        } else {
            let error = sent.unwrap_err();
            assert_eq!(error.reason, Reason::Response);
            assert_eq!(error.message, "the answer exceeds 4 MiB");
        }
    }
}

#[tokio::test]
async fn the_same_settings_change_nothing_and_another_proxy_changes_the_network() {
    let server = Server::start(|_| Some("200 OK")).await;
    let network = network(MAX_AGE);
    for _ in 0..2 {
        let same = network.changed(Trust::Nobody, Proxies::default()).unwrap();
        assert!(same.is_none());
        let other = network.changed(Trust::Nobody, proxies("http://127.0.0.1:1"));
        assert!(other.unwrap().is_some());
        // Now there are connections, too.
        assert_eq!(send(&network, &server.url).await, Ok(200));
    }
    let other = network.changed(Trust::Nobody, proxies("http://127.0.0.1:1"));
    network.reconfigure(other.unwrap().unwrap());
    assert_eq!(send(&network, &server.url).await, Ok(200));
    let nobody = Trust::System {
        file: Some("/nowhere".into()),
        folders: Vec::new(),
    };
    assert!(network.changed(nobody.clone(), Proxies::default()).is_err());
    let unused = self::network(MAX_AGE);
    let other = unused.changed(nobody, Proxies::default());
    assert!(
        other.unwrap().is_some(),
        "it is read with the first request"
    );
    let error = send(&network, "https://cwp.example/").await.unwrap_err();
    let words = "cannot connect to the proxy http://127.0.0.1:1";
    assert!(error.message.starts_with(words), "{error}");
    assert_eq!(
        send(&network, &server.url).await,
        Ok(200),
        "http has no proxy"
    );
}

#[tokio::test]
async fn other_certificates_in_the_same_file_change_the_network() {
    let server = Server::start(|_| Some("200 OK")).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let renew = || {
        let names = ["localhost".to_owned()];
        let certificate = rcgen::generate_simple_self_signed(names).unwrap();
        std::fs::write(file.path(), certificate.cert.pem()).unwrap();
    };
    renew();
    let trust = Trust::System {
        file: Some(file.path().to_owned()),
        folders: Vec::new(),
    };
    let network = Network::new(trust.clone(), Proxies::default());
    let changed = || network.changed(trust.clone(), Proxies::default()).unwrap();
    assert!(changed().is_none());
    assert_eq!(send(&network, &server.url).await, Ok(200));
    assert!(changed().is_none());
    renew();
    assert!(changed().is_some());
}

/// A network whose proxy is `proxy`, as the environment names it.
fn behind(proxy: &str) -> Network {
    Network::new(Trust::Nobody, proxies(proxy))
}

fn proxies(proxy: &str) -> Proxies {
    let environment = Environment::from([
        ("HTTPS_PROXY", proxy),
        ("TENCENTCLOUD_SECRET_ID", "AKIDa"),
        ("TENCENTCLOUD_SECRET_KEY", "a"),
    ]);
    Config::load(None, &environment, &[]).unwrap().proxies
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_with_its_status_and_a_remedy() {
    for (status, words) in [
        ("403 Forbidden", "the proxy forbids this connection"),
        (
            "407 Proxy Authentication Required",
            "user name and password",
        ),
        ("502 Bad Gateway", "the proxy cannot reach the endpoint"),
        (
            "503 Service Unavailable",
            "the proxy cannot reach the endpoint",
        ),
        ("504 Gateway Timeout", "the proxy cannot reach the endpoint"),
        ("404 Not Found", "allows CONNECT"),
        ("300 Multiple Choices", "allows CONNECT"),
    ] {
        let proxy = Server::start(move |_| Some(status)).await;
        let host = proxy
            .url
            .trim_start_matches("http://")
            .trim_end_matches('/');
        let network = behind(&format!("http://me:hunter2@{host}"));
        for _ in 0..3 {
            let error = send(&network, "https://cwp.example/").await.unwrap_err();
            assert_eq!(error.reason, Reason::Network);
            let expected = format!(
                "the proxy http://{host} answered with HTTP status {status} instead of a tunnel to cwp.example; "
            );
            assert!(error.message.starts_with(&expected), "{}", error.message);
            assert!(error.message.contains(words), "{}", error.message);
            assert!(!error.message.contains("hunter2"), "{}", error.message);
        }
        assert_eq!(
            proxy.connections(),
            4,
            "it is asked for its status once in a while"
        );
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_once_and_would_not_again_is_named_without_a_status() {
    for status in ["200 OK", "299 X"] {
        let refusal = "403 Forbidden";
        let proxy = Server::start(move |number| Some(if number == 0 { refusal } else { status }));
        let proxy = proxy.await.url;
        let error = send(&behind(&proxy), "https://cwp.example/").await;
        let message = error.unwrap_err().message;
        let start = format!(
            "the proxy {} opened no tunnel: ",
            proxy.trim_end_matches('/')
        );
        assert!(message.starts_with(&start), "{message}");
    }
}

#[tokio::test]
async fn a_proxy_is_named_where_what_is_behind_it_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for answer in ["HTTP/1.1 200 OK\r\n\r\n", "this is no TLS"] {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        // Closing with something unread would reset the connection.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        // Who asks the proxy once more for a tunnel would blame the proxy.
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, Some("403 Forbidden")).await;
    });
    let network = behind(&format!("http://me:hunter2@{proxy}"));
    let error = send(&network, "https://cwp.example/").await.unwrap_err();
    assert_eq!(error.reason, Reason::Network);
    let message = error.message;
    assert!(
        message.starts_with("no TLS with cwp.example: "),
        "{message}"
    );
    let end = format!(", through the proxy http://{proxy}");
    assert!(message.ends_with(&end), "{message}");
}

#[tokio::test]
async fn a_proxy_that_cannot_be_reached_is_named_and_so_is_the_endpoint() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    for (proxy, words) in [
        (
            closed.to_string(),
            format!("cannot connect to the proxy http://{closed}"),
        ),
        (
            "http://proxy.invalid:3128".to_owned(),
            "the name of the proxy http://proxy.invalid:3128 does not resolve".to_owned(),
        ),
    ] {
        let error = send(&behind(&proxy), "https://cwp.example/")
            .await
            .unwrap_err();
        assert_eq!(error.reason, Reason::Network);
        assert!(error.message.starts_with(&words), "{}", error.message);
        assert!(
            error.message.ends_with("on the way to cwp.example"),
            "{}",
            error.message
        );
    }
}
