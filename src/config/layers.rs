//! The configuration file and the environment, merged into one tree.
//!
//! With its submodule the only file that names figment. Its errors do not get out as they
//! are: they quote what they could not read.

mod yaml;

use std::collections::BTreeMap;
use std::path::Path;

use figment::value::{Dict, Map, Num, Value as Raw};
use figment::{Figment, Metadata, Profile, Provider};

use super::environment::Environment;
use super::problem::{ConfigError, Place};
use super::tree::{Node, Value, index, join, shown};
use crate::yaml::MAX_DEPTH;

/// Begins the name of every variable that sets a key.
pub(super) const PREFIX: &str = "CWP_EXPORTER_";

/// Where each setting was written, by its path.
type Places = BTreeMap<String, Place>;

/// Settings from one origin, for figment.
///
/// A list is a dictionary whose keys are `[0]`, `[1]`…, so that figment merges
/// lists item by item. Only the empty list stays what it is.
struct Layer(&'static str, Dict);

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.1.clone()))
    }
}

/// Reads `file` and lays the environment over it.
pub(crate) fn read(file: Option<&Path>, environment: &Environment) -> Result<Node, ConfigError> {
    let variables: Vec<Variable<'_>> = environment.iter().filter_map(Variable::new).collect();
    let mut places = Places::new();

    // What was set last tells where a setting is; a group that both layers have
    // is where the file has it.
    for variable in &variables {
        let mut path = String::new();
        for segment in &variable.path {
            path = join(&path, segment);
            places.insert(path.clone(), variable.place());
        }
    }
    let mut under = match file {
        Some(path) => yaml::read(path, &mut places)?,
        None => Dict::new(),
    };
    let mut over = Dict::new();
    for variable in &variables {
        let value = variable.value();
        let path = variable.path.iter();
        let path = path.fold(String::new(), |path, key| join(&path, key));
        note(&mut places, path, &value, &variable.place());
        insert(&mut over, &variable.path, value);
    }

    // Merging copies what it merges, so what one layer alone has is left out.
    let shared = over.keys().filter_map(|key| under.remove_entry(key));
    let shared: Dict = shared.collect();
    let merged = Figment::new()
        .merge(Layer("configuration file", shared))
        .merge(Layer("environment", over))
        .data()
        .ok()
        .and_then(|mut profiles| profiles.remove(&Profile::Default))
        .unwrap_or_default();
    under.extend(merged);
    let (root, whole) = (Raw::from(under), Place::whole(file));
    Ok(node(&mut places, "", String::new(), &whole, root))
}

/// An environment variable that sets a key.
struct Variable<'a> {
    name: &'a str,
    text: &'a str,
    path: Vec<String>,
}

impl<'a> Variable<'a> {
    /// None of ours without `__` after the prefix: for a Service of our name,
    /// Kubernetes sets `CWP_EXPORTER_SERVICE_HOST` and the like. An empty
    /// variable counts as not set.
    fn new((name, text): (&'a str, &'a str)) -> Option<Self> {
        let keys = name.strip_prefix(PREFIX)?;
        if !keys.contains("__") || text.trim().is_empty() {
            return None;
        }
        let path = keys
            .split("__")
            .map(|key| match key.parse::<usize>() {
                Ok(index) => format!("[{index}]"),
                Err(_) => key.to_lowercase(),
            })
            .collect();
        Some(Self { name, text, path })
    }

    fn place(&self) -> Place {
        Place::Variable(self.name.to_owned())
    }

    /// Read as figment reads variables: numbers, `true`, `[a, b]`, `{a=b}`, text.
    /// Its reader has no limit of its own on nesting.
    fn value(&self) -> Raw {
        if self.text.matches(['[', '{']).count() > MAX_DEPTH {
            return Raw::from(self.text);
        }
        match self.text.parse::<Raw>() {
            Ok(value) => index_lists(value),
            Err(never) => match never {},
        }
    }
}

/// Notes that `value` and all in it was set at `place`.
fn note(places: &mut Places, path: String, value: &Raw, place: &Place) {
    for (key, value) in value.as_dict().into_iter().flatten() {
        note(places, join(&path, key), value, place);
    }
    places.insert(path, place.clone());
}

/// Sets the value at `path`; what is in the way gives way, as between layers.
fn insert(settings: &mut Dict, path: &[String], value: Raw) {
    match path {
        [] => {}
        [key] => {
            settings.insert(key.clone(), value);
        }
        [key, rest @ ..] => {
            let group = settings.remove(key).and_then(Raw::into_dict);
            let mut group = group.unwrap_or_default();
            insert(&mut group, rest, value);
            settings.insert(key.clone(), group.into());
        }
    }
}

fn index_lists(value: Raw) -> Raw {
    match value {
        Raw::Array(_, items) if !items.is_empty() => {
            let items = items.into_iter().map(index_lists);
            let keys = (0..).map(|index: usize| format!("[{index}]"));
            keys.zip(items).collect::<Dict>().into()
        }
        Raw::Dict(_, entries) => entries
            .into_iter()
            .map(|(key, value)| (key, index_lists(value)))
            .collect::<Dict>()
            .into(),
        other => other,
    }
}

/// The node at `path`, which may be shown as `key`; `group` is the place of its group.
/// Its own is taken from `places`.
fn node(places: &mut Places, path: &str, key: String, group: &Place, raw: Raw) -> Node {
    let place = places.remove(path).unwrap_or_else(|| group.clone());
    let value = match raw {
        Raw::Empty(..) => Value::Null,
        Raw::Bool(_, value) => Value::Bool(value),
        Raw::Num(_, number) => Value::Number(number_text(number)),
        Raw::Char(_, text) => Value::Text(text.to_string()),
        Raw::String(_, text) => Value::Text(text),
        // Only the empty list is still an array.
        Raw::Array(..) => Value::List(Vec::new()),
        Raw::Dict(_, settings) => {
            let list = is_list(&settings);
            let mut nodes = BTreeMap::new();
            for (name, raw) in settings {
                let shown_key = join(&key, shown(&key, &name));
                let node = node(places, &join(path, &name), shown_key, &place, raw);
                nodes.insert(name, Box::new(node));
            }
            if list {
                // By number, as `[10]` comes before `[2]` in the map.
                let mut items: Vec<_> = nodes.into_iter().collect();
                items.sort_by_key(|(key, _)| index(key));
                Value::List(items.into_iter().map(|(_, node)| *node).collect())
            } else {
                Value::Map(nodes)
            }
        }
    };
    Node { key, place, value }
}

/// Whether every key is an index.
fn is_list(settings: &Dict) -> bool {
    !settings.is_empty() && settings.keys().all(|key| index(key).is_some())
}

fn number_text(number: Num) -> String {
    let whole = number.to_u128().map(|n| n.to_string());
    let whole = whole.or_else(|| number.to_i128().map(|n| n.to_string()));
    let text = whole.or_else(|| number.to_f64().map(|n| n.to_string()));
    text.unwrap_or_default()
}
