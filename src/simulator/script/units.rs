//! Times and sizes as they are written.

use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// What is said of a value that is no time.
const NOT_A_TIME: &str = "not a time: write one such as `500ms`, `10s` or `5m`";
/// What is said of a time before zero.
const NEGATIVE_TIME: &str = "a time is negative: write one such as `10s`";
/// What is said of a value that is no size.
const NOT_A_SIZE: &str = "not a size: write one such as `64KiB` or `8MiB`";

/// A time such as `10s`, `500ms` or `1m30s`, not before zero.
#[derive(Clone, Copy)]
pub(crate) struct Time(pub(crate) Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Offset(offset) = Offset::deserialize(deserializer)?;
        Duration::try_from(offset)
            .map(Self)
            .map_err(|_| D::Error::custom(NEGATIVE_TIME))
    }
}

/// A time such as `10s` or `-10s`.
#[derive(Clone, Copy)]
pub(crate) struct Offset(pub(crate) SignedDuration);

impl<'de> Deserialize<'de> for Offset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map(Self)
            .map_err(|_| D::Error::custom(NOT_A_TIME))
    }
}

/// A size in bytes such as `8MiB`, `64KiB` or `1000`.
pub(crate) struct Size(pub(crate) u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as `64KiB` or `8MiB`")
    }

    fn visit_u64<E>(self, bytes: u64) -> Result<Size, E> {
        Ok(Size(bytes))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        parse_size(text)
            .map(Size)
            .ok_or_else(|| E::custom(NOT_A_SIZE))
    }
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
