//! Requests through a proxy.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::harness::{Exporter, within};

/// A proxy that refuses everything and remembers the first line of each request.
struct Proxy {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                let _ = stream.read_line(&mut line).await;
                log.lock().unwrap().push(line.trim().to_owned());
                let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
                let _ = stream.write_all(refusal).await;
            }
        });
        Self { address, asked }
    }
}

/// An exporter of `endpoint` whose environment is `variables`.
async fn exporter(endpoint: &str, proxy_url: &str, variables: &[(&str, &str)]) -> Exporter {
    let config = format!(
        "poll: {{interval: 1s}}\napi: {{endpoint: '{endpoint}'{proxy_url}}}\naccounts: [{{name: a0, credentials: {{type: static, secret_id: AKIDa0, secret_key_env: KEY}}}}]"
    );
    let variables = variables.iter().chain(&[("KEY", "key-a0")]);
    let variables = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Exporter::start(&config, variables.collect()).await
}

#[tokio::test]
async fn the_configured_proxy_or_that_of_the_environment_is_asked() {
    for from_environment in [false, true] {
        let proxy = Proxy::start().await;
        let url = format!("http://me:hunter2@{}", proxy.address);
        let exporter = if from_environment {
            exporter("https://cwp.example", "", &[("HTTPS_PROXY", &url)]).await
        } else {
            exporter("https://cwp.example", &format!(", proxy_url: '{url}'"), &[]).await
        };
        let scrape = exporter.ready().await;
        assert_eq!(scrape.failure_reason("a0"), Some("network"));
        let asked = proxy.asked.lock().unwrap();
        assert_eq!(asked[0], "CONNECT cwp.example:443 HTTP/1.1");
    }
}

#[tokio::test]
async fn hosts_in_no_proxy_and_this_machine_are_reached_without_it() {
    let proxy = Proxy::start().await;
    let url = format!("http://{}", proxy.address);
    for (endpoint, no_proxy) in [
        ("https://cwp.invalid", "other.example,cwp.invalid"),
        ("https://localhost:1", "other.example"),
        ("https://127.0.0.1:1", "other.example"),
        ("https://[::1]:1", "other.example"),
    ] {
        let variables = [("HTTPS_PROXY", url.as_str()), ("NO_PROXY", no_proxy)];
        let exporter = exporter(endpoint, "", &variables).await;
        let scrape = within("the collection", exporter.ready()).await;
        assert_eq!(scrape.failure_reason("a0"), Some("network"));
        assert!(proxy.asked.lock().unwrap().is_empty(), "{endpoint}");
    }
}
