//! Variables that look like a misspelt one of ours, and would be ignored without a word.

use super::environment::Environment;
use super::layers::PREFIX;
use super::read::{ACCOUNT_KEYS, API_KEYS, POLL_KEYS, credential_keys};

/// How long a name must be for each letter that may be wrong.
const LETTERS_FOR_ONE_WRONG: usize = 8;

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

/// The variable of each setting; of an account, the first one's.
fn settings() -> Vec<String> {
    let of = |section: &'static str, keys: &[&'static str]| {
        let keys = keys.iter();
        let names = keys.map(|key| format!("{PREFIX}{section}__{}", key.to_uppercase()));
        names.collect::<Vec<String>>()
    };
    let mut settings = of("POLL", POLL_KEYS);
    settings.extend(of("API", API_KEYS));
    settings.push(format!("{PREFIX}ACCOUNTS_FILES__0"));
    settings.extend(of("ACCOUNTS__0", ACCOUNT_KEYS));
    settings.extend(of("ACCOUNTS__0__CREDENTIALS", &credential_keys()));
    settings
}

/// The setting that `name` is likely meant to set.
fn meant(name: &str, settings: &[String]) -> Option<String> {
    let written = plain(name);
    // What is far from all of them needs no comparison.
    let start = written.get(..3)?;
    if start != "CWP" && !written.contains("EXPORTER") {
        return None;
    }
    let number: String = written.chars().filter(char::is_ascii_digit).collect();
    let written = written.replace(|c: char| c.is_ascii_digit(), "");
    let allowed = written.len() / LETTERS_FOR_ONE_WRONG;
    let distances = settings.iter().filter_map(|setting| {
        let setting_plain = plain(setting).replace('0', "");
        let far = setting_plain.len().abs_diff(written.len()) > allowed;
        let distance = (!far).then(|| strsim::damerau_levenshtein(&written, &setting_plain))?;
        (distance <= allowed.min(2)).then_some((distance, setting))
    });
    let (_, setting) = distances.min_by_key(|(distance, _)| *distance)?;
    let number = if number.is_empty() { "0" } else { &number };
    Some(setting.replacen("__0__", &format!("__{number}__"), 1))
}

/// The name without underscores, hyphens and the difference of capitals.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_ascii_alphanumeric());
    letters.map(|c| c.to_ascii_uppercase()).collect()
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
