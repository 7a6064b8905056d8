//! Tells the program which source revision and compiler it was built from, and the linker
//! how to make it smaller.

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

    if is_for_this_machine() {
        if understands_packed_relocations() {
            println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        }
        if has_static_unwinder() {
            println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
        }
    }
}

/// Whether the target is this machine, and GNU/Linux.
fn is_for_this_machine() -> bool {
    variable("CARGO_CFG_TARGET_OS").as_deref() == Some("linux")
        && variable("CARGO_CFG_TARGET_ENV").as_deref() == Some("gnu")
        && variable("HOST") == variable("TARGET")
}

/// Whether the C compiler brings the part of its library that unwinds. To load the whole
/// library takes a twentieth of the time of a start.
fn has_static_unwinder() -> bool {
    let library = output("cc", &["-print-file-name=libgcc_eh.a"]);
    library.is_some_and(|library| Path::new(&library).is_file())
}

/// Whether the C library loads programs whose relocations are packed, which saves hundreds
/// of kilobytes. That is asked of this machine's, so it must be the target's as well.
fn understands_packed_relocations() -> bool {
    let version = output("getconf", &["GNU_LIBC_VERSION"]);
    let minor = version.and_then(|text| text.strip_prefix("glibc 2.")?.parse::<u32>().ok());
    minor.is_some_and(|minor| minor >= 36)
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
