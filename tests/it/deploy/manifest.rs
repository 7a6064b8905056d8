//! What Cargo.toml promises.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::{files_below, repository};

const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

#[test]
fn every_url_of_the_repository_is_the_one_in_cargo_toml() {
    let (host, name) = ("https://github.com/", "/cwp-exporter");
    assert!(REPOSITORY.starts_with(host) && REPOSITORY.ends_with(name));

    let folders = [".github", "deploy", "docs", "grafana", "src"].map(repository);
    let mut files: Vec<PathBuf> = folders.iter().flat_map(|path| files_below(path)).collect();
    let top = repository("").read_dir().unwrap();
    files.extend(
        top.map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file()),
    );
    let mut found = 0;
    for file in files {
        // A picture is no text.
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        for rest in text.split(host).skip(1) {
            let Some(owner) = rest
                .find('/')
                .filter(|slash| rest[*slash..].starts_with(name))
            else {
                continue;
            };
            let url = format!("{host}{}{name}", &rest[..owner]);
            assert_eq!(url, REPOSITORY, "{}", file.display());
            found += 1;
        }
    }
    assert!(found >= 5, "{found}");
}

#[test]
fn no_crate_needs_a_newer_rust_than_this_one() {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version=1"])
        .current_dir(repository(""))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let minor = |version: &str| -> u32 { version.split('.').nth(1).unwrap().parse().unwrap() };
    let ours = minor(env!("CARGO_PKG_RUST_VERSION"));
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100);
    for package in packages {
        if let Some(needed) = package["rust_version"].as_str() {
            assert!(
                minor(needed) <= ours,
                "{} needs Rust {needed}",
                package["name"]
            );
        }
    }
}
