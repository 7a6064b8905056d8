//! Reads `accounts_files`: patterns of files, each with more accounts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use glob::{MatchOptions, Pattern};

use super::super::path::{folder, path};
use super::super::problem::Fault;
use super::super::reader::{Reader, list, text};
use super::super::tree::{Node, Tree};
use super::super::yaml;
use crate::system::reading;

/// What of a pattern is not itself.
const WILDCARDS: [char; 3] = ['*', '?', '['];

/// As a shell matches: `*` is no `/`, and no dot at the start of a name. Where Kubernetes
/// mounts a ConfigMap, its own folders begin with two dots.
const AS_A_SHELL: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// The files that `node`, a list of patterns, names, in the order of their paths, and what
/// is in each. A pattern without a match is a warning: its files may be mounted later.
pub(super) fn read(reader: &mut Reader, node: Node<'_>) -> Vec<(Arc<Path>, Tree)> {
    let patterns = reader.value(Some(node), |node| {
        list(
            node,
            "begin each pattern with `- `, such as `- accounts.d/*.yml`",
        )
    });
    let mut paths = Vec::new();
    for pattern in patterns.into_iter().flatten() {
        let found = reader.value(Some(&pattern), |node| {
            reading::at(&search_path(node), || find(node))
        });
        let found = found.unwrap_or_default();
        if found.is_empty() && text(&pattern).is_ok_and(is_pattern) {
            let fault = Fault::new(
                "no file matches, so its accounts are missing",
                "reload the configuration when the files are there",
            );
            reader.warn(&pattern, fault);
        }
        paths.extend(found);
    }
    paths.sort();
    paths.dedup();
    let trees = paths.into_iter().filter_map(|path| {
        let path: Arc<Path> = path.into();
        match yaml::read_file(&path) {
            Ok(tree) => Some((path, tree)),
            Err(error) => {
                reader.problems.extend_from_slice(error.problems());
                None
            }
        }
    });
    trees.collect()
}

fn is_pattern(text: &str) -> bool {
    text.contains(WILDCARDS)
}

/// Where the files of a pattern are looked for, for messages.
fn search_path(node: &Node<'_>) -> PathBuf {
    folder(node).join(text(node).unwrap_or_default())
}

/// The files that a pattern names. A path without wildcards names one, there or not.
fn find(node: &Node<'_>) -> Result<Vec<PathBuf>, Fault> {
    let path = path(node)?;
    let written = text(node)?;
    if !is_pattern(written) {
        return Ok(vec![path]);
    }
    let folder = folder(node);
    let no_utf8 = || {
        Fault::new(
            "the path of the folder of this file is not UTF-8",
            "write the pattern with an absolute path",
        )
    };
    let pattern = if Path::new(written).is_absolute() || folder == Path::new("") {
        written.to_owned()
    } else {
        let folder = Pattern::escape(folder.to_str().ok_or_else(no_utf8)?);
        format!("{folder}/{written}")
    };
    let matches = glob::glob_with(&pattern, AS_A_SHELL).map_err(|error| {
        Fault::new(
            format!("not a pattern: {}", error.msg),
            "write a path in which `*` stands for any part of a name",
        )
    })?;
    let mut files = Vec::new();
    for found in matches {
        let path = found.map_err(|error| {
            Fault::new(
                format!("cannot look into a folder: {}", error.error()),
                "let the exporter's user read it",
            )
        })?;
        if !path.is_dir() {
            files.push(path);
        }
    }
    Ok(files)
}
