//! What the README says of the listener.

use std::collections::BTreeSet;

use cwp_exporter::config::Environment;
use cwp_exporter::server::web_config::WebConfigFile;
use cwp_exporter::server::{
    ANSWER_MEMORY, HEAD_TIME, IDLE_TIME, MAX_HEAD, MAX_STREAMS, SEND_TIME, STALL_TIME,
    STALL_TIME_WHILE_OTHERS_WAIT,
};

use super::{UNKNOWN, code, only_code, readme};
use crate::web::Folder;

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
            "Scrapes whose answers are not read yet",
            default("--web.max-requests"),
        ),
        (
            "Memory that answers hold until they are read",
            format!("{} MiB", ANSWER_MEMORY / 1024 / 1024),
        ),
        ("A request's line and headers", head),
        ("Time for a request's line and headers", head_time),
        ("Time between requests", seconds(IDLE_TIME)),
        (
            "Time in which a client accepts nothing of an answer",
            format!(
                "{}, and {} while",
                seconds(STALL_TIME),
                seconds(STALL_TIME_WHILE_OTHERS_WAIT)
            ),
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

#[test]
fn the_streams_of_a_connection_are_as_many_as_said() {
    let text = format!("at most {MAX_STREAMS} requests in a connection at a time");
    assert!(readme().text.contains(&text), "{text}");
}

/// The keys that a section of the web configuration may have: its own words on another.
fn known_keys(section: &str) -> BTreeSet<String> {
    let text = match section {
        "" => format!("{UNKNOWN}: 1"),
        section => format!("{section}: {{{UNKNOWN}: 1}}"),
    };
    let folder = Folder::new(&text);
    let error = WebConfigFile::open(&folder.path("web.yml"), &Environment::default()).unwrap_err();
    let words = error.to_string();
    let (_, keys) = words.split_once("use one of ").unwrap();
    let keys = keys.lines().next().unwrap().split(", ");
    keys.map(str::to_owned).collect()
}

#[test]
fn the_web_keys_are_those_that_the_program_knows() {
    let readme = readme();
    let mut documented = BTreeSet::new();
    for row in readme.rows("Web key") {
        let key = only_code(&row[0]);
        documented.insert(key.to_owned());
        // The inline text is told with the file.
        if let Some((section, file)) = key.split_once('.')
            && let Some(inline) = file.strip_suffix("_file")
        {
            assert!(code(&row[2]).contains(&inline), "{key}");
            documented.insert(format!("{section}.{inline}"));
        }
    }
    let mut known = BTreeSet::new();
    for section in known_keys("") {
        if section == "basic_auth_users" {
            known.insert(section);
            continue;
        }
        let keys = known_keys(&section).into_iter();
        known.extend(keys.map(|key| format!("{section}.{key}")));
    }
    assert_eq!(documented, known);
    let headers = readme.rows("Web key").into_iter();
    let mut headers = headers.filter(|row| row[0] == "`http_server_config.headers`");
    let headers: BTreeSet<String> = code(&headers.next().unwrap()[2])
        .into_iter()
        .map(str::to_owned)
        .collect();
    let folder = Folder::new(&format!(
        "http_server_config: {{headers: {{{UNKNOWN}: 1}}}}"
    ));
    let error = WebConfigFile::open(&folder.path("web.yml"), &Environment::default()).unwrap_err();
    for header in &headers {
        assert!(error.to_string().contains(header.as_str()), "{header}");
    }
}

#[test]
fn the_web_configuration_is_a_good_one() {
    let readme = readme();
    for snippet in readme.snippets("yaml web") {
        let folder = Folder::new(snippet);
        let file = WebConfigFile::open(&folder.path("web.yml"), &Environment::default()).unwrap();
        assert!(file.first().tls.is_some() && !file.first().users.is_empty());
    }
}
