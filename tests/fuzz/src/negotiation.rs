//! Content negotiation: what the headers `Accept` and `Accept-Encoding` mean does not depend
//! on how they are written.
//!
//! Each line of an input is an item of a list; those of `Accept-Encoding` begin with `!`.

use cwp_exporter::exposition::Format;
use cwp_exporter::server::negotiation::Dialect;
use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::measure::{Bound, bounded};

/// The items of a list, of which each byte may be one, in a list that grows.
const BOUND: Bound = Bound {
    bytes: 16 * 1024,
    bytes_per_byte: 512,
};

pub fn run(input: &[u8]) {
    let items: Vec<(HeaderName, HeaderValue)> = input
        .split(|byte| *byte == b'\n')
        .filter_map(|line| match line.strip_prefix(b"!") {
            Some(coding) => Some((ACCEPT_ENCODING, HeaderValue::from_bytes(coding).ok()?)),
            None => Some((ACCEPT, HeaderValue::from_bytes(line).ok()?)),
        })
        .collect();
    let headers: HeaderMap = items.iter().cloned().collect();
    let wanted = bounded(input.len(), &BOUND, || Dialect::wanted(&headers));
    check(&wanted, &items);

    // A list in one line is the same list.
    let joined = [ACCEPT, ACCEPT_ENCODING].into_iter().filter_map(|name| {
        let lines = items
            .iter()
            .filter(|(of, line)| *of == name && line.to_str().is_ok());
        let lines: Vec<&[u8]> = lines.map(|(_, line)| line.as_bytes()).collect();
        Some((name, HeaderValue::from_bytes(&lines.join(&b","[..])).ok()?))
    });
    assert_eq!(Dialect::wanted(&joined.collect()), wanted);

    // A type and a coding that nobody offers change nothing.
    let mut more = headers.clone();
    more.append(
        ACCEPT,
        HeaderValue::from_static("image/png, application/json;q=0.1"),
    );
    more.append(ACCEPT_ENCODING, HeaderValue::from_static("br, zstd;q=0.3"));
    assert_eq!(Dialect::wanted(&more), wanted);

    // Nor do capitals, where they are not in a version or the name of an escaping.
    if !input.iter().any(u8::is_ascii_uppercase)
        && !contains(input, b"version")
        && !contains(input, b"escaping")
    {
        let capitals = items.iter().map(|(name, line)| {
            let line = HeaderValue::from_bytes(&line.as_bytes().to_ascii_uppercase());
            (name.clone(), line.expect("letters stay letters"))
        });
        assert_eq!(Dialect::wanted(&capitals.collect()), wanted);
    }
}

/// The answer is among those that exist, and is one that was asked for.
fn check(wanted: &Dialect, items: &[(HeaderName, HeaderValue)]) {
    let of = |header: HeaderName| {
        let lines = items.iter().filter(move |(name, _)| *name == header);
        let lines = lines.filter_map(|(_, line)| line.to_str().ok());
        lines.map(str::to_ascii_lowercase).collect::<Vec<String>>()
    };
    let (types, codings) = (of(ACCEPT), of(ACCEPT_ENCODING));
    assert_eq!(wanted.gzip, accepts_gzip(&codings), "{codings:?}");
    match wanted.format {
        Format::OpenMetrics => {
            let start = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            assert!(wanted.content_type.starts_with(start));
            let known = ["application/openmetrics-text", "application/*", "*/*"];
            let mut ranges = types.iter().flat_map(|line| line.split(','));
            let is_accepted = ranges.any(|range| {
                let (name, qualities) = item(range);
                let quality = qualities
                    .last()
                    .map_or(Some(1000), |text| thousandths(text));
                known.contains(&name) && quality.is_some_and(|quality| quality > 0)
            });
            assert!(is_accepted, "{types:?}");
        }
        Format::Text => {
            assert!(wanted.content_type.starts_with("text/plain; version="));
        }
    }
    if wanted
        .content_type
        .contains("version=1.0.0; charset=utf-8; escaping=")
    {
        assert!(!types.is_empty());
    }
}

/// Whether gzip is accepted, by its name or by `*`, and not less than no coding.
fn accepts_gzip(codings: &[String]) -> bool {
    let (mut gzip, mut any, mut none) = (None, None, None);
    for text in codings.iter().flat_map(|line| line.split(',')) {
        let (coding, qualities) = item(text);
        let quality = qualities
            .first()
            .map_or(Some(1000), |text| thousandths(text));
        let place = match coding {
            "gzip" | "x-gzip" => &mut gzip,
            "identity" => &mut none,
            "*" => &mut any,
            _ => continue,
        };
        // What comes later, and is not malformed, replaces what came before.
        *place = quality.or(*place);
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= none.unwrap_or(0)
}

/// The name of an item, and what is written as its quality.
fn item(text: &str) -> (&str, Vec<&str>) {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let qualities = parts.filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        (name.trim() == "q").then(|| value.trim())
    });
    (name, qualities.collect())
}

/// A quality as RFC 9110 describes it: at most 1, with at most three decimals.
fn thousandths(text: &str) -> Option<u32> {
    let text = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_number = ["0", "1"].contains(&whole)
        && decimals.len() <= 3
        && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let quality = is_number
        .then(|| format!("{whole}{decimals:0<3}").parse().ok())
        .flatten();
    quality.filter(|quality| *quality <= 1000)
}

fn contains(input: &[u8], word: &[u8]) -> bool {
    input
        .windows(word.len())
        .any(|part| part.eq_ignore_ascii_case(word))
}
