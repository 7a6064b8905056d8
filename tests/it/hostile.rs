//! Clients that mean no good, and clients that cannot do better: scrapes go on.

#![allow(
    clippy::print_stderr,
    reason = "measured times are for whoever runs the test"
)]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::harness::{Cloud, Program, client, config_for, eventually, within};

/// An exporter as a program, so that its file descriptors are its own.
struct Target {
    program: Program,
    url: String,
    address: SocketAddr,
    _files: tempfile::TempDir,
    _cloud: Cloud,
}

impl Target {
    async fn start(accounts: usize, flags: &[&str]) -> Self {
        let cloud = Cloud::with_accounts(accounts).await;
        let (config, variables) = config_for(&cloud, accounts);
        let config = config.replace("interval: 1s", "interval: 60s");
        let config = config.replace("max_age: 2s", "max_age: 10m");
        let files = tempfile::tempdir().unwrap();
        let file = files.path().join("cwp.yml");
        std::fs::write(&file, config).unwrap();
        let config_flag = format!("--config.file={}", file.display());
        let mut flags = flags.to_vec();
        flags.extend(["--web.listen-address=127.0.0.1:0", &config_flag]);
        let variables: Vec<(&str, &str)> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let mut program = Program::start(&flags, &variables);
        let url = program.url().await;
        let address = url.strip_prefix("http://").unwrap().parse().unwrap();
        Self {
            program,
            url,
            address,
            _files: files,
            _cloud: cloud,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Scrapes over a new connection `count` times. Every scrape must be answered; how
    /// long that took is printed for whoever wants to know.
    async fn scrapes_answer(&self, what: &str, count: usize) {
        let http = client();
        let url = format!("{}/metrics", self.url);
        let mut took = Vec::with_capacity(count);
        for _ in 0..count {
            let begun = Instant::now();
            let page = within(what, async {
                let request = http.get(&url).header(header::CONNECTION, "close");
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status(), 200);
                answer.text().await.unwrap()
            });
            assert!(page.await.contains("cwp_exporter_accounts "), "{what}");
            took.push(begun.elapsed());
        }
        took.sort();
        let (median, last) = (took[count / 2], took[count * 99 / 100]);
        eprintln!("{what}: median {median:?}, 99th percentile {last:?} of {count} scrapes");
    }

    /// What comes until the server closes.
    async fn answer_to(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The server may close before it has read all of it.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let reading = within("an answer and the end", stream.read_to_end(&mut answer));
        let _ = reading.await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// A connection from this address of this machine.
async fn connect_from(local: [u8; 4], target: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((local, 0).into())?;
    socket.connect(target).await
}

/// How many connections this process may open beside what else it has open.
fn affordable(wanted: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.unwrap().split_whitespace().nth(3).unwrap();
    let soft: usize = soft.parse().unwrap_or(usize::MAX);
    wanted.min(soft.saturating_sub(1000).max(200))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute"]
async fn ten_thousand_idle_connections_do_not_keep_scrapers_out() {
    let target = Target::start(1, &[]).await;
    let count = affordable(10_000);
    let mut idle = Vec::with_capacity(count);
    for _ in 0..count {
        idle.push(target.connect().await);
    }
    target
        .scrapes_answer(&format!("{count} idle connections"), 100)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_keep_coming_do_not_keep_scrapers_out() {
    let target = Target::start(1, &["--web.max-connections=64"]).await;
    let mut flood = JoinSet::new();
    for _ in 0..4 {
        let address = target.address;
        flood.spawn(async move {
            let mut open = std::collections::VecDeque::new();
            loop {
                // A refusal by the kernel is no failure of the exporter's.
                if let Ok(stream) = connect_from([127, 0, 0, 2], address).await {
                    open.push_back(stream);
                }
                if open.len() > 100 {
                    open.pop_front();
                }
            }
        });
    }
    target.scrapes_answer("a flood of connections", 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_send_a_byte_at_a_time_do_not_keep_scrapers_out() {
    let target = Target::start(1, &["--web.max-connections=128"]).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let mut slow = JoinSet::new();
    for _ in 0..200 {
        let (address, sent) = (target.address, Arc::clone(&sent));
        slow.spawn(async move {
            loop {
                let Ok(mut stream) = TcpStream::connect(address).await else {
                    continue;
                };
                for byte in b"GET /metrics HTTP/1.1\r\nHost: ".iter().chain([&b'a'; 99]) {
                    if stream.write_all(&[*byte]).await.is_err() {
                        break;
                    }
                    sent.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        });
    }
    eventually("the attack to begin", async || {
        (sent.load(Ordering::Relaxed) >= 1000).then_some(())
    })
    .await;
    target.scrapes_answer("slow heads", 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_do_not_keep_scrapers_out() {
    let target = Target::start(500, &["--web.max-connections=64"]).await;
    let mut deaf = Vec::new();
    for _ in 0..100 {
        let socket = TcpSocket::new_v4().unwrap();
        // So that the answer cannot hide in this end's buffer.
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(target.address).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
        stream.write_all(&request.repeat(8)).await.unwrap();
        deaf.push(stream);
    }
    target.scrapes_answer("clients that do not read", 50).await;
}

#[tokio::test]
async fn garbage_gets_an_error_and_the_connection_is_closed() {
    let target = Target::start(1, &[]).await;
    let long_header = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n",
        "a".repeat(99_999)
    );
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(500));
    let long_line = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(99_999));
    for (request, status) in [
        (long_header.as_str(), "431"),
        (&many_headers, "431"),
        (&long_line, "431"),
        ("GET / HTTP/9.9\r\n\r\n", "400"),
        ("GET /metrics HTTP/1.1\r\n\r\n", "400"),
        ("GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03", "400"),
        ("GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "400"),
        ("\0\0\0\0\r\n\r\n", "400"),
    ] {
        let answer = target.answer_to(request.as_bytes()).await;
        let start = format!("HTTP/1.1 {status} ");
        let shown: String = request.chars().take(40).collect();
        assert!(answer.starts_with(&start), "{shown:?}: {answer}");
    }
    // HTTP/2 is for TLS only.
    let answer = target.answer_to(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(answer, "");
    // What comes behind a good request is garbage for its own account only.
    let pipelined = "GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\nrubbish\r\n\r\n";
    let answer = target.answer_to(pipelined.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("HTTP/1.1 400 "), "{answer}");
    target.scrapes_answer("garbage before", 5).await;
}

#[tokio::test]
async fn a_request_is_answered_although_its_client_has_stopped_sending() {
    let target = Target::start(1, &[]).await;
    let mut stream = target.connect().await;
    stream
        .write_all(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    let reading = within("the answer", stream.read_to_string(&mut answer));
    reading.await.unwrap();
    assert!(answer.ends_with("\r\n\r\nHealthy\n"), "{answer}");
}

#[tokio::test]
async fn a_body_is_not_read_and_its_connection_is_closed() {
    let target = Target::start(1, &[]).await;
    let head = "GET /-/healthy HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n";
    let answer = target.answer_to(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let expecting = format!("{}Expect: 100-continue\r\n\r\n", &head[..head.len() - 2]);
    let answer = target.answer_to(expecting.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn the_longest_idle_connection_is_evicted_and_others_stay() {
    let target = Target::start(1, &["--web.max-connections=2"]).await;
    let request = b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut buffer = [0; 4096];
    let mut idle = target.connect().await;
    let mut asks = target.connect().await;
    asks.write_all(request).await.unwrap();
    assert_ne!(asks.read(&mut buffer).await.unwrap(), 0);
    let mut new = target.connect().await;
    new.write_all(request).await.unwrap();
    let answered = within("the new one to be answered", new.read(&mut buffer));
    assert_ne!(answered.await.unwrap(), 0);
    let closed = within("the idle one to be closed", idle.read(&mut buffer));
    assert!(matches!(closed.await, Ok(0) | Err(_)));
    asks.write_all(request).await.unwrap();
    let answered = within("the other to be answered", asks.read(&mut buffer));
    assert_ne!(answered.await.unwrap(), 0);
}

#[tokio::test]
async fn without_file_descriptors_the_server_evicts_connections_and_continues() {
    let target = Target::start(1, &["--web.max-connections=10000"]).await;
    target.program.limit("--nofile=64").await;
    let mut open = Vec::new();
    for _ in 0..200 {
        open.push(target.connect().await);
    }
    target.scrapes_answer("no file descriptors", 5).await;
    let log = target.program.log();
    let refusals = log
        .iter()
        .filter(|line| line.contains("cannot accept a connection"));
    assert_eq!(refusals.count(), 1, "{log:?}");
}
