//! Variables that look like a misspelt one of ours, and would be ignored without a word.

use super::environment::Environment;
use super::layers::PREFIX;
use super::read::{ACCOUNT_KEYS, API_KEYS, POLL_KEYS, credential_keys};
use crate::system::spelling::likely_meant;

/// Stands for the number of an item of a list.
const ITEM: char = '#';

/// A warning for each variable that differs from one of ours by underscores, capitals or a
/// letter or two only.
///
/// Silent are those that Kubernetes sets for a Service of our name, such as
/// `CWP_EXPORTER_PORT_10064_TCP_ADDR`. A variable with `__` after the prefix is read as a
/// setting: a wrong one is an error.
pub(super) fn warnings(environment: &Environment) -> Vec<String> {
    let settings = settings();
    let names = environment.iter().filter(|(name, value)| {
        let is_read = name
            .strip_prefix(PREFIX)
            .is_some_and(|key| key.contains("__"));
        !value.trim().is_empty() && !is_read && !is_of_kubernetes(name)
    });
    let warnings = names.filter_map(|(name, _)| {
        let meant = meant(name, &settings)?;
        Some(format!(
            "the environment variable {name} sets nothing and is ignored; did you mean {meant}?"
        ))
    });
    warnings.collect()
}

/// The variable of each setting, with [`ITEM`] for numbers.
fn settings() -> Vec<String> {
    let of = |section: &'static str, keys: &[&'static str]| {
        let keys = keys.iter();
        let names = keys.map(|key| format!("{PREFIX}{section}__{}", key.to_uppercase()));
        names.collect::<Vec<String>>()
    };
    let mut settings = of("POLL", POLL_KEYS);
    settings.extend(of("API", API_KEYS));
    settings.push(format!("{PREFIX}ACCOUNTS_FILES__{ITEM}"));
    settings.extend(of("ACCOUNTS__#", ACCOUNT_KEYS));
    settings.extend(of("ACCOUNTS__#__CREDENTIALS", &credential_keys()));
    settings
}

/// The setting that `name` is likely meant to set.
fn meant(name: &str, settings: &[String]) -> Option<String> {
    // A name that differs from all of them needs no comparison.
    let upper = name.to_ascii_uppercase();
    if !upper.starts_with("CWP") && !upper.contains("EXPORTER") {
        return None;
    }
    let mut numbers = name.split(|c: char| !c.is_ascii_digit());
    let number = numbers.find(|digits| !digits.is_empty()).unwrap_or("0");
    let written = name.replace(|c: char| c.is_ascii_digit(), "");
    let setting = likely_meant(&written, settings.iter().map(String::as_str))?;
    Some(setting.replace(ITEM, number))
}

/// Whether Kubernetes sets a variable of this form for a Service.
fn is_of_kubernetes(name: &str) -> bool {
    let mut words = name.split('_');
    words.any(|word| word == "PORT") || name.contains("_SERVICE_HOST")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(name: &str) -> Option<String> {
        let warnings = warnings(&Environment::from([(name, "x")]));
        assert!(warnings.len() <= 1, "{warnings:?}");
        warnings.into_iter().next()
    }

    #[test]
    fn a_variable_that_misses_one_of_ours_by_little_is_told_with_the_right_name() {
        for (name, meant) in [
            ("CWP_EXPORTER_API_ENDPOINT", "CWP_EXPORTER_API__ENDPOINT"),
            ("CWP_EXPORTER_API_ENDPIONT", "CWP_EXPORTER_API__ENDPOINT"),
            ("CWP_EXPORTER_POLL_INTERVALL", "CWP_EXPORTER_POLL__INTERVAL"),
            ("CWP_EXPORTER_POLL_MAXAGE", "CWP_EXPORTER_POLL__MAX_AGE"),
            (
                "CWPEXPORTER_API__RATE_LIMIT",
                "CWP_EXPORTER_API__RATE_LIMIT",
            ),
            (
                "CWP_EXPORTR_API__RATE_LIMIT",
                "CWP_EXPORTER_API__RATE_LIMIT",
            ),
            (
                "CWP_EXPORTER_ACCOUNTS_FILES",
                "CWP_EXPORTER_ACCOUNTS_FILES__0",
            ),
            (
                "CWP_EXPORTER_ACCOUNT_FILES_2",
                "CWP_EXPORTER_ACCOUNTS_FILES__2",
            ),
            ("cwp_exporter_api__ca_file", "CWP_EXPORTER_API__CA_FILE"),
            (
                "CWP_EXPORTER_ACCOUNTS_2_NAME",
                "CWP_EXPORTER_ACCOUNTS__2__NAME",
            ),
            (
                "CWP_EXPORTER_ACCOUNTS_10_CREDENTIALS_SECRET_KEY_FILE",
                "CWP_EXPORTER_ACCOUNTS__10__CREDENTIALS__SECRET_KEY_FILE",
            ),
        ] {
            let warning = warning(name).unwrap_or_else(|| panic!("{name}"));
            assert!(
                warning.contains(&format!("{name} sets nothing")),
                "{warning}"
            );
            assert!(
                warning.ends_with(&format!("did you mean {meant}?")),
                "{warning}"
            );
        }
    }

    #[test]
    fn variables_of_kubernetes_and_of_others_are_silent() {
        for name in [
            "CWP_EXPORTER_PORT",
            "CWP_EXPORTER_SERVICE_HOST",
            "CWP_EXPORTER_SERVICE_PORT",
            "CWP_EXPORTER_SERVICE_PORT_HTTP",
            "CWP_EXPORTER_PORT_10064_TCP",
            "CWP_EXPORTER_PORT_10064_TCP_ADDR",
            "CWP_EXPORTER_API_SERVICE_HOST",
            // Of a Service `cwp-exporter-api-end`, one letter from `api.endpoint`.
            "CWP_EXPORTER_API_END_PORT",
            "CWP_EXPORTER_API_PORT_443_UDP_PROTO",
            "CWP_EXPORTER_API__ENDPOINT",
            "CWP_EXPORTER_VERSION",
            "CWP_EXPORTER_IMAGE",
            "PATH",
            "API_ENDPOINT",
            "CWP",
            "ÄÖ",
        ] {
            assert_eq!(warning(name), None, "{name}");
        }
        let empty = Environment::from([("CWP_EXPORTER_API_ENDPOINT", " ")]);
        assert!(warnings(&empty).is_empty());
    }
}
