//! The configuration file and the environment, laid over one another in one tree.

use std::path::Path;
use std::sync::Arc;

use figment::value::{Num, Value as Raw};
use serde_json::Number;

use super::environment::Environment;
use super::problem::{ConfigError, Fault, Problem, SourceLocation};
use super::tree::{Node, Origin, Tree, Value, join, shown};
use super::yaml::{self, MAX_DEPTH};

/// Begins the name of every variable that sets a key.
pub(super) const PREFIX: &str = "CWP_EXPORTER_";

/// The settings that are lists. Variables name their items by numbers.
const LISTS: [&str; 2] = ["accounts", "accounts_files"];

/// What was written, in the file and the environment.
pub(crate) struct Settings {
    file: Option<Arc<Path>>,
    tree: Tree,
    /// What is wrong with the names of variables.
    pub(crate) problems: Vec<Problem>,
}

impl Settings {
    /// Reads `file` and lays the environment over it.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is not YAML.
    pub(crate) fn read(
        file: Option<&Path>,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let mut settings = Self {
            file: file.map(Arc::from),
            tree: Tree {
                origin: Origin::Line(0),
                value: Value::Map(Vec::new()),
            },
            problems: Vec::new(),
        };
        if let Some(file) = &settings.file {
            let tree = yaml::read_file(file)?;
            match tree.value {
                Value::Map(_) => settings.tree = tree,
                Value::Null => {}
                _ => {
                    let what = format!("the file holds {}, not a map", tree.value.kind());
                    let fault = Fault::new(what, "begin it with a key and a colon");
                    let location = Node::root(&tree, Some(file)).location;
                    let problem = Problem::new(location, "", fault);
                    return Err(ConfigError::new(Some(file), vec![problem]));
                }
            }
        }
        settings.overlay(environment);
        Ok(settings)
    }

    /// All of it. The whole has no line.
    pub(crate) fn root(&self) -> Node<'_> {
        let mut root = Node::root(&self.tree, self.file.as_ref());
        root.location = SourceLocation::whole(self.file.as_deref());
        root
    }

    fn overlay(&mut self, environment: &Environment) {
        let mut variables: Vec<Variable<'_>> = environment
            .with_prefix(PREFIX)
            .filter_map(Variable::new)
            .collect();
        variables.retain(|variable| {
            let fits = variable.path.len() <= MAX_DEPTH;
            if !fits {
                let fault = Fault::new(
                    format!("the name has {} parts between `__`", variable.path.len()),
                    "write the path of a key: no setting is so deep",
                );
                self.problems.push(variable.problem(0, fault));
            }
            fits
        });
        variables.sort_by(|a, b| a.path.cmp(&b.path));
        overlay(&mut self.tree, &variables, 0, &mut self.problems);
    }
}

/// One part of a variable's name.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Index(usize),
    Key(String),
}

impl Segment {
    fn key(&self) -> String {
        match self {
            Self::Index(index) => index.to_string(),
            Self::Key(key) => key.clone(),
        }
    }
}

/// An environment variable that sets a key.
struct Variable<'a> {
    name: Arc<str>,
    text: &'a str,
    path: Vec<Segment>,
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
        let path = keys.split("__").map(|key| match key.parse() {
            Ok(index) => Segment::Index(index),
            Err(_) => Segment::Key(key.to_lowercase()),
        });
        Some(Self {
            name: name.into(),
            text,
            path: path.collect(),
        })
    }

    /// What is wrong with the first `parts` of its path.
    fn problem(&self, parts: usize, fault: Fault) -> Problem {
        let parts = self.path.iter().take(parts);
        let key = parts.fold(String::new(), |path, part| match part {
            Segment::Index(index) => format!("{path}[{index}]"),
            Segment::Key(key) => join(&path, shown(&path, key)),
        });
        Problem::new(
            SourceLocation::Variable(self.name.as_ref().into()),
            key,
            fault,
        )
    }

    /// Read as figment reads variables: numbers, `true`, `[a, b]`, `{a=b}`, text.
    /// Its reader has no limit of its own on nesting.
    fn tree(&self) -> Tree {
        let raw = if self.text.matches(['[', '{']).count() > MAX_DEPTH {
            Raw::from(self.text)
        } else {
            match self.text.parse::<Raw>() {
                Ok(raw) => raw,
                Err(never) => match never {},
            }
        };
        tree(raw, &Origin::Variable(Arc::clone(&self.name)))
    }
}

