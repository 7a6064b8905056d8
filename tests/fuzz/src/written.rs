//! What files in YAML may say, as another reader finds it.

use std::time::Duration;

use serde_json::Value;
use serde_saphyr::Error;

/// What a file says that was accepted; nothing where the other reader has limits of its own.
pub fn accepted(yaml: &str) -> Option<Value> {
    let read = serde_saphyr::from_str(yaml);
    if let Err(error) = &read {
        let is_twice = matches!(error.without_snippet(), Error::DuplicateMappingKey { .. });
        assert!(!is_twice, "accepted, though a key comes twice: {error}");
    }
    read.ok()
}

/// Checks that a file that was accepted is refused when every key comes twice.
pub fn check_twice(yaml: &str, written: &Value, is_accepted: impl FnOnce(&str) -> bool) {
    if written.as_object().is_some_and(|keys| !keys.is_empty()) {
        let twice = format!("{yaml}\n{yaml}");
        assert!(!is_accepted(&twice), "accepted: {twice}");
    }
}

/// What a setting may be.
#[derive(Clone, Copy)]
pub enum Setting {
    /// A whole number from the least to the most.
    Number(i64, u64),
    /// A time that may be 0.
    Time,
    /// A time that must pass.
    Period,
}

pub use Setting::{Number, Period, Time};

impl Setting {
    /// Checks what was accepted.
    fn check(self, written: &Value) {
        match self {
            Number(least, most) => check_number(written, least, most),
            Time => check_duration(written, true),
            Period => check_duration(written, false),
        }
    }

    /// What no such setting may be.
    fn refused(self) -> [Value; 3] {
        match self {
            Number(least, most) => [
                (least - 1).into(),
                most.checked_add(1).map_or_else(|| (-5).into(), Value::from),
                1.5.into(),
            ],
            Time => ["-1s".into(), 7.into(), "-7ms".into()],
            Period => ["-1s".into(), 7.into(), "0s".into()],
        }
    }
}

/// Checks each setting of a file that was accepted. The path of each, such as `poll.interval`,
/// tells its kind. With other values of one of them, which `input` chooses, the file is refused.
pub fn check_settings(
    input: &str,
    mut written: Value,
    kind: fn(&str) -> Option<Setting>,
    is_accepted: impl Fn(&str) -> bool,
) {
    let mut count = 0;
    visit(&mut written, "", kind, &mut |setting, value| {
        setting.check(value);
        count += 1;
    });
    if count == 0 {
        return;
    }
    let chosen = input.bytes().map(usize::from).sum::<usize>() % count;
    for which in 0..3 {
        let (mut changed, mut until) = (written.clone(), chosen);
        visit(&mut changed, "", kind, &mut |setting, value| {
            if until == 0 {
                *value = setting.refused()[which].take();
            }
            until = until.wrapping_sub(1);
        });
        let changed = changed.to_string();
        assert!(!is_accepted(&changed), "accepted: {changed}");
    }
}

/// Calls `meet` with each setting that is written in `value`.
fn visit(
    value: &mut Value,
    path: &str,
    kind: fn(&str) -> Option<Setting>,
    meet: &mut impl FnMut(Setting, &mut Value),
) {
    if let Some(setting) = kind(path).filter(|_| !value.is_null()) {
        meet(setting, value);
    }
    match value {
        Value::Array(items) => {
            for item in items {
                visit(item, path, kind, meet);
            }
        }
        Value::Object(parts) => {
            for (name, part) in parts {
                let path = format!("{path}.{name}");
                visit(part, path.trim_start_matches('.'), kind, meet);
            }
        }
        _ => {}
    }
}

/// Checks a duration that was accepted: it has a unit, is not negative, and is more than 0
/// unless it `may_be_zero`.
fn check_duration(written: &Value, may_be_zero: bool) {
    assert!(!written.is_number(), "accepted without a unit: {written}");
    let Some(text) = written.as_str().map(str::trim) else {
        return;
    };
    assert!(
        text.parse::<f64>().is_err(),
        "accepted without a unit: {text}"
    );
    let is_zero = !text.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
    let is_negative = text.starts_with('-') || text.ends_with("ago");
    assert!(is_zero || !is_negative, "accepted: {text}");
    assert!(may_be_zero || !is_zero, "accepted: {text}");
}

/// Checks a number that was accepted.
fn check_number(written: &Value, least: i64, most: u64) {
    if let Value::Number(number) = written {
        let range = i128::from(least)..=i128::from(most);
        let is_possible = number
            .as_i128()
            .is_some_and(|number| range.contains(&number));
        assert!(is_possible, "accepted: {written}");
    }
}

/// The duration of a text such as `1h30m`, `60s` or `500ms`.
pub fn duration(written: &Value) -> Option<Duration> {
    let mut rest = written.as_str()?;
    let mut sum = Duration::ZERO;
    for (unit, milliseconds) in [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let word = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        if digits > 0 && digits < 9 && &after[..word] == unit {
            sum += Duration::from_millis(number.parse::<u64>().ok()? * milliseconds);
            rest = &after[word..];
        }
    }
    rest.is_empty().then_some(sum)
}
