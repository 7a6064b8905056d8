//! The fields of a JSON object, each as JSON text.
//!
//! They are read one by one, so that one bad field spoils no other. A name that
//! occurs twice spoils the object: nobody could say which value holds.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// About how many fields an answer has, and how long their names and values are.
const USUAL: (usize, usize) = (32, 1000);

/// Why an object is refused.
pub(super) const TWICE: &str = "a field occurs twice";

/// The fields of an object.
#[derive(Default)]
pub struct Fields {
    /// All names and values, one after the other.
    text: String,
    /// Where they are, in [order](Fields::order) of the names.
    places: Vec<Place>,
}

/// Where the name and the value of a field are.
struct Place {
    name: Range<u32>,
    value: Range<u32>,
}

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
    #[inline(always)]
    pub fn order(one: impl AsRef<[u8]>, other: impl AsRef<[u8]>) -> Ordering {
        let (one, other) = (one.as_ref(), other.as_ref());
        one.len().cmp(&other.len()).then_with(|| one.cmp(other))
    }

    /// The JSON text of the field `name`, or nothing if it is absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let place = self.places.get(self.find(name)?)?;
        Some(self.piece(&place.value))
    }

    /// Takes the field `name` out, unless it is absent or null.
    pub(super) fn take(&mut self, name: &str) -> Option<&str> {
        let place = self.places.remove(self.find(name)?);
        Some(self.piece(&place.value)).filter(|value| *value != "null")
    }

    fn find(&self, name: &str) -> Option<usize> {
        let by_name = |place: &Place| Self::order(place.name(&self.text), name);
        self.places.binary_search_by(by_name).ok()
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
        self.places.iter().map(|place| self.piece(&place.name))
    }

    /// Adds a field, in whatever order.
    pub(super) fn add<E: Error>(&mut self, name: &str, value: &RawValue) -> Result<(), E> {
        let place = Place {
            name: self.append(name)?,
            value: self.append(value.get())?,
        };
        self.places.push(place);
        Ok(())
    }

    fn append<E: Error>(&mut self, piece: &str) -> Result<Range<u32>, E> {
        let start = self.text.len();
        self.text.push_str(piece);
        let end = u32::try_from(self.text.len()).map_err(|_| E::custom("it is too long"))?;
        // Where the end fits, the start does.
        Ok(u32::try_from(start).unwrap_or(end)..end)
    }

    /// Brings the fields that were added in order, unless a name occurs twice.
    pub(super) fn sorted<E: Error>(self) -> Result<Self, E> {
        let Self { text, mut places } = self;
        places.sort_unstable_by(|one, other| Self::order(one.name(&text), other.name(&text)));
        let mut pairs = places.iter().zip(places.iter().skip(1));
        let twice = pairs.any(|(one, other)| one.name(&text) == other.name(&text));
        if twice {
            return Err(E::custom(TWICE));
        }
        Ok(Self { text, places })
    }

    fn piece(&self, place: &Range<u32>) -> &str {
        let place = place.start as usize..place.end as usize;
        self.text.get(place).unwrap_or_default()
    }
}

impl Place {
    /// The bytes of the name, which are in `text`.
    #[inline(always)]
    fn name<'a>(&self, text: &'a str) -> &'a [u8] {
        let place = self.name.start as usize..self.name.end as usize;
        text.as_bytes().get(place).unwrap_or_default()
    }
}

impl<'a> Walk<'a> {
    /// The JSON text of the field `name`, or nothing if it is absent. Names are looked for in
    /// their [order](Fields::order).
    pub fn find(&mut self, name: &str) -> Option<&'a str> {
        while let Some(place) = self.fields.places.get(self.passed) {
            match Fields::order(place.name(&self.fields.text), name) {
                Ordering::Less => self.others.push(self.fields.piece(&place.name)),
                Ordering::Equal => {
                    self.passed += 1;
                    return Some(self.fields.piece(&place.value));
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
                let mut fields = Fields {
                    text: String::with_capacity(USUAL.1),
                    places: Vec::with_capacity(USUAL.0),
                };
                while let Some((Name(name), value)) = map.next_entry()? {
                    fields.add(&name, value)?;
                }
                fields.sorted()
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
