//! The files that operators copy. What they mean to the tools of operators is checked by
//! `tests/deploy/run` with those tools; here it is what they mean to this program.

mod chart;
mod compose;
mod image;
mod manifest;
mod unit;

use std::path::{Path, PathBuf};

use cwp_exporter::collectors;
use cwp_exporter::commands::Cli;
use cwp_exporter::commands::doctor::Policy;
use cwp_exporter::config::{Api, Config, Environment, Poll};
use serde_json::Value;

use crate::harness::repository_file;

/// A path of this repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Every file below `folder`.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() && !path.is_symlink() {
            true => files_below(&path),
            false => vec![path],
        })
        .collect()
}

/// The YAML documents in `text`.
fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

/// Asserts that these are arguments of this program.
fn assert_arguments<'a>(arguments: impl IntoIterator<Item = &'a str>) {
    let arguments: Vec<&str> = ["cwp-exporter"].into_iter().chain(arguments).collect();
    if let Err(error) = Cli::read(&arguments) {
        panic!("{arguments:?}: {error}");
    }
}

/// What the configuration `text` means where `folder`, in which it has its keys, has a
/// file `secret_id` and a file `secret_key`.
fn load(text: &str, folder: &str) -> Config {
    let place = tempfile::tempdir().unwrap();
    for file in ["secret_id", "secret_key"] {
        std::fs::write(place.path().join(file), "key").unwrap();
    }
    let path = place.path().join("cwp-exporter.yml");
    std::fs::write(&path, text.replace(folder, place.path().to_str().unwrap())).unwrap();
    Config::load(Some(&path), &Environment::default(), &[]).unwrap()
}

#[test]
fn the_example_configuration_loads_and_says_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cwp-exporter.yml");
    let example = repository_file("deploy/cwp-exporter.example.yml");
    std::fs::write(&path, &example).unwrap();
    std::fs::write(folder.path().join("production.key"), "key").unwrap();
    let defaults = collectors::defaults(collectors::all());
    let config = Config::load(Some(&path), &Environment::default(), &defaults).unwrap();
    for each in defaults {
        assert_eq!(config.collectors[each.name], each.settings);
    }
    assert_eq!(config.poll, Poll::default());
    assert_eq!(config.api, Api::default());
    assert_eq!(config.accounts.len(), 2);

    // Every key of these sections is shown, those without a default as a comment.
    for key in ["interval", "timeout", "max_age", "proxy_url", "ca_file"] {
        assert!(example.contains(&format!("{key}: ")), "{key} is not shown");
    }
}

#[test]
fn the_policy_allows_what_the_collectors_do_and_no_more() {
    let all = collectors::all();
    for (file, collectors) in [
        ("deploy/cam-policy.json", all),
        ("deploy/cam-policy-least.json", &all[..1]),
    ] {
        let policy: Value = serde_json::from_str(&repository_file(file)).unwrap();
        let needed = Policy::of(collectors.iter().copied());
        assert_eq!(policy, serde_json::to_value(needed).unwrap(), "{file}");
    }
}
