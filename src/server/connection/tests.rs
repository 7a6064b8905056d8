//! Slow, silent and unusual clients in both protocols, on paused time.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{Method, Request, Response, StatusCode, header};
use tokio::io::DuplexStream;
use tokio::time::Instant;

use super::*;
use crate::server::connections::Connections;
use crate::server::fixture;
use crate::server::{HEAD_TIME, IDLE_TIME, SEND_TIME, STALL_TIME, STALL_TIME_WHILE_OTHERS_WAIT};

/// So many accounts that their text is decompressed while it is sent.
const MANY: usize = 3_000;

/// How late the server may check a time limit.
const LATE: Duration = Duration::from_secs(2);

/// A server whose clients are in this process.
struct Server {
    context: ConnectionContext,
    connections: Arc<Connections>,
}

impl Server {
    fn new(accounts: usize, scrapes: usize) -> Self {
        let router = fixture::router(accounts, scrapes);
        let limits = Arc::clone(router.bodies.limits());
        let connections = Arc::new(Connections::new(NonZeroUsize::new(512).unwrap()));
        let sweeping = Arc::clone(&connections);
        tokio::spawn(async move { sweeping.sweep(&limits).await });
        let limiter = RequestLimiter::new(Arc::new(router), None);
        let context = ConnectionContext {
            request_limiter: Arc::new(limiter),
            tls: None,
        };
        Self {
            context,
            connections,
        }
    }

    /// The client's end of a connection with a buffer of 4 KiB.
    async fn connect(&self, is_http2: bool) -> DuplexStream {
        let (client, server) = tokio::io::duplex(4096);
        let peer = IpAddr::from(Ipv4Addr::LOCALHOST);
        let permit = self.connections.acquire(peer).await.unwrap();
        let context = self.context.clone();
        tokio::spawn(async move {
            let activity = &permit.activity;
            let stream = ActivityStream::new(server, Arc::clone(activity));
            let responder = Responder {
                request_limiter: Arc::clone(&context.request_limiter),
                activity: Arc::clone(activity),
                peer,
                negotiation_cache: NegotiationCache::default(),
            };
            let serving = async {
                if is_http2 {
                    let _ = http2::serve(stream, responder).await;
                } else {
                    let _ = speak_http1(stream, activity, responder).await;
                }
            };
            tokio::select! {
                () = activity.abort.cancelled() => {}
                () = serving => {}
            }
        });
        client
    }

    /// A client of HTTP/2 whose streams have this initial window.
    async fn http2(&self, window: u32) -> Http2 {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window);
        let handshake = builder.handshake(self.connect(true).await);
        let (requests, mut connection) = handshake.await.unwrap();
        let pings = connection.ping_pong().unwrap();
        tokio::spawn(connection);
        Http2 { requests, pings }
    }

    /// The answers to these bytes over HTTP/1 until the server closes.
    async fn http1(&self, request: &str) -> String {
        let mut stream = self.connect(false).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

struct Http2 {
    requests: SendRequest<Bytes>,
    pings: h2::PingPong,
}

impl Http2 {
    async fn ask(&mut self, method: Method, path: &str) -> Result<Response<RecvStream>, h2::Error> {
        poll_fn(|context| self.requests.poll_ready(context)).await?;
        let request = Request::builder()
            .method(method)
            .uri(format!("https://localhost{path}"));
        let request = request.body(()).unwrap();
        self.requests.send_request(request, true)?.0.await
    }
}

/// Reads at least so many bytes of an answer, or all of it, and grants as much capacity.
async fn read(body: &mut RecvStream, least: usize) -> Result<usize, h2::Error> {
    let mut read = 0;
    while read < least
        && let Some(bytes) = body.data().await
    {
        let bytes = bytes?;
        body.flow_control().release_capacity(bytes.len())?;
        read += bytes.len();
    }
    Ok(read)
}

#[tokio::test(start_paused = true)]
async fn an_http2_connection_without_a_request_is_idle_whatever_frames_come() {
    let server = Server::new(1, 40);
    for asks_first in [true, false] {
        let mut client = server.http2(65_535).await;
        if asks_first {
            let answer = client.ask(Method::GET, "/metrics").await.unwrap();
            read(&mut answer.into_body(), usize::MAX).await.unwrap();
        }
        for _ in 0..10 {
            client.pings.ping(h2::Ping::opaque()).await.unwrap();
            tokio::time::sleep(Duration::from_secs(25)).await;
        }
        let answer = client.ask(Method::GET, "/-/healthy").await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        // Pings do not prolong the connection.
        let since = Instant::now();
        while client.pings.ping(h2::Ping::opaque()).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(7)).await;
        }
        assert!(since.elapsed() > IDLE_TIME - LATE, "{:?}", since.elapsed());
        assert!(since.elapsed() < IDLE_TIME + Duration::from_secs(7) + LATE);
    }
}

