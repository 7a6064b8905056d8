//! What to do about a failure.

use std::borrow::Cow;

use crate::config::Fault;
use crate::metrics::reason::Reason;

/// What an operator does about a failure, as an instruction. The log, `doctor` and the status as
/// JSON are in English; the status page has both languages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// The remedy in English.
    pub english: Cow<'static, str>,
    /// The remedy in Chinese, if there is a translation.
    pub chinese: Option<Cow<'static, str>>,
}

impl Remedy {
    /// A remedy in both languages.
    #[must_use]
    pub const fn new(english: &'static str, chinese: &'static str) -> Self {
        Self {
            english: Cow::Borrowed(english),
            chinese: Some(Cow::Borrowed(chinese)),
        }
    }

    /// This remedy, and an alternative.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        let chinese = self.chinese.as_ref().zip(other.chinese.as_ref());
        Self {
            english: format!("{}; or {}", self.english, other.english).into(),
            chinese: chinese.map(|(this, other)| format!("{this}；或者{other}").into()),
        }
    }
}

impl From<Reason> for Remedy {
    fn from(reason: Reason) -> Self {
        Self::new(reason.remedy(), reason.remedy_in_chinese())
    }
}

impl From<Fault> for Remedy {
    fn from(fault: Fault) -> Self {
        Self {
            english: fault.remedy.into(),
            chinese: fault.chinese_remedy.map(Cow::Owned),
        }
    }
}
