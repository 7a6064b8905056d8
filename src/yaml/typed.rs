//! Rust types read from a tree, and the lines where their values are.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer as _, MapAccess,
    SeqAccess, Unexpected, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};

use super::{At, Yaml, is_likely_key};

/// Reads `tree` as a `T`.
pub(crate) fn from_tree<T: DeserializeOwned>(tree: At<Yaml>) -> Result<T, Mismatch> {
    let line = tree.line;
    T::deserialize(tree).map_err(|mismatch| mismatch.at(line))
}

/// Why a tree does not fit a type, in words that hold none of its values.
#[derive(Debug)]
pub(crate) struct Mismatch {
    /// 0 until it is known.
    pub(crate) line: u64,
    text: String,
}

impl Mismatch {
    fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { line: 0, text }
    }

    fn not_a(expected: impl fmt::Display) -> Self {
        Self::new(format!("wrong kind of value: write {expected}"))
    }

    /// The innermost line counts.
    fn at(mut self, line: u64) -> Self {
        if self.line == 0 {
            self.line = line;
        }
        self
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Mismatch {}

impl serde::de::Error for Mismatch {
    /// Whoever calls this must not quote the value.
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(text.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::not_a(plain(&expected.to_string()))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::not_a(plain(&expected.to_string()))
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::new(unknown_key(key, known))
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(format!("the key `{key}` is missing: add it"))
    }
}

/// What serde expects, in words for people.
fn plain(expected: &str) -> &str {
    match expected {
        "u16" => "a whole number from 0 to 65535",
        "usize" => "a whole number, 0 or more",
        "i64" => "a whole number",
        other => other,
    }
}

/// Shows a key only as far as it is likely to be one, and not a value.
fn unknown_key(key: &str, known: &[&str]) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some((word, _)) = key.split_once(|c| !is_word(c))
        && known.contains(&word)
    {
        return format!("unknown key `{word}…`: write a blank after its colon");
    }
    let similar = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(key, name), name))
        .filter(|(distance, _)| *distance <= 2)
        .min();
    match similar {
        Some((_, name)) => format!("unknown key `{key}`: did you mean `{name}`?"),
        None if is_likely_key(key, false) => {
            format!("unknown key `{key}`: use one of {}", known.join(", "))
        }
        None => format!("unknown key: use one of {}", known.join(", ")),
    }
}

impl<'de> Deserializer<'de> for At<Yaml> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.value {
            Yaml::Null => visitor.visit_unit(),
            Yaml::Bool(value) => visitor.visit_bool(value),
            Yaml::Whole(number) => match (u64::try_from(number), i64::try_from(number)) {
                (Ok(number), _) => visitor.visit_u64(number),
                (_, Ok(number)) => visitor.visit_i64(number),
                _ => Err(Mismatch::not_a("a number of at most 19 digits")),
            },
            Yaml::Float(number) => visitor.visit_f64(number),
            Yaml::Text(text) => visitor.visit_string(text),
            Yaml::List(items) => visitor.visit_seq(Items(items.into_iter())),
            Yaml::Map(entries) => visitor.visit_map(Entries {
                rest: entries.into_iter(),
                value: None,
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.value {
            Yaml::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.value {
            Yaml::Bool(value) => visitor.visit_bool(value),
            _ => Err(Mismatch::not_a("true or false")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.value {
            Yaml::Text(text) => visitor.visit_string(text),
            // As it was written is not known: `0x1F` is 31 by now.
            Yaml::Bool(_) | Yaml::Whole(_) | Yaml::Float(_) => {
                Err(Mismatch::not_a("a text, in quotes"))
            }
            _ => Err(Mismatch::not_a("a text")),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.value {
            Yaml::List(_) => self.deserialize_any(visitor),
            _ => Err(Mismatch::not_a("a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.value {
            Yaml::Map(_) => self.deserialize_any(visitor),
            _ => Err(Mismatch::not_a("keys with values")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        if name == WITH_LINE {
            let line = At {
                line: 0,
                value: Yaml::Whole(self.line.into()),
            };
            return visitor.visit_seq(Items(vec![line, self].into_iter()));
        }
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        tuple tuple_struct enum identifier ignored_any
    }
}

/// The items of a list.
struct Items(std::vec::IntoIter<At<Yaml>>);

impl<'de> SeqAccess<'de> for Items {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mismatch> {
        let Some(item) = self.0.next() else {
            return Ok(None);
        };
        let line = item.line;
        let value = seed.deserialize(item);
        value.map(Some).map_err(|mismatch| mismatch.at(line))
    }
}

/// The entries of a map.
struct Entries {
    rest: std::vec::IntoIter<(At<String>, At<Yaml>)>,
    value: Option<At<Yaml>>,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = Mismatch;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Mismatch> {
        let Some((key, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        let name: StringDeserializer<Mismatch> = key.value.into_deserializer();
        let name = seed.deserialize(name);
        name.map(Some).map_err(|mismatch| mismatch.at(key.line))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mismatch> {
        let value = self.value.take();
        let value = value.ok_or_else(|| Mismatch::not_a("a value"))?;
        let line = value.line;
        seed.deserialize(value)
            .map_err(|mismatch| mismatch.at(line))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WITH_LINE, AtVisitor(PhantomData))
    }
}

/// The name by which an [`At`] asks for a list of the line and the value.
const WITH_LINE: &str = "\0line";

struct AtVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for AtVisitor<T> {
    type Value = At<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value in a tree")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<At<T>, A::Error> {
        match (access.next_element()?, access.next_element()?) {
            (Some(line), Some(value)) => Ok(At { line, value }),
            _ => Err(serde::de::Error::invalid_length(0, &self)),
        }
    }
}
