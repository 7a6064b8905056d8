//! The container image.

use crate::harness::repository_file;

#[test]
fn the_image_is_of_this_version_built_with_a_rust_that_is_new_enough() {
    let text = repository_file("deploy/docker/Dockerfile");
    let version = concat!("image.version=\"", env!("CARGO_PKG_VERSION"), "\"");
    assert!(text.contains(version), "{version}");
    let description = concat!("\"", env!("CARGO_PKG_DESCRIPTION"), "\"");
    assert!(text.contains(description), "{description}");
    let repository = concat!("\nARG REPOSITORY=", env!("CARGO_PKG_REPOSITORY"), "\n");
    assert!(text.contains(repository), "{repository}");
    let rust = text.split("BUILDER=docker.io/library/rust:1.").nth(1);
    let minor: u32 = rust.unwrap().split('-').next().unwrap().parse().unwrap();
    let needed = env!("CARGO_PKG_RUST_VERSION").split('.').nth(1).unwrap();
    assert!(minor >= needed.parse().unwrap(), "Rust 1.{minor}");
}

#[test]
fn nothing_of_the_image_is_a_shell_and_its_user_is_a_number() {
    let text = repository_file("deploy/docker/Dockerfile");
    let (_, last) = text.rsplit_once("\nFROM ").unwrap();
    assert!(last.starts_with("scratch\n"));
    assert!(!last.contains("\nRUN "));
    assert!(last.contains("\nUSER 65532:65532\n"));
    assert!(last.contains("\nENTRYPOINT [\"/bin/cwp-exporter\"]\n"));
    assert!(last.contains("\nEXPOSE 10064\n"));
}
