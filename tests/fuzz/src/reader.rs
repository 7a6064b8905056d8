//! A strict reader of both formats of the exposition, written after their specifications.

use std::collections::{BTreeMap, BTreeSet};

use cwp_exporter::exposition::Format;

/// A series: its name and its labels.
pub type Series = (String, BTreeMap<String, String>);

/// Reads `text`, and panics with the line that is wrong.
///
/// Every series comes once, and all lines of a family together, after its head.
pub fn read(format: Format, text: &[u8]) -> BTreeMap<Series, u64> {
    let text = std::str::from_utf8(text).expect("the exposition is UTF-8");
    let lines = match format {
        Format::Text => text,
        Format::OpenMetrics => text
            .strip_suffix("# EOF\n")
            .expect("the last line is the mark"),
    };
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let (mut family, mut kind) = (String::new(), String::new());
    for line in lines.split_terminator('\n') {
        if let Some(head) = line.strip_prefix("# ") {
            let mut words = head.splitn(3, ' ');
            let mut word = || {
                words
                    .next()
                    .unwrap_or_else(|| panic!("a head without words: {line}"))
            };
            let (what, name, rest) = (word(), word(), word());
            assert!(is_name(name), "{line}");
            if name != family {
                assert!(
                    families.insert(name.to_owned()),
                    "the family comes twice: {line}"
                );
                family = name.to_owned();
                kind.clear();
            }
            match what {
                "TYPE" => kind = rest.to_owned(),
                "HELP" => {
                    unescape(rest, format == Format::OpenMetrics)
                        .unwrap_or_else(|| panic!("wrong escapes: {line}"));
                }
                "UNIT" => assert!(name.ends_with(&format!("_{rest}")), "{line}"),
                _ => panic!("an unknown head: {line}"),
            }
            continue;
        }
        let (series, value) = sample(line).unwrap_or_else(|| panic!("no sample: {line:?}"));
        let suffixes: &[&str] = match (kind.as_str(), format) {
            ("gauge", _) | ("counter", Format::Text) => &[""],
            ("counter", Format::OpenMetrics) => &["_total"],
            ("histogram", _) => &["_bucket", "_sum", "_count"],
            _ => panic!("a sample without its type: {line}"),
        };
        let is_of_family = |suffix: &&str| series.0.strip_suffix(*suffix) == Some(&family);
        assert!(
            suffixes.iter().any(is_of_family),
            "a sample of another family: {line}"
        );
        assert!(
            samples.insert(series, value.to_bits()).is_none(),
            "the series comes twice: {line}"
        );
    }
    assert!(
        lines.is_empty() || lines.ends_with('\n'),
        "the last line has no end"
    );
    samples
}

fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':';
    let mut bytes = name.bytes();
    bytes.next().is_some_and(is_letter)
        && bytes.all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

/// Reads `name{label="value",…} number`.
fn sample(line: &str) -> Option<(Series, f64)> {
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"")?;
            let end = closing_quote(after)?;
            let value = unescape(&after[..end], true)?;
            let is_new = labels.insert(label.to_owned(), value).is_none();
            if !is_name(label) || label.contains(':') || !is_new {
                return None;
            }
            rest = &after[end + 1..];
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => break,
            }
        }
        rest = rest.strip_prefix('}')?;
    }
    let number = rest.strip_prefix(' ')?;
    let value = match number {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        number => {
            let is_part = |byte: u8| byte.is_ascii_digit() || b"+-.e".contains(&byte);
            number
                .bytes()
                .all(is_part)
                .then(|| number.parse().ok())
                .flatten()?
        }
    };
    is_name(name).then(|| ((name.to_owned(), labels), value))
}

/// Where the first quote is that no backslash escapes.
fn closing_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })
}

/// Undoes the escapes; nothing if there is one that the format does not have.
fn unescape(text: &str, quotes: bool) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        out.push(match char {
            '\\' => match chars.next()? {
                '\\' => '\\',
                'n' => '\n',
                '"' if quotes => '"',
                _ => return None,
            },
            '"' if quotes => return None,
            char => char,
        });
    }
    Some(out)
}
