//! The pages in Chinese say what the English ones say. A test cannot read Chinese: it compares
//! what is the same in both languages, and says which English page has changed since its
//! Chinese page was written. The end of each Chinese page names the state of the English one:
//! `<!-- PATH DIGEST -->`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use expect_test::expect_file;
use sha2::{Digest as _, Sha256};

use super::{cells, code};
use crate::harness::{documents, repository_file, repository_path};

/// The English pages, other than runbooks, that operators need in Chinese.
const NEEDED: [&str; 9] = [
    "README.md",
    "docs/README.md",
    "docs/alerts.md",
    "docs/configuration.md",
    "docs/credentials.md",
    "docs/kubernetes.md",
    "docs/operations.md",
    "docs/platforms.md",
    "docs/upgrading.md",
];

/// The headings of a runbook.
const HEADINGS: [&str; 4] = ["含义", "不处理的后果", "处理步骤", "如何静默"];

/// The names of the pages in a folder.
fn names(folder: &str) -> BTreeSet<String> {
    let entries = repository_path(folder).read_dir().unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".md")).collect()
}

/// The path of each page in Chinese, and that of the English page that it renders.
fn paths() -> BTreeMap<String, String> {
    let mut paths = BTreeMap::from([("README.zh-CN.md".to_owned(), "README.md".to_owned())]);
    for folder in ["docs", "deploy/runbooks"] {
        for name in names(&format!("{folder}/zh")) {
            paths.insert(format!("{folder}/zh/{name}"), format!("{folder}/{name}"));
        }
    }
    paths
}

/// Every page in Chinese: its path and its text.
pub(super) fn pages() -> Vec<(String, String)> {
    let read = |path: String| {
        let text = repository_file(&path);
        (path, text)
    };
    paths().into_keys().map(read).collect()
}

/// The fenced blocks of a page, without the indent of the list that they stand in.
fn snippets(text: &str) -> Vec<String> {
    let mut snippets = Vec::new();
    let mut lines = text.lines();
    while let Some(start) = lines.find(|line| line.trim_start().starts_with("```")) {
        let indent = &start[..start.len() - start.trim_start().len()];
        let inside = |line: &str| line.strip_prefix(indent).unwrap_or(line).to_owned();
        let block = lines.by_ref().take_while(|line| line.trim() != "```");
        let block: Vec<String> = [start].into_iter().chain(block).map(inside).collect();
        snippets.push(block.join("\n"));
    }
    snippets
}

/// The rows of a page's tables that begin with code: what is code in each cell but the last,
/// which has prose.
fn rows(text: &str) -> Vec<Vec<String>> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|row| {
        let mut cells = cells(row);
        cells.pop();
        let words = cells.iter().map(|cell| code(cell).join(" "));
        words.collect()
    });
    rows.collect()
}

#[test]
fn what_operators_need_is_there_in_both_languages() {
    let written: BTreeSet<String> = paths().into_values().collect();
    let runbooks = names("deploy/runbooks").into_iter();
    let needed = runbooks.map(|name| format!("deploy/runbooks/{name}"));
    let needed: BTreeSet<String> = needed.chain(NEEDED.map(str::to_owned)).collect();
    let missing: Vec<&String> = needed.difference(&written).collect();
    assert_eq!(missing, Vec::<&String>::new(), "not there in Chinese");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let alone = written.iter().filter(|path| !root.join(path).exists());
    let alone: Vec<&String> = alone.collect();
    assert_eq!(alone, Vec::<&String>::new(), "not there in English");
}

#[test]
fn no_page_has_moved_on_in_one_language_only() {
    let mut moved_on = Vec::new();
    for (path, english) in paths() {
        let digest = base16ct::lower::encode_string(&Sha256::digest(repository_file(&english)));
        let text = repository_file(&path);
        let (words, _) = text.rsplit_once("<!-- ").unwrap_or((&text, ""));
        let current = format!("{words}<!-- {english} {} -->\n", &digest[..12]);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            expect_file![repository_path(&path)].assert_eq(&current);
        } else if text != current {
            moved_on.push(english);
        }
    }
    assert_eq!(
        moved_on,
        Vec::<String>::new(),
        "say what is new in Chinese too, then set UPDATE_EXPECT=1"
    );
}

#[test]
fn the_snippets_and_tables_are_the_same_in_both_languages() {
    for (path, english) in paths() {
        let (chinese, english) = (repository_file(&path), repository_file(&english));
        let (shown, known) = (snippets(&chinese), snippets(&english));
        if path == "README.zh-CN.md" {
            // It introduces what its readers need first, in its own order.
            let foreign: Vec<&String> = shown.iter().filter(|each| !known.contains(each)).collect();
            assert_eq!(foreign, Vec::<&String>::new(), "{path}");
            continue;
        }
        assert_eq!(shown, known, "{path}");
        assert_eq!(rows(&chinese), rows(&english), "{path}");
    }
}

#[test]
fn the_chinese_pages_name_only_what_the_english_pages_name() {
    let english = documents().into_iter().map(|(_, text)| text);
    let runbooks = names("deploy/runbooks").into_iter();
    let runbooks = runbooks.map(|name| repository_file(&format!("deploy/runbooks/{name}")));
    let english: String = english.chain(runbooks).collect();
    for (path, text) in pages() {
        let mut is_code = false;
        let prose = text.lines().filter(|line| {
            let is_fence = line.trim_start().starts_with("```");
            is_code ^= is_fence;
            !is_code && !is_fence
        });
        for line in prose {
            for word in code(line) {
                assert!(english.contains(word), "{path}: {word}");
            }
        }
    }
}

#[test]
fn the_runbooks_have_the_same_four_parts() {
    for (path, text) in pages() {
        let Some(name) = path.strip_prefix("deploy/runbooks/zh/") else {
            continue;
        };
        let name = name.trim_end_matches(".md");
        assert!(text.starts_with(&format!("# {name}\n")), "{path}");
        let parts = text.split("\n## ").skip(1);
        let headings: Vec<&str> = parts.map(|part| part.lines().next().unwrap()).collect();
        assert_eq!(headings, HEADINGS, "{path}");
    }
}

#[test]
fn the_glossary_has_the_words_of_the_dashboards() {
    let words = repository_file("grafana/zh.yml");
    let words: BTreeMap<String, String> = serde_saphyr::from_str(&words).unwrap();
    // Without the marks that the dashboards put before a state, and the word behind it.
    let plain = |text: &str| {
        let text = text.trim_start_matches(['✖', '▲', '…', ' ']);
        text.split('（').next().unwrap().to_owned()
    };
    let words: BTreeMap<String, String> = words
        .iter()
        .map(|(english, chinese)| (plain(english), plain(chinese)))
        .collect();
    let mut compared = 0;
    for row in repository_file("docs/glossary.md").lines() {
        if !row.starts_with("| ") {
            continue;
        }
        let row = cells(row);
        if let Some(chinese) = words.get(&row[0]) {
            assert_eq!(&row[1], chinese, "{}", row[0]);
            compared += 1;
        }
    }
    assert!(compared > 15, "{compared}");
}
