//! Requests through a proxy, and the variables that name one.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::harness::{Exporter, LICENSES_ALONE, Program, run, within};

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
                let mut login = String::new();
                while stream
                    .read_line(&mut login)
                    .await
                    .is_ok_and(|read| read > 2)
                {
                    if let Some((name, value)) = login.split_once(": ")
                        && name.eq_ignore_ascii_case("proxy-authorization")
                    {
                        line = format!("{} {value}", line.trim());
                    }
                    login.clear();
                }
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
        "{LICENSES_ALONE}poll: {{interval: 1s}}\napi: {{endpoint: '{endpoint}'{proxy_url}}}\naccounts: [{{name: a0, credentials: {{type: static, secret_id: AKIDa0, secret_key_env: KEY}}}}]"
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
        let login = "Basic bWU6aHVudGVyMg==";
        for asked in asked.iter() {
            assert_eq!(*asked, format!("CONNECT cwp.example:443 HTTP/1.1 {login}"));
        }
    }
}

#[tokio::test]
async fn hosts_in_no_proxy_and_this_machine_are_reached_without_it() {
    let proxy = Proxy::start().await;
    let url = format!("http://{}", proxy.address);
    for (endpoint, no_proxy) in [
        ("https://cwp.invalid", "other.example,cwp.invalid"),
        ("https://cwp.invalid", "*.invalid"),
        ("https://cwp.invalid.", " other.example , CWP.invalid:443 "),
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

/// The variables of one account and `more`.
fn with_account<'v>(more: &[(&'v str, &'v str)]) -> Vec<(&'v str, &'v str)> {
    let account = [
        ("TENCENTCLOUD_SECRET_ID", "AKIDa0"),
        ("TENCENTCLOUD_SECRET_KEY", "key-a0"),
    ];
    account.iter().chain(more).copied().collect()
}

#[tokio::test]
async fn what_the_check_accepts_of_the_environment_the_start_accepts() {
    for variables in [
        &[("HTTPS_PROXY", "")][..],
        &[("HTTPS_PROXY", " "), ("https_proxy", ""), ("NO_PROXY", "")],
        &[
            ("https_proxy", "127.0.0.1:9"),
            ("ALL_PROXY", "socks5://127.0.0.1:9"),
        ],
        &[
            ("HTTP_PROXY", "::::"),
            ("http_proxy", "socks5://x"),
            ("REQUEST_METHOD", "GET"),
        ],
        &[
            ("all_proxy", "http://me:p%40ss@127.0.0.1:9/"),
            ("no_proxy", "a*b,http://c"),
        ],
        &[("ALL_PROXY", "socks5://127.0.0.1:9"), ("NO_PROXY", "*")],
        &[("SSL_CERT_FILE", ""), ("SSL_CERT_DIR", "")],
    ] {
        let variables = with_account(variables);
        let checked = run(&["--config.check"], &variables).await;
        let said = String::from_utf8_lossy(&checked.stderr);
        assert_eq!(checked.status.code(), Some(0), "{variables:?}: {said}");
        let mut program = Program::start(&["--web.listen-address=127.0.0.1:0"], &variables);
        program.url().await;
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_by_check_and_start_with_the_variable_at_fault() {
    let url = "CWP_EXPORTER_API__PROXY_URL";
    for (name, value) in [
        ("HTTPS_PROXY", "socks5://me:hunter2@127.0.0.1:9"),
        ("https_proxy", "http://me:hunter2@127.0.0.1:99999"),
        ("ALL_PROXY", "ftp://hunter2"),
        ("all_proxy", "http://hunter2/x@127.0.0.1"),
        (url, "socks4://me:hunter2@127.0.0.1"),
        (url, "http://127.0.0.1:0"),
        ("CWP_EXPORTER_API__CA_FILE", "/proc/self/status"),
        ("CWP_EXPORTER_API__ENDPOINT", "https://a`b"),
        ("CWP_EXPORTER_API__STS_ENDPOINT", "https://a:0"),
        ("CWP_EXPORTER_API__METADATA_ENDPOINT", "http://{a}"),
    ] {
        let variables = with_account(&[(name, value)]);
        for arguments in [
            &["--config.check"][..],
            &["--web.listen-address=127.0.0.1:0"],
        ] {
            let refused = run(arguments, &variables).await;
            let said = String::from_utf8_lossy(&refused.stderr);
            assert_eq!(refused.status.code(), Some(2), "{name}={value}: {said}");
            assert!(said.contains(&format!("  {name}: ")), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}

#[tokio::test]
async fn certificates_that_are_not_there_are_told_by_the_check_where_they_are_needed() {
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        let variables = with_account(&[(name, "/nowhere")]);
        let checked = run(&["--config.check"], &variables).await;
        let said = String::from_utf8_lossy(&checked.stderr);
        assert_eq!(checked.status.code(), Some(2), "{said}");
        assert!(said.contains(name) && said.contains("/nowhere"), "{said}");

        let plain = ("CWP_EXPORTER_API__ENDPOINT", "http://127.0.0.1:9");
        let variables = with_account(&[(name, "/nowhere"), plain]);
        let checked = run(&["--config.check"], &variables).await;
        assert_eq!(checked.status.code(), Some(0), "no TLS is spoken");
    }
}

#[tokio::test]
async fn a_variable_that_misses_a_setting_by_little_is_told_by_check_and_start() {
    let variables = with_account(&[
        ("CWP_EXPORTER_API_ENDPOINT", "http://127.0.0.1:9"),
        ("CWP_EXPORTER_PORT_10064_TCP_ADDR", "10.0.0.1"),
        ("HTTPS_PROXY", "127.0.0.1:9"),
        ("NO_PROXY", "https://a"),
    ]);
    let checked = run(&["--config.check"], &variables).await;
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(0), "{said}");
    let mut program = Program::start(&["--web.listen-address=127.0.0.1:0"], &variables);
    program.url().await;
    for said in [said, program.log().join("\n")] {
        assert!(
            said.contains("did you mean CWP_EXPORTER_API__ENDPOINT?"),
            "{said}"
        );
        assert!(
            said.contains("NO_PROXY: 1 entry cannot be understood"),
            "{said}"
        );
        assert!(!said.contains("PORT_10064"), "{said}");
    }
}
