//! The API's answers: the envelope, pages, and the rows of each collector.
//!
//! The first line of an input is the number of a collector and an HTTP status, such as
//! `1 200`. The bodies of the pages follow, each a part.

mod rows;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cwp_exporter::cloud::http::HttpSend;
use cwp_exporter::cloud::{ApiAnswer, Credential, Error, RequestTemplate};
use cwp_exporter::collectors::{self, Collected, Collector, DriftKind};
use cwp_exporter::config::Api;
use cwp_exporter::metrics::reason::Reason;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use http::{Request, Response};
use jiff::Timestamp;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::input::{HEAD, SECRET, first_line, parts, text};
use crate::measure::{Bound, bounded};

/// A page is read whole, each of its fields once more, and each row into its samples.
const BOUND: Bound = Bound {
    bytes: 256 * 1024,
    bytes_per_byte: 400,
};

pub fn run(input: &[u8]) {
    let (head, bodies) = first_line(input);
    let head = text(head);
    let (number, status) = head.split_once(' ').unwrap_or((&head, ""));
    let all = collectors::all();
    let collector = all[number.parse().unwrap_or(0_usize).min(all.len() - 1)];
    let status = status
        .parse()
        .ok()
        .filter(|status| (200..600).contains(status));
    let status = status.unwrap_or(200);
    let bodies: Vec<Bytes> = parts(bodies).map(Bytes::copy_from_slice).collect();
    let texts = bodies.iter().map(|body| std::str::from_utf8(body).ok());
    let texts: Vec<Option<String>> = texts.map(|text| text.map(str::to_owned)).collect();
    let network = Script {
        status,
        bodies,
        sent: AtomicUsize::new(0),
    };
    let (answer, outcome) = bounded(input.len(), &BOUND, || {
        let answer = network.ask(collector, None);
        network.sent.store(0, Ordering::Relaxed);
        let ask = |parameters| ready(network.ask(collector, parameters));
        let outcome = collectors::collect(collector, ask).now_or_never();
        (answer, outcome.expect("the script never waits"))
    });
    check_envelope(status, texts[0].as_deref(), &answer);
    match outcome {
        Err(error) => check_error(&error),
        Ok((collected, request_id)) => {
            assert_is_clean(&request_id.unwrap_or_default());
            check_collected(&collected);
            let pages: Vec<Value> = texts
                .iter()
                .map_while(|text| response(text.as_deref()?))
                .collect();
            rows::check(collector.name(), &pages, &collected);
        }
    }
}

/// A network that answers with one body after the other.
struct Script {
    status: u16,
    bodies: Vec<Bytes>,
    sent: AtomicUsize,
}

impl Script {
    fn ask(
        &self,
        collector: &dyn Collector,
        parameters: Option<Bytes>,
    ) -> Result<ApiAnswer, Error> {
        let template = RequestTemplate::new(&Api::default().endpoint, None, collector.request());
        let template = match parameters {
            Some(parameters) => template.with_parameters(parameters),
            None => template,
        };
        let key = Credential::new("AKIDfuzz".to_owned(), SECRET.to_owned(), None);
        let sent = template.send(self, Some(&key), Timestamp::UNIX_EPOCH, Duration::MAX);
        sent.now_or_never().expect("the script never waits").outcome
    }
}

impl HttpSend for Script {
    fn send(&self, _: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, Error>> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        Box::pin(ready(match self.bodies.get(number) {
            None => Err(Error::new(Reason::Network, "there are no more bodies")),
            Some(body) => {
                let response = Response::builder().status(self.status);
                Ok(response.body(body.clone()).expect("the status is valid"))
            }
        }))
    }
}

/// A text without the secret.
fn without_secret(text: &str) -> String {
    text.replace(SECRET, "<secret>")
}

/// A value without the secret, in whatever way it was written.
fn cleaned(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_secret(&text)),
        Value::Array(items) => items.into_iter().map(cleaned).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter();
            fields
                .map(|(name, value)| (without_secret(&name), cleaned(value)))
                .collect()
        }
        other => other,
    }
}