fn tree(raw: Raw, origin: &Origin) -> Tree {
    let value = match raw {
        Raw::Empty(..) => Value::Null,
        Raw::Bool(_, value) => Value::Bool(value),
        Raw::Num(_, number) => Value::Number(json(number)),
        Raw::Char(_, text) => Value::Text(text.to_string()),
        Raw::String(_, text) => Value::Text(text),
        Raw::Array(_, items) => {
            Value::List(items.into_iter().map(|item| tree(item, origin)).collect())
        }
        Raw::Dict(_, entries) => {
            let entries = entries.into_iter();
            Value::Map(entries.map(|(key, raw)| (key, tree(raw, origin))).collect())
        }
    };
    Tree {
        origin: origin.clone(),
        value,
    }
}

fn json(number: Num) -> Number {
    let whole = number.to_u128().and_then(Number::from_u128);
    let whole = whole.or_else(|| number.to_i128().and_then(Number::from_i128));
    let number = whole.or_else(|| Number::from_f64(number.to_f64()?));
    number.unwrap_or_else(|| 0.into())
}

/// Lays `variables`, which are sorted and share the first `depth` parts of their names,
/// over `under`.
fn overlay(
    under: &mut Tree,
    variables: &[Variable<'_>],
    depth: usize,
    problems: &mut Vec<Problem>,
) {
    let groups = variables.chunk_by(|a, b| a.path.get(depth) == b.path.get(depth));
    for group in groups {
        let Some(first) = group.first() else {
            continue;
        };
        let Some(segment) = first.path.get(depth) else {
            group
                .iter()
                .for_each(|variable| merge(under, variable.tree()));
            continue;
        };
        let is_list = match first.path.get(..depth) {
            Some([Segment::Key(name)]) => LISTS.contains(&name.as_str()),
            _ => false,
        };
        let origin = Origin::Variable(Arc::clone(&first.name));
        match child(under, segment, is_list, &origin) {
            Ok(child) => overlay(child, group, depth + 1, problems),
            Err(fault) => problems.extend(
                group
                    .iter()
                    .map(|each| each.problem(depth + 1, fault.clone())),
            ),
        }
    }
}

/// The part `segment` of `group`, which is made if it does not exist. Where there is no group,
/// one of variables is made, a list if it `is_list`.
fn child<'t>(
    group: &'t mut Tree,
    segment: &Segment,
    is_list: bool,
    origin: &Origin,
) -> Result<&'t mut Tree, Fault> {
    const NUMBERED: &str = "number the items 0, 1, 2… without a gap";
    let gap =
        |missing: usize| Fault::new(format!("there is no item [{missing}] before it"), NUMBERED);
    let no_item = || Fault::new("not the number of an item of the list", NUMBERED);
    let new = |value| Tree {
        origin: origin.clone(),
        value,
    };
    if !matches!(group.value, Value::List(_) | Value::Map(_)) {
        *group = new(match (is_list, segment) {
            (false, _) => Value::Map(Vec::new()),
            (true, Segment::Index(0)) => Value::List(Vec::new()),
            (true, Segment::Index(_)) => return Err(gap(0)),
            (true, Segment::Key(_)) => return Err(no_item()),
        });
    }
    match (&mut group.value, segment) {
        (Value::List(items), Segment::Index(index)) => {
            if *index == items.len() {
                items.push(new(Value::Null));
            }
            let missing = items.len();
            items.get_mut(*index).ok_or_else(|| gap(missing))
        }
        (Value::Map(entries), segment) => {
            let key = segment.key();
            let at = entries.binary_search_by(|(name, _)| name.cmp(&key));
            let at = at.unwrap_or_else(|at| {
                entries.insert(at, (key, new(Value::Null)));
                at
            });
            let entry = entries.get_mut(at).map(|(_, tree)| tree);
            entry.ok_or_else(|| Fault::new("not a key", "write the path of a key"))
        }
        _ => Err(no_item()),
    }
}

/// Lays `over` over `under`: maps key by key and lists item by item; what else is in the
/// way gives way.
fn merge(under: &mut Tree, over: Tree) {
    match (&mut under.value, over.value) {
        (Value::Map(_), Value::Map(entries)) => {
            for (key, tree) in entries {
                let segment = Segment::Key(key);
                if let Ok(child) = child(under, &segment, false, &over.origin) {
                    merge(child, tree);
                }
            }
        }
        (Value::List(_), Value::List(items)) if !items.is_empty() => {
            for (index, tree) in items.into_iter().enumerate() {
                let segment = Segment::Index(index);
                if let Ok(child) = child(under, &segment, true, &over.origin) {
                    merge(child, tree);
                }
            }
        }
        (_, value) => {
            *under = Tree {
                origin: over.origin,
                value,
            }
        }
    }
}
