//! The arrows between the rooms of `src` go one way: down the code map in `src/lib.rs`.

use std::path::{Path, PathBuf};

use crate::harness::repository_file;

/// The rooms in the order of the code map: `//! - [`name`]: …`.
fn code_map() -> Vec<String> {
    let source = repository_file("src/lib.rs");
    let entries = source
        .lines()
        .filter_map(|line| line.strip_prefix("//! - [`"));
    let rooms = entries.filter_map(|entry| entry.split_once("`]: "));
    rooms.map(|(room, _)| room.to_owned()).collect()
}

/// Every file of Rust below `folder` that is not only for tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| match path.is_dir() {
        true => sources(&path),
        false => vec![path],
    });
    let only_tests = ["fixture.rs", "scripted.rs", "tests.rs"];
    let files = files.filter(|path| {
        let is_test = path.components().any(|part| part.as_os_str() == "tests");
        let name = path.file_name().unwrap().to_str().unwrap();
        path.extension().is_some_and(|end| end == "rs") && !is_test && !only_tests.contains(&name)
    });
    files.collect()
}

/// The rooms that a line of code names as `crate::ROOM`.
fn named_rooms(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    let paths = code.split("crate::").skip(1);
    paths.filter_map(|path| {
        path.split(|char: char| !char.is_alphanumeric() && char != '_')
            .next()
    })
}

#[test]
fn every_arrow_points_down_the_code_map() {
    let map = code_map();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut up, mut arrows) = (Vec::new(), 0);
    for (floor, room) in map.iter().enumerate() {
        for path in sources(&src.join(room)) {
            let source = std::fs::read_to_string(&path).unwrap();
            // What stands behind is a test, which may use what it likes.
            let code = source
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default();
            for line in code.lines() {
                for named in named_rooms(line) {
                    let used = map.iter().position(|entry| entry == named);
                    arrows += 1;
                    if used.is_none_or(|used| used < floor) {
                        up.push(format!("{}: {}", path.display(), line.trim()));
                    }
                }
            }
        }
    }
    assert!(arrows > 100, "the sources are not read: {arrows} arrows");
    assert_eq!(up, Vec::<String>::new(), "arrows that point up");
}

#[test]
fn the_code_map_names_every_entry_of_src_once() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let entries = src.read_dir().unwrap();
    let entries = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut entries: Vec<String> = entries.collect();
    entries.sort();
    let mut map = code_map();
    map.extend(["lib.rs".to_owned(), "main.rs".to_owned()]);
    map.sort();
    assert_eq!(
        map, entries,
        "left: the code map, right: the entries of src"
    );
}
