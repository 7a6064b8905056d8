//! The scenarios of the simulated cloud: the accounts are those that another reader finds, and
//! no error shows a key.

use std::collections::BTreeSet;

use cwp_exporter::simulator::Scenario;
use serde_json::Value;

use crate::input::text;
use crate::measure::{Bound, bounded};

/// Each account has an answer of each action, and each step a copy of the fields.
const BOUND: Bound = Bound {
    bytes: 8 * 1024 * 1024,
    bytes_per_byte: 30_000,
};

pub fn run(input: &[u8]) {
    let input = text(input);
    // A scenario may ask for a hundred thousand accounts, which is what it gets.
    let is_large = input.contains("count") && input.bytes().filter(u8::is_ascii_digit).count() > 2;
    let read = match is_large {
        true => return,
        false => bounded(input.len(), &BOUND, || Scenario::parse(&input)),
    };
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
    let Ok(written) = serde_saphyr::from_str::<Value>(&input) else {
        return;
    };
    if input.contains("count") {
        return;
    }
    let accounts = written["accounts"].as_array().into_iter().flatten();
    for (written, account) in accounts.zip(scenario.accounts()) {
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