#[tokio::test(start_paused = true)]
async fn an_http2_answer_that_is_read_slowly_may_take_two_minutes_and_no_more() {
    let server = Server::new(MANY, 40);
    let mut client = server.http2(16_384).await;
    let whole = client.ask(Method::GET, "/metrics").await.unwrap();
    let whole = read(&mut whole.into_body(), usize::MAX).await.unwrap();
    assert!(whole > 1_000_000);
    for (parts, arrives) in [(15_u32, true), (100, false)] {
        let mut answer = client
            .ask(Method::GET, "/metrics")
            .await
            .unwrap()
            .into_body();
        let (since, mut all) = (Instant::now(), 0);
        let end = loop {
            match read(&mut answer, whole / parts as usize).await {
                Ok(0) => break Ok(()),
                Ok(some) => all += some,
                Err(error) => break Err(error.reason()),
            }
            tokio::time::sleep(STALL_TIME * 7 / 10).await;
        };
        if arrives {
            assert_eq!((all, end), (whole, Ok(())));
            assert!(since.elapsed() > SEND_TIME * 8 / 10);
        } else {
            assert_eq!(end, Err(Some(Reason::CANCEL)));
            let took = since.elapsed();
            assert!(
                took >= SEND_TIME && took < SEND_TIME + STALL_TIME * 2,
                "{took:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_http2_answer_that_is_not_read_is_reset_whatever_else_is_requested() {
    let server = Server::new(1, 40);
    for path in ["/metrics", "/none", "/-/healthy"] {
        let mut client = server.http2(0).await;
        let since = Instant::now();
        let mut stuck = client.ask(Method::GET, path).await.unwrap().into_body();
        let mut end = Box::pin(stuck.data());
        let error = loop {
            let next = tokio::time::timeout(Duration::from_secs(7), &mut end);
            match next.await {
                Ok(end) => break end.unwrap().unwrap_err(),
                // Further small requests do not prolong the stream.
                Err(_) => {
                    let small = client.ask(Method::HEAD, "/-/healthy").await.unwrap();
                    assert_eq!(small.status(), StatusCode::OK);
                }
            }
        };
        let took = since.elapsed();
        assert_eq!(error.reason(), Some(Reason::CANCEL), "{path}");
        assert!(took >= STALL_TIME && took < STALL_TIME + LATE, "{took:?}");
        // The connection is shut down, too.
        let next = client.ask(Method::HEAD, "/-/healthy").await;
        assert!(next.is_err() || client.ask(Method::HEAD, "/").await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn other_answers_of_an_http2_connection_continue_when_one_is_reset() {
    let server = Server::new(500, 40);
    let mut client = server.http2(30_000).await;
    let stuck = client.ask(Method::GET, "/metrics").await.unwrap();
    let mut stuck = stuck.into_body();
    let slow = client.ask(Method::GET, "/metrics").await.unwrap();
    let mut slow = slow.into_body();
    let (since, mut all) = (Instant::now(), 0);
    loop {
        match read(&mut slow, 10_000).await.unwrap() {
            0 => break,
            some => all += some,
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert!(since.elapsed() > STALL_TIME * 2, "{:?}", since.elapsed());
    let error = read(&mut stuck, usize::MAX).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::CANCEL));
    let alone = server
        .http2(65_535)
        .await
        .ask(Method::GET, "/metrics")
        .await;
    let mut alone = alone.unwrap().into_body();
    assert_eq!(all, read(&mut alone, usize::MAX).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_accepts_nothing_is_aborted_in_both_protocols() {
    let server = Server::new(MANY, 40);
    for is_http2 in [false, true] {
        let mut stream = server.connect(is_http2).await;
        let request: &[u8] = match is_http2 {
            // The preface, empty settings, and GET /metrics as HPACK has it.
            true => {
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
                \0\0\x0f\x01\x05\0\0\0\x01\x82\x87\x41\x01a\x04\x08/metrics"
            }
            false => b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
        };
        stream.write_all(request).await.unwrap();
        let since = Instant::now();
        // Pings show that the client is alive.
        let ping = b"\0\0\x08\x06\0\0\0\0\0pingpong";
        while stream.write_all(ping).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(since.elapsed() < STALL_TIME * 3, "http2: {is_http2}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_makes_room_for_a_waiting_one_in_both_protocols() {
    let server = Server::new(MANY, 1);
    let request = "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let soon = STALL_TIME_WHILE_OTHERS_WAIT + LATE;

    let mut silent = server.connect(false).await;
    silent.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(STALL_TIME / 2).await;
    let since = Instant::now();
    assert!(server.http1(request).await.starts_with("HTTP/1.1 200 "));
    assert!(since.elapsed() <= soon, "{:?}", since.elapsed());

    let mut silent = server.http2(0).await;
    let _stuck = silent.ask(Method::GET, "/metrics").await.unwrap();
    tokio::time::sleep(STALL_TIME / 2).await;
    let since = Instant::now();
    assert!(server.http1(request).await.starts_with("HTTP/1.1 200 "));
    assert!(since.elapsed() <= soon, "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_scrape_holds_its_permit_until_it_is_read_in_both_protocols() {
    for accounts in [500, MANY] {
        let server = Server::new(accounts, 1);
        let limits = server.context.request_limiter.router.bodies.limits();
        let request = "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

        let mut slow = server.connect(false).await;
        slow.write_all(request.as_bytes()).await.unwrap();
        slow.read_u8().await.unwrap();
        assert!(limits.try_scrape().is_none(), "{accounts} accounts");
        let mut rest = Vec::new();
        slow.read_to_end(&mut rest).await.unwrap();
        assert!(limits.try_scrape().is_some(), "{accounts} accounts");

        let mut client = server.http2(1_000).await;
        let slow = client.ask(Method::GET, "/metrics").await.unwrap();
        let mut slow = slow.into_body();
        assert!(limits.try_scrape().is_none(), "{accounts} accounts");
        read(&mut slow, usize::MAX).await.unwrap();
        assert!(limits.try_scrape().is_some(), "{accounts} accounts");
        // The client resets the stream.
        drop(client.ask(Method::GET, "/metrics").await.unwrap());
        client.ask(Method::HEAD, "/-/healthy").await.unwrap();
        assert!(limits.try_scrape().is_some(), "{accounts} accounts");
    }
}

// Pages are computed on a thread of their own, for which paused time does not wait.
#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body_in_both_protocols() {
    let server = Server::new(1, 40);
    let mut client = server.http2(65_535).await;
    for path in [
        "/metrics",
        "/probe?target=account-00000",
        "/probe",
        "/sd",
        "/config",
        "/-/healthy",
        "/none",
        "/-/reload",
    ] {
        let mut get = client.ask(Method::GET, path).await.unwrap();
        let mut head = client.ask(Method::HEAD, path).await.unwrap();
        assert_eq!(head.status(), get.status(), "{path}");
        // A second may begin between the two.
        let dates = [&mut get, &mut head].map(|answer| answer.headers_mut().remove(header::DATE));
        assert!(dates.iter().all(Option::is_some), "{path}");
        assert_eq!(head.headers(), get.headers(), "{path}");
        let length = head.headers()[header::CONTENT_LENGTH].clone();
        assert!(head.body().is_end_stream(), "{path}");
        let got = read(&mut get.into_body(), usize::MAX).await.unwrap();
        assert_eq!(length, got.to_string(), "{path}");

        let of = |method: &str| format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let (get, head) = (
            server.http1(&of("GET")).await,
            server.http1(&of("HEAD")).await,
        );
        let (get, body) = get.split_once("\r\n\r\n").unwrap();
        let undated = |head: &str| -> Vec<String> {
            let lines = head
                .split("\r\n")
                .filter(|line| !line.starts_with("date: "));
            lines.map(str::to_owned).collect()
        };
        let head = head.strip_suffix("\r\n\r\n").unwrap();
        assert_eq!(undated(head), undated(get), "{path}");
        assert!(get.contains(&format!("content-length: {got}\r\n")), "{get}");
        assert_eq!(body.len(), got, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_of_http_1_1_without_one_good_host_is_refused_and_the_connection_closed() {
    let server = Server::new(1, 40);
    for path in ["/metrics", "/-/healthy", "http://a/metrics"] {
        for (version, hosts, expected) in [
            ("1.1", "Host: a\r\n", "200"),
            ("1.1", "host: [::1]:10064\r\n", "200"),
            ("1.1", "", "400"),
            ("1.1", "Host: a\r\nHost: a\r\n", "400"),
            ("1.1", "Host: a b\r\n", "400"),
            ("1.1", "Host: a/b\r\n", "400"),
            ("1.0", "", "200"),
            ("1.0", "Host: a\r\nHost: b\r\n", "400"),
        ] {
            let request = format!("GET {path} HTTP/{version}\r\n{hosts}\r\n");
            let answer = server.http1(&request.repeat(2)).await;
            let start = format!("HTTP/{version} {expected} ");
            assert!(answer.starts_with(&start), "{request}: {answer}");
            let answers = answer.matches("\r\ndate: ").count();
            let closed = expected == "400" || version == "1.0";
            assert_eq!(answers, if closed { 1 } else { 2 }, "{request}: {answer}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn requests_of_a_client_that_does_not_read_are_not_accepted_without_a_bound() {
    let server = Server::new(1, 40);
    for method in ["HEAD", "GET"] {
        let mut stream = server.connect(false).await;
        let request = format!("{method} /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n");
        let many = request.repeat(100_000);
        let writing = stream.write_all(many.as_bytes());
        let writing = tokio::time::timeout(STALL_TIME / 2, writing);
        assert!(writing.await.is_err(), "{method}: all were taken");
        let mut answers = String::new();
        stream.read_to_string(&mut answers).await.unwrap();
        let count = answers.matches("HTTP/1.1 200 ").count();
        assert!(count * request.len() < 3 * MAX_HEAD, "{count} answers");
    }
}

/// The beginning of what a client of HTTP/2 sends: the preface, and empty settings.
const BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The types and flags of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET /-/healthy` as HPACK has it.
const HEALTHY: &[u8] = b"\x82\x87\x41\x01a\x04\x0a/-/healthy";

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], content].concat()
}

/// Waits until the answer's head on this stream comes, which must be "200".
async fn answered(client: &mut DuplexStream, stream: u8) {
    loop {
        let mut header = [0; 9];
        client.read_exact(&mut header).await.unwrap();
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let mut content = vec![0; length as usize];
        client.read_exact(&mut content).await.unwrap();
        if (header[3], header[8]) == (HEADERS, stream) {
            // The status 200 in the static table of HPACK.
            assert_eq!(content[0], 0x88);
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_http2_head_may_come_in_several_frames_and_each_has_its_own_time() {
    let server = Server::new(1, 40);
    let mut client = server.connect(true).await;
    client.write_all(BEGINNING).await.unwrap();
    let (first, rest) = HEALTHY.split_at(3);
    let (second, third) = rest.split_at(5);
    for stream in [1, 3] {
        // Idle, for longer than a head may take.
        tokio::time::sleep(HEAD_TIME * 2).await;
        for part in [
            frame(HEADERS, END_STREAM, stream, first),
            frame(CONTINUATION, 0, stream, second),
            frame(CONTINUATION, 0, stream, b""),
            frame(CONTINUATION, END_HEADERS, stream, third),
        ] {
            for half in part.split_inclusive(|byte| *byte == b'-') {
                tokio::time::sleep(HEAD_TIME / 7).await;
                client.write_all(half).await.unwrap();
            }
        }
        answered(&mut client, stream).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_http2_head_must_be_whole_in_time_whatever_else_was_asked() {
    let server = Server::new(1, 40);
    let whole = frame(HEADERS, END_STREAM | END_HEADERS, 1, HEALTHY);
    let open = frame(HEADERS, END_HEADERS, 1, HEALTHY);
    let more = |stream| frame(CONTINUATION, 0, stream, b"");
    for (before, begun, more) in [
        (vec![], frame(HEADERS, END_STREAM, 1, HEALTHY), more(1)),
        (vec![], whole[..whole.len() - 1].to_vec(), vec![]),
        (
            whole.clone(),
            frame(HEADERS, END_STREAM, 3, HEALTHY),
            more(3),
        ),
        // Trailers are a head too.
        (
            [open, frame(DATA, 0, 1, b"body")].concat(),
            frame(HEADERS, END_STREAM, 1, b"\0\x01a\x01b"),
            more(1),
        ),
    ] {
        let mut client = server.connect(true).await;
        let since = Instant::now();
        client
            .write_all(&[BEGINNING, &before, &begun].concat())
            .await
            .unwrap();
        // Further parts of the head do not prolong it.
        let mut end = Vec::new();
        while tokio::time::timeout(HEAD_TIME / 3, client.read_to_end(&mut end))
            .await
            .is_err()
        {
            let _ = client.write_all(&more).await;
        }
        let took = since.elapsed();
        let (before, begun) = (before.len(), begun.len());
        assert!(
            took > HEAD_TIME && took < HEAD_TIME + LATE * 2,
            "{before} bytes, then {begun}: {took:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_over_http2_is_refused_with_its_request_and_the_connection_stays_open() {
    let server = Server::new(1, 40);
    let mut client = server.http2(65_535).await;
    // More bytes in all than the window of the connection.
    for _ in 0..10 {
        poll_fn(|context| client.requests.poll_ready(context))
            .await
            .unwrap();
        let request = Request::post("https://localhost/metrics").body(()).unwrap();
        let (answer, mut body) = client.requests.send_request(request, false).unwrap();
        // The client sends the whole body before it reads the answer, unless the server resets
        // the stream.
        let sending = async {
            let mut left = 100_000;
            while left > 0 {
                body.reserve_capacity(left);
                let capacity = poll_fn(|context| body.poll_capacity(context)).await;
                let Some(Ok(capacity)) = capacity else {
                    return;
                };
                left -= capacity;
                let part = Bytes::from(vec![b'x'; capacity]);
                body.send_data(part, left == 0).unwrap();
            }
        };
        let sending = tokio::time::timeout(HEAD_TIME, sending).await;
        assert!(sending.is_ok(), "the client waits for capacity");
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        read(&mut answer.into_body(), usize::MAX).await.unwrap();
    }
    let next = client.ask(Method::GET, "/metrics").await.unwrap();
    assert_eq!(next.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn an_http2_request_with_trailers_is_answered_like_one_without() {
    let server = Server::new(1, 40);
    let mut client = server.connect(true).await;
    for part in [
        BEGINNING,
        &frame(HEADERS, END_HEADERS, 1, HEALTHY),
        &frame(DATA, 0, 1, b"body"),
        &frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\0\x01a\x01b"),
        &frame(HEADERS, END_STREAM | END_HEADERS, 3, HEALTHY),
    ] {
        client.write_all(part).await.unwrap();
    }
    answered(&mut client, 1).await;
    answered(&mut client, 3).await;
}

#[tokio::test(start_paused = true)]
async fn http_1_0_has_one_answer_in_a_connection_unless_it_asks_for_more() {
    let server = Server::new(MANY, 40);
    for (header, count) in [
        ("", 1),
        ("Connection: close\r\n", 1),
        ("Connection: keep-alive\r\n", 2),
    ] {
        let request = format!("GET /-/healthy HTTP/1.0\r\n{header}\r\n");
        let answers = server.http1(&request.repeat(2)).await;
        assert_eq!(answers.matches("\r\n\r\nHealthy\n").count(), count);
        let kept = answers.matches("connection: keep-alive\r\n").count();
        assert_eq!(kept, if count == 2 { 2 } else { 0 }, "{answers}");

        // Without a length, the end of the connection ends the answer.
        let request = format!("GET /metrics HTTP/1.0\r\n{header}\r\n");
        let answer = server.http1(&request.repeat(2)).await;
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200 "), "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
        assert!(text.starts_with("# ") && text.ends_with('\n'));
        assert!(!text.contains("HTTP/1.0"), "another answer follows");
    }
}

/// The status, `Retry-After` and text of an answer of HTTP/1.
fn refusal(answer: &str) -> (&str, &str, &str) {
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    let value = |line: &'static str| head.split(line).nth(1).unwrap_or_default();
    let line = |rest: &'_ str| rest.lines().next().unwrap_or_default().len();
    let (status, retry) = (value("HTTP/1.1 "), value("retry-after: "));
    (&status[..3], &retry[..line(retry)], text)
}

#[tokio::test(start_paused = true)]
async fn a_scrape_beyond_a_limit_gets_the_limit_and_when_to_try_again() {
    let server = Server::new(1, 1);
    let limits = server.context.request_limiter.router.bodies.limits();
    let request = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    let scrape = limits.scrape().await.unwrap();
    let text =
        "The limit of concurrent scrapes is reached (--web.max-requests). Try again later.\n";
    let answer = server.http1(request).await;
    assert_eq!(refusal(&answer), ("503", "10", text), "{answer}");
    drop(scrape);
    let held: Vec<_> = std::iter::from_fn(|| limits.try_memory(1024)).collect();
    let text =
        "Answers that other clients have not read yet take too much memory. Try again later.\n";
    let answer = server.http1(request).await;
    assert_eq!(refusal(&answer), ("503", "10", text), "{answer}");
    drop(held);
    assert_eq!(refusal(&server.http1(request).await).0, "200");
}

// Pages are computed on a thread of their own, for which paused time does not wait.
#[tokio::test]
async fn a_page_beyond_the_memory_of_answers_gets_the_limit_and_when_to_try_again() {
    let server = Server::new(1, 40);
    let limits = server.context.request_limiter.router.bodies.limits();
    let _held: Vec<_> = std::iter::from_fn(|| limits.try_memory(1024)).collect();
    let text =
        "Answers that other clients have not read yet take too much memory. Try again later.\n";
    let mut client = server.http2(65_535).await;
    for path in [
        "/",
        "/api/v1/status",
        "/config",
        "/sd",
        "/probe?target=account-00000",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = server.http1(&request).await;
        assert_eq!(refusal(&answer), ("503", "10", text), "{path}: {answer}");
        let answer = client.ask(Method::GET, path).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.headers()[header::RETRY_AFTER], "10", "{path}");
    }
}
