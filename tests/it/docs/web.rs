//! What the README says of the listener.

use std::collections::BTreeSet;

use clap::CommandFactory as _;
use cwp_exporter::commands::Cli;
use cwp_exporter::config::Environment;
use cwp_exporter::server::web_config::WebConfigFile;
use cwp_exporter::server::{
    ANSWER_MEMORY, HEAD_TIME, IDLE_TIME, MAX_HEAD, MAX_STREAMS, SEND_TIME, STALL_TIME,
    STALL_TIME_WHILE_OTHERS_WAIT,
};

use super::generated::{as_code, assert_table, assert_text};
use super::{UNKNOWN, code, readme};
use crate::web::Folder;

#[test]
fn the_limits_are_those_of_the_server() {
    let command = Cli::command();
    let default = |flag: &str| {
        let mut flags = command.get_arguments();
        let argument = flags.find(|argument| argument.get_long() == Some(flag));
        let values = argument.unwrap().get_default_values();
        format!("`--{flag}`, {}", values[0].display())
    };
    let seconds = |time: std::time::Duration| format!("{} s", time.as_secs());
    let head = format!("{} KiB, 100 headers", MAX_HEAD / 1024);
    let head_time = format!(
        "{} from its first byte, and from the opening of the connection for the first",
        seconds(HEAD_TIME)
    );
    let limits = [
        ("Open connections", default("web.max-connections")),
        (
            "Scrapes whose answers are not read yet",
            default("web.max-requests"),
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
                "{}, and {} while a scrape waits for a limit",
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
    let rows = limits.map(|(name, value)| [Some(name.to_owned()), Some(value), None]);
    assert_table("limits", rows);
}

#[test]
fn the_streams_of_a_connection_are_as_many_as_said() {
    assert_text("requests in a connection", &MAX_STREAMS.to_string());
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
    let mut known = BTreeSet::new();
    for section in known_keys("") {
        if section == "basic_auth_users" {
            known.insert(section);
            continue;
        }
        let keys = known_keys(&section).into_iter();
        known.extend(keys.map(|key| format!("{section}.{key}")));
    }
    // A text that may be inline is told with its file.
    let files: Vec<String> = known
        .iter()
        .filter(|key| key.ends_with("_file"))
        .cloned()
        .collect();
    let rows = known
        .iter()
        .filter(|key| !files.contains(&format!("{key}_file")));
    let rows = rows.map(|key| {
        let inline = key
            .strip_suffix("_file")
            .filter(|inline| known.contains(*inline));
        let name = inline.and_then(|inline| inline.split('.').next_back());
        let or = name.map_or(String::new(), |name| format!(" or `{name}`"));
        [Some(as_code(key) + &or), None, None]
    });
    assert_table("web keys", rows);

    let readme = readme();
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
        assert!(file.initial().tls.is_some() && !file.initial().users.is_empty());
    }
}
