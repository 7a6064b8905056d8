//! A field of an answer that always becomes the same series.

use std::borrow::Cow;

use super::object::{Documented, Object};
use super::{Collected, Sample};
use crate::cloud::Fields;
use crate::metrics::MetricDef;

/// How a field is read, and what it becomes.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: FieldKind,
    pub(super) documented: Documented,
    pub(super) metric: &'static MetricDef,
    /// The value of the metric's second label, if it has one that the field decides.
    pub(super) labels: &'static [Cow<'static, str>],
}

/// How a field's value is read.
pub(super) enum FieldKind {
    Count,
    Switch,
    /// A word, which becomes the label; the value is 1.
    Word,
}

/// A table with a field a line: whether its absence is drift, how it is read, and what it
/// becomes. The metrics are those of the module `defs` beside it.
macro_rules! fields {
    ($($documented:ident $kind:ident $name:ident => $metric:ident $($label:literal)?;)*) => {
        &[$($crate::collectors::field::Field {
            name: stringify!($name),
            kind: $crate::collectors::field::FieldKind::$kind,
            documented: $crate::collectors::Documented::$documented,
            metric: defs::$metric,
            labels: &[$(std::borrow::Cow::Borrowed($label))?],
        }),*]
    };
}
pub(super) use fields;

/// What an answer says in these `fields`; it may also have the fields `unused`.
pub(super) fn read(answer: &Fields, fields: &[Field], unused: &[&'static str]) -> Collected {
    let mut answer = Object::new(answer, "");
    answer.skip(unused);
    let samples = fields.iter().filter_map(|field| field.read(&mut answer));
    Collected {
        samples: samples.collect(),
        recognized: answer.is_recognized(),
        drift: answer.drift(),
        ..Collected::default()
    }
}

impl Field {
    fn read(&self, answer: &mut Object<'_>) -> Option<Sample> {
        let (name, documented) = (self.name, self.documented);
        let (labels, value) = match self.kind {
            FieldKind::Count => (Cow::Borrowed(self.labels), answer.count(name, documented)?),
            FieldKind::Switch => (Cow::Borrowed(self.labels), answer.switch(name, documented)?),
            FieldKind::Word => {
                let word = Cow::Owned(answer.text(name, documented)?);
                (Cow::Owned(vec![word]), 1.0)
            }
        };
        Some(Sample {
            metric: self.metric,
            labels,
            value,
        })
    }
}
