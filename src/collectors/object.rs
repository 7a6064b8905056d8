//! Reads one object of an answer, field by field.

use super::{Drift, DriftKind};
use crate::cloud::Fields;

/// The largest count that a sample, a 64-bit float, holds exactly.
const MAX_EXACT: u64 = 1 << 53;

/// The longest text that becomes a label, in bytes.
const MAX_TEXT: usize = 128;

/// How many unknown fields of one object are reported, those with the shortest names.
pub const MAX_UNKNOWN_FIELDS: usize = 20;

/// How many bytes of an unknown field's name are reported.
pub const MAX_FIELD_NAME: usize = 64;

/// An object of an answer that is being read. It keeps where the object differs from its
/// documentation.
#[derive(Debug)]
pub struct Object<'a> {
    fields: &'a Fields,
    /// The prefix of the names of its fields, such as `List[].`.
    path: &'static str,
    read: Vec<&'static str>,
    drift: Vec<Drift>,
    recognized: bool,
}

/// Whether a field is in the document of 2024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Documented {
    /// Its absence is drift.
    Yes,
    /// The field was added later, so its absence is no drift.
    Later,
}

impl<'a> Object<'a> {
    /// The object with these `fields`, whose names are reported behind `path`.
    #[must_use]
    pub fn new(fields: &'a Fields, path: &'static str) -> Self {
        Self {
            fields,
            path,
            read: Vec::new(),
            drift: Vec::new(),
            recognized: false,
        }
    }

    /// An unsigned integer, without a fraction or an exponent.
    pub fn count(&mut self, name: &'static str, documented: Documented) -> Option<f64> {
        self.read(name, documented, count)
    }

    /// `true` as 1, `false` as 0.
    pub fn switch(&mut self, name: &'static str, documented: Documented) -> Option<f64> {
        self.read(name, documented, |json| match json {
            "true" => Some(1.0),
            "false" => Some(0.0),
            _ => None,
        })
    }

    /// A text of at most 128 bytes.
    pub fn text(&mut self, name: &'static str, documented: Documented) -> Option<String> {
        self.read(name, documented, |json| {
            let text: String = serde_json::from_str(json).ok()?;
            (text.len() <= MAX_TEXT).then_some(text)
        })
    }

    /// A number of an enumeration, in the API's own digits.
    pub fn number(&mut self, name: &'static str, documented: Documented) -> Option<u64> {
        self.read(name, documented, |json| json.parse().ok())
    }

