//! The configuration: a YAML file, files with more accounts, and environment variables over it.
//!
//! The first part of an input is the file. Each further part is `NAME=value`, where the
//! variable is `CWP_EXPORTER_NAME`, or the name of a file of [`MORE`] and, from the next line
//! on, that file.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cwp_exporter::collectors;
use cwp_exporter::config::{Config, ConfigError, Environment};
use serde_json::Value;

use crate::input::{first_line, parts, text};
use crate::measure::{Bound, bounded};
use crate::written::{self, Number, Period, Setting};

/// The files with more accounts that there can be.
const MORE: [&str; 2] = ["a.yml", "b.yml"];

/// A problem for each byte is text of some hundred bytes, sorted and copied.
const BOUND: Bound = Bound {
    bytes: 4 * 1024 * 1024,
    bytes_per_byte: 20_000,
};

pub fn run(input: &[u8]) {
    let mut parts = parts(input);
    let yaml = parts.next().unwrap_or_default();
    if looks_elsewhere(yaml) {
        return;
    }
    let mut variables = Vec::new();
    let mut more = BTreeMap::new();
    for part in parts {
        let (name, content) = first_line(part);
        if let Some(name) = MORE.into_iter().find(|known| known.as_bytes() == name) {
            more.insert(name, content);
        } else if let Some((name, value)) = text(part).replace('\0', "").split_once('=') {
            let name = format!("CWP_EXPORTER_{}", name.to_uppercase());
            variables.push((name, value.to_owned()));
        }
    }
    let files = Files { yaml, more };
    let config = bounded(input.len(), &BOUND, || load(&files, &variables));
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            let shown = format!("{error} {error:?}");
            let is_in_a_name = variables.iter().any(|(name, _)| name.contains("HUNTER2"));
            let is_shown = shown.to_lowercase().contains("hunter2");
            let is_key = has_key(yaml) || files.more.values().any(|yaml| has_key(yaml));
            assert!(is_in_a_name || is_key || !is_shown, "{shown}");
            return;
        }
    };
    if variables.is_empty() {
        check_values(&files, &config);
    }

    // What is shown is a configuration that means the same.
    let shown = config.to_yaml().expect("every configuration can be shown");
    let again =
        load(&Files::one(shown.as_bytes()), &[]).unwrap_or_else(|error| panic!("{error}\n{shown}"));
    // The comments say where accounts were from.
    let (_, meant) = shown.split_at(shown.find("poll:").expect("all of it is shown"));
    assert_eq!(again.to_yaml().expect("it was shown before"), meant);
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
        let of_files = |warning: &&String| warning.contains("accounts_files");
        let warnings = config.warnings().iter().filter(|it| !of_files(it)).count();
        assert_eq!(again.warnings().len(), warnings, "{shown}");
    }
}

/// Whether a pattern of files could leave the folder, and search the whole machine.
fn looks_elsewhere(yaml: &[u8]) -> bool {
    let yaml = text(yaml);
    let after = yaml.split_once("accounts_files").map(|(_, after)| after);
    after.is_some_and(|after| {
        ["..", "**", "\\"].iter().any(|it| after.contains(it)) || has_root(after)
    })
}

/// Whether a slash begins some text.
fn has_root(yaml: &str) -> bool {
    let mut slashes = yaml.match_indices('/');
    slashes.any(|(at, _)| {
        !yaml[..at].ends_with(|char: char| char.is_ascii_alphanumeric() || char == '/')
    })
}

/// What is in the folder of the configuration.
struct Files<'a> {
    yaml: &'a [u8],
    /// The files with more accounts, by name.
    more: BTreeMap<&'static str, &'a [u8]>,
}

impl<'a> Files<'a> {
    fn one(yaml: &'a [u8]) -> Self {
        let more = BTreeMap::new();
        Self { yaml, more }
    }
}

fn load(files: &Files<'_>, variables: &[(String, String)]) -> Result<Config, ConfigError> {
    let key = [
        ("TENCENTCLOUD_SECRET_ID", "AKIDfuzz"),
        ("TENCENTCLOUD_SECRET_KEY", "key"),
    ];
    let key = key.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let environment: Environment = variables.iter().cloned().chain(key).collect();
    with_files(files, |path| {
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
    with_files(&Files::one(content), read)
}

/// Calls `read` with the path of the configuration, in a folder with these files.
fn with_files<T>(files: &Files<'_>, read: impl FnOnce(&Path) -> T) -> T {
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a folder");
        /// The names of the files that are there.
        static THERE: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    }
    FOLDER.with(|folder| {
        let write = |name: &str, content: &[u8]| {
            fs::write(folder.path().join(name), content).expect("a written file");
        };
        // Some file systems bring a file to the disk at once when it is written over, which takes
        // milliseconds. So each file is a new one.
        for name in THERE.take() {
            fs::remove_file(folder.path().join(name)).expect("the file is there");
        }
        for (name, content) in &files.more {
            write(name, content);
        }
        write("main", files.yaml);
        THERE.set(files.more.keys().copied().chain(["main"]).collect());
        read(&folder.path().join("main"))
    })
}

/// The texts of a list of patterns that another reader finds, as far as the names of the files
/// that these match are known here.
fn matched(patterns: &Value, files: &Files<'_>) -> Option<Vec<&'static str>> {
    let patterns = patterns.as_array().map_or(&[][..], Vec::as_slice);
    let mut names = Vec::new();
    for pattern in patterns {
        match pattern.as_str()? {
            "*.yml" | "?.yml" | "[ab].yml" => names.extend(files.more.keys()),
            other => names.push(MORE.into_iter().find(|name| *name == other)?),
        }
    }
    names.sort_unstable();
    names.dedup();
    Some(names)
}

/// The setting with this path, by the tables of the documentation.
fn setting(path: &str) -> Option<Setting> {
    Some(match path {
        "poll.interval" | "poll.timeout" | "poll.max_age" => Period,
        "api.rate_limit" => Number(1, u32::MAX.into()),
        "api.max_in_flight" => Number(1, 100_000),
        _ => match path.strip_prefix("collectors.")?.split_once('.')?.1 {
            "interval" | "max_age" => Period,
            "max_rows" => Number(0, 100_000),
            _ => return None,
        },
    })
}

/// Where the file alone decides, the values are those that another reader finds.
fn check_values(files: &Files<'_>, config: &Config) {
    let read = |yaml: &[u8]| written::accepted(&text(yaml));
    let Some(file) = read(files.yaml) else {
        return;
    };
    written::check_twice(&text(files.yaml), &file, |twice| {
        load(&Files::one(twice.as_bytes()), &[]).is_ok()
    });
    written::check_settings(&text(files.yaml), file.clone(), setting, |changed| {
        load(&Files::one(changed.as_bytes()), &[]).is_ok()
    });
    let Some(names) = matched(&file["accounts_files"], files) else {
        return;
    };
    let more = names.iter().map(|name| read(files.more.get(name)?));
    let Some(more) = more.collect::<Option<Vec<Value>>>() else {
        return;
    };
    let lists = [&file["accounts"]].into_iter().chain(&more);
    let accounts: Vec<&Value> = lists.filter_map(Value::as_array).flatten().collect();
    if !accounts.is_empty() {
        assert_eq!(accounts.len(), config.accounts.len());
    }
    for (written, account) in accounts.into_iter().zip(&config.accounts) {
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
    let poll = &file["poll"];
    for (written, found) in [
        (&poll["interval"], config.poll.interval),
        (&poll["timeout"], config.poll.timeout),
    ] {
        if let Some(duration) = written::duration(written) {
            assert_eq!(found, duration, "{written}");
        }
    }
}
