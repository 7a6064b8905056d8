//! What was written, whatever the file or variable: one tree whose parts know where they are.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Number, Value as Json};

use super::problem::SourceLocation;

/// One setting or group of settings, and where it was written.
pub(crate) struct Tree {
    pub(crate) origin: Origin,
    pub(crate) value: Value,
}

/// Where a setting was written: in the line of the file that the tree is of, counted from
/// 1, or in the environment variable of this name.
#[derive(Clone)]
pub(crate) enum Origin {
    Line(u32),
    Variable(Arc<str>),
}

/// What a [`Tree`] holds. Has no `Debug`: it can be a secret.
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Tree>),
    /// In the order of the keys.
    Map(Vec<(String, Tree)>),
}

impl Value {
    /// What this is, to follow "found".
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// The same in JSON.
    pub(crate) fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Number(number) => Json::Number(number.clone()),
            Self::Text(text) => Json::String(text.clone()),
            Self::List(items) => items.iter().map(|item| item.value.to_json()).collect(),
            Self::Map(entries) => {
                let entries = entries.iter();
                let entries = entries.map(|(key, tree)| (key.clone(), tree.value.to_json()));
                Json::Object(entries.collect())
            }
        }
    }
}

/// A part of a tree, and the key by which a problem names it.
#[derive(Clone)]
pub(crate) struct Node<'n> {
    /// The key as it may be shown, such as `accounts[0].credentials.type`.
    pub(crate) key: String,
    pub(crate) location: SourceLocation,
    pub(crate) value: &'n Value,
    file: Option<&'n Arc<Path>>,
}

impl<'n> Node<'n> {
    /// The whole of what was written in `file`, if there is one, and in variables.
    pub(crate) fn root(tree: &'n Tree, file: Option<&'n Arc<Path>>) -> Self {
        Self::new(String::new(), tree, file)
    }

    /// Nothing, written nowhere.
    pub(crate) fn absent() -> Self {
        Self {
            key: String::new(),
            location: SourceLocation::Nowhere,
            value: &Value::Null,
            file: None,
        }
    }

    fn new(key: String, tree: &'n Tree, file: Option<&'n Arc<Path>>) -> Self {
        let location = match (&tree.origin, file) {
            (Origin::Variable(name), _) => SourceLocation::Variable(name.as_ref().into()),
            (Origin::Line(line), Some(file)) => SourceLocation::line(file, u64::from(*line)),
            (Origin::Line(_), None) => SourceLocation::Nowhere,
        };
        Self {
            key,
            location,
            value: &tree.value,
            file,
        }
    }

    /// The items, if this is a list.
    pub(crate) fn items(&self) -> Option<impl ExactSizeIterator<Item = Node<'n>> + use<'_, 'n>> {
        let Value::List(items) = self.value else {
            return None;
        };
        let items = items.iter().enumerate();
        Some(
            items.map(|(index, item)| Node::new(format!("{}[{index}]", self.key), item, self.file)),
        )
    }

    /// The part of the name `name`, one of its keys.
    pub(crate) fn part(&self, name: &str, tree: &'n Tree) -> Self {
        let key = join(&self.key, shown(&self.key, name));
        Self::new(key, tree, self.file)
    }
}

/// Appends `segment` to `path`: `accounts`, `accounts.name`.
pub(crate) fn join(path: &str, segment: &str) -> String {
    if path.is_empty() {
        segment.to_owned()
    } else {
        format!("{path}.{segment}")
    }
}

/// `key` if it is likely to be one, else a stand-in.
///
/// Only labels and HTTP's versions have a reason for digits.
pub(crate) fn shown<'a>(path: &str, key: &'a str) -> &'a str {
    let has_digits = path.ends_with(".labels") || path == "http_server_config";
    if is_likely_key(key, has_digits) {
        key
    } else {
        "<not shown>"
    }
}

/// Whether `key` is likely to be one, so that it may be shown, and not a value.
///
/// In `{secret_key:hunter2}`, where a blank is missing, and in `{&secret_key: hunter2}`,
/// where there is a sign too many, a value is the key. Few keys have a reason for `digits`.
fn is_likely_key(key: &str, digits: bool) -> bool {
    let harmless = |c: char| match c {
        '0'..='9' => digits,
        _ => c.is_ascii_alphabetic() || c == '_' || c == '-',
    };
    !key.is_empty() && key.len() <= 24 && key.chars().all(harmless)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_like_code() {
        let account = Tree {
            origin: Origin::Line(1),
            value: Value::Map(Vec::new()),
        };
        let accounts = Tree {
            origin: Origin::Line(1),
            value: Value::List(vec![account]),
        };
        let whole = Node::root(&accounts, None);
        let item = whole.part("accounts", &accounts).items().unwrap().next();
        assert_eq!(join(&item.unwrap().key, "name"), "accounts[0].name");
    }

    #[test]
    fn a_key_that_may_be_a_secret_is_not_shown() {
        assert_eq!(shown("poll", "max-Age"), "max-Age");
        assert_eq!(shown("accounts[0].labels", "tier2"), "tier2");
        for key in [
            "hunter2",
            "secret_key:hunter",
            "",
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef",
            "[Hunter2]",
            "[Hunter]",
            "[1]",
            "new\nline",
            "\u{202e}right",
        ] {
            assert_eq!(shown("accounts[0].credentials", key), "<not shown>");
        }
    }
}
