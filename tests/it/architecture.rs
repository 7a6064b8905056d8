//! The arrows between modules go one way: down the code map in `src/lib.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::harness::repository_file;

/// Where a module uses another: file and line.
type Uses = BTreeMap<(String, String), String>;

/// A piece of Rust that matters here.
#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Mark(char),
}

/// Splits Rust into words and marks, each with its line. Comments and literals are left out.
fn tokens(source: &str) -> Vec<(usize, Token)> {
    let chars: Vec<char> = source.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or_default();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut index = 0;
    while index < chars.len() {
        let start = index;
        let c = at(index);
        if c == '/' && at(index + 1) == '/' {
            while index < chars.len() && at(index) != '\n' {
                index += 1;
            }
        } else if c == '/' && at(index + 1) == '*' {
            let mut depth = 0;
            loop {
                match (at(index), at(index + 1)) {
                    ('/', '*') => depth += 1,
                    ('*', '/') => depth -= 1,
                    _ => {
                        index += 1;
                        continue;
                    }
                }
                index += 2;
                if depth == 0 || index >= chars.len() {
                    break;
                }
            }
        } else if c == '"' {
            index += 1;
            while index < chars.len() && at(index) != '"' {
                index += if at(index) == '\\' { 2 } else { 1 };
            }
            index += 1;
        } else if c == '\'' {
            // A character, or a lifetime such as `'a`.
            if at(index + 1) == '\\' {
                index += 3;
                while at(index) != '\'' {
                    index += 1;
                }
                index += 1;
            } else if at(index + 2) == '\'' {
                index += 3;
            } else {
                index += 1;
            }
        } else if is_word(c) {
            while is_word(at(index)) {
                index += 1;
            }
            let word: String = chars[start..index].iter().collect();
            let hashes = (index..).take_while(|index| at(*index) == '#').count();
            if word.ends_with('r') && word.len() <= 2 && at(index + hashes) == '"' {
                // A raw string: to the quote that as many hashes follow.
                index += hashes + 1;
                let closes = |index: usize| {
                    at(index) == '"' && (1..=hashes).all(|offset| at(index + offset) == '#')
                };
                while index < chars.len() && !closes(index) {
                    index += 1;
                }
                index += hashes + 1;
            } else {
                tokens.push((line, Token::Word(word)));
            }
        } else {
            if !c.is_whitespace() {
                tokens.push((line, Token::Mark(c)));
            }
            index += 1;
        }
        let end = index.min(chars.len());
        line += chars[start..end].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

/// Removes what is compiled for tests only: the item behind each `#[cfg(test)]`.
fn without_tests(tokens: &[(usize, Token)]) -> Vec<(usize, Token)> {
    let marks = "#[cfg(test)]";
    let begins = |index: usize| {
        let text: String = tokens[index..]
            .iter()
            .take(7)
            .map(|(_, token)| match token {
                Token::Word(word) => word.clone(),
                Token::Mark(mark) => mark.to_string(),
            })
            .collect();
        text == marks
    };
    let mut kept = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        if !begins(index) {
            kept.push(tokens[index].clone());
            index += 1;
            continue;
        }
        let mut depth = 0;
        index += 7;
        while let Some((_, token)) = tokens.get(index) {
            index += 1;
            match token {
                Token::Mark('{' | '(' | '[') => depth += 1,
                Token::Mark(close @ ('}' | ')' | ']')) => {
                    depth -= 1;
                    if depth == 0 && *close == '}' {
                        break;
                    }
                }
                Token::Mark(';' | ',') if depth == 0 => break,
                _ => {}
            }
        }
    }
    kept
}

/// The top-level modules that `source` names, each with its line. `depth` is 1 in a
/// top-level module's own file, 2 in its children's, and so on.
fn named_modules(source: &str, depth: usize) -> Vec<(usize, String)> {
    let tokens = without_tests(&tokens(source));
    let word = |index: usize| match tokens.get(index) {
        Some((_, Token::Word(word))) => word.as_str(),
        _ => "",
    };
    let mark = |index: usize, expected: char| matches!(tokens.get(index), Some((_, Token::Mark(found))) if *found == expected);
    let colons = |index: usize| mark(index, ':') && mark(index + 1, ':');

    let mut found = Vec::new();
    // The modules in braces that we are in, by how deep the braces are.
    let mut inside = Vec::new();
    let mut braces = 0;
    for (index, (_, token)) in tokens.iter().enumerate() {
        match token {
            Token::Mark('{') => {
                braces += 1;
                if index >= 2 && word(index - 2) == "mod" {
                    inside.push(braces);
                }
            }
            Token::Mark('}') => {
                inside.pop_if(|open| *open == braces);
                braces -= 1;
            }
            Token::Word(first) if !(index >= 2 && colons(index - 2)) => {
                let mut path = match first.as_str() {
                    "crate" if colons(index + 1) => index + 3,
                    "super" => {
                        let mut ups = 1;
                        let mut next = index + 1;
                        while colons(next) && word(next + 2) == "super" {
                            ups += 1;
                            next += 3;
                        }
                        if ups < depth + inside.len() {
                            continue;
                        }
                        next + 2
                    }
                    _ => continue,
                };
                if !mark(path, '{') {
                    found.push((tokens[path].0, word(path).to_owned()));
                    continue;
                }
                // A group: what begins it, and what follows each of its own commas.
                let mut open = 0;
                loop {
                    let begins = mark(path, '{') || mark(path, ',');
                    open += usize::from(mark(path, '{'));
                    open -= usize::from(mark(path, '}'));
                    if open == 0 {
                        break;
                    }
                    if begins && open == 1 && !word(path + 1).is_empty() {
                        found.push((tokens[path + 1].0, word(path + 1).to_owned()));
                    }
                    path += 1;
                }
            }
            _ => {}
        }
    }
    found
}

/// Every Rust file below `folder`, with its module path.
fn source_files(folder: &Path, module: &[String]) -> Vec<(PathBuf, Vec<String>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let module = [module, &[name]].concat();
        if path.is_dir() {
            files.extend(source_files(&path, &module));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push((path, module));
        }
    }
    files
}

