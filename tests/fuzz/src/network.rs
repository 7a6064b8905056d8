//! Answers as they come from the network: what is received is what was sent, in any coding and
//! framing, and is never more than an answer may have.
//!
//! The first line of an input is a status, a coding, a framing and how long the body is made, in
//! bytes, such as `200 gzip chunked 5000`: the rest is repeated until then. Without a length the
//! rest is the body. With the coding `gzip` the rest is compressed here; with `gzipped` the rest
//! is said to be so. With the framing `raw` the rest is all that is sent.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cwp_exporter::cloud::Error;
use cwp_exporter::cloud::http::{HttpSend as _, Network};
use cwp_exporter::cloud::trust::Trust;
use cwp_exporter::config::Proxies;
use cwp_exporter::metrics::reason::Reason;
use http::{Request, Response};
use miniz_oxide::deflate::compress_to_vec_zlib;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use crate::coding::{gunzip, gzip};
use crate::input::{first_line, text};
use crate::measure::{Bound, bounded};

/// A body grows by copies, and what decompresses has a window.
const BOUND: Bound = Bound {
    bytes: 2 * 1024 * 1024,
    bytes_per_byte: 16,
};

/// The longest answer that is read, as the documentation says.
const LONGEST: usize = 4 * 1024 * 1024;

/// The longest text that is sent, in bytes.
const MOST: usize = LONGEST + LONGEST / 4;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

thread_local! {
    static CLOUD: RefCell<Cloud> = RefCell::new(Cloud::new());
}

/// A server, and clients of it.
struct Cloud {
    runtime: Runtime,
    listener: TcpListener,
    address: SocketAddr,
    framed: Network,
    /// Has connections of which nobody knows whether they are still good.
    raw: Network,
}

pub fn run(input: &[u8]) {
    let (head, rest) = first_line(input);
    let head = text(head);
    let mut words = head.split(' ');
    let status = words.next().and_then(|word| word.parse().ok());
    // The others have no body.
    let status = match status {
        Some(204 | 304) | None => 200,
        Some(status @ 200..600) => status,
        Some(_) => 200_u16,
    };
    let (coding, framing) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let length = words.next().and_then(|word| word.parse().ok());
    let length = length.filter(|length| *length > 0 && !rest.is_empty());
    let length = length.unwrap_or(rest.len()).min(MOST);
    let mut sent = rest.repeat(length.div_ceil(rest.len().max(1)));
    sent.truncate(length);
    let (header, body, expected) = match coding {
        "gzip" => ("gzip", gzip(&sent), Some(sent)),
        "gzipped" => ("gzip", sent.clone(), gunzip(&sent)),
        "deflate" => ("deflate", compress_to_vec_zlib(&sent, 1), Some(sent)),
        _ => ("identity", sent.clone(), Some(sent)),
    };
    let is_raw = framing == "raw";
    let answer = match is_raw {
        true => rest.to_vec(),
        false => framed(status, header, framing, &body),
    };
    let length = expected.as_ref().map_or(input.len(), Vec::len) + answer.len();
    let (is_whole, expected) = match framing {
        "short" => (false, None),
        "raw" => (true, None),
        _ => (true, expected),
    };
    let received =
        CLOUD.with_borrow_mut(|cloud| bounded(length, &BOUND, || cloud.ask(&answer, is_raw)));
    match received {
        Ok(received) => {
            assert!(is_whole, "it was not whole");
            assert!(received.body().len() <= LONGEST);
            if let Some(expected) = expected {
                assert_eq!(received.status(), status);
                assert_eq!(received.body(), &expected);
            }
        }
        Err(error) => {
            check(&error);
            if let Some(expected) = expected {
                assert!(expected.len() > LONGEST, "{error}");
                assert_eq!(error.reason, Reason::Response, "{error}");
            }
        }
    }
}

/// An error says why there is no answer, in one line.
fn check(error: &Error) {
    let known = [Reason::Network, Reason::Response, Reason::Server];
    assert!(known.contains(&error.reason), "{error:?}");
    assert!(error.message.chars().count() < 1000, "{error}");
    assert!(!error.message.chars().any(char::is_control), "{error:?}");
}

/// An answer with this body.
fn framed(status: u16, coding: &str, framing: &str, body: &[u8]) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 {status} Some\r\ncontent-encoding: {coding}\r\nconnection: close\r\n")
            .into_bytes();
    match framing {
        "chunked" => {
            answer.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
            for (number, chunk) in body.chunks(body.len() / 3 + 1).enumerate() {
                answer.extend_from_slice(format!("{:x};{number}\r\n", chunk.len()).as_bytes());
                answer.extend_from_slice(chunk);
                answer.extend_from_slice(b"\r\n");
            }
            answer.extend_from_slice(b"0\r\n\r\n");
        }
        "close" => {
            answer.extend_from_slice(b"\r\n");
            answer.extend_from_slice(body);
        }
        _ => {
            let length = body.len() + usize::from(framing == "short");
            answer.extend_from_slice(format!("content-length: {length}\r\n\r\n").as_bytes());
            answer.extend_from_slice(body);
        }
    }
    answer
}

impl Cloud {
    fn new() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let bound = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = bound.expect("a free port");
        let [framed, raw] = [(); 2].map(|()| Network::new(Trust::Nobody, Proxies::default()));
        Self {
            runtime,
            address: listener.local_addr().expect("an address"),
            listener,
            framed,
            raw,
        }
    }

    /// What is received when `answer` is sent.
    fn ask(&self, answer: &[u8], is_raw: bool) -> Result<Response<Bytes>, Error> {
        let request = Request::post(format!("http://{}/", self.address));
        let request = request.body(Bytes::from_static(b"{}")).expect("a request");
        let network = if is_raw { &self.raw } else { &self.framed };
        let asked = network.send(request);
        let serve = async {
            loop {
                let (connection, _) = self.listener.accept().await.expect("a connection");
                serve(connection, answer).await;
            }
        };
        let received = async {
            tokio::select! {
                received = asked => received,
                () = serve => unreachable!("it serves for ever"),
            }
        };
        let received = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, received).await });
        received.expect("the request ends")
    }
}

/// Reads a request, and answers it as far as the client wants.
async fn serve(mut connection: TcpStream, answer: &[u8]) {
    let mut request = Vec::with_capacity(1024);
    while !request.ends_with(b"\r\n\r\n{}") {
        match connection.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    // The client goes when it has enough.
    let _ = connection.write_all(answer).await;
}
