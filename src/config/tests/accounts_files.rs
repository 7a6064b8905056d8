//! Accounts that are in files of their own.

use std::path::Path;

use super::environment;
use crate::config::{Config, ConfigError};

/// A folder with the configuration `main` and further files.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(main: &str, files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("cwp.yml", main);
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn load(&self) -> Result<Config, ConfigError> {
        Config::load(Some(&self.0.path().join("cwp.yml")), &environment([]), &[])
    }

    fn names(&self) -> Vec<String> {
        let config = self.load().unwrap();
        config
            .accounts
            .iter()
            .map(|account| account.name.clone())
            .collect()
    }

    /// What is wrong, without the folder's path.
    fn problems(&self) -> String {
        let error = self.load().unwrap_err().to_string();
        error.replace(&format!("{}/", self.0.path().display()), "")
    }
}

#[test]
fn accounts_of_files_follow_those_of_the_configuration_in_the_order_of_paths() {
    let folder = Folder::new(
        "accounts_files: [a.d/*.yml, more.yml, 'a.d/[ab].yml']\naccounts: [{name: main}]",
        &[
            ("a.d/b.yml", "- name: b1\n- name: b2\n"),
            ("a.d/a.yml", "- {name: a, region: ap-x}"),
            ("a.d/c.yml", "# none yet\n"),
            ("a.d/.hidden.yml", "not: read"),
            ("a.d/a.txt", "not: read"),
            ("a.d/sub.yml/a.yml", "not: read"),
            ("more.yml", "- name: more"),
        ],
    );
    assert_eq!(folder.names(), ["main", "a", "b1", "b2", "more"]);
    let config = folder.load().unwrap();
    assert_eq!(config.warnings(), [""; 0]);
    assert_eq!(config.accounts[1].region.as_deref(), Some("ap-x"));
    folder.write("a.d/d.yml", "- name: new");
    assert_eq!(folder.names(), ["main", "a", "b1", "b2", "new", "more"]);
}

#[test]
fn a_folder_mounted_by_kubernetes_is_read_once() {
    let folder = Folder::new(
        "accounts_files: ['accounts.d/*', 'accounts.d/**/*.yml']",
        &[("accounts.d/..2026_11_26/a.yml", "- name: a")],
    );
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, folder.0.path().join("accounts.d").join(name)).unwrap();
    };
    link("..2026_11_26", "..data");
    link("..data/a.yml", "a.yml");
    assert_eq!(folder.names(), ["a"]);
}

#[test]
fn secrets_of_an_account_are_beside_the_file_that_names_them() {
    let folder = Folder::new(
        "accounts_files: [a.d/*.yml]",
        &[
            (
                "a.d/a.yml",
                "- {name: a, credentials: {type: static, secret_id: AKIDa, secret_key_file: a.key}}",
            ),
            ("a.d/a.key", "hunter2"),
        ],
    );
    let shown = format!("{:?}", folder.load().unwrap());
    let key = folder.0.path().join("a.d/a.key");
    assert!(shown.contains(key.to_str().unwrap()), "{shown}");
}

#[test]
fn a_pattern_without_a_match_is_a_warning_and_a_path_without_its_file_an_error() {
    let folder = Folder::new("accounts_files: [a.d/*.yml]", &[]);
    let config = folder.load().unwrap();
    assert!(config.accounts.is_empty());
    let [warning] = config.warnings().try_into().unwrap();
    assert!(
        warning.ends_with(
            "cwp.yml:1: accounts_files[0]: no file matches, so its accounts are missing; reload \
             the configuration when the files are there"
        ),
        "{warning}"
    );

    let folder = Folder::new("accounts_files: [d.yml]\naccounts: [{name: a}]", &[]);
    assert_eq!(
        folder.problems(),
        "cwp.yml: 1 problem\n  d.yml: cannot read the file: No such file or directory (os error \
         2); create the file, or correct the path"
    );
}

#[test]
fn problems_in_files_are_told_with_their_file_and_line() {
    let folder = Folder::new(
        "accounts_files: [a.d/*.yml, '***', 5]\naccounts:\n- name: main\n- name: other\n",
        &[
            ("a.d/a.yml", "- name: a\n- name: main\n- nam: b\n"),
            ("a.d/b.yml", "accounts:\n- name: c\n"),
            ("a.d/c.yml", "\n- name: a\n- {name: d, hunter2: [}"),
            ("a.d/d.yml", "- name: a\n  name: e\n"),
            ("a.d/e.yml", "- name: a"),
        ],
    );
    assert_eq!(
        folder.problems(),
        "cwp.yml: 9 problems
  cwp.yml:1: accounts_files[1]: not a pattern: wildcards are either regular `*` or recursive `**`; write a path in which `*` stands for any part of a name
  cwp.yml:1: accounts_files[2]: expected text, found a number; put it in quotes
  a.d/a.yml:2: [1].name: the same as `accounts[0].name` at cwp.yml:3; give each account a name of its own
  a.d/a.yml:3: [2].nam: unknown key; did you mean `name`?
  a.d/a.yml:3: [2].name: missing; give each account a name of its own
  a.d/b.yml:1: expected a list, found a map; begin each account with `- name:`, without `accounts:` above
  a.d/c.yml:3:22: not valid YAML: mismatched bracket '[' closed by '}'; correct this line or the line before
  a.d/d.yml:2: [0].name: the same key is on line 1 already; keep one of the two
  a.d/e.yml:1: [0].name: the same as `[0].name` at a.d/a.yml:1; give each account a name of its own"
    );
}

#[test]
fn a_variable_names_files_from_the_working_directory() {
    let folder = Folder::new("", &[("a.d/a.yml", "- name: a")]);
    let pattern = folder.0.path().join("a.d/*.yml");
    let variables = environment([("CWP_EXPORTER_ACCOUNTS_FILES__0", pattern.to_str().unwrap())]);
    let config = Config::load(None, &variables, &[]).unwrap();
    assert_eq!(config.accounts[0].name, "a");
    let variables = environment([("CWP_EXPORTER_ACCOUNTS_FILES__0", "Cargo.tom[l]")]);
    let error = Config::load(None, &variables, &[]).unwrap_err();
    assert!(error.to_string().contains("  Cargo.toml:"), "{error}");
    assert!(Path::new("Cargo.toml").exists());
}

#[test]
fn what_is_shown_has_the_accounts_and_says_where_they_are_from() {
    let folder = Folder::new(
        "accounts_files: [a.d/*.yml]\naccounts: [{name: main}]",
        &[("a.d/a.yml", "- name: a")],
    );
    let config = folder.load().unwrap();
    let shown = config.to_yaml().unwrap();
    let origin = format!(
        "# Accounts are also from {:?}",
        folder.0.path().join("a.d/a.yml")
    );
    assert!(shown.starts_with(&origin), "{shown}");
    let again = Folder::new(&shown, &[]);
    assert_eq!(again.names(), ["main", "a"]);

    let none = Folder::new("accounts_files: [a.d/*.yml]", &[]);
    let again = Folder::new(&none.load().unwrap().to_yaml().unwrap(), &[]);
    assert_eq!(again.names(), [""; 0]);
}
