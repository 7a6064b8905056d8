//! Sizes as they are written.

use crate::config::{Fault, Node, Value};

/// A size in bytes such as `8MiB`, `64KiB` or `1000`.
pub(crate) fn size(node: &Node<'_>) -> Result<u64, Fault> {
    let size = match node.value {
        Value::Number(number) => number.as_u64(),
        Value::Text(text) => parse_size(text),
        _ => None,
    };
    size.ok_or_else(|| Fault::new("not a size", "write a size such as `64KiB` or `8MiB`"))
}

fn parse_size(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 4] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("B", 1),
    ];
    let (number, unit) = UNITS
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))
        .unwrap_or((text, 1));
    number.trim_end().parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, size) in [
            ("0", Some(0)),
            ("12", Some(12)),
            ("12B", Some(12)),
            ("1KiB", Some(1024)),
            ("8 MiB", Some(8 << 20)),
            ("1GiB", Some(1 << 30)),
            ("18446744073709551615GiB", None),
            ("MiB", None),
            ("-1", None),
        ] {
            assert_eq!(parse_size(text), size, "{text}");
        }
    }
}
