//! The steps of a timeline as they are written.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use super::super::answer::{Answer, Fields, MAX_NESTED};
use super::super::problem::Problem;
use super::super::timeline::Step;
use super::units::{Size, Time, Whole};
use crate::config::yaml::typed::At;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepScript {
    at: Time,
    set: Option<Fields>,
    unset: Option<Vec<String>>,
    ok: Option<bool>,
    error: Option<ErrorScript>,
    legacy_error: Option<LegacyErrorScript>,
    http: Option<HttpScript>,
    hang: Option<bool>,
    reset: Option<bool>,
    cut: Option<Whole<0, { u32::MAX as i64 }>>,
    body: Option<String>,
    oversized: Option<Size>,
    nested: Option<Whole<0, { MAX_NESTED as i64 }>>,
    gzip: Option<bool>,
    delay: Option<Time>,
    rotate: Option<RotateScript>,
    revoke: Option<bool>,
}

/// The key that replaces an account's own one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateScript {
    pub(crate) secret_id: Option<String>,
    pub(crate) secret_key: String,
    pub(crate) token: Option<String>,
}

/// Whose timeline it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Account,
    Service,
}

/// A timeline that has been read.
pub(crate) struct Steps {
    pub(crate) steps: Vec<Step>,
    pub(crate) rotations: Vec<Rotation>,
}

/// A change of key, and where it is written.
pub(crate) struct Rotation {
    pub(crate) at: Duration,
    pub(crate) line: u64,
    pub(crate) key: RotateScript,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorScript {
    code: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LegacyErrorScript {
    code: Whole<{ i64::MIN }, { i64::MAX }>,
    #[serde(default)]
    message: String,
    #[serde(default, rename = "codeDesc")]
    code_desc: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpScript {
    status: Whole<200, 599>,
    #[serde(default)]
    body: String,
    content_type: Option<String>,
    location: Option<String>,
}

/// Reads the timeline of `owner`, such as "account `prod`".
pub(crate) fn read(
    owner: &str,
    kind: Kind,
    scripts: Vec<At<StepScript>>,
    repeat: Option<Duration>,
    problems: &mut Vec<Problem>,
) -> Steps {
    let mut read = Steps {
        steps: Vec::with_capacity(scripts.len()),
        rotations: Vec::new(),
    };
    let mut previous: Option<Duration> = None;
    for At {
        value: mut script,
        line,
    } in scripts
    {
        let at = script.at.0;
        let mut problem = |text: &str| {
            let text = format!("{owner}: the step at {at:?} {text}");
            problems.push(Problem::new(line, text));
        };
        if previous.is_some_and(|previous| previous >= at) {
            problem("is not later than the step before it: sort the steps by `at`");
        }
        if repeat.is_some_and(|repeat| repeat <= at) {
            problem("is never reached, as `repeat` is not longer: raise `repeat` or lower `at`");
        }
        previous = Some(at);
        let rotate = script.rotate.take_if(|_| kind == Kind::Account);
        let turns = rotate.is_some();
        let rotations = rotate.map(|key| Rotation { at, line, key });
        read.rotations.extend(rotations);
        match script.into_step(kind, turns) {
            Ok(step) => read.steps.push(step),
            Err(text) => problem(&text),
        }
    }
    read
}

impl StepScript {
    /// The step, or what is wrong with it.
    fn into_step(self, kind: Kind, rotates: bool) -> Result<Step, String> {
        let changes = self.set.is_some() || self.unset.is_some();
        let turns = rotates || self.rotate.is_some() || self.revoke.is_some();
        if kind == Kind::Service && (changes || turns) {
            return Err(
                "changes an account: `set`, `unset`, `rotate` and `revoke` are for the timelines \
                 of accounts"
                    .to_owned(),
            );
        }
        for (name, value) in [
            ("ok", self.ok),
            ("hang", self.hang),
            ("reset", self.reset),
            ("gzip", self.gzip),
            ("revoke", self.revoke),
        ] {
            if value == Some(false) {
                return Err(format!(
                    "has `{name}: false`: write `{name}: true`, or remove the key"
                ));
            }
        }
        let gzip = self.gzip.is_some();
        let healthy = changes || self.ok.is_some();
        let http = self.http.map(HttpScript::into_answer).transpose()?;
        let mut faults = [
            self.error
                .map(|ErrorScript { code, message }| Answer::Error { code, message }),
            self.legacy_error.map(|error| Answer::LegacyError {
                code: error.code.get(),
                message: error.message,
                code_desc: error.code_desc,
            }),
            http,
            self.hang.map(|_| Answer::Hang),
            self.reset.map(|_| Answer::Reset),
            self.cut.map(|bytes| Answer::Cut(bytes.get())),
            self.body.map(Answer::Body),
            self.oversized.map(|size| Answer::Oversized(size.0)),
            self.nested.map(|depth| Answer::Nested(depth.get())),
        ]
        .into_iter()
        .flatten();
        let fault = faults.next();
        if faults.next().is_some() || (fault.is_some() && healthy) || (changes && self.ok.is_some())
        {
            return Err(
                "has several answers: write each of them as a step with its own `at`".to_owned(),
            );
        }
        if !(healthy || turns || gzip) && fault.is_none() && self.delay.is_none() {
            return Err(
                "changes nothing: add `set`, `unset`, `ok` or a fault such as `error`".to_owned(),
            );
        }
        let answer = match fault {
            Some(_) if gzip => {
                return Err(
                    "has `gzip` and a fault, which cannot be compressed: remove one of the two"
                        .to_owned(),
                );
            }
            Some(fault) => fault,
            None if gzip => Answer::Gzip,
            None => Answer::Ok,
        };
        Ok(Step {
            at: self.at.0,
            set: self.set.unwrap_or_default(),
            unset: self.unset.unwrap_or_default(),
            revoke: self.revoke.is_some(),
            answer: match self.delay {
                Some(delay) => Answer::Delayed(delay.0, Box::new(answer)),
                None => answer,
            },
        })
    }
}

impl HttpScript {
    fn into_answer(self) -> Result<Answer, String> {
        let status = StatusCode::from_u16(self.status.get())
            .map_err(|_| "has a `status` that is not an HTTP status".to_owned())?;
        for (key, value) in [
            ("content_type", &self.content_type),
            ("location", &self.location),
        ] {
            let value = value.as_deref().unwrap_or_default();
            if HeaderValue::from_str(value).is_err() {
                return Err(format!(
                    "has a `{key}` that is not visible ASCII: no header can carry it"
                ));
            }
        }
        Ok(Answer::Http {
            status,
            body: self.body,
            content_type: self.content_type,
            location: self.location,
        })
    }
}
