//! The scenarios of the simulated cloud: the accounts and their first answers are those that
//! another reader finds, a number or a duration that its setting cannot have is refused, and no
//! error shows a key.

use std::collections::BTreeSet;

use cwp_exporter::simulator::Scenario;
use serde_json::Value;

use crate::input::text;
use crate::measure::{Bound, bounded};
use crate::simulator::first_answer;
use crate::written::{self, Number, Period, Setting, Time};

/// Each account has an answer of each action, and each step a copy of the fields.
const BOUND: Bound = Bound {
    bytes: 8 * 1024 * 1024,
    bytes_per_byte: 30_000,
};

pub fn run(input: &[u8]) {
    let input = text(input);
    let written: Option<Value> = serde_saphyr::from_str(&input).ok();
    // A scenario may ask for a hundred thousand accounts, which is what it gets.
    let is_large = match &written {
        Some(written) => counts(written).any(|count| count.as_f64().is_some_and(|it| it > 99.0)),
        None => input.contains("count"),
    };
    if is_large {
        return;
    }
    let read = bounded(input.len(), &BOUND, || Scenario::parse(&input));
    let scenario = match read {
        Ok(scenario) => scenario,
        Err(error) => {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2") || !is_a_key(&input), "{shown}");
            return;
        }
    };
    let names: BTreeSet<&str> = scenario.accounts().map(|account| account.name()).collect();
    assert_eq!(names.len(), scenario.accounts().len(), "names are unique");
    assert!(!names.is_empty());
    for account in scenario.accounts() {
        let shown = format!("{account:?}");
        assert!(
            account.secret_key().len() < 8
                || !shown.contains(account.secret_key())
                || is_elsewhere(&input, account.secret_key())
        );
        assert!(account.secret_id().is_empty() == account.secret_key().is_empty());
    }
    let Some(written) = written.or_else(|| written::accepted(&input)) else {
        return;
    };
    written::check_twice(&input, &written, |twice| Scenario::parse(twice).is_ok());
    written::check_settings(&input, written.clone(), setting, |changed| {
        Scenario::parse(changed).is_ok()
    });
    if counts(&written).next().is_some() {
        return;
    }
    let accounts = written["accounts"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    for (written, account) in accounts.iter().zip(scenario.accounts()) {
        let parts = [
            ("name", account.name()),
            ("secret_id", account.secret_id()),
            ("secret_key", account.secret_key()),
            ("token", account.token().unwrap_or_default()),
        ];
        for (name, found) in parts {
            if let Value::String(text) = &written[name] {
                assert_eq!(text, found);
            }
        }
    }
    check_answers(&written, accounts, scenario);
}

/// The setting with this path, by the tables of the documentation.
fn setting(path: &str) -> Option<Setting> {
    let timelines = ["accounts.timeline.", "sts.timeline.", "metadata.timeline."];
    let mut steps = timelines
        .iter()
        .filter_map(|start| path.strip_prefix(start));
    Some(match steps.next().unwrap_or(path) {
        "at" | "delay" => Time,
        "http.status" => Number(200, 599),
        "legacy_error.code" => Number(-999_999, 999_999),
        "cut" => Number(0, u32::MAX.into()),
        "nested" => Number(0, 10_000_000),
        "oversized" => Number(0, u64::MAX),
        "rate_limit" | "sts.rate_limit" | "accounts.rate_limit" => Number(1, u32::MAX.into()),
        "repeat" | "sts.lifetime" | "metadata.lifetime" => Period,
        "accounts.count" | "accounts.page_limit" => Number(1, 100_000),
        "orders.count" | "accounts.orders.count" => Number(1, 10_000),
        _ => return None,
    })
}

/// The answer of the first account with a key that is always good has the fields that are
/// written.
fn check_answers(whole: &Value, accounts: &[Value], scenario: Scenario) {
    // Times of the whole, limits and faults are others' business.
    let is_simple = |value: &Value, known: &[&str]| {
        let mut keys = value
            .as_object()
            .into_iter()
            .flat_map(serde_json::Map::keys);
        keys.all(|key| known.contains(&key.as_str()))
    };
    if !is_simple(whole, &["accounts", "repeat", "sts", "metadata"]) {
        return;
    }
    let known = [
        "name",
        "secret_id",
        "secret_key",
        "fields",
        "answers",
        "orders",
    ];
    let mut pairs = accounts.iter().zip(scenario.accounts());
    let Some((written, account)) = pairs.find(|(written, account)| {
        let is_plain =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_simple(written, &known) && is_plain(account.secret_id())
    }) else {
        return;
    };
    let lists = [("DescribeLicenseGeneral", &written["fields"])].into_iter();
    let further = written["answers"].as_object();
    let further = further.and_then(|answers| {
        answers
            .iter()
            .find(|(name, _)| name.as_str() == "DescribeGeneralStat")
    });
    for (action, fields) in lists.chain(further.map(|(name, fields)| (name.as_str(), fields))) {
        let Some(fields) = fields.as_object() else {
            continue;
        };
        let key = (account.secret_id(), account.secret_key());
        let answer = first_answer(scenario.clone(), action, key);
        let response = &answer["Response"];
        for (name, value) in fields {
            // Times may be relative, and a list is answered in pages.
            if ["Deadline", "BuyTime", "StartTime", "EndTime", "List"].contains(&name.as_str()) {
                continue;
            }
            assert!(
                is_same(value, &response[name]),
                "{name}: {value}, answered {answer}"
            );
        }
    }
}

/// Whether both are the same; a number may be written in more than one way.
fn is_same(written: &Value, answered: &Value) -> bool {
    match (written, answered) {
        (Value::Number(written), Value::Number(answered)) => written.as_f64() == answered.as_f64(),
        // Times in them may be relative.
        (Value::Array(_) | Value::Object(_), Value::Array(_) | Value::Object(_)) => true,
        _ => written == answered,
    }
}

/// How many accounts, or orders, parts of a scenario stand for.
fn counts(written: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match written {
        Value::Array(items) => Box::new(items.iter().flat_map(counts)),
        Value::Object(fields) => {
            let own = fields.get("count").into_iter();
            Box::new(own.chain(fields.values().flat_map(counts)))
        }
        _ => Box::new(std::iter::empty()),
    }
}

/// Whether the word occurs as the value of `secret_key` or `token`, and nowhere else.
fn is_a_key(input: &str) -> bool {
    let mut places = input.match_indices("hunter2");
    places.all(|(at, _)| {
        let before = input[..at].trim_end_matches(|char| "'\" ".contains(char));
        before.ends_with("secret_key:") || before.ends_with("token:")
    })
}

/// Whether the text is also the text of something else.
fn is_elsewhere(input: &str, text: &str) -> bool {
    input.matches(text).count() > 1 || !input.contains(text)
}
