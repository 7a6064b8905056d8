//! The README's commands that deploy the program: what they name is there.

use std::path::Path;

use cwp_exporter::commands::Cli;
use serde_json::Value;

use super::readme;
use crate::harness::repository_file;

const IMAGE: &str = concat!("cwp-exporter:", env!("CARGO_PKG_VERSION"));
/// What the names of a release's files begin with.
const NAME: &str = concat!("cwp-exporter-", env!("CARGO_PKG_VERSION"));
const CHART: &str = "deploy/helm/cwp-exporter";

/// The values behind `flag`, which is followed by a space or `=`.
fn values<'a>(words: &[&'a str], flag: &str) -> Vec<&'a str> {
    let behind = words.windows(2).filter(|pair| pair[0] == flag);
    let joined = words.iter().filter_map(|word| {
        let value = word.strip_prefix(flag)?;
        value.strip_prefix('=')
    });
    behind.map(|pair| pair[1]).chain(joined).collect()
}

fn assert_file(path: &str, line: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    assert!(path.exists(), "`{line}` names {}", path.display());
}

fn assert_arguments(arguments: &[&str], line: &str) {
    let arguments = ["cwp-exporter"].iter().chain(arguments);
    if let Err(error) = Cli::read(arguments) {
        panic!("`{line}` is no command of ours: {error}");
    }
}

#[test]
fn the_commands_that_deploy_name_what_is_there() {
    let readme = readme();
    let chart = repository_file("deploy/helm/cwp-exporter/values.yaml");
    for line in readme
        .snippets("sh deployment")
        .iter()
        .flat_map(|text| text.lines())
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        let words = words.strip_prefix(&["sudo"]).unwrap_or(&words);
        match words {
            ["docker", "build", ..] => {
                assert_file(values(words, "--file")[0], line);
                assert_eq!(values(words, "--tag"), [IMAGE], "{line}");
                for argument in values(words, "--build-arg") {
                    let name = format!("ARG {}=", argument.split('=').next().unwrap());
                    let file = repository_file(values(words, "--file")[0]);
                    assert!(file.contains(&name), "{line}");
                }
            }
            ["docker", "run", ..] => {
                let image = words.iter().position(|word| *word == IMAGE);
                assert_arguments(&words[image.expect(line) + 1..], line);
            }
            ["docker", "compose", .., "up"] => {
                let file = repository_file(values(words, "--file")[0]);
                for profile in values(words, "--profile") {
                    let profile = format!("profiles: [{profile}]\n");
                    assert!(file.contains(&profile), "{line}");
                }
            }
            ["docker", "compose", .., "logs", "--follow", service] => {
                let file = repository_file(values(words, "--file")[0]);
                assert!(file.contains(&format!("\n  {service}:\n")), "{line}");
            }
            ["tar", "-xzf", archive] => {
                assert_eq!(*archive, format!("target/dist/{NAME}.linux-amd64.tar.gz"));
            }
            [program, arguments @ ..] if program.ends_with("/cwp-exporter") => {
                assert_eq!(*program, format!("{NAME}.linux-amd64/cwp-exporter"));
                assert_arguments(arguments, line);
            }
            ["install", "-m", "644", files @ .., folder] => {
                let stack = repository_file("deploy/compose/compose.yml");
                let folder = folder.strip_prefix("deploy/compose/").expect(line);
                for file in files {
                    let secret = format!("{file}: {{file: ./{folder}{file}}}\n");
                    assert!(stack.contains(&secret), "{line}");
                }
            }
            ["kubectl", "apply", ..] => assert_file(values(words, "--filename")[0], line),
            ["kubectl", .., "create", "secret", "generic", name, _, _] => {
                assert!(
                    chart.contains(&format!("existingSecret: {name}\n")),
                    "{line}"
                );
                for file in values(words, "--from-file") {
                    let path = format!("/etc/cwp-exporter/keys/{file}\n");
                    assert!(chart.contains(&path), "{line}");
                }
            }
            ["helm", "install" | "upgrade", _, folder, ..] => {
                assert_eq!(*folder, CHART, "{line}");
                let values_of_chart: Value = serde_saphyr::from_str(&chart).unwrap();
                for setting in values(words, "--set") {
                    let (key, _) = setting.split_once('=').unwrap();
                    let key = format!("/{}", key.replace('.', "/"));
                    assert!(values_of_chart.pointer(&key).is_some(), "{line}: {key}");
                }
            }
            ["apt-get", "install", package] => {
                let version = env!("CARGO_PKG_VERSION");
                let name = format!("./target/dist/cwp-exporter_{version}-1_amd64.deb");
                assert_eq!(*package, name);
            }
            ["rpm", "--install", package] => {
                assert_eq!(*package, format!("target/dist/{NAME}-1.x86_64.rpm"));
            }
            ["install", "-m", "600", .., folder] => {
                let unit = repository_file("deploy/systemd/cwp-exporter.service");
                let folder = folder.trim_end_matches('/');
                assert!(
                    unit.contains(&format!("LoadCredential=keys:{folder}\n")),
                    "{line}"
                );
            }
            [
                "echo",
                setting,
                "|",
                "sudo",
                "tee",
                "/etc/default/cwp-exporter",
            ] => {
                let flags = setting.trim_matches('\'').strip_prefix("ARGS=").unwrap();
                assert_arguments(&[flags.trim_matches('"')], line);
            }
            [
                "systemctl",
                "start" | "stop" | "restart" | "reload",
                "cwp-exporter",
            ]
            | [
                "systemctl",
                "enable",
                "--now",
                "cwp-exporter" | "cwp-exporter.socket",
            ]
            | ["kubectl", "create", "namespace", "monitoring"]
            | [
                "helm",
                "--namespace",
                "monitoring",
                "test",
                "cwp-exporter",
                "--logs",
            ]
            | ["deploy/release/build"]
            | ["mkdir", ".cargo"]
            | [
                "cargo",
                "vendor",
                "--locked",
                "vendor",
                ">.cargo/config.toml",
            ] => {}
            _ => panic!("what is `{line}`?"),
        }
    }
}