    /// Takes documented fields for known that are not read.
    pub fn skip(&mut self, names: &[&'static str]) {
        self.read.extend(names);
    }

    /// Reports that a field, which was read, has a value that is not documented.
    pub fn reject(&mut self, name: &str) {
        self.differs(name, DriftKind::Invalid);
    }

    /// The field `name` as `read` reads its JSON. One that `read` does not take is drift,
    /// and so is an absent one, if it is documented.
    pub fn read<T>(
        &mut self,
        name: &'static str,
        documented: Documented,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Option<T> {
        self.read.push(name);
        let json = self.fields.get(name);
        let value = json.and_then(read);
        match (json, &value) {
            (_, Some(_)) => self.recognized |= documented == Documented::Yes,
            (Some(_), None) => self.differs(name, DriftKind::Invalid),
            (None, None) if documented == Documented::Yes => {
                self.differs(name, DriftKind::Missing);
            }
            (None, None) => {}
        }
        value
    }

    /// Whether at least one documented field was valid.
    #[must_use]
    pub fn is_recognized(&self) -> bool {
        self.recognized
    }

    /// Where the object differs from its documentation; what was not read is unknown.
    #[must_use]
    pub fn drift(mut self) -> Vec<Drift> {
        let names = self.fields.names();
        let mut unknown: Vec<&str> = names.filter(|name| !self.read.contains(name)).collect();
        unknown.sort_by_key(|name| name.len());
        for name in unknown.into_iter().take(MAX_UNKNOWN_FIELDS) {
            self.differs(shortened(name), DriftKind::Unknown);
        }
        self.drift
    }

    fn differs(&mut self, name: &str, kind: DriftKind) {
        self.drift.push(Drift {
            field: format!("{}{name}", self.path).into(),
            kind,
        });
    }
}

/// An unsigned integer, without a fraction or an exponent.
pub(super) fn count(json: &str) -> Option<f64> {
    // The text is JSON, so that only digits are accepted and no other form of a number.
    let count: u64 = json.parse().ok()?;
    #[expect(clippy::cast_precision_loss, reason = "at most MAX_EXACT")]
    (count <= MAX_EXACT).then_some(count as f64)
}

/// The first [`MAX_FIELD_NAME`] bytes, without a part of a character.
fn shortened(name: &str) -> &str {
    let mut ends = (0..=MAX_FIELD_NAME.min(name.len())).rev();
    ends.find_map(|end| name.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_value_is_read_up_to_its_limit() {
        let text = |length| format!(r#"{{"Text":"{}"}}"#, "x".repeat(length));
        for (length, is_read) in [(128, true), (129, false)] {
            let fields = fields(&text(length));
            let mut object = Object::new(&fields, "");
            let text = object.text("Text", Documented::Yes);
            assert_eq!(text.is_some(), is_read, "{length}");
            assert_eq!(object.is_recognized(), is_read);
        }
        assert_eq!(count("9007199254740992"), Some(9_007_199_254_740_992.0));
        for json in ["9007199254740993", "-1", "1.0", "1e3", "null", "\"1\""] {
            assert_eq!(count(json), None, "{json}");
        }
        let switches = fields(r#"{"On":true,"Off":false,"Odd":1}"#);
        let mut object = Object::new(&switches, "");
        let names = ["On", "Off", "Odd"];
        let switches = names.map(|name| object.switch(name, Documented::Later));
        assert_eq!(switches, [Some(1.0), Some(0.0), None]);
        assert!(!object.is_recognized(), "nothing is documented");
    }

    #[test]
    fn what_differs_from_the_documentation_is_told_with_its_path() {
        let fields = fields(r#"{"Odd":"x","New":1,"Skipped":1,"Rejected":1}"#);
        let mut object = Object::new(&fields, "List[].");
        object.skip(&["Skipped"]);
        assert_eq!(object.number("Odd", Documented::Yes), None);
        assert_eq!(object.number("Absent", Documented::Yes), None);
        assert_eq!(object.number("Optional", Documented::Later), None);
        assert!(!object.is_recognized());
        assert_eq!(object.number("Rejected", Documented::Yes), Some(1));
        object.reject("Rejected");
        assert!(object.is_recognized());
        let drift = object.drift().into_iter();
        let drift: Vec<_> = drift
            .map(|drift| format!("{} {}", drift.field, drift.kind.as_str()))
            .collect();
        let expected = [
            "List[].Odd invalid",
            "List[].Absent missing",
            "List[].Rejected invalid",
            "List[].New unknown",
        ];
        assert_eq!(drift, expected);
    }

    #[test]
    fn of_unknown_fields_the_twenty_shortest_are_told_and_the_first_64_bytes_of_their_names() {
        let names: Vec<String> = (1..=21).rev().map(|length| "x".repeat(length)).collect();
        let pairs: Vec<String> = names.iter().map(|name| format!(r#""{name}":1"#)).collect();
        let fields_of_object = fields(&format!("{{{}}}", pairs.join(",")));
        let drift = Object::new(&fields_of_object, "").drift();
        let lengths = drift.iter().map(|drift| drift.field.len());
        assert!(lengths.eq(1..=20));
        for (name, shown) in [
            ("x".repeat(64), "x".repeat(64)),
            ("x".repeat(65), "x".repeat(64)),
            ("x".repeat(62) + "主", "x".repeat(62)),
            (String::new(), String::new()),
        ] {
            assert_eq!(shortened(&name), shown);
        }
    }
}