/// The object `Response` of a text.
fn response(text: &str) -> Option<Value> {
    let mut envelope = cleaned(serde_json::from_str(text).ok()?);
    Some(envelope.get_mut("Response")?.take())
}

/// An answer is good where, and only where, another reader says so.
fn check_envelope(status: u16, text: Option<&str>, answer: &Result<ApiAnswer, Error>) {
    if let Err(error) = answer {
        check_error(error);
    }
    let Some(text) = text else {
        assert!(answer.is_err());
        return;
    };
    // It refuses what it cannot hold, such as numbers beyond a double, which nobody reads here.
    let Ok(envelope) = serde_json::from_str::<Value>(text).map(cleaned) else {
        return;
    };
    let response = &envelope["Response"];
    let error = &response["Error"];
    let is_good = status == 200 && response.is_object() && error.is_null() && is_unambiguous(text);
    match answer {
        Ok(answer) => {
            assert!(is_good, "{text}");
            let fields = response.as_object().expect("it is an object").iter();
            let fields = fields.filter(|(name, value)| {
                let is_nothing = value.is_null() && name.is_empty();
                !matches!(name.as_str(), "Error" | "RequestId") && !is_nothing
            });
            for (name, value) in fields {
                let read = answer.fields.get(name).expect("every field is there");
                assert_eq!(
                    &serde_json::from_str::<Value>(read).expect("it is JSON"),
                    value
                );
            }
        }
        Err(found) => {
            assert!(!is_good, "{found}: {text}");
        }
    }
}

/// Whether no name comes twice, in the envelope and in its `Response`.
fn is_unambiguous(text: &str) -> bool {
    struct Names;

    impl<'de> Visitor<'de> for Names {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
            let mut names = BTreeSet::new();
            let mut is_unambiguous = true;
            while let Some(name) = map.next_key::<String>()? {
                if name == "Response" {
                    is_unambiguous &= map.next_value_seed(Inner)?;
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
                is_unambiguous &= names.insert(without_secret(&name));
            }
            Ok(is_unambiguous)
        }
    }

    struct Inner;

    impl<'de> serde::de::DeserializeSeed<'de> for Inner {
        type Value = bool;

        fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
            from.deserialize_any(Names)
        }
    }

    let mut reader = serde_json::Deserializer::from_str(text);
    reader.deserialize_map(Names).unwrap_or(false)
}

/// An error is short, is one line and has no secret.
fn check_error(error: &Error) {
    assert_is_clean(&format!("{error} {error:?} {}", error.remedy()));
    assert!(error.message.chars().count() < 700, "{error}");
    assert!(!error.message.chars().any(char::is_control), "{error:?}");
}

fn assert_is_clean(text: &str) {
    assert!(!text.contains(HEAD), "a secret is shown: {text}");
}

/// What holds of everything that is collected.
fn check_collected(collected: &Collected) {
    assert!(collected.drift.len() <= 100);
    let drift: BTreeSet<_> = collected.drift.iter().collect();
    assert_eq!(drift.len(), collected.drift.len(), "drift comes twice");
    for drift in &collected.drift {
        assert!(drift.field.len() <= 64 + "List[].".len(), "{drift:?}");
        assert!(!drift.field.contains(SECRET), "{drift:?}");
    }
    let unknown = collected
        .drift
        .iter()
        .filter(|drift| drift.kind == DriftKind::Unknown && !drift.field.starts_with("List[]."));
    assert!(unknown.count() <= 20, "{:?}", collected.drift);
    let mut series = BTreeSet::new();
    for sample in collected
        .samples
        .iter()
        .chain(collected.rows.iter().flatten())
    {
        assert_eq!(sample.metric.labels.len(), 1 + sample.labels.len());
        assert!(
            series.insert((sample.metric.name, &sample.labels)),
            "{sample:?} comes twice"
        );
        assert!(
            sample.value.is_finite() && sample.value >= 0.0,
            "{sample:?}"
        );
        for label in sample.labels.iter() {
            assert!(label.len() <= 256, "{sample:?}");
            assert!(!label.contains(SECRET), "{sample:?}");
        }
    }
}
