//! Tells the program which source revision and compiler it was built from.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_REVISION");
    // Outside a git checkout (a source archive, a vendored build) the packager says it.
    let revision = variable("SOURCE_REVISION").or_else(checked_out);
    set("CWP_EXPORTER_REVISION", revision);
    set("CWP_EXPORTER_RUSTC", compiler());
}

/// The commit that is checked out, read from Git's files, as there may be no Git.
fn checked_out() -> Option<String> {
    // Git appends to it whenever another commit is checked out.
    if Path::new(".git/logs/HEAD").exists() {
        println!("cargo::rerun-if-changed=.git/logs/HEAD");
    }
    let head = text(".git/HEAD")?;
    let commit = match head.strip_prefix("ref: ") {
        None => head.clone(),
        Some(branch) => text(&format!(".git/{branch}")).or_else(|| packed(branch))?,
    };
    Some(commit.get(..12)?.to_owned())
}

/// The commit of a branch that has no file of its own.
fn packed(branch: &str) -> Option<String> {
    let branches = text(".git/packed-refs")?;
    let mut branches = branches.lines().filter_map(|line| line.split_once(' '));
    let (commit, _) = branches.find(|(_, name)| *name == branch)?;
    Some(commit.to_owned())
}

fn text(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

/// The version of the compiler, which only the compiler knows.
fn compiler() -> Option<String> {
    let output = Command::new(variable("RUSTC")?).arg("--version").output();
    let line = String::from_utf8(output.ok()?.stdout).ok()?;
    line.split(' ').nth(1).map(str::to_owned)
}

#[expect(clippy::disallowed_methods, reason = "Cargo talks to us this way")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn set(name: &str, value: Option<String>) {
    let value = value.filter(|value| !value.is_empty());
    let value = value.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env={name}={value}");
}
