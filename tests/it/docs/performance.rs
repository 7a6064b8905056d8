//! What the README says of the benchmarks: their commands, and the tables they print.

use std::collections::BTreeSet;

use super::{cells, code, readme};
use crate::harness::repository_file;

/// The names that `Cargo.toml` gives the benchmarks.
fn benchmarks() -> BTreeSet<String> {
    let manifest = repository_file("Cargo.toml");
    let tables = manifest.split("[[bench]]").skip(1);
    tables
        .map(|table| between(table, "name = \"", "\"").to_owned())
        .collect()
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    let (_, rest) = text.split_once(start).unwrap();
    rest.split_once(end).unwrap().0
}

/// The items of the list behind `start` in `source`, as a table shows them.
fn list(source: &str, start: &str) -> Vec<String> {
    let items = between(source, start, "]").split(',');
    items
        .map(|item| item.trim().trim_matches('"').replace('_', ""))
        .collect()
}

/// The literals with which `source` reports a figure: its name and its goal.
fn figures(source: &str) -> BTreeSet<(String, String)> {
    let reports = source.split("report(").skip(1);
    let reports = reports.filter_map(|report| {
        let (arguments, _) = report.split_once(");")?;
        let literals: Vec<&str> = arguments.split('"').skip(1).step_by(2).collect();
        let (name, goal) = (literals.first()?, literals.last()?);
        Some(((*name).to_owned(), (*goal).to_owned()))
    });
    reports.collect()
}

#[test]
fn every_benchmark_is_named_with_its_commands() {
    let page = repository_file("docs/performance.md");
    let commands = code(&page);
    let commands: BTreeSet<&str> = commands
        .into_iter()
        .filter(|code| code.starts_with("cargo bench"))
        .collect();
    let mut named = BTreeSet::new();
    for command in commands {
        let command = command.strip_prefix("cargo bench --bench ").unwrap();
        let (name, flags) = command.split_once(" -- ").unwrap_or((command, ""));
        named.insert(name.to_owned());
        let source = repository_file(&format!("tests/bench/{name}.rs"));
        assert!(flags.is_empty() || source.contains(&format!("\"{flags}\"")));
    }
    assert_eq!(named, benchmarks());
}

#[test]
fn the_tables_have_the_heads_and_rows_that_the_benchmarks_print() {
    let readme = readme();
    let serve = repository_file("tests/bench/serve.rs");
    let many = repository_file("tests/bench/serve/many.rs");
    let program = repository_file("tests/bench/program.rs");
    for (name, source) in [
        ("Accounts", &serve),
        ("Against node_exporter", &serve),
        ("Figure", &program),
    ] {
        let head = format!("| {name} | ");
        let heads = readme.text.lines().filter(|line| line.starts_with(&head));
        for head in heads {
            assert!(source.contains(head), "{head}");
            assert_eq!(cells(head)[0], name);
        }
    }
    let mut expected = Vec::new();
    for accounts in list(&serve, "for accounts in [") {
        for coding in list(&serve, "for coding in [") {
            for connections in list(&serve, "for connections in [") {
                expected.push([accounts.clone(), coding.clone(), connections]);
            }
        }
    }
    let rows = readme.rows("Accounts").into_iter();
    let rows: Vec<_> = rows
        .map(|row| [row[0].clone(), row[1].clone(), row[3].clone()])
        .collect();
    assert_eq!(rows, expected);

    let rows = readme.rows("Figure").into_iter();
    let rows: BTreeSet<_> = rows.map(|row| (row[0].clone(), row[2].clone())).collect();
    let printed = figures(&many);
    assert!(printed.len() > 5);
    assert!(printed.is_subset(&rows), "{printed:?}");
    let scale = figures(&repository_file("tests/bench/scale.rs"));
    let known = |row: &&(String, String)| !printed.contains(row) && !scale.contains(row);
    assert_eq!(rows.iter().find(known), None);
}
