//! Whatever is written, nothing panics and nothing that may be a secret shows.

use super::{check_text, environment, fixtures, load_text};
use crate::config::{Config, Environment};

#[test]
fn odd_texts_neither_panic_nor_leak() {
    let deep_list = "[".repeat(100_000);
    let deep_map = "hunter2: {".repeat(10_000);
    let bomb = "a: &a [hunter2,hunter2]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    let good = std::fs::read_to_string(fixtures().join("good.yml")).unwrap();
    let odd = std::fs::read_to_string(fixtures().join("odd.json")).unwrap();
    let mut texts: Vec<String> = serde_json::from_str(&odd).unwrap();
    texts.extend([deep_list, deep_map, bomb.to_owned()]);
    // A good text cut off anywhere, and with a character replaced anywhere.
    for (index, (at, c)) in good.char_indices().enumerate() {
        let (before, after) = (&good[..at], &good[at + c.len_utf8()..]);
        texts.push(before.to_owned());
        let odd = ["\"", "[", "\t", "\n"].get(index % 4).unwrap();
        texts.push(format!("{before}{odd}{after}"));
    }
    for text in texts {
        let shown = match check_text(&text, &environment([])) {
            Ok(config) => format!("{config:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(
            !shown.contains("hunter2"),
            "{text}
{shown}"
        );
    }
}

#[test]
fn odd_variables_neither_panic_nor_leak() {
    let deep = "[".repeat(100_000);
    for value in [
        deep.as_str(),
        "[]",
        "{}",
        "[hunter2, {a=[hunter2]}]",
        "{0=hunter2}",
        "{\"[0]\"=hunter2}",
        "'h'",
        "\"hunter2",
        "true",
        "-1.5",
        "\0",
    ] {
        for name in [
            "CWP_EXPORTER___",
            "CWP_EXPORTER_POLL__",
            "CWP_EXPORTER_POLL__INTERVAL",
            "CWP_EXPORTER_API__PROXY_URL",
            "CWP_EXPORTER_ACCOUNTS__0",
            "CWP_EXPORTER_ACCOUNTS__99999999999999999999999",
            "CWP_EXPORTER_ACCOUNTS__0__LABELS",
            "CWP_EXPORTER_ACCOUNTS__0__CREDENTIALS",
            "CWP_EXPORTER_ACCOUNTS__0__CREDENTIALS__TYPE",
            "CWP_EXPORTER_ACCOUNTS__0__CREDENTIALS__SECRET_ID",
        ] {
            let shown = match Config::load(None, &environment([(name, value)]), &[]) {
                Ok(config) => format!("{config:?}"),
                Err(error) => error.to_string(),
            };
            assert!(!shown.contains("hunter2"), "{name}={value}\n{shown}");
        }
    }
}

#[test]
fn debug_of_what_is_right_shows_no_secret() {
    let yaml =
        "accounts: [{name: a, credentials: {type: static, secret_id: hunter2, secret_key_env: K}}]";
    let environment = Environment::from([("K", "hunter2")]);
    let config: Config = load_text(yaml, &environment).unwrap();
    assert!(!format!("{config:?} {environment:?}").contains("hunter2"));
}

#[test]
fn nothing_that_does_not_print_is_in_a_message() {
    let odd = r"a\nb\x1b[31m\u202eb\u2028\x00";
    for yaml in [
        format!("\"{odd}\": 1"),
        format!("accounts: [{{\"[{odd}\": 1}}]"),
        format!("accounts: [{{name: a, labels: {{\"{odd}\": b}}}}]"),
        format!("accounts: [{{name: a, credentials: {{type: \"{odd}\"}}}}]"),
        format!("accounts: [{{name: a, region: \"{odd}\"}}]"),
        format!("api: {{endpoint: \"http://{odd}\", ca_file: \"{odd}\"}}"),
        "accounts: [{name: a, credentials: {\"[Hunter2Hunter2]\": 1, type: env}}]".to_owned(),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("odd\n\u{202e}name.yml");
        std::fs::write(&file, &yaml).unwrap();
        let error = Config::load(Some(&file), &environment([]), &[]).unwrap_err();
        let shown = error.to_string();
        assert_eq!(
            shown.lines().count(),
            1 + error.problems().len(),
            "{shown:?}"
        );
        let is_odd = |c: char| c != '\n' && (c.is_control() || "\u{202e}\u{2028}".contains(c));
        assert!(!shown.contains(is_odd), "{shown:?}");
        assert!(!shown.contains("Hunter2"), "{shown}");
    }
    let variables = environment([("CWP_EXPORTER_POLL__A\n\u{202e}", "1")]);
    let error = Config::load(None, &variables, &[]).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 2, "{error:?}");
    let variables = environment([("CWP_EXPORTER_API_ENDPOINT\n\u{202e}", "x")]);
    let warnings = Config::load(None, &variables, &[]).unwrap().warnings();
    assert!(
        warnings[0].contains(r"CWP_EXPORTER_API_ENDPOINT\n\u{202e} sets"),
        "{warnings:?}"
    );
}
