//! YAML as a tree whose parts know their lines.
//!
//! The only file that names the YAML crate. All YAML is read into this one type, as each
//! type that the crate reads by itself adds tens of kilobytes to the program. No error
//! quotes the input, in which there may be secrets.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Error, Spanned};

use super::problem::{ConfigError, Fault, Problem, SourceLocation};
use super::tree::{Node, Origin, Tree, Value};
use crate::system::reading;

/// How deep maps and lists may nest: more than any file of ours needs, and little enough
/// for the stack of a recursive reader.
pub(crate) const MAX_DEPTH: usize = 16;

/// What is wrong with a map or list as a key.
const KEY_IS_NO_TEXT: &str = "a key of a map is itself a map or a list";

/// The most values that all aliases of a text of `length` bytes may have together. Each alias
/// is a copy: without a limit, a short text of aliases to aliases would fill the memory.
fn max_aliased(length: usize) -> usize {
    length.saturating_mul(4).saturating_add(250_000)
}

/// Reads the file at `path`, which holds one document.
pub(crate) fn read_file(path: &Arc<Path>) -> Result<Tree, ConfigError> {
    let whole = |fault| ConfigError::new(Some(path), vec![Problem::whole(Some(path), fault)]);
    let bytes =
        reading::at(path, || std::fs::read(path)).map_err(|error| whole(unreadable(&error)))?;
    let text = utf8(bytes).map_err(whole)?;
    read(&text, path).map_err(|problems| ConfigError::new(Some(path), problems))
}

/// Why a file cannot be read.
fn unreadable(error: &std::io::Error) -> Fault {
    let remedy = match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            "create the file, or correct the path"
        }
        std::io::ErrorKind::IsADirectory => "name a file",
        std::io::ErrorKind::PermissionDenied => "let the exporter's user read it",
        _ => "check the path and that the exporter's user may read it",
    };
    Fault::new(format!("cannot read the file: {error}"), remedy)
}

/// The text that `bytes` are, without YAML's mark of UTF-8.
fn utf8(bytes: Vec<u8>) -> Result<String, Fault> {
    const REMEDY: &str = "save the file as UTF-8";
    // The marks of UTF-16 and UTF-32, or the half of each ASCII character in these.
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") || bytes.contains(&0) {
        return Err(Fault::new("the file is UTF-16, or is not text", REMEDY));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = error.as_bytes().iter().take(good);
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        Fault::new(format!("line {line} is not UTF-8 text"), REMEDY)
    })
}

/// Reads the text of `file`, which holds one document.
pub(crate) fn read(text: &str, file: &Arc<Path>) -> Result<Tree, Vec<Problem>> {
    // The text is in memory already: what grows no faster than the text needs no limit.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
            max_anchors: usize::MAX,
            max_aliases: usize::MAX,
            max_merge_keys: usize::MAX,
            max_recorded_anchor_events: usize::MAX,
            max_recorded_anchor_bytes: usize::MAX,
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: max_aliased(text.len()) },
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::PassThrough,
        with_snippet: false,
        strict_booleans: true,
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::PassThrough,
    };
    let read = serde_saphyr::from_str_with_options::<Spanned<Value>>(text, options);
    let tree = read.map_err(|error| vec![not_yaml(&error, file)])?;
    let tree = Tree::from(tree);
    let mut problems = Vec::new();
    note_duplicates(&Node::root(&tree, Some(file)), &mut problems);
    if problems.is_empty() {
        Ok(tree)
    } else {
        Err(problems)
    }
}

/// Adds each key that a map has twice.
fn note_duplicates(node: &Node<'_>, problems: &mut Vec<Problem>) {
    if let Value::Map(entries) = node.value {
        for (index, (name, tree)) in entries.iter().enumerate() {
            let part = node.part(name, tree);
            let before = index.checked_sub(1).and_then(|before| entries.get(before));
            if let Some((other, first)) = before
                && other == name
                && let Origin::Line(line) = first.origin
            {
                let what = format!("the same key is on line {line} already");
                let fault = Fault::new(what, "keep one of the two");
                problems.push(Problem::new(part.location.clone(), &part.key, fault));
            }
            note_duplicates(&part, problems);
        }
    }
    for item in node.items().into_iter().flatten() {
        note_duplicates(&item, problems);
    }
}

