//! The configuration: a YAML file, and environment variables over it.
//!
//! The first part of an input is the file; each further part is `NAME=value`, where the
//! variable is `CWP_EXPORTER_NAME`.

use std::cell::RefCell;
use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use cwp_exporter::collectors;
use cwp_exporter::config::{Config, ConfigError, Environment};
use serde_json::Value;

use crate::input::{parts, text};
use crate::measure::{Bound, bounded};

/// A problem for each byte is text of some hundred bytes, sorted and copied.
const BOUND: Bound = Bound {
    bytes: 4 * 1024 * 1024,
    bytes_per_byte: 20_000,
};

pub fn run(input: &[u8]) {
    let mut parts = parts(input);
    let yaml = parts.next().unwrap_or_default();
    let variables = parts.filter_map(|part| {
        let part = text(part).replace('\0', "");
        let (name, value) = part.split_once('=')?;
        Some((
            format!("CWP_EXPORTER_{}", name.to_uppercase()),
            value.to_owned(),
        ))
    });
    let variables: Vec<(String, String)> = variables.collect();
    let config = bounded(input.len(), &BOUND, || load(yaml, &variables));
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            let shown = format!("{error} {error:?}");
            let is_in_a_name = variables.iter().any(|(name, _)| name.contains("HUNTER2"));
            let is_shown = shown.to_lowercase().contains("hunter2");
            assert!(is_in_a_name || has_key(yaml) || !is_shown, "{shown}");
            return;
        }
    };
    check_values(yaml, &variables, &config);

    // What is shown is a configuration that means the same.
    let shown = config.to_yaml().expect("every configuration can be shown");
    let again = load(shown.as_bytes(), &[]).unwrap_or_else(|error| panic!("{error}\n{shown}"));
    assert_eq!(again.to_yaml().expect("it was shown before"), shown);
    assert_eq!(again.poll, config.poll);
    assert_eq!(again.collectors, config.collectors);
    assert_eq!(again.api.endpoint, config.api.endpoint);
    assert_eq!(again.api.rate_limit, config.api.rate_limit);
    assert_eq!(again.api.max_in_flight, config.api.max_in_flight);
    assert_eq!(again.accounts.len(), config.accounts.len());
    for (again, before) in again.accounts.iter().zip(&config.accounts) {
        assert_eq!(
            (&again.name, &again.region, &again.labels, &again.endpoint),
            (
                &before.name,
                &before.region,
                &before.labels,
                &before.endpoint
            )
        );
    }
    // Variables with odd names are warned of, too, and are not shown.
    if variables.is_empty() {
        assert_eq!(again.warnings().len(), config.warnings().len(), "{shown}");
    }
}

fn load(yaml: &[u8], variables: &[(String, String)]) -> Result<Config, ConfigError> {
    let key = [
        ("TENCENTCLOUD_SECRET_ID", "AKIDfuzz"),
        ("TENCENTCLOUD_SECRET_KEY", "key"),
    ];
    let key = key.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let environment: Environment = variables.iter().cloned().chain(key).collect();
    with_file(yaml, |path| {
        Config::load(
            Some(path),
            &environment,
            &collectors::defaults(collectors::all()),
        )
    })
}

/// Whether the word that no error may show is part of a key, which errors may show.
pub fn has_key(yaml: &[u8]) -> bool {
    let yaml = text(yaml).to_lowercase();
    let mut places = yaml.match_indices("hunter2");
    places.any(|(at, word)| {
        let after = yaml[at + word.len()..].trim_start_matches(|char: char| {
            char.is_alphanumeric() || " \t\r\n\"'_-".contains(char)
        });
        after.starts_with(':') || yaml[..at].contains("? ")
    })
}

/// Calls `read` with the path of a file with this content.
pub fn with_file<T>(content: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    thread_local! {
        static FILE: RefCell<Option<(tempfile::NamedTempFile, PathBuf)>> = const { RefCell::new(None) };
    }
    FILE.with_borrow_mut(|file| {
        let (file, path) = file.get_or_insert_with(|| {
            let file = tempfile::NamedTempFile::new().expect("a folder for a file");
            let path = fs::canonicalize(file.path()).expect("the file is there");
            (file, path)
        });
        let file = file.as_file_mut();
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .expect("an empty file");
        file.write_all(content).expect("a written file");
        read(path)
    })
}

/// Where the file alone decides, the values are those that another reader finds.
fn check_values(yaml: &[u8], variables: &[(String, String)], config: &Config) {
    if !variables.is_empty() {
        return;
    }
    let yaml = String::from_utf8_lossy(yaml);
    let Ok(file) = serde_saphyr::from_str::<Value>(&yaml) else {
        return;
    };
    let accounts = file["accounts"].as_array();
    for (written, account) in accounts.into_iter().flatten().zip(&config.accounts) {
        if let Value::String(name) = &written["name"] {
            assert_eq!(*name, account.name);
        }
        if let Value::Object(labels) = &written["labels"] {
            for (name, value) in labels {
                if let Value::String(value) = value {
                    assert_eq!(account.labels.get(name), Some(value));
                }
            }
        }
    }
    if let Some(limit) = file["api"]["rate_limit"].as_u64() {
        assert_eq!(u64::from(config.api.rate_limit.get()), limit);
    }
}
