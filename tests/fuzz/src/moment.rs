//! Moments of the API, read anew: the days are counted by the rules of the calendar.

/// What a text says: `None` if it is no moment, `Some(None)` if there is none.
pub fn read(text: &str) -> Option<Option<i64>> {
    let text = text.trim();
    if text.is_empty() || text.starts_with("0000-00-00") {
        return Some(None);
    }
    let mut rest = text.as_bytes();
    let year = number(&mut rest, 4)?;
    let month = number(after(&mut rest, b"-")?, 2)?;
    let day = number(after(&mut rest, b"-")?, 2)?;
    let hour = number(after(&mut rest, b" T")?, 2)?;
    let minute = number(after(&mut rest, b":")?, 2)?;
    let second = number(after(&mut rest, b":")?, 2)?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = [
        31,
        28 + i64::from(is_leap),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let days = usize::try_from(month - 1)
        .ok()
        .and_then(|at| days_in_month.get(at))?;
    if day < 1 || day > *days || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    if rest.first() == Some(&b'.') {
        let digits = rest[1..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if digits == 0 {
            return None;
        }
        rest = &rest[1 + digits..];
    }
    let zone = std::str::from_utf8(rest).ok()?.trim_start();
    let before: i64 = days_in_month
        .iter()
        .take(usize::try_from(month - 1).ok()?)
        .sum();
    let seconds = (days_before_year(year) - days_before_year(1970) + before + day - 1) * 86_400
        + hour * 3600
        + minute * 60
        + second
        - offset(zone)?;
    // Earlier than 1971 is the zero of some calendar.
    Some((seconds >= 365 * 86_400).then_some(seconds))
}

/// The days of the Gregorian calendar before the first of January of `year`.
fn days_before_year(year: i64) -> i64 {
    let years = year - 1;
    years * 365 + years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400)
}

fn offset(zone: &str) -> Option<i64> {
    match zone {
        "" => return Some(8 * 3600),
        "Z" | "z" | "UTC" => return Some(0),
        _ => {}
    }
    let mut rest = zone.as_bytes();
    let sign = match rest.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    rest = &rest[1..];
    let hours = number(&mut rest, 2)?;
    let minutes = if rest.is_empty() {
        0
    } else {
        if rest.first() == Some(&b':') {
            rest = &rest[1..];
        }
        number(&mut rest, 2)?
    };
    (rest.is_empty() && hours <= 14 && minutes <= 59)
        .then_some(sign * (hours * 3600 + minutes * 60))
}

/// Takes `digits` digits from the front.
fn number(rest: &mut &[u8], digits: usize) -> Option<i64> {
    let (number, after) = rest.split_at_checked(digits)?;
    let is_number = number.iter().all(u8::is_ascii_digit);
    *rest = after;
    is_number
        .then(|| std::str::from_utf8(number).ok()?.parse().ok())
        .flatten()
}

/// Takes one of `allowed` from the front.
fn after<'r, 'a>(rest: &'r mut &'a [u8], allowed: &[u8]) -> Option<&'r mut &'a [u8]> {
    let (first, others) = rest.split_first()?;
    *rest = others;
    allowed.contains(first).then_some(rest)
}
