//! One YAML file as figment's values, and the line of each of its keys.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use figment::value::{Dict, Value as Raw};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Error as YamlError, Spanned};

use super::super::problem::{ConfigError, Fault, Place, Problem};
use super::super::tree::join;
use super::{MAX_DEPTH, Places, is_list, number_text};

/// Reads a YAML file and notes the line of every key.
pub(super) fn read(file: &Path, places: &mut Places) -> Result<Dict, ConfigError> {
    let error = |place, fault| {
        let key = String::new();
        ConfigError::new(Some(file), vec![Problem { place, key, fault }])
    };
    let text = std::fs::read_to_string(file).map_err(|cause| {
        let fault = Fault::new(
            format!("cannot read the configuration file: {cause}"),
            "check the path and that the exporter's user may read it",
        );
        error(Place::whole(Some(file)), fault)
    })?;
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
        with_snippet: false,
        strict_booleans: true,
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::PassThrough,
    };
    let root: Spanned<Yaml> = serde_saphyr::from_str_with_options(&text, options)
        .map_err(|cause| error(error_place(file, &cause), yaml_fault(&cause)))?;
    let line = root.referenced.line();
    let file = Arc::from(file);
    match root.value.settle("", &file, places) {
        Raw::Dict(_, settings) if !is_list(&settings) => Ok(settings),
        Raw::Empty(..) => Ok(Dict::new()),
        _ => Err(error(
            Place::line(&file, line),
            Fault::new(
                "the file holds something else than a map",
                "begin it with a key and a colon",
            ),
        )),
    }
}

/// Writes `value` as YAML, if there is YAML for it.
pub(in crate::config) fn write(value: &impl serde::Serialize) -> Option<String> {
    let options = serde_saphyr::ser_options! {
        prefer_block_scalars: false,
    };
    serde_saphyr::to_string_with_options(value, options).ok()
}

fn error_place(file: &Path, error: &YamlError) -> Place {
    Place::File {
        path: file.into(),
        line: error.location().map(|location| location.line()),
        column: error.location().map(|location| location.column()),
    }
}

/// Says what is wrong in words that quote nothing.
fn yaml_fault(error: &YamlError) -> Fault {
    match error.without_snippet() {
        YamlError::DuplicateMappingKey { .. } => {
            Fault::new("the key is already in this map", "keep one of the two")
        }
        YamlError::MultipleDocuments { .. } => Fault::new(
            "there is more than one YAML document",
            "keep one: remove `---` and what follows",
        ),
        // Of the parser's texts, those with a backquote quote the input.
        YamlError::ExternalMessage { msg, .. } if !msg.contains('`') => Fault::new(
            format!("not valid YAML: {msg}"),
            "correct the line or the one before",
        ),
        _ => Fault::new("not valid YAML", "correct the line or the one before"),
    }
}

/// A YAML value; its entries know their lines.
enum Yaml {
    Scalar(Raw),
    List(Vec<Spanned<Yaml>>),
    Map(Vec<(Spanned<Key>, Spanned<Yaml>)>),
}

/// The key of a YAML map, as text whatever its type.
struct Key(String);

impl Yaml {
    /// Turns this into a setting at `path` and notes the places of what is in it.
    fn settle(self, path: &str, file: &Arc<Path>, places: &mut Places) -> Raw {
        let entries: Vec<(String, u64, Self)> = match self {
            Self::Scalar(value) => return value,
            Self::List(items) if items.is_empty() => return Raw::from(Vec::<Raw>::new()),
            Self::List(items) => items
                .into_iter()
                .enumerate()
                .map(|(index, item)| (format!("[{index}]"), item.referenced.line(), item.value))
                .collect(),
            Self::Map(entries) => entries
                .into_iter()
                .map(|(key, entry)| (key.value.0, key.referenced.line(), entry.value))
                .collect(),
        };
        let mut settings = Dict::new();
        for (key, line, value) in entries {
            let path = join(path, &key);
            let value = value.settle(&path, file, places);
            places.insert(path, Place::line(file, line));
            settings.insert(key, value);
        }
        settings.into()
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a setting")
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(figment::value::Empty::Unit.into()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(value.into()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Yaml, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Yaml::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Yaml, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Yaml::Map(entries))
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Yaml::deserialize(deserializer)? {
            Yaml::Scalar(Raw::String(_, text)) => Ok(Self(text)),
            Yaml::Scalar(Raw::Num(_, number)) => Ok(Self(number_text(number))),
            Yaml::Scalar(Raw::Bool(_, value)) => Ok(Self(value.to_string())),
            Yaml::Scalar(_) => Ok(Self(String::new())),
            _ => Err(serde::de::Error::custom("a key must be text")),
        }
    }
}
