//! What a file may hold, and what is wrong with it as a text.

use std::path::Path;

use super::{environment, fixtures, load_text};
use crate::config::{Config, Credentials};

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Config::load(Some(Path::new("/nowhere/c.yml")), &environment([]), &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nowhere/c.yml: 1 problem
  /nowhere/c.yml: cannot read the file: No such file or directory (os error 2); create the file, or correct the path"
    );
    let below_a_file = Path::new("/dev/null/c.yml");
    let error = Config::load(Some(below_a_file), &environment([]), &[]).unwrap_err();
    assert!(
        error.to_string().ends_with("or correct the path"),
        "{error}"
    );
    let error = Config::load(Some(&fixtures()), &environment([]), &[]).unwrap_err();
    assert!(error.to_string().ends_with("; name a file"), "{error}");
}

#[test]
fn a_file_that_is_no_utf8_is_told_as_such() {
    let utf16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    for (bytes, message) in [
        (
            utf16("\u{feff}poll: {}\n"),
            "the file is UTF-16, or is not text",
        ),
        (utf16("poll: {}\n"), "the file is UTF-16, or is not text"),
        (utf16("\u{feff}"), "the file is UTF-16, or is not text"),
        (
            b"\xfe\xff\0p".to_vec(),
            "the file is UTF-16, or is not text",
        ),
        (
            b"poll: {}\n# caf\xe9\n".to_vec(),
            "line 2 is not UTF-8 text",
        ),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let error = Config::load(Some(file.path()), &environment([]), &[]).unwrap_err();
        let problem = error.problems()[0].to_string();
        let expected = format!(
            "{}: {message}; save the file as UTF-8",
            file.path().display()
        );
        assert_eq!(problem, expected);
    }
}

#[test]
fn a_key_that_is_there_twice_is_told_with_both_lines_wherever_it_is() {
    let yaml = "poll:\n  interval: 1m\n  interval: 2m\naccounts:\n- name: a\n  labels: {x: a, y: b, x: c}\n\
                - name: b\n  credentials:\n    type: env\n\n    type: env\npoll: {}\n";
    let error = load_text(yaml, &environment([])).unwrap_err().to_string();
    let told: Vec<&str> = error
        .lines()
        .skip(1)
        .map(|line| line.split_once(':').unwrap().1)
        .collect();
    assert_eq!(
        told,
        [
            "3: poll.interval: the same key is on line 2 already; keep one of the two",
            "6: accounts[0].labels.x: the same key is on line 6 already; keep one of the two",
            "11: accounts[1].credentials.type: the same key is on line 9 already; keep one of the two",
            "12: poll: the same key is on line 1 already; keep one of the two",
        ]
    );
}

#[test]
fn null_counts_as_absent() {
    let plain = Config::load(None, &environment([]), &[]).unwrap();
    for yaml in [
        "",
        "# nothing\n",
        "---\n",
        "~",
        "{}",
        "\u{feff}poll:\r\n  interval:\r\n",
        "poll: {interval: ~}\napi:\naccounts: null\n",
    ] {
        assert_eq!(
            load_text(yaml, &environment([])).unwrap(),
            plain,
            "{yaml:?}"
        );
    }
}

#[test]
fn anchors_and_merge_keys_work() {
    let yaml = "accounts:\n- &a\n  name: a\n  labels: &l {x: y}\n  credentials: &c {type: env}\n\
                - {<<: *a, name: b}\n- name: c\n  labels: *l\n  credentials: *c\n";
    let config = load_text(yaml, &environment([])).unwrap();
    assert!(
        config
            .accounts
            .iter()
            .all(|account| account.labels.get("x").is_some_and(|x| x == "y"))
    );
    assert_eq!(config.accounts.len(), 3);
}

#[test]
fn any_number_of_accounts_may_share_one_anchor() {
    // A limit of ten aliases for each anchor, which the library has, counts from 100 on.
    for count in [100, 10_000] {
        let mut yaml = "poll: {interval: 24h}\naccounts:\n\
                        - {name: first, credentials: &c {type: env}}\n"
            .to_owned();
        for n in 0..count {
            yaml += &format!("- {{name: a{n}, credentials: *c}}\n");
        }
        let config = load_text(&yaml, &environment([])).unwrap();
        assert_eq!(config.accounts.len(), count + 1);
        let mut accounts = config.accounts.iter();
        assert!(accounts.all(|account| account.credentials == Credentials::Env));
    }
}

#[test]
fn a_file_may_be_as_long_as_it_has_accounts() {
    // More than 250,000 nodes, 50,000 anchors and aliases, 10,000 merge keys, 10 aliases for
    // each anchor, and a million values that aliases stand for: limits that there were.
    let mut yaml = "poll: {interval: 24h}\naccounts:\n\
                    - &first {name: first, labels: &labels {a: x, b: x, c: x, d: x, e: x, f: x, g: x, h: x}}\n"
        .to_owned();
    for n in 0..30_000 {
        yaml += &format!(
            "- &a{n} {{<<: *first, name: &n{n} a{n}, labels: *labels, region: ap-x, endpoint: https://x}}\n"
        );
    }
    let config = load_text(&yaml, &environment([])).unwrap();
    assert_eq!(config.accounts.len(), 30_001);
    let last = config.accounts.last().unwrap();
    assert_eq!((last.name.as_str(), last.labels.len()), ("a29999", 8));
}

#[test]
fn the_limits_that_remain_are_told_as_such() {
    let flow = |depth| format!("accounts: {}{}", "[".repeat(depth), "]".repeat(depth));
    let block: String = (0..40)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    for deep in [flow(17), flow(300), flow(100_000), block] {
        let error = load_text(&deep, &environment([])).unwrap_err().to_string();
        assert!(
            error.contains("maps and lists are nested more than 16 deep; nest less"),
            "{error}"
        );
    }
    for (yaml, problem) in [
        (
            "poll: {<<: 5}",
            "the value of `<<` is not a map; write an alias",
        ),
        (
            "poll: &a {b: *a}",
            "an alias (`*name`) is inside the value of its own anchor",
        ),
        (
            "? [a]\n: b",
            "a key of a map is itself a map or a list; write",
        ),
    ] {
        let error = load_text(yaml, &environment([])).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
    let mut bomb = "x0: &x0 [1,1,1,1,1,1,1,1,1,1]\n".to_owned();
    for level in 1..10 {
        let below = format!("*x{},", level - 1).repeat(10);
        bomb += &format!("x{level}: &x{level} [{below}]\n");
    }
    let error = load_text(&bomb, &environment([])).unwrap_err().to_string();
    assert!(
        error.contains("the aliases (`*name`) stand for more than"),
        "{error}"
    );
}
