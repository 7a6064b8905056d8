//! The web configuration: what it sets is what another reader finds in the file, and neither an
//! error nor debug output shows a line of a private key.

use std::path::Path;

use cwp_exporter::config::Environment;
use cwp_exporter::server::web_config::WebConfigFile;
use serde_json::Value;

use crate::config::{has_key, with_file};
use crate::input::text;
use crate::measure::{Bound, bounded};
use crate::written;

/// A problem for each byte is text of some hundred bytes, sorted and copied.
const BOUND: Bound = Bound {
    bytes: 4 * 1024 * 1024,
    bytes_per_byte: 20_000,
};

pub fn run(input: &[u8]) {
    let opened = with_file(input, |path| {
        bounded(input.len(), &BOUND, || {
            WebConfigFile::open(path, &Environment::default())
        })
    });
    let file = match opened {
        Ok(file) => file,
        Err(error) => {
            let shown = format!("{error} {error:?}");
            let may_show = has_key(input) || has_path(input);
            assert!(may_show || !shown.contains("hunter2"), "{shown}");
            assert!(!shows_key(input, &shown), "{shown}");
            return;
        }
    };
    let config = file.initial();
    let debugged = format!("{file:?}");
    assert!(!shows_key(input, &debugged), "{debugged}");
    for hash in config.users.values() {
        assert!(!debugged.contains(hash.text()), "{debugged}");
        assert!((4..=31).contains(&hash.cost()));
    }
    let Some(written) = written::accepted(&text(input)) else {
        return;
    };
    written::check_twice(&text(input), &written, |twice| {
        let open = |path: &Path| WebConfigFile::open(path, &Environment::default());
        with_file(twice.as_bytes(), open).is_ok()
    });
    let count = |value: &Value| value.as_object().map_or(0, serde_json::Map::len);
    assert_eq!(config.users.len(), count(&written["basic_auth_users"]));
    for (name, hash) in written["basic_auth_users"]
        .as_object()
        .into_iter()
        .flatten()
    {
        if let Some(hash) = hash.as_str() {
            assert!(hash.starts_with(config.users[name].text()));
        }
    }
    let headers = &written["http_server_config"]["headers"];
    assert!(config.headers.len() <= count(headers));
    for (name, value) in &config.headers {
        let written = headers.as_object().and_then(|headers| {
            headers
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name.as_str()))
        });
        let (_, written) = written.expect("the header is in the file");
        if let Some(written) = written.as_str() {
            assert_eq!(value.as_bytes(), written.as_bytes());
        }
    }
    if let Some(http2) = written["http_server_config"]["http2"].as_bool() {
        assert_eq!(config.http2, http2);
    }
    if config.tls.is_some() {
        assert!(!written["tls_server_config"].is_null());
    }
}

/// Whether a path in the file contains the marker of secrets: errors name paths.
fn has_path(input: &[u8]) -> bool {
    let written: Option<Value> = serde_saphyr::from_str(&text(input)).ok();
    let written = written.unwrap_or_default();
    let settings = written["tls_server_config"].as_object();
    settings.into_iter().flatten().any(|(name, path)| {
        let path = path.as_str().unwrap_or_default();
        name.ends_with("_file") && path.contains("hunter2")
    })
}

/// Whether a line of the private key in the file is part of `shown`.
fn shows_key(input: &[u8], shown: &str) -> bool {
    let input = text(input);
    let Some((_, key)) = input.split_once("BEGIN PRIVATE KEY-----") else {
        return false;
    };
    let key = key.split("-----END").next().unwrap_or_default();
    let mut lines = key.lines().map(str::trim);
    // What has another character may be the name of a key.
    let is_base64 = |line: &str| {
        line.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
    };
    lines.any(|line| line.len() >= 32 && is_base64(line) && shown.contains(line))
}
