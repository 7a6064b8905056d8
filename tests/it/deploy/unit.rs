//! The systemd unit, and what the package puts beside it.

use std::collections::BTreeSet;

use cwp_exporter::config::{Config, Environment};

use super::{assert_arguments, load, repository};
use crate::harness::repository_file;

/// The settings of a unit file, as `Key=value`.
fn settings(unit: &str) -> BTreeSet<String> {
    let text = repository_file(unit);
    let lines = text.lines().filter(|line| !line.starts_with(['#', '[']));
    lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_unit_starts_the_program_with_the_configuration_of_the_package() {
    let settings = settings("deploy/systemd/cwp-exporter.service");
    let start = settings
        .iter()
        .find_map(|line| line.strip_prefix("ExecStart=/usr/bin/cwp-exporter "))
        .unwrap();
    assert_arguments(start.split(' ').filter(|word| *word != "$ARGS"));
    assert!(start.contains("--config.file=/etc/cwp-exporter/cwp-exporter.yml"));
    assert!(start.contains("--state.dir=/var/lib/cwp-exporter"));
    for setting in [
        "Type=notify",
        "WatchdogSec=30",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "DynamicUser=yes",
        "StateDirectory=cwp-exporter",
        "LoadCredential=keys:/etc/cwp-exporter/keys",
        "ConfigurationDirectory=cwp-exporter/keys",
    ] {
        assert!(settings.contains(setting), "the unit has no {setting}");
    }
}

/// With `RestartSec` alone, a failing service was started for ever.
#[test]
fn the_unit_gives_up_a_service_that_cannot_start() {
    let settings = settings("deploy/systemd/cwp-exporter.service");
    let number = |key: &str| -> u64 {
        let values = settings.iter().filter_map(|line| line.strip_prefix(key));
        let values: Vec<u64> = values.map(|value| value.parse().unwrap()).collect();
        assert_eq!(values.len(), 1, "{key}");
        values[0]
    };
    let pause = number("RestartSec=");
    assert!(pause * number("StartLimitBurst=") < number("StartLimitIntervalSec="));
    assert!(settings.contains("Restart=on-failure"));
    // The exit code of wrong usage and of a wrong configuration.
    assert!(settings.contains("RestartPreventExitStatus=2"));
}

#[test]
fn the_configuration_of_the_package_works_as_it_is_and_with_its_comments_taken_away() {
    let path = repository("deploy/package/cwp-exporter.yml");
    let config = Config::load(Some(&path), &Environment::default(), &[]).unwrap();
    assert_eq!(config.accounts.len(), 1);

    let text = repository_file("deploy/package/cwp-exporter.yml");
    let text = text
        .replace("  # - name", "  - name")
        .replace("  #   ", "    ");
    let keys = "/run/credentials/cwp-exporter.service/keys_";
    assert_eq!(text.matches(keys).count(), 2);
    let text = text.replace(keys, "/keys/");
    assert_eq!(load(&text, "/keys").accounts.len(), 2);
}

#[test]
fn the_socket_is_at_the_usual_port_for_a_service_that_is_told_of_it() {
    let settings = settings("deploy/systemd/socket/cwp-exporter.socket");
    assert!(settings.contains("ListenStream=10064"));
    assert_arguments(["--web.systemd-socket"]);
}
