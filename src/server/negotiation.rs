//! Content negotiation by the headers `Accept` and `Accept-Encoding`, and the lists of such
//! headers.
//!
//! Malformed and unsupported values never refuse a scrape: the answer is the text format,
//! uncompressed.

use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::{HeaderMap, HeaderName};

use crate::exposition::Format;

/// The format and coding of an answer to a scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// The format of the text.
    pub format: Format,
    /// The header `Content-Type`.
    pub content_type: &'static str,
    /// Whether the text is compressed.
    pub gzip: bool,
}

/// The formats that the server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offer {
    OpenMetrics,
    Text,
    /// The same text as [`Text`](Self::Text) under another content type.
    Text1,
}

/// How names with other characters than letters, digits and underscores would be escaped. No
/// metric here has such a name, but the content type must repeat the choice of the client.
const ESCAPINGS: [&str; 4] = ["allow-utf-8", "underscores", "dots", "values"];

/// An item of `Accept`.
#[derive(Debug, Clone, Copy)]
struct Range<'a> {
    media_type: &'a str,
    version: Option<&'a str>,
    escaping: Option<&'a str>,
    quality: u16,
}

/// How precisely a range names an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Precision {
    Any,
    Type,
    Subtype,
    Version,
}

impl Dialect {
    /// The dialect that the client prefers by its `headers`.
    #[must_use]
    pub fn wanted(headers: &HeaderMap) -> Self {
        let (offer, escaping) = preferred(headers);
        Self {
            format: match offer {
                Offer::OpenMetrics => Format::OpenMetrics,
                Offer::Text | Offer::Text1 => Format::Text,
            },
            content_type: content_type(offer, escaping),
            gzip: wants_gzip(headers),
        }
    }
}

/// The offer that the client rates highest, and the escaping of that offer.
fn preferred(headers: &HeaderMap) -> (Offer, Option<&str>) {
    let ranges: Vec<_> = items(headers, ACCEPT).filter_map(Range::parse).collect();
    let rated = [Offer::OpenMetrics, Offer::Text, Offer::Text1].map(|offer| {
        // The first of the most precise ranges.
        let including = ranges.iter().rev();
        let including = including.filter_map(|range| Some((range.precision(offer)?, range)));
        let (precision, range) = including.max_by_key(|(precision, _)| *precision)?;
        // Of equal qualities, an offer that is named comes first; `*/*` gets plain text.
        let rank = match (offer, precision) {
            (Offer::Text1, Precision::Any) => 0,
            (Offer::OpenMetrics, Precision::Any) => 1,
            (Offer::Text, Precision::Any) => 2,
            (Offer::Text1, _) => 3,
            (Offer::Text, _) => 4,
            (Offer::OpenMetrics, _) => 5,
        };
        (range.quality > 0).then_some(((range.quality, rank), (offer, range.escaping)))
    });
    let best = rated.into_iter().flatten().max_by_key(|(rank, _)| *rank);
    best.map_or((Offer::Text, None), |(_, best)| best)
}

