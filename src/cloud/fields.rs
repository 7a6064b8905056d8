//! The fields of a JSON object, each as JSON text.
//!
//! They are read one by one, so that one bad field spoils no other. A name that
//! occurs twice spoils the object: which value holds is unknown.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of an object.
#[derive(Default)]
pub struct Fields(BTreeMap<String, Box<RawValue>>);

impl Fields {
    /// The JSON text of the field `name`, or nothing if it is absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.get())
    }

    /// Takes the field `name` out, unless it is absent or null.
    pub(super) fn take(&mut self, name: &str) -> Option<Box<RawValue>> {
        self.0.remove(name).filter(|value| value.get() != "null")
    }

    /// The names of all fields, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// The names only: a value may be a secret.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    match fields.entry(name) {
                        Entry::Vacant(place) => place.insert(value),
                        Entry::Occupied(_) => return Err(A::Error::custom("a field occurs twice")),
                    };
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name_however_it_was_written() {
        let json = r#"{"b": [1, {"c": 2}], "\u0061": "x", "": null, "z\"": 1.50}"#;
        let fields: Fields = serde_json::from_str(json).unwrap();
        assert_eq!(fields.names().collect::<Vec<_>>(), ["", "a", "b", "z\""]);
        assert_eq!(fields.get("a"), Some("\"x\""));
        assert_eq!(fields.get("b"), Some("[1, {\"c\": 2}]"));
        assert_eq!(fields.get(""), Some("null"));
        assert_eq!(fields.get("z\""), Some("1.50"));
        assert_eq!(fields.get("c"), None);
    }

    #[test]
    fn a_name_that_occurs_twice_spoils_the_object_however_it_was_written() {
        for json in [r#"{"a":1,"b":2,"a":1}"#, r#"{"a":1,"\u0061":1}"#] {
            assert!(serde_json::from_str::<Fields>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn values_are_not_for_the_log() {
        let fields: Fields = serde_json::from_str(r#"{"TmpSecretKey":"hunter2"}"#).unwrap();
        assert_eq!(format!("{fields:?}"), r#"{"TmpSecretKey"}"#);
    }
}