/// Which top-level module uses which other. Files that are compiled for tests only are
/// those whose `mod` line is.
fn uses(modules: &[String]) -> Uses {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut uses = Uses::new();
    for (path, module) in source_files(&root, &[]) {
        let [top, rest @ ..] = module.as_slice() else {
            continue;
        };
        let mut parents = rest.iter().zip(1..).map(|(name, depth)| {
            let parent: PathBuf = module[..depth].iter().collect();
            let parent = std::fs::read_to_string(root.join(parent).with_extension("rs")).unwrap();
            let declared = without_tests(&tokens(&parent));
            declared.windows(2).any(|pair| {
                pair[0].1 == Token::Word("mod".to_owned()) && pair[1].1 == Token::Word(name.clone())
            })
        });
        if !modules.contains(top) || !parents.all(|declared| declared) {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        for (line, name) in named_modules(&source, module.len()) {
            if name != *top && modules.contains(&name) {
                let place = format!("{}:{line}", path.strip_prefix(&root).unwrap().display());
                uses.entry((top.clone(), name)).or_insert(place);
            }
        }
    }
    uses
}

/// The modules of the library, as declared.
fn modules() -> Vec<String> {
    let tokens = tokens(&repository_file("src/lib.rs"));
    let declared = tokens.windows(2).filter_map(|pair| match pair {
        [(_, Token::Word(word)), (_, Token::Word(name))] if word == "mod" => Some(name.clone()),
        _ => None,
    });
    declared.collect()
}

/// The modules of the code map in the documentation of `src/lib.rs`, from the top.
fn code_map() -> Vec<String> {
    let source = repository_file("src/lib.rs");
    let entries = source.lines().filter_map(|line| {
        let entry = line.strip_prefix("//! - [`")?;
        let (name, meaning) = entry.split_once("`]: ")?;
        assert!(!meaning.trim().is_empty(), "{name} has no meaning");
        Some(name.to_owned())
    });
    entries.collect()
}

/// A way along the arrows from a module back to itself, if there is one.
fn cycle(uses: &Uses) -> Option<Vec<String>> {
    fn walk(uses: &Uses, way: &mut Vec<String>, done: &mut BTreeSet<String>) -> bool {
        let here = way.last().unwrap().clone();
        for ((_, next), _) in uses.iter().filter(|((user, _), _)| *user == here) {
            if let Some(position) = way.iter().position(|step| step == next) {
                way.drain(..position);
                way.push(next.clone());
                return true;
            }
            if !done.contains(next) {
                way.push(next.clone());
                if walk(uses, way, done) {
                    return true;
                }
                way.pop();
            }
        }
        done.insert(here);
        false
    }
    let mut done = BTreeSet::new();
    uses.keys().find_map(|(user, _)| {
        let mut way = vec![user.clone()];
        walk(uses, &mut way, &mut done).then_some(way)
    })
}

#[test]
fn no_module_uses_itself_by_way_of_others() {
    let uses = uses(&modules());
    // Were the reader of sources blind, there would be no cycle either.
    for (user, used) in [("cli", "app"), ("app", "server"), ("server", "exposition")] {
        let pair = (user.to_owned(), used.to_owned());
        assert!(uses.contains_key(&pair), "{user} uses {used}: {uses:#?}");
    }
    if let Some(way) = cycle(&uses) {
        let arrows: Vec<String> = way
            .windows(2)
            .map(|pair| {
                let place = &uses[&(pair[0].clone(), pair[1].clone())];
                format!("{} uses {} in src/{place}", pair[0], pair[1])
            })
            .collect();
        panic!("modules use each other in a circle:\n{}", arrows.join("\n"));
    }
}

#[test]
fn the_code_map_names_every_module_once() {
    let mut map = code_map();
    map.sort();
    let mut modules = modules();
    modules.sort();
    assert_eq!(map, modules, "left: the code map, right: the modules");
}

#[test]
fn every_arrow_points_down_the_code_map() {
    let map = code_map();
    let position = |name: &String| map.iter().position(|entry| entry == name);
    let up: Vec<String> = uses(&modules())
        .into_iter()
        .filter(|((user, used), _)| position(user) >= position(used))
        .map(|((user, used), place)| format!("{user} uses {used} in src/{place}"))
        .collect();
    assert_eq!(up, Vec::<String>::new(), "arrows that point up");
}

#[test]
fn the_reader_of_sources_sees_what_rust_sees() {
    let source = r##"
        // use crate::comment;
        /* use crate::block; /* crate::nested */ */
        //! [`link`](crate::doc)
        use crate::one;
        use crate::{two, three::{Inner, Other}, four as alias};
        use super::five;
        use super::super::six::Thing;
        const TEXT: &str = "crate::string \" ";
        const RAW: &str = r#"crate::raw" "#;
        const CHAR: [char; 3] = ['"', '\'', '{'];
        fn f<'a>(x: &'a str) -> crate::seven::Type { external::super::no; $crate::eight::g!(x) }
        mod inline { use super::super::super::nine; use super::super::ten; }
        #[cfg(test)]
        use crate::test_use;
        #[cfg(test)]
        mod tests { use crate::test_only; fn f() { "}" } }
        use crate::eleven;
    "##;
    let names = |depth| -> Vec<String> {
        let found = named_modules(source, depth).into_iter();
        found.map(|(_, name)| name).collect()
    };
    assert_eq!(
        names(2),
        [
            "one", "two", "three", "four", "six", "seven", "eight", "nine", "eleven"
        ]
    );
    assert!(names(1).contains(&"five".to_owned()));
    assert!(names(1).contains(&"ten".to_owned()));
    let (line, _) = named_modules(source, 2)[1];
    assert_eq!(line, 6);

    let mut uses = Uses::new();
    for (user, used) in [("a", "b"), ("b", "c"), ("c", "d")] {
        uses.insert((user.to_owned(), used.to_owned()), String::new());
    }
    assert_eq!(cycle(&uses), None);
    uses.insert(("d".to_owned(), "b".to_owned()), String::new());
    assert_eq!(cycle(&uses).unwrap(), ["b", "c", "d", "b"]);
}
