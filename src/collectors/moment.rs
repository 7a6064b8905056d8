//! A moment in an answer.
//!
//! The API writes moments as `2027-01-25 10:11:03` and names no zone. They are in UTC+8,
//! whatever the region, the account and this machine's zone: answers that have the same
//! moment as Unix time, too, differ by exactly eight hours.

use jiff::civil::DateTime;

/// The offset of China Standard Time, in seconds. It has no daylight saving time.
const UTC_PLUS_8: i64 = 8 * 3600;

/// The start of 1971 in UTC, in Unix time.
const START_OF_1971: i64 = 365 * 86_400;

/// What a text of a moment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// A moment, in Unix time. It can lie beyond the year 9999 of UTC by some hours.
    At(i64),
    /// There is none: the text is empty, or the zero of some calendar.
    Absent,
}

impl Moment {
    /// Reads a JSON text; `null` is none.
    pub(super) fn read(json: &str) -> Option<Self> {
        match serde_json::from_str::<Option<String>>(json).ok()? {
            Some(text) => Self::parse(&text),
            None => Some(Self::Absent),
        }
    }

    /// The moment in Unix time, if it is one.
    pub(super) fn seconds(self) -> Option<i64> {
        match self {
            Self::At(seconds) => Some(seconds),
            Self::Absent => None,
        }
    }

    /// Reads `2027-01-25 10:11:03`, also with a `T`, a fraction of a second and an offset, and
    /// with blanks around it.
    ///
    /// `0000-00-00 …`, the year 1, 1900 and 1970 are how databases and programming languages
    /// write that there is no moment; nothing of CWP is so old.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() || text.starts_with("0000-00-00") {
            return Some(Self::Absent);
        }
        let (moment, zone) = text.split_at_checked("2027-01-25 10:11:03".len())?;
        let offset = offset(without_fraction(zone)?)?;
        let seconds = seconds_since_1970(moment)? - offset;
        Some(match seconds {
            ..START_OF_1971 => Self::Absent,
            _ => Self::At(seconds),
        })
    }
}

/// The seconds from 1970 to this moment, both in one zone.
fn seconds_since_1970(text: &str) -> Option<i64> {
    let digits = |byte: u8| if byte.is_ascii_digit() { b'0' } else { byte };
    let form: Vec<u8> = text.bytes().map(digits).collect();
    let is_known = form == b"0000-00-00 00:00:00" || form == b"0000-00-00T00:00:00";
    // A second 60 would be taken for the one before.
    if !is_known || text.ends_with("60") {
        return None;
    }
    let time: DateTime = text.parse().ok()?;
    let since = time.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
    Some(since.as_secs())
}

/// The text behind a fraction of a second, if there is a fraction.
fn without_fraction(text: &str) -> Option<&str> {
    match text.strip_prefix('.') {
        None => Some(text),
        Some(fraction) => {
            let rest = fraction.trim_start_matches(|each: char| each.is_ascii_digit());
            (rest.len() < fraction.len()).then_some(rest)
        }
    }
}

