//! The page for people: how the accounts are, those that need attention first.

use std::fmt::Write as _;

use crate::snapshot::{AccountState, Accounts};

/// How many accounts are listed at the most; the metrics have all of them.
const MAX_LISTED: usize = 200;

/// How an account is. Those that need attention come first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Health {
    Failed(String),
    Waiting,
    Works,
}

/// The page, with the metrics at `telemetry_path`.
pub(super) fn page(accounts: &Accounts, telemetry_path: &str) -> String {
    let list = accounts.list().iter();
    let mut list: Vec<_> = list.map(|each| (health(each), &**each)).collect();
    list.sort_by(|a, b| (&a.0, &a.1.name).cmp(&(&b.0, &b.1.name)));
    let count = |wanted: fn(&Health) -> bool| list.iter().filter(|(each, _)| wanted(each)).count();
    let mut rows = String::new();
    for (health, account) in list.iter().take(MAX_LISTED) {
        let (class, words) = match health {
            Health::Failed(why) => ("failed", why.as_str()),
            Health::Waiting => ("waiting", "not collected yet"),
            Health::Works => ("works", "works"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            rows,
            "<tr class=\"{class}\"><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(&account.name),
            escaped(words),
            escaped(&account.key_source.text())
        );
    }
    if list.len() > MAX_LISTED {
        let more = list.len() - MAX_LISTED;
        let _ = writeln!(rows, "<tr><td colspan=\"3\">and {more} more</td></tr>");
    }
    format!(
        include_str!("landing.html"),
        version = env!("CARGO_PKG_VERSION"),
        metrics = escaped(telemetry_path),
        accounts = list.len(),
        works = count(|health| matches!(health, Health::Works)),
        fails = count(|health| matches!(health, Health::Failed(_))),
        waits = count(|health| matches!(health, Health::Waiting)),
        rows = rows,
    )
}

fn health(account: &AccountState) -> Health {
    let mut health = Health::Works;
    for slot in &account.slots {
        let state = slot.load();
        let one = match &state.last_attempt {
            None => Health::Waiting,
            Some(attempt) => match &attempt.failure {
                None => Health::Works,
                Some(error) => Health::Failed(format!(
                    "{}: {error}{}. To do: {}.",
                    error.reason,
                    match &error.request_id {
                        Some(id) => format!(" (RequestId {id})"),
                        None => String::new(),
                    },
                    error.reason.remedy()
                )),
            },
        };
        health = health.min(one);
    }
    health
}

/// `text` as HTML.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            char => html.push(char),
        }
    }
    html
}
