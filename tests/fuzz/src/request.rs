//! Requests to the server: whatever is asked, the answer is whole, is of the form that was
//! asked for, and is given to nobody without the password.
//!
//! The first line of an input is a method and a path; headers follow, a line each. With a header
//! `Authorization`, the server that demands a password is asked.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use cwp_exporter::collection::scheduler::Scheduler;
use cwp_exporter::collection::snapshot::Store;
use cwp_exporter::config::{ActiveConfig, Config, Environment};
use cwp_exporter::exposition::{Exposition, Format};
use cwp_exporter::server::Server;
use cwp_exporter::server::calendar::Calendar;
use cwp_exporter::server::negotiation::Dialect;
use cwp_exporter::server::renderer::{Renderer, WAITING_PAGES, WAITING_PROBES};
use cwp_exporter::server::router::Router;
use cwp_exporter::server::scrape::bodies::Bodies;
use cwp_exporter::server::status::Status;
use cwp_exporter::server::web_config::WebConfigFile;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::coding::gunzip;
use crate::exchange::{Answer, Exchange, headers};
use crate::exposition::{account, clock};
use crate::input::{first_line, text};
use crate::reader;

/// The password of alice is `fish`.
const USERS: &str =
    "basic_auth_users: {alice: $2y$04$aQ1fPqO8cvlpXtm5pTRBfOeZZYQ.fdmFMxBGgmXmdfRmPvJcjxYY2}";

thread_local! {
    static OPEN: RefCell<Exchange> = RefCell::new(Exchange::with(|| server(None)));
    static CLOSED: RefCell<Exchange> = RefCell::new(Exchange::with(|| {
        let file = tempfile::NamedTempFile::new().expect("a folder for a file");
        std::fs::write(file.path(), USERS).expect("a written file");
        let opened = WebConfigFile::open(file.path(), &Environment::default());
        // The server looks at the file with each request.
        file.keep().expect("the file stays");
        server(Some(Arc::new(opened.expect("the file is good"))))
    }));
}

pub fn run(input: &[u8]) {
    let (start, lines) = first_line(input);
    let start = text(start);
    let (method, path) = start.split_once(' ').unwrap_or(("GET", &start));
    let path: String = path.chars().filter(char::is_ascii_graphic).collect();
    let Ok(uri) = format!("/{}", path.trim_start_matches('/')).parse::<Uri>() else {
        return;
    };
    let method = match method {
        "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS" => method,
        _ => "GET",
    };
    let mut headers = headers(lines);
    headers.retain(|(name, _)| name != "host");
    let host = HeaderValue::from_static("localhost");
    headers.push((HeaderName::from_static("host"), host));
    let is_closed = headers.iter().any(|(name, _)| name == "authorization");
    let server = if is_closed { &CLOSED } else { &OPEN };
    let answer =
        server.with_borrow_mut(|server| server.ask(&format!("{method} {uri}"), &headers, b""));
    if is_closed {
        let is_right = headers
            .iter()
            .any(|(_, value)| password(value.as_bytes()).as_deref() == Some(b"alice:fish"));
        assert!(
            is_right || matches!(answer.status, 401 | 503),
            "{}: {headers:?}",
            answer.status
        );
    }
    check(method, &uri, &headers.into_iter().collect(), &answer);
}

fn check(method: &str, uri: &Uri, headers: &HeaderMap, answer: &Answer) {
    let known = [200, 400, 401, 403, 404, 405, 503];
    assert!(known.contains(&answer.status), "{}", answer.status);
    let content_type = answer
        .header("content-type")
        .expect("every answer has a type");
    if content_type.starts_with("text/html") {
        assert!(
            !text(&answer.body).contains("<x9"),
            "what a client sent is part of the page"
        );
    }
    assert!(
        !text(&answer.body).contains("hunter2-key"),
        "a secret is shown"
    );
    if method != "GET" || answer.status != 200 || uri.path() != "/metrics" {
        return;
    }
    let wanted = Dialect::wanted(headers);
    assert_eq!(content_type, wanted.content_type);
    assert_eq!(
        answer.header("content-encoding") == Some("gzip"),
        wanted.gzip
    );
    let body = match wanted.gzip {
        true => gunzip(&answer.body).expect("the body is one whole member"),
        false => answer.body.clone(),
    };
    let samples = reader::read(wanted.format, &body);
    assert!(samples.len() > 10);
    assert_eq!(
        body.ends_with(b"# EOF\n"),
        wanted.format == Format::OpenMetrics
    );
}

/// What an `Authorization` header says: base64, read by hand.
fn password(value: &[u8]) -> Option<Vec<u8>> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, encoded) = value.split_at(space);
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
    for byte in &encoded[1..] {
        if *byte == b'=' {
            break;
        }
        let at = LETTERS.iter().position(|letter| letter == byte)?;
        bits = bits << 6 | u32::try_from(at).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
        }
    }
    Some(out)
}

async fn server(web_config: Option<Arc<WebConfigFile>>) -> SocketAddr {
    let clock = clock();
    let now = clock.moment();
    let accounts = ["a", "b"].map(|name| Arc::new(account(name, "")));
    let store = Arc::new(Store::new(accounts.into()));
    let key = [
        ("TENCENTCLOUD_SECRET_ID", "AKIDfuzz"),
        ("TENCENTCLOUD_SECRET_KEY", "hunter2-key"),
    ];
    let config = Config::load(None, &Environment::from(key), &[]).expect("a good configuration");
    let exposition = Exposition::new(Registry::new(), Arc::clone(&store), clock.clone(), None);
    let bodies = Bodies::new(exposition, 40);
    let router = Router {
        telemetry_path: "/metrics".to_owned(),
        pages: Renderer::new(WAITING_PAGES, &bodies),
        probes: Renderer::new(WAITING_PROBES, &bodies),
        bodies,
        status: Status {
            store,
            active: Arc::new(ActiveConfig::new(config, now)),
            liveness: Scheduler::new(0.0).liveness(),
            clock,
            started_at: now,
        },
        calendar: Calendar::default(),
        reload: None,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let server = Server {
        listeners: vec![listener],
        connections: NonZeroUsize::new(16).expect("more than none"),
        web_config,
        health_is_open: false,
    };
    tokio::spawn(server.serve(Arc::new(router), CancellationToken::new()));
    address
}
