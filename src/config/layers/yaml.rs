//! One YAML file as figment's values, and the line of each of its keys.

use std::path::Path;
use std::sync::Arc;

use figment::value::{Dict, Value as Raw};

use super::super::problem::{ConfigError, Fault, Place, Problem};
use super::super::tree::join;
use super::{Places, is_list};
use crate::yaml::{self, At, Yaml};

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
    let root = yaml::read(&text).map_err(|unreadable| {
        let place = Place::File {
            path: file.into(),
            line: unreadable.line,
            column: unreadable.column,
        };
        error(place, Fault::new(unreadable.problem, unreadable.remedy))
    })?;
    let line = root.line;
    let file = Arc::from(file);
    match settle(root.value, "", &file, places) {
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

/// Turns `value` into a setting at `path` and notes the places of what is in it.
fn settle(value: Yaml, path: &str, file: &Arc<Path>, places: &mut Places) -> Raw {
    let entries: Vec<(String, At<Yaml>)> = match value {
        Yaml::Null => return figment::value::Empty::Unit.into(),
        Yaml::Bool(value) => return value.into(),
        Yaml::Whole(number) => return number.into(),
        Yaml::Float(number) => return number.into(),
        Yaml::Text(text) => return text.into(),
        Yaml::List(items) if items.is_empty() => return Raw::from(Vec::<Raw>::new()),
        Yaml::List(items) => {
            let keys = (0..).map(|index: usize| format!("[{index}]"));
            keys.zip(items).collect()
        }
        Yaml::Map(entries) => entries
            .into_iter()
            // Where the key is, as its value may be on a later line.
            .map(|(key, At { value, .. })| {
                (
                    key.value,
                    At {
                        line: key.line,
                        value,
                    },
                )
            })
            .collect(),
    };
    let mut settings = Dict::new();
    for (key, At { line, value }) in entries {
        let path = join(path, &key);
        let value = settle(value, &path, file, places);
        places.insert(path, Place::line(file, line));
        settings.insert(key, value);
    }
    settings.into()
}
