//! What documents take from the code. It stands between `<!-- NAME -->` and `<!-- end -->`,
//! and `UPDATE_EXPECT=1 cargo test --test it docs` writes it anew.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use expect_test::expect_file;

use super::cells;
use crate::harness::{documents, repository_file, repository_path};

/// Held while a document is compared or written, as several tests write to one.
static DOCUMENT: Mutex<()> = Mutex::new(());

/// Compares what stands at the mark `name` with what `make` makes of it.
fn assert_generated(name: &str, make: impl FnOnce(&str) -> String) {
    let _alone = DOCUMENT.lock().unwrap_or_else(PoisonError::into_inner);
    let start = format!("<!-- {name} -->");
    let mut documents = documents().into_iter();
    let document = documents.find_map(|(path, text)| {
        let (before, behind) = text.split_once(&start)?;
        let (old, behind) = behind.split_once("<!-- end -->")?;
        Some((path, [before, old, behind].map(str::to_owned)))
    });
    let (path, [before, old, behind]) = document.unwrap_or_else(|| panic!("where is {start}?"));
    let text = format!("{before}{start}{}<!-- end -->{behind}", make(&old));
    expect_file![repository_path(&path)].assert_eq(&text);
}

/// Compares a text in a sentence.
pub(super) fn assert_text(name: &str, text: &str) {
    assert_generated(name, |_| text.to_owned());
}

/// Compares words in a sentence.
pub(super) fn assert_words(name: &str, words: &[&str], last: &str) {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    let (end, start) = words.split_last().unwrap();
    assert_text(name, &format!("{} {last} {end}", start.join(", ")));
}

/// Compares the rows of a table. Where a row has no cell, the document has prose, which is
/// kept, as are the order of the rows and the table's head.
pub(super) fn assert_table<const COLUMNS: usize>(
    name: &str,
    rows: impl IntoIterator<Item = [Option<String>; COLUMNS]>,
) {
    let mut silent = Vec::new();
    assert_generated(&format!("table: {name}"), |old| {
        let (head, old): (Vec<&str>, Vec<&str>) = {
            let mut lines = old.trim().lines();
            (lines.by_ref().take(2).collect(), lines.collect())
        };
        let old: Vec<Vec<String>> = old.into_iter().map(cells).collect();
        let rows = rows.into_iter().map(|row| {
            let place = old.iter().position(|old| old.first() == row[0].as_ref());
            let prose = |column: usize| old.get(place?)?.get(column).cloned();
            let last_prose = row.iter().rposition(Option::is_none);
            let cells = row.into_iter().enumerate();
            let row: Vec<String> = cells
                .map(|(column, cell)| cell.or_else(|| prose(column)).unwrap_or_default())
                .collect();
            if last_prose.is_some_and(|column| row[column].is_empty()) {
                silent.push(row[0].clone());
            }
            (place.unwrap_or(usize::MAX), row)
        });
        let mut rows: Vec<(usize, Vec<String>)> = rows.collect();
        rows.sort_by_key(|(place, _)| *place);
        let rows = rows.iter().map(|(_, row)| {
            let cells = row.iter().map(|cell| match cell.as_str() {
                "" => "| ".to_owned(),
                cell => format!("| {cell} "),
            });
            cells.collect::<String>() + "|\n"
        });
        format!("\n{}\n{}", head.join("\n"), rows.collect::<String>())
    });
    assert_eq!(silent, Vec::<String>::new(), "describe them in {name}");
}

/// `text` as code; nothing if it is empty.
pub(super) fn as_code(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    format!("`{text}`")
}

#[test]
fn every_mark_is_that_of_a_test() {
    let tests = [
        "docs.rs",
        "docs/alerts.rs",
        "docs/formats.rs",
        "docs/status.rs",
        "docs/web.rs",
    ];
    let tests = tests
        .map(|file| repository_file(&format!("tests/it/{file}")))
        .concat();
    let pages = documents().into_iter().map(|(_, text)| text);
    let pages: String = pages.collect();
    let marks = pages.split("<!-- ").skip(1);
    let marks = marks.map(|mark| mark.split(" -->").next().unwrap());
    let marks: Vec<&str> = marks.filter(|mark| *mark != "end").collect();
    let once: BTreeSet<&str> = marks.iter().copied().collect();
    assert_eq!(once.len(), marks.len(), "a mark stands twice");
    for mark in marks {
        let name = mark.strip_prefix("table: ").unwrap_or(mark);
        assert!(tests.contains(&format!("\"{name}\"")), "{mark}");
    }
}
