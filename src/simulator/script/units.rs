//! Times, sizes and numbers as they are written, and what is said of others.

use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// A time such as `10s`, `500ms` or `1m30s`, not before zero.
#[derive(Clone, Copy)]
pub(crate) struct Time(pub(crate) Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Offset(offset) = Offset::deserialize(deserializer)?;
        Duration::try_from(offset)
            .map(Self)
            .map_err(|_| D::Error::custom("the time is negative: write a time such as `10s`"))
    }
}

/// A time such as `10s` or `-10s`.
#[derive(Clone, Copy)]
pub(crate) struct Offset(pub(crate) SignedDuration);

impl<'de> Deserialize<'de> for Offset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OffsetVisitor)
    }
}

struct OffsetVisitor;

impl OffsetVisitor {
    fn without_unit<T, E: Error>() -> Result<T, E> {
        Err(E::custom(
            "the unit of the time is missing: write a time such as `500ms`, `10s` or `5m`",
        ))
    }
}

impl Visitor<'_> for OffsetVisitor {
    type Value = Offset;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as `500ms`, `10s` or `5m`")
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Offset, E> {
        Self::without_unit()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Offset, E> {
        Self::without_unit()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Offset, E> {
        Self::without_unit()
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Offset, E> {
        match text.parse() {
            Ok(offset) => Ok(Offset(offset)),
            Err(_) if text.trim().parse::<f64>().is_ok() => Self::without_unit(),
            Err(_) => Err(E::custom(
                "not a time: write a time such as `500ms`, `10s` or `5m`",
            )),
        }
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy)]
pub(crate) struct Whole<const MIN: i64, const MAX: i64>(i64);

impl<const MIN: i64, const MAX: i64> Whole<MIN, MAX> {
    /// The number, whose type must be one for all numbers from `MIN` to `MAX`.
    pub(crate) fn get<T: TryFrom<i64> + Default>(self) -> T {
        T::try_from(self.0).unwrap_or_default()
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeVisitor::<MIN, MAX>)
    }
}

struct WholeVisitor<const MIN: i64, const MAX: i64>;

impl<const MIN: i64, const MAX: i64> Visitor<'_> for WholeVisitor<MIN, MAX> {
    type Value = Whole<MIN, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (MIN, MAX) {
            (i64::MIN, i64::MAX) => f.write_str("a whole number"),
            _ => write!(f, "a whole number from {MIN} to {MAX}"),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        if (MIN..=MAX).contains(&number) {
            Ok(Whole(number))
        } else {
            Err(E::invalid_value(Unexpected::Signed(number), &self))
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
        }
    }

    /// A number of more than 19 digits comes as one.
    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        let found = Unexpected::Float(number);
        if number.fract().abs() > 0.0 {
            Err(E::invalid_type(found, &self))
        } else {
            Err(E::invalid_value(found, &self))
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        if text.parse::<i64>().is_ok() {
            return Err(E::custom("the number is text: write it without quotes"));
        }
        Err(E::invalid_type(Unexpected::Str(text), &self))
    }
}

/// Requests per second.
pub(crate) type RateLimit = Whole<1, { u32::MAX as i64 }>;

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

    fn visit_i64<E: Error>(self, number: i64) -> Result<Size, E> {
        Err(E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        parse_size(text)
            .map(Size)
            .ok_or_else(|| E::custom("not a size: write a size such as `64KiB` or `8MiB`"))
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
