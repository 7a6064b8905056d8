//! Tells the program which source revision and compiler it was built from.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=SOURCE_REVISION");
    // Outside a git checkout (a source archive, a vendored build) the packager says it.
    let revision =
        variable("SOURCE_REVISION").or_else(|| output("git", &["rev-parse", "--short=12", "HEAD"]));
    if let Some(head) = output("git", &["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&head).exists()
    {
        println!("cargo::rerun-if-changed={head}");
    }
    println!("cargo::rerun-if-changed=build.rs");

    let rustc = variable("RUSTC")
        .and_then(|rustc| output(&rustc, &["--version"]))
        .and_then(|line| line.split(' ').nth(1).map(str::to_owned));
    set("CWP_EXPORTER_REVISION", revision);
    set("CWP_EXPORTER_RUSTC", rustc);
}

#[expect(clippy::disallowed_methods, reason = "Cargo talks to us this way")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn set(name: &str, value: Option<String>) {
    let value = value.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env={name}={value}");
}

/// The trimmed output of a command that succeeded.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