/// Writes `value` as YAML, if there is YAML for it.
pub(crate) fn write(value: &impl Serialize) -> Option<String> {
    let options = serde_saphyr::ser_options! {
        prefer_block_scalars: false,
    };
    serde_saphyr::to_string_with_options(value, options).ok()
}

/// What is wrong with a text that is not YAML.
fn not_yaml(error: &Error, file: &Arc<Path>) -> Problem {
    const LINE: &str = "correct this line or the line before";
    let too_deep = || {
        Fault::new(
            format!("maps and lists are nested more than {MAX_DEPTH} deep"),
            "nest less: no setting is so deep",
        )
    };
    let cause = match error.without_snippet() {
        Error::AliasError { error, .. } => error.without_snippet(),
        error => error,
    };
    let fault = match cause {
        Error::Budget {
            breach: BudgetBreach::Depth { .. },
            ..
        } => too_deep(),
        // The parser reads ahead, and has a limit of its own.
        Error::ExternalMessage { msg, .. } if msg.starts_with("recursion limit") => too_deep(),
        Error::AliasReplayLimitExceeded {
            max_total_replayed_events: most,
            ..
        } => Fault::new(
            format!("the aliases (`*name`) stand for more than {most} values"),
            "write fewer aliases of large maps and lists",
        ),
        Error::UnknownAnchor { .. } => Fault::new(
            "an alias (`*name`) without its anchor (`&name`) before it",
            "add the anchor, or put the text in quotes if `*` is part of it",
        ),
        Error::MultipleDocuments { .. } => Fault::new(
            "there is more than one YAML document",
            "keep one: remove `---` and what follows",
        ),
        Error::MergeValueNotMapOrSeqOfMaps { .. } => Fault::new(
            "the value of `<<` is not a map",
            "write an alias of a map, such as `<<: *name`",
        ),
        Error::RecursiveReferencesRequireWeakTypes { .. } => Fault::new(
            "an alias (`*name`) is inside the value of its own anchor (`&name`)",
            "write the value itself",
        ),
        Error::Message { msg, .. } if msg == KEY_IS_NO_TEXT => {
            Fault::new(KEY_IS_NO_TEXT, "write `key: value` lines")
        }
        Error::ExternalMessage { msg, .. } if msg.starts_with("tabs") => Fault::new(
            format!("not valid YAML: {msg}"),
            "write blanks in place of tabs",
        ),
        // Of the parser's texts, those with a backquote quote the input.
        Error::ExternalMessage { msg, .. } if !msg.contains('`') => {
            Fault::new(format!("not valid YAML: {msg}"), LINE)
        }
        _ => Fault::new("not valid YAML", LINE),
    };
    let location = error.location();
    let location = SourceLocation::File {
        path: Arc::clone(file),
        line: location.map(|location| location.line()),
        column: location.map(|location| location.column()),
    };
    Problem::new(location, "", fault)
}

impl From<Spanned<Value>> for Tree {
    fn from(spanned: Spanned<Value>) -> Self {
        Self {
            origin: Origin::Line(u32::try_from(spanned.referenced.line()).unwrap_or(u32::MAX)),
            value: spanned.value,
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(float(value as f64))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(float(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<Spanned<Value>>()? {
            items.push(item.into());
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = access.next_entry::<Spanned<Value>, Spanned<Value>>()? {
            let Tree { origin, value: key } = Tree::from(key);
            let value = value.value;
            // Where the key is, as its value may be on a later line.
            entries.push((text(key)?, Tree { origin, value }));
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Value::Map(entries))
    }
}

/// What is no number of JSON, such as infinity, is text.
fn float(value: f64) -> Value {
    let number = Number::from_f64(value);
    number.map_or_else(|| Value::Text(value.to_string()), Value::Number)
}

/// The key of a map, as text whatever its type.
fn text<E: serde::de::Error>(key: Value) -> Result<String, E> {
    match key {
        Value::Text(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Null => Ok(String::new()),
        Value::List(_) | Value::Map(_) => Err(E::custom(KEY_IS_NO_TEXT)),
    }
}
