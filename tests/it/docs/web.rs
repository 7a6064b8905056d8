//! What the README says of the listener.

use cwp_exporter::server::{HEAD_TIME, IDLE_TIME, MAX_HEAD, SEND_TIME, STALL_TIME};

use super::readme;

#[test]
fn the_limits_are_those_of_the_server() {
    let readme = readme();
    let limits: Vec<(&str, &str)> = readme
        .rows("Limit")
        .into_iter()
        .map(|row| (row[0].as_str(), row[1].as_str()))
        .collect();
    // The defaults of flags are checked against the flags' own table.
    let default = |flag: &str| {
        let row = readme
            .rows("Flag")
            .into_iter()
            .find(|row| row[0].contains(flag));
        format!("`{flag}`, {}", row.unwrap()[1].trim_matches('`'))
    };
    let seconds = |time: std::time::Duration| format!("{} s", time.as_secs());
    let head = format!("{} KiB, 100 headers", MAX_HEAD / 1024);
    let head_time = format!("{} from its first byte", seconds(HEAD_TIME));
    let expected = [
        ("Open connections", default("--web.max-connections")),
        (
            "Scrapes that are being answered",
            default("--web.max-requests"),
        ),
        ("A request's line and headers", head),
        ("Time for a request's line and headers", head_time),
        ("Time between requests", seconds(IDLE_TIME)),
        (
            "Time in which a client accepts nothing of an answer",
            seconds(STALL_TIME),
        ),
        (
            "Time for a client to accept all of an answer",
            seconds(SEND_TIME),
        ),
        ("A request's body", String::new()),
    ];
    assert_eq!(limits.len(), expected.len());
    for ((name, value), (expected_name, expected_value)) in limits.iter().zip(&expected) {
        assert_eq!(name, expected_name);
        assert!(value.starts_with(expected_value), "{name}: {value}");
    }
}
