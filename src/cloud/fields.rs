//! The fields of a JSON object, each as JSON text.
//!
//! They are read one by one, so that one bad field spoils no other. A name that
//! occurs twice spoils the object: nobody could say which value holds.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// About how many fields an answer has.
const USUAL: usize = 32;

/// The fields of an answer.
#[derive(Default)]
pub struct Fields {
    /// All names and values, one after the other.
    text: String,
    /// Where each name and its value are, in [order](Fields::order) of the names.
    places: Vec<(Range<usize>, Range<usize>)>,
}

/// The fields of an object in a text that is still there, in [order](Fields::order) of the names.
pub(super) struct Object<'a>(Vec<(Name<'a>, &'a RawValue)>);

/// The name of a field.
#[derive(Deserialize)]
pub(super) struct Name<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The fields of an answer from the first to the last.
#[derive(Debug)]
pub struct Walk<'a> {
    fields: &'a Fields,
    /// How many were passed.
    passed: usize,
    /// Those that nobody looked for.
    others: Vec<&'a str>,
}

impl Fields {
    /// The order in which names are kept: the shorter one first, as most differ in length
    /// and few have to be looked at.
    #[must_use]
    pub fn order(one: &str, other: &str) -> Ordering {
        let by_length = one.len().cmp(&other.len());
        by_length.then_with(|| one.as_bytes().cmp(other.as_bytes()))
    }

    /// The JSON text of the field `name`, or nothing if it is absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let by_name = |(known, _): &(Range<usize>, _)| Self::order(self.piece(known), name);
        let place = self.places.binary_search_by(by_name).ok()?;
        self.places.get(place).map(|(_, value)| self.piece(value))
    }

    /// Walks through all fields, from which those that are looked for are picked.
    #[must_use]
    pub fn walk(&self) -> Walk<'_> {
        Walk {
            fields: self,
            passed: 0,
            others: Vec::new(),
        }
    }

    /// The names of all fields, the shortest ones first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|(name, _)| self.piece(name))
    }

    fn piece(&self, place: &Range<usize>) -> &str {
        self.text.get(place.clone()).unwrap_or_default()
    }
}

impl<'a> Walk<'a> {
    /// The JSON text of the field `name`, or nothing if it is absent. Names are looked for in
    /// their [order](Fields::order).
    pub fn find(&mut self, name: &str) -> Option<&'a str> {
        while let Some((known, value)) = self.fields.places.get(self.passed) {
            let known = self.fields.piece(known);
            match Fields::order(known, name) {
                Ordering::Less => self.others.push(known),
                Ordering::Equal => {
                    self.passed += 1;
                    return Some(self.fields.piece(value));
                }
                Ordering::Greater => return None,
            }
            self.passed += 1;
        }
        None
    }

    /// The names of all fields that were not found.
    pub fn others(self) -> impl Iterator<Item = &'a str> {
        let left = self.fields.names().skip(self.passed);
        self.others.into_iter().chain(left)
    }
}

impl From<Object<'_>> for Fields {
    fn from(Object(fields): Object<'_>) -> Self {
        let lengths = fields
            .iter()
            .map(|(Name(name), value)| name.len() + value.get().len());
        let mut text = String::with_capacity(lengths.sum());
        let mut keep = |piece: &str| {
            let start = text.len();
            text.push_str(piece);
            start..text.len()
        };
        let places = fields
            .iter()
            .map(|(Name(name), value)| (keep(name), keep(value.get())));
        Self {
            places: places.collect(),
            text,
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Object::deserialize(deserializer).map(Self::from)
    }
}

/// The names only: a value may be a secret.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl<'a> Object<'a> {
    /// These fields, unless a name occurs twice.
    pub(super) fn new(mut fields: Vec<(Name<'a>, &'a RawValue)>) -> Option<Self> {
        fields.sort_unstable_by(|(Name(one), _), (Name(other), _)| Fields::order(one, other));
        let mut pairs = fields.iter().zip(fields.iter().skip(1));
        let twice = pairs.any(|((Name(one), _), (Name(other), _))| one == other);
        (!twice).then_some(Self(fields))
    }

    /// Takes the field `name` out, unless it is absent or null.
    pub(super) fn take(&mut self, name: &str) -> Option<&'a str> {
        let Self(fields) = self;
        let place = fields.binary_search_by(|(Name(known), _)| Fields::order(known, name));
        let (_, value) = fields.remove(place.ok()?);
        Some(value.get()).filter(|value| *value != "null")
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut fields = Vec::with_capacity(USUAL);
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Object::new(fields).ok_or_else(|| A::Error::custom("a field occurs twice"))
            }
        }

        deserializer.deserialize_map(ObjectVisitor)
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
        let json = r#"{"bb": 1, "c": 2, "aaa": 3, "ba": 4}"#;
        let others: Fields = serde_json::from_str(json).unwrap();
        assert_eq!(others.names().collect::<Vec<_>>(), ["c", "ba", "bb", "aaa"]);
        assert_eq!(others.get("ba"), Some("4"));
        assert_eq!(others.get("ab"), None);
        assert_eq!(fields.get("a"), Some("\"x\""));
        assert_eq!(fields.get("b"), Some("[1, {\"c\": 2}]"));
        assert_eq!(fields.get(""), Some("null"));
        assert_eq!(fields.get("z\""), Some("1.50"));
        assert_eq!(fields.get("c"), None);
    }

    #[test]
    fn a_walk_finds_what_is_looked_for_and_tells_the_others() {
        let json = r#"{"b": 1, "cc": 2, "a": 3, "ddd": 4, "dd": 5}"#;
        let fields: Fields = serde_json::from_str(json).unwrap();
        for (names, values, others) in [
            (vec![], vec![], vec!["a", "b", "cc", "dd", "ddd"]),
            (
                vec!["a", "c", "cc", "xxxx"],
                vec![Some("3"), None, Some("2"), None],
                vec!["b", "dd", "ddd"],
            ),
            (
                vec!["b", "bb", "dd", "ddd"],
                vec![Some("1"), None, Some("5"), Some("4")],
                vec!["a", "cc"],
            ),
        ] {
            let mut walk = fields.walk();
            let found: Vec<_> = names.iter().map(|name| walk.find(name)).collect();
            assert_eq!(found, values);
            assert_eq!(walk.others().collect::<Vec<_>>(), others);
        }
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
