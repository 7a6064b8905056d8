//! YAML as a tree whose parts know their lines.
//!
//! The only file that names the YAML crate. All YAML is read into this one type, as each
//! type that the crate reads by itself adds tens of kilobytes to the program; what it
//! holds is read from the tree (`typed`). No error quotes the input, in which there may
//! be secrets.

pub(crate) mod typed;

use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Error, Spanned};

/// How deep maps and lists may nest: more than any file of ours needs, and little enough
/// for the stack of a recursive reader.
pub(crate) const MAX_DEPTH: usize = 16;

/// How many values the aliases of a text of `length` bytes may stand for, all together.
/// Each is copied: without a limit a short text of aliases to aliases would fill the
/// memory.
fn max_aliased(length: usize) -> usize {
    length.saturating_mul(4).saturating_add(250_000)
}

/// Something, and the line where it is, counted from 1; 0 if there is none.
pub(crate) struct At<T> {
    pub(crate) line: u64,
    pub(crate) value: T,
}

/// A value. Has no `Debug`: it can be a secret.
pub(crate) enum Yaml {
    Null,
    Bool(bool),
    /// A whole number.
    Whole(i128),
    Float(f64),
    Text(String),
    List(Vec<At<Yaml>>),
    /// The entries in their order; no key comes twice.
    Map(Vec<(At<String>, At<Yaml>)>),
}

/// Why a text is no YAML that can be used, in words that quote none of it.
pub(crate) struct Unreadable {
    pub(crate) line: Option<u64>,
    /// Counted from 1.
    pub(crate) column: Option<u64>,
    pub(crate) problem: String,
    pub(crate) remedy: &'static str,
}

/// Whether `key` is likely to be one, so that it may be shown, and not a value.
///
/// In `{secret_key:hunter2}`, where a blank is missing, and in `{&secret_key: hunter2}`,
/// where there is a sign too many, a value is the key. Few keys have a reason for `digits`.
pub(crate) fn is_likely_key(key: &str, digits: bool) -> bool {
    let harmless = |c: char| match c {
        '0'..='9' => digits,
        _ => c.is_ascii_alphabetic() || c == '_' || c == '-',
    };
    !key.is_empty() && key.len() <= 24 && key.chars().all(harmless)
}

/// Reads a text that holds one document.
pub(crate) fn read(text: &str) -> Result<At<Yaml>, Unreadable> {
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
        with_snippet: false,
        strict_booleans: true,
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::PassThrough,
    };
    let root: Spanned<Yaml> = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| Unreadable::from(&error))?;
    Ok(root.into())
}

/// Writes `value` as YAML, if there is YAML for it.
pub(crate) fn write(value: &impl Serialize) -> Option<String> {
    let options = serde_saphyr::ser_options! {
        prefer_block_scalars: false,
    };
    serde_saphyr::to_string_with_options(value, options).ok()
}

impl From<&Error> for Unreadable {
    fn from(error: &Error) -> Self {
        const LINE: &str = "correct the line or the one before";
        let cause = match error.without_snippet() {
            Error::AliasError { error, .. } => error.without_snippet(),
            error => error,
        };
        let (problem, remedy) = match cause {
            Error::DuplicateMappingKey { .. } => (
                "the key is already in this map".to_owned(),
                "keep one of the two",
            ),
            Error::Budget {
                breach: BudgetBreach::Depth { .. },
                ..
            } => (
                format!("maps and lists are nested more than {MAX_DEPTH} deep"),
                "nest less: no setting is so deep",
            ),
            Error::AliasReplayLimitExceeded {
                max_total_replayed_events: most,
                ..
            } => (
                format!("the aliases (`*name`) stand for more than {most} values"),
                "write fewer aliases of large maps and lists",
            ),
            Error::MultipleDocuments { .. } => (
                "there is more than one YAML document".to_owned(),
                "keep one: remove `---` and what follows",
            ),
            // Of the parser's texts, those with a backquote quote the input.
            Error::ExternalMessage { msg, .. } if !msg.contains('`') => {
                (format!("not valid YAML: {msg}"), LINE)
            }
            _ => ("not valid YAML".to_owned(), LINE),
        };
        let location = error.location();
        Self {
            line: location.map(|location| location.line()),
            column: location.map(|location| location.column()),
            problem,
            remedy,
        }
    }
}

impl<T> From<Spanned<T>> for At<T> {
    fn from(spanned: Spanned<T>) -> Self {
        Self {
            line: spanned.referenced.line(),
            value: spanned.value,
        }
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Yaml, E> {
        Ok(Yaml::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Yaml, E> {
        Ok(Yaml::Whole(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Yaml, E> {
        Ok(Yaml::Whole(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Yaml, E> {
        Ok(Yaml::Whole(value.into()))
    }

    #[expect(clippy::cast_precision_loss, reason = "so large a number has no use")]
    fn visit_u128<E>(self, value: u128) -> Result<Yaml, E> {
        Ok(i128::try_from(value).map_or(Yaml::Float(value as f64), Yaml::Whole))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Yaml, E> {
        Ok(Yaml::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Yaml, E> {
        Ok(Yaml::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Yaml, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<Spanned<Yaml>>()? {
            items.push(item.into());
        }
        Ok(Yaml::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Yaml, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = access.next_entry::<Spanned<Key>, Spanned<Yaml>>()? {
            let At { line, value: key } = At::from(key);
            entries.push((At { line, value: key.0 }, value.into()));
        }
        Ok(Yaml::Map(entries))
    }
}

/// The key of a map, as text whatever its type.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Yaml::deserialize(deserializer)? {
            Yaml::Text(text) => Ok(Self(text)),
            Yaml::Whole(number) => Ok(Self(number.to_string())),
            Yaml::Float(number) => Ok(Self(number.to_string())),
            Yaml::Bool(value) => Ok(Self(value.to_string())),
            Yaml::Null => Ok(Self(String::new())),
            Yaml::List(_) | Yaml::Map(_) => Err(serde::de::Error::custom("a key must be text")),
        }
    }
}