/// Whether the client accepts gzip, by name or by `*`, and does not prefer no coding.
fn wants_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut any, mut identity) = (None, None, None);
    for (coding, quality) in rated(headers, ACCEPT_ENCODING) {
        let is = |name: &str| coding.eq_ignore_ascii_case(name);
        if is("gzip") || is("x-gzip") {
            gzip = Some(quality);
        } else if is("identity") {
            identity = Some(quality);
        } else if is("*") {
            any = Some(quality);
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// The best quality. Qualities are counted in thousandths.
const BEST: u16 = 1000;

impl<'a> Range<'a> {
    /// Parses an item; nothing if it is malformed.
    fn parse(item: &'a str) -> Option<Self> {
        let mut parts = item.split(';');
        let mut range = Self {
            media_type: parts.next()?.trim(),
            version: None,
            escaping: None,
            quality: BEST,
        };
        for part in parts {
            let (name, value) = parameter(part)?;
            if name.eq_ignore_ascii_case("q") {
                range.quality = quality(value)?;
            } else if name.eq_ignore_ascii_case("version") {
                range.version = Some(value);
            } else if name.eq_ignore_ascii_case("escaping") {
                range.escaping = Some(value).filter(|value| ESCAPINGS.contains(value));
            }
        }
        Some(range)
    }

    /// How precisely this range matches `offer`, if it matches.
    fn precision(&self, offer: Offer) -> Option<Precision> {
        let is = |media_type: &str| self.media_type.eq_ignore_ascii_case(media_type);
        let (named, all, version) = match offer {
            Offer::OpenMetrics => ("application/openmetrics-text", "application/*", "1.0.0"),
            Offer::Text => ("text/plain", "text/*", "0.0.4"),
            Offer::Text1 => ("text/plain", "text/*", "1.0.0"),
        };
        match self.version {
            Some(wanted) => (is(named) && wanted == version).then_some(Precision::Version),
            None if is(named) => Some(Precision::Subtype),
            None if is(all) => Some(Precision::Type),
            None => is("*/*").then_some(Precision::Any),
        }
    }
}

/// The items of a list of codings or languages, each with its quality. Malformed ones are left
/// out.
pub(super) fn rated(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = (&str, u16)> {
    items(headers, name).filter_map(|item| {
        let (item, parameters) = item.split_once(';').unwrap_or((item, ""));
        let mut parameters = parameters.split(';').filter_map(parameter);
        let quality = match parameters.find(|(name, _)| name.eq_ignore_ascii_case("q")) {
            Some((_, value)) => quality(value)?,
            None => BEST,
        };
        Some((item.trim(), quality))
    })
}

/// The items of a list header, which may have several lines.
fn items(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

fn parameter(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let value = value.trim();
    let quoted = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    Some((name.trim(), quoted.unwrap_or(value)))
}

/// A quality between 0 and 1, in thousandths.
fn quality(value: &str) -> Option<u16> {
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    let thousandths = decimals
        .bytes()
        .zip([100, 10, 1])
        .try_fold(0, |sum, (digit, weight)| {
            let digit = digit.is_ascii_digit().then(|| u16::from(digit - b'0'))?;
            Some(sum + digit * weight)
        })?;
    match whole {
        _ if decimals.len() > 3 => None,
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(BEST),
        _ => None,
    }
}

/// The exact `Content-Type`. Text 1.0.0 always names an escaping, OpenMetrics only if the
/// client named one.
fn content_type(offer: Offer, escaping: Option<&str>) -> &'static str {
    macro_rules! escaped {
        ($base:literal) => {
            match escaping {
                Some("allow-utf-8") => concat!($base, "; escaping=allow-utf-8"),
                Some("dots") => concat!($base, "; escaping=dots"),
                Some("values") => concat!($base, "; escaping=values"),
                _ => concat!($base, "; escaping=underscores"),
            }
        };
    }
    match (offer, escaping) {
        (Offer::Text, _) => "text/plain; version=0.0.4; charset=utf-8",
        (Offer::Text1, _) => escaped!("text/plain; version=1.0.0; charset=utf-8"),
        (Offer::OpenMetrics, None) => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        (Offer::OpenMetrics, Some(_)) => {
            escaped!("application/openmetrics-text; version=1.0.0; charset=utf-8")
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    fn headers(name: HeaderName, lines: &[&str]) -> HeaderMap {
        let lines = lines
            .iter()
            .map(|line| HeaderValue::from_str(line).unwrap());
        lines.map(|line| (name.clone(), line)).collect()
    }

    fn accepted(accept: &str) -> &'static str {
        Dialect::wanted(&headers(ACCEPT, &[accept])).content_type
    }

    fn compressed(accept_encoding: &str) -> bool {
        Dialect::wanted(&headers(ACCEPT_ENCODING, &[accept_encoding])).gzip
    }

    #[test]
    fn what_prometheus_prefers_is_what_it_gets() {
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let openmetrics = format!("{OPENMETRICS}; escaping=allow-utf-8");
        assert_eq!(accepted(prometheus_3), openmetrics);
        let legacy = prometheus_3.replace("allow-utf-8", "underscores");
        let openmetrics = format!("{OPENMETRICS}; escaping=underscores");
        assert_eq!(accepted(&legacy), openmetrics);
        let protobuf = "application/vnd.google.protobuf;\
             proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,";
        assert_eq!(accepted(&format!("{protobuf}{legacy}")), openmetrics);
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,\
             application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(accepted(prometheus_2), OPENMETRICS);
    }

    #[test]
    fn qualities_decide_and_not_the_order() {
        for (accept, content_type) in [
            (
                "text/plain;q=0.4, application/openmetrics-text;q=0.39",
                TEXT,
            ),
            (
                "text/plain;q=0.4, application/openmetrics-text;q=0.401",
                OPENMETRICS,
            ),
            ("application/openmetrics-text, text/plain", OPENMETRICS),
            ("text/plain, application/openmetrics-text", OPENMETRICS),
            (
                "text/plain;version=0.0.4, application/openmetrics-text;q=0.999",
                TEXT,
            ),
            ("*/*, application/openmetrics-text", OPENMETRICS),
            ("*/*;q=1, application/openmetrics-text;q=0.9", TEXT),
        ] {
            assert_eq!(accepted(accept), content_type, "{accept}");
        }
    }

    #[test]
    fn qualities_are_read_to_the_thousandth() {
        for (text, thousandths) in [
            ("0", Some(0)),
            ("0.", Some(0)),
            ("0.1", Some(100)),
            ("0.02", Some(20)),
            ("0.003", Some(3)),
            ("0.987", Some(987)),
            ("1", Some(1000)),
            ("1.000", Some(1000)),
            ("1.001", None),
            ("0.0001", None),
            ("0.x", None),
            ("2", None),
            ("", None),
        ] {
            assert_eq!(quality(text), thousandths, "{text}");
        }
    }

    #[test]
    fn wildcards_and_refusals_mean_what_http_says() {
        for (accept, content_type) in [
            ("*/*", TEXT),
            ("text/*", TEXT),
            ("application/*", OPENMETRICS),
            (
                "APPLICATION/OpenMetrics-Text ; Version=\"1.0.0\"",
                OPENMETRICS,
            ),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                TEXT,
            ),
            ("text/plain;q=0, */*", OPENMETRICS),
            ("text/plain;version=0.0.4;q=0, */*", OPENMETRICS),
            ("text/*;q=0, */*;q=0.1", OPENMETRICS),
            ("application/openmetrics-text;q=0, */*", TEXT),
            ("application/openmetrics-text;q=0.0, application/*", TEXT),
        ] {
            assert_eq!(accepted(accept), content_type, "{accept}");
        }
    }

    #[test]
    fn malformed_and_unsupported_ranges_are_answered_with_plain_text() {
        assert_eq!(Dialect::wanted(&HeaderMap::new()).content_type, TEXT);
        for accept in [
            "",
            ",;,=",
            "application/openmetrics-text;q=high",
            "application/openmetrics-text;q=1.1",
            "application/openmetrics-text;q=0.1234",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version",
            "application/json",
            "text/plain;q=0",
        ] {
            assert_eq!(accepted(accept), TEXT, "{accept}");
        }
        let latin = HeaderValue::from_bytes(b"application/openmetrics-text;x=\xe9").unwrap();
        let headers = HeaderMap::from_iter([(ACCEPT, latin)]);
        assert_eq!(Dialect::wanted(&headers).content_type, TEXT);
    }

    #[test]
    fn text_1_0_0_is_named_only_to_clients_that_ask_for_it_and_always_with_an_escaping() {
        for (asked, named) in [
            ("; escaping=allow-utf-8", "allow-utf-8"),
            (";escaping=dots", "dots"),
            (";escaping=values", "values"),
            (";escaping=underscores", "underscores"),
            (";escaping=other", "underscores"),
            ("", "underscores"),
        ] {
            let accept = format!("text/plain;version=1.0.0{asked}, */*;q=0.1");
            let content_type =
                format!("text/plain; version=1.0.0; charset=utf-8; escaping={named}");
            assert_eq!(accepted(&accept), content_type);
        }
        assert_eq!(
            accepted("application/openmetrics-text;escaping=other"),
            OPENMETRICS
        );
    }

    #[test]
    fn a_list_in_several_lines_is_one_list() {
        let lines = ["text/plain;q=0.5", "application/openmetrics-text;q=0.6"];
        let dialect = Dialect::wanted(&headers(ACCEPT, &lines));
        assert_eq!(dialect.content_type, OPENMETRICS);
    }

    #[test]
    fn gzip_is_used_when_accepted_and_not_rated_below_no_coding() {
        assert!(!Dialect::wanted(&HeaderMap::new()).gzip);
        for (accept_encoding, gzip) in [
            ("gzip", true),
            ("GZIP", true),
            ("x-gzip", true),
            ("deflate, gzip;q=0.5, br", true),
            ("gzip, identity", true),
            ("*", true),
            ("identity;q=0, *;q=0.1", true),
            ("gzip;q=0.5, identity;q=0.5", true),
            ("gzip;q=0.5, identity", false),
            ("identity", false),
            ("", false),
            ("gzip;q=0", false),
            ("gzip;q=0.000, *", false),
            ("gzip;q=no", false),
            ("gzip;x=y;q=0", false),
            ("gzip;x=y;q=0.5", true),
            ("zstd, br, deflate", false),
            ("identity;q=0", false),
        ] {
            assert_eq!(compressed(accept_encoding), gzip, "{accept_encoding}");
        }
    }
}
