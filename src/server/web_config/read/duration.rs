//! Durations as Go writes them: `1h30m`, `1.5s`, `100us`.

use std::time::Duration;

/// Parses a duration of at most 2^63 - 1 nanoseconds, as in Go. The inner value is nothing
/// for 0 and less.
pub(super) fn parse(text: &str) -> Option<Option<Duration>> {
    if let Ok(nanos) = text.parse::<i64>() {
        // The YAML reader of the toolkit takes a bare number as nanoseconds.
        return Some(positive(i128::from(nanos)));
    }
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return None;
    }
    let mut nanos = 0_i128;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at_checked(number)?;
        let unit = behind
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(unit)?;
        let unit = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        nanos = nanos.checked_add(part(number, unit)?)?;
        rest = behind;
    }
    if nanos > i128::from(i64::MAX) {
        return None;
    }
    Some(positive(if negative { -nanos } else { nanos }))
}

/// `number`, which may have a fraction, times `unit`.
fn part(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || whole.len() > 19 {
        return None;
    }
    let digits = |text: &str| match text {
        "" => Some(0),
        digits => digits.parse().ok(),
    };
    let whole: i128 = digits(whole)?;
    // No unit has more than 13 digits of nanoseconds.
    let fraction = fraction.get(..fraction.len().min(18))?;
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    Some(whole * unit + digits(fraction)? * unit / scale)
}

fn positive(nanos: i128) -> Option<Duration> {
    let nanos = u64::try_from(nanos).ok()?;
    (nanos > 0).then(|| Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, nanos) in [
            ("1s", 1_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("30m1h", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5ms", 500_000),
            ("1.ms", 1_000_000),
            ("+2us", 2_000),
            ("2µs", 2_000),
            ("7ns", 7),
            ("7", 7),
        ] {
            assert_eq!(
                parse(text),
                Some(Some(Duration::from_nanos(nanos))),
                "{text}"
            );
        }
        for nothing in ["0", "0s", "-1s", "-5"] {
            assert_eq!(parse(nothing), Some(None), "{nothing}");
        }
        let endless = "9".repeat(20) + "s";
        for bad in [
            "", "-", "s", "1 s", "1d", "1s2", ".s", "1.2.3s", "9999999h", "1sé", &endless,
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
