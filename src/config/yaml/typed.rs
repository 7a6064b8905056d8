//! Rust types read from a tree, and the lines where their values are.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer as _, MapAccess,
    SeqAccess, Unexpected, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};

use super::is_likely_key;
use crate::config::{Origin, Tree, Value};

/// Something, and the line where it is, counted from 1.
pub(crate) struct At<T> {
    pub(crate) line: u64,
    pub(crate) value: T,
}

impl Tree {
    fn line(&self) -> u64 {
        match self.origin {
            Origin::Line(line) => line.into(),
            Origin::Variable(_) => 0,
        }
    }
}

/// Reads `tree` as a `T`.
pub(crate) fn from_tree<T: DeserializeOwned>(tree: Tree) -> Result<T, Mismatch> {
    let line = tree.line();
    T::deserialize(tree).map_err(|mismatch| mismatch.at(line))
}

/// Why a tree does not fit a type, in words that hold none of its values.
#[derive(Debug)]
pub(crate) struct Mismatch {
    /// 0 until it is known.
    pub(crate) line: u64,
    /// Whose value does not fit, once it is known.
    key: Option<String>,
    /// Whether the text names a key by itself.
    names_key: bool,
    text: String,
}

impl Mismatch {
    /// What is wrong with a value.
    fn of_value(text: impl Into<String>) -> Self {
        Self {
            line: 0,
            key: None,
            names_key: false,
            text: text.into(),
        }
    }

    /// What is wrong with a key.
    fn of_key(text: String) -> Self {
        Self {
            names_key: true,
            ..Self::of_value(text)
        }
    }

    fn expected(expected: impl fmt::Display, found: Unexpected<'_>) -> Self {
        Self::of_value(format!("expected {expected}, found {}", kind(found)))
    }

    /// Adds what to do.
    fn remedy(mut self, remedy: impl fmt::Display) -> Self {
        self.text += &format!(": {remedy}");
        self
    }

    /// The innermost line counts.
    fn at(mut self, line: u64) -> Self {
        if self.line == 0 {
            self.line = line;
        }
        self
    }

    /// The innermost key counts.
    fn under(mut self, key: &str) -> Self {
        if !self.names_key && is_likely_key(key, false) {
            self.names_key = true;
            self.key = Some(key.to_owned());
        }
        self
    }
}

/// The kind of a value, which is not shown itself.
fn kind(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Float(number) if number.fract().abs() > 0.0 => "a number with a fraction",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
        Unexpected::Str(_) => "text",
        Unexpected::Seq => "a list",
        Unexpected::Map => "keys with values",
        Unexpected::Unit | Unexpected::Option => "nothing",
        _ => "something else",
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            write!(f, "`{key}`: ")?;
        }
        f.write_str(&self.text)
    }
}

impl std::error::Error for Mismatch {}

impl serde::de::Error for Mismatch {
    /// Whoever calls this must not quote the value.
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::of_value(text.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(expected, found)
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::of_value(format!("out of range: write {expected}"))
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::of_key(unknown_key(key, known))
    }

    fn missing_field(key: &'static str) -> Self {
        Self::of_key(format!("the key `{key}` is missing: add it"))
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

impl Value {
    /// Its kind, as serde names it.
    fn as_found(&self) -> Unexpected<'_> {
        match self {
            Self::Null => Unexpected::Unit,
            Self::Bool(value) => Unexpected::Bool(*value),
            Self::Number(number) => match number.as_f64() {
                Some(float) if number.is_f64() => Unexpected::Float(float),
                _ => Unexpected::Signed(0),
            },
            Self::Text(text) => Unexpected::Str(text),
            Self::List(_) => Unexpected::Seq,
            Self::Map(_) => Unexpected::Map,
        }
    }
}

impl<'de> Deserializer<'de> for Tree {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), ..) => visitor.visit_u64(number),
                (_, Some(number), _) => visitor.visit_i64(number),
                (.., number) => visitor.visit_f64(number.unwrap_or_default()),
            },
            Value::Text(text) => visitor.visit_string(text),
            Value::List(items) => visitor.visit_seq(Items(items.into_iter())),
            Value::Map(entries) => visitor.visit_map(Entries {
                rest: entries.into_iter(),
                value: None,
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.value {
            Value::Bool(value) => visitor.visit_bool(value),
            other => Err(Mismatch::expected("true or false", other.as_found())),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.value {
            Value::Text(text) => visitor.visit_string(text),
            // As it was written is not known: `0x1F` is 31 by now.
            scalar @ (Value::Bool(_) | Value::Number(_)) => {
                let mismatch = Mismatch::expected("text", scalar.as_found());
                Err(mismatch.remedy("put the value in quotes"))
            }
            other => Err(Mismatch::expected("text", other.as_found())),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.value {
            Value::List(_) => self.deserialize_any(visitor),
            other => {
                let mismatch = Mismatch::expected("a list", other.as_found());
                Err(mismatch.remedy("write `- ` before each item"))
            }
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.value {
            Value::Map(_) => self.deserialize_any(visitor),
            other => {
                let mismatch = Mismatch::expected("keys with values", other.as_found());
                Err(mismatch.remedy("write `key: value` lines under it"))
            }
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self.value {
            Value::Map(_) => self.deserialize_any(visitor),
            other => {
                let mismatch = Mismatch::expected("keys with values", other.as_found());
                Err(mismatch.remedy(format_args!("the keys are {}", known.join(", "))))
            }
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        if name == WITH_LINE {
            let line = Tree {
                origin: Origin::Line(0),
                value: Value::Number(self.line().into()),
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
struct Items(std::vec::IntoIter<Tree>);

impl<'de> SeqAccess<'de> for Items {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mismatch> {
        let Some(item) = self.0.next() else {
            return Ok(None);
        };
        let line = item.line();
        let value = seed.deserialize(item);
        value.map(Some).map_err(|mismatch| mismatch.at(line))
    }
}

/// The entries of a map.
struct Entries {
    rest: std::vec::IntoIter<(String, Tree)>,
    /// The value of the last key, and that key.
    value: Option<(String, Tree)>,
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
        let line = value.line();
        self.value = Some((key.clone(), value));
        let name: StringDeserializer<Mismatch> = key.into_deserializer();
        let name = seed.deserialize(name);
        name.map(Some).map_err(|mismatch| mismatch.at(line))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mismatch> {
        let value = self.value.take();
        let (key, value) = value.ok_or_else(|| Mismatch::of_value("there is no value"))?;
        let line = value.line();
        seed.deserialize(value)
            .map_err(|mismatch| mismatch.at(line).under(&key))
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