/// The seconds of an offset from UTC, such as `Z`, `+08:00` or ` +0800`.
fn offset(text: &str) -> Option<i64> {
    let text = text.trim_start();
    if text.is_empty() {
        return Some(UTC_PLUS_8);
    }
    if text.eq_ignore_ascii_case("z") || text == "UTC" {
        return Some(0);
    }
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match (digits.len(), digits.split_once(':')) {
        (5, Some(parts)) => parts,
        (4, None) => digits.split_at_checked(2)?,
        (2, None) => (digits, "00"),
        _ => return None,
    };
    let number = |text: &str, most: i64| {
        let is_digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number: i64 = text.parse().ok()?;
        (is_digits && number <= most).then_some(number)
    };
    Some(sign * (number(hours, 14)? * 3600 + number(minutes, 59)? * 60))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_moment_without_an_offset_is_in_china_standard_time() {
        for (text, seconds) in [
            ("2027-01-25 10:11:03", 1_800_843_063),
            (" 2027-01-25 10:11:03 ", 1_800_843_063),
            ("2027-01-25T10:11:03", 1_800_843_063),
            ("2028-02-29 12:00:00", 1_835_409_600),
            ("2038-01-01 00:00:00", 2_145_888_000),
            ("2099-01-01 00:00:00", 4_070_880_000),
            ("9999-12-31 23:59:59", 253_402_271_999),
        ] {
            assert_eq!(Moment::parse(text), Some(Moment::At(seconds)), "{text}");
        }
    }

    /// The year, month and day that are so many days after the first of January 1970, counted
    /// year by year and month by month.
    fn date(mut days: i64) -> (i64, i64, i64) {
        let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let mut year = 1970;
        while days >= 365 + i64::from(is_leap(year)) {
            days -= 365 + i64::from(is_leap(year));
            year += 1;
        }
        let february = 28 + i64::from(is_leap(year));
        let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let mut month = 1;
        for length in months {
            if days < length {
                break;
            }
            days -= length;
            month += 1;
        }
        (year, month, days + 1)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_moment_is_the_same_in_any_zone_until_the_year_9999(
            seconds in START_OF_1971 + 14 * 3600..253_402_200_000_i64,
            minutes in -14 * 60..14 * 60_i64,
            form in 0..4,
        ) {
            let (zone, ahead) = match form {
                0 => (String::new(), UTC_PLUS_8),
                1 => ("Z".to_owned(), 0),
                _ => {
                    let sign = if minutes < 0 { '-' } else { '+' };
                    let (hours, rest) = (minutes.abs() / 60, minutes.abs() % 60);
                    let colon = if form == 2 { ":" } else { "" };
                    (format!("{sign}{hours:02}{colon}{rest:02}"), minutes * 60)
                }
            };
            let local = seconds + ahead;
            let (year, month, day) = date(local / 86_400);
            let (hour, minute, second) = (local / 3600 % 24, local / 60 % 60, local % 60);
            let text =
                format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{zone}");
            prop_assert_eq!(Moment::parse(&text), Some(Moment::At(seconds)), "{}", text);
        }
    }

    #[test]
    fn an_offset_in_the_text_holds() {
        for text in [
            "2027-01-25 10:11:03+08:00",
            "2027-01-25 10:11:03+08",
            "2027-01-25T02:11:03Z",
            "2027-01-25T02:11:03z",
            "2027-01-25T02:11:03.250Z",
            "2027-01-25 02:11:03 UTC",
            "2027-01-25 02:11:03 +0000",
            "2027-01-24 21:11:03 -05:00",
            "2027-01-25 07:41:03+0530",
            "2027-01-25 16:11:03+14:00",
            "2027-01-25 03:10:03+00:59",
        ] {
            assert_eq!(
                Moment::parse(text),
                Some(Moment::At(1_800_843_063)),
                "{text}"
            );
        }
    }

    #[test]
    fn the_zeros_of_calendars_are_no_moments() {
        for text in [
            "",
            "  ",
            "0000-00-00 00:00:00",
            "0001-01-01 00:00:00",
            "0001-01-01 08:05:43",
            "0001-01-01T00:00:00Z",
            "1970-01-01 00:00:00",
            "1970-01-01 00:00:01",
            "1970-01-01 08:00:00",
            "1970-01-01T00:00:00Z",
            "0000-01-01 00:00:00",
            "0001-01-02 00:00:00",
            "1900-01-01 00:00:00",
            "1969-12-31 23:59:59",
            "1970-06-01 12:00:00",
        ] {
            assert_eq!(Moment::parse(text), Some(Moment::Absent), "{text}");
        }
    }

    #[test]
    fn a_json_value_is_a_moment_none_or_refused() {
        let moment = Moment::read(r#""2027-01-25 10:11:03""#).unwrap();
        assert_eq!(moment.seconds(), Some(1_800_843_063));
        assert_eq!(Moment::read("null").unwrap().seconds(), None);
        assert_eq!(Moment::read("1800843063"), None);
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "2027-02-29 12:00:00",
            "2027-01-25",
            "2027-01-25 24:00:00",
            "2027-01-25 10:11:60",
            "2027-1-25 10:11:03",
            "25/01/2027 10:11:03",
            "2027-01-25 10:11:03x",
            "2027-01-25 10:11:03+8",
            "2027-01-25 10:11:03+15:00",
            "2027-01-25 10:11:03+08:60",
            "2027-01-25 10:11:03+xx",
            "2027-01-25 10:11:03+xx:00",
            "2027-01-25 10:11:03+08:xx",
            "2027-01-25 10:11:03+0é0",
            "2027-01-25 10:11:03+8:000",
            "2027-01-25 10:11:03+008:0",
            "2027-01-25 10:11:03é",
            "2027-01-25 10:11:03.",
            "２０２７-01-25 10:11:03",
            "+027-01-25 10:11:03",
            "never",
            "1800843063",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }
}
