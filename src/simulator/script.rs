//! A scenario as it is written.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use jiff::SignedDuration;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

use super::answer::{Answer, Fields, MAX_NESTED, documented_example};
use super::problem::{NEGATIVE_TIME, NOT_A_SIZE, NOT_A_TIME, Problem, ScenarioError};
use super::scenario::{Account, Scenario};
use super::timeline::{Step, Timeline};

/// The API's limit for DescribeLicenseGeneral, in requests per second.
const RATE_LIMIT: NonZeroU32 = match NonZeroU32::new(20) {
    Some(limit) => limit,
    None => NonZeroU32::MIN,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    rate_limit: Option<NonZeroU32>,
    repeat: Option<Spanned<Time>>,
    clock_offset: Option<Offset>,
    accounts: Vec<Spanned<AccountScript>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountScript {
    name: String,
    secret_id: String,
    secret_key: String,
    token: Option<String>,
    allow: Option<Vec<String>>,
    fields: Option<Fields>,
    #[serde(default)]
    timeline: Vec<Spanned<StepScript>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepScript {
    at: Time,
    set: Option<Fields>,
    unset: Option<Vec<String>>,
    ok: Option<bool>,
    error: Option<ErrorScript>,
    legacy_error: Option<LegacyErrorScript>,
    http: Option<HttpScript>,
    hang: Option<bool>,
    reset: Option<bool>,
    cut: Option<usize>,
    body: Option<String>,
    oversized: Option<Size>,
    nested: Option<usize>,
    gzip: Option<bool>,
    delay: Option<Time>,
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
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default, rename = "codeDesc")]
    code_desc: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpScript {
    status: u16,
    #[serde(default)]
    body: String,
    content_type: Option<String>,
    location: Option<String>,
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with it, each with its line and a remedy, and never with a secret.
    pub fn parse(yaml: &str) -> Result<Self, ScenarioError> {
        Script::parse(yaml)?.into_scenario()
    }

    /// The scenario of the demo.
    ///
    /// # Errors
    ///
    /// None in practice: it is embedded, and tested.
    pub fn demo() -> Result<Self, ScenarioError> {
        Self::parse(include_str!("demo.yml"))
    }
}

impl FromStr for Scenario {
    type Err = ScenarioError;

    fn from_str(yaml: &str) -> Result<Self, Self::Err> {
        Self::parse(yaml)
    }
}

impl Script {
    fn parse(yaml: &str) -> Result<Self, ScenarioError> {
        serde_saphyr::from_str(yaml).map_err(|error| ScenarioError::unreadable(yaml, &error))
    }

    /// Checks what the form alone does not say.
    fn into_scenario(self) -> Result<Scenario, ScenarioError> {
        let mut problems = Vec::new();
        let repeat = self.repeat.as_ref().map(|repeat| repeat.value.0);
        if let Some(Spanned { value, defined, .. }) = &self.repeat
            && value.0.is_zero()
        {
            problems.push(Problem::new(
                defined.line(),
                "`repeat` is zero: write a time such as `5m`, or leave it out",
            ));
        }
        if self.accounts.is_empty() {
            let text = "`accounts` is empty: the API needs someone to know";
            problems.push(Problem::new(0, text));
        }
        let (mut names, mut secret_ids) = (HashSet::new(), HashSet::new());
        let mut roles = Vec::with_capacity(self.accounts.len());
        for Spanned {
            value: account,
            defined,
            ..
        } in self.accounts
        {
            let line = defined.line();
            check_account(&account, line, &mut problems);
            if !names.insert(account.name.clone()) {
                let text = format!("the name `{}` comes twice: give each its own", account.name);
                problems.push(Problem::new(line, text));
            }
            if !secret_ids.insert(account.secret_id.clone()) {
                let name = &account.name;
                let text =
                    format!("account `{name}`: another one has its `secret_id`: give each its own");
                problems.push(Problem::new(line, text));
            }
            roles.push(account.into_role(repeat, &mut problems));
        }
        if !problems.is_empty() {
            return Err(ScenarioError(problems));
        }
        Ok(Scenario {
            rate_limit: self.rate_limit.unwrap_or(RATE_LIMIT),
            clock_offset: self
                .clock_offset
                .map_or(SignedDuration::ZERO, |offset| offset.0),
            roles,
        })
    }
}

fn check_account(account: &AccountScript, line: u64, problems: &mut Vec<Problem>) {
    let mut problem = |text: &str| {
        let text = format!("account `{}`: {text}", account.name);
        problems.push(Problem::new(line, text));
    };
    if account.name.is_empty() {
        problem("`name` is empty: give it one");
    }
    let is_part = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b',';
    if account.secret_id.is_empty() || !account.secret_id.bytes().all(is_part) {
        problem("`secret_id` must be visible ASCII without `/` and `,`");
    }
    if account.secret_key.is_empty() {
        problem("`secret_key` is empty: write any text, such as `demo`");
    }
    let is_value =
        |token: &String| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    if !account.token.as_ref().is_none_or(is_value) {
        problem("`token` must be visible ASCII; leave it out for a permanent key");
    }
}

impl AccountScript {
    fn into_role(
        self,
        repeat: Option<Duration>,
        problems: &mut Vec<Problem>,
    ) -> (Account, Timeline) {
        let mut steps: Vec<Step> = Vec::with_capacity(self.timeline.len());
        for Spanned {
            value: step,
            defined,
            ..
        } in self.timeline
        {
            let mut problem = |text: String| {
                let text = format!("account `{}`: {text}", self.name);
                problems.push(Problem::new(defined.line(), text));
            };
            let at = step.at.0;
            if steps.last().is_some_and(|previous| previous.at >= at) {
                problem(format!(
                    "the step at {at:?} comes after a later or equal one: sort them"
                ));
            }
            if repeat.is_some_and(|repeat| repeat <= at) {
                problem(format!(
                    "the step at {at:?} is never reached: `repeat` comes first"
                ));
            }
            match step.into_step() {
                Ok(step) => steps.push(step),
                Err(text) => problem(format!("the step at {at:?} {text}")),
            }
        }
        let timeline = Timeline {
            fields: self.fields.unwrap_or_else(documented_example),
            steps,
            repeat,
        };
        let account = Account {
            name: self.name,
            secret_id: self.secret_id,
            secret_key: self.secret_key,
            token: self.token,
            allow: self.allow,
        };
        (account, timeline)
    }
}

impl StepScript {
    /// The step, or what is wrong with it.
    fn into_step(self) -> Result<Step, String> {
        for (name, value) in [
            ("ok", self.ok),
            ("hang", self.hang),
            ("reset", self.reset),
            ("gzip", self.gzip),
        ] {
            if value == Some(false) {
                return Err(format!(
                    "says `{name}: false`: write `true` or leave it out"
                ));
            }
        }
        let gzip = self.gzip.is_some();
        let changes = self.set.is_some() || self.unset.is_some();
        let healthy = changes || self.ok.is_some();
        let http = self.http.map(HttpScript::into_answer).transpose()?;
        if self.nested.is_some_and(|depth| depth > MAX_NESTED) {
            return Err(format!("nests too deep: {MAX_NESTED} is the most"));
        }
        let mut faults = [
            self.error
                .map(|ErrorScript { code, message }| Answer::Error { code, message }),
            self.legacy_error.map(|error| Answer::LegacyError {
                code: error.code,
                message: error.message,
                code_desc: error.code_desc,
            }),
            http,
            self.hang.map(|_| Answer::Hang),
            self.reset.map(|_| Answer::Reset),
            self.cut.map(Answer::Cut),
            self.body.map(Answer::Body),
            self.oversized.map(|size| Answer::Oversized(size.0)),
            self.nested.map(Answer::Nested),
        ]
        .into_iter()
        .flatten();
        let fault = faults.next();
        if faults.next().is_some() || (fault.is_some() && healthy) || (changes && self.ok.is_some())
        {
            return Err("says several things: make each a step of its own".to_owned());
        }
        if !healthy && fault.is_none() && !gzip && self.delay.is_none() {
            return Err(
                "says nothing: add `set`, `unset`, `ok` or a fault such as `error`".to_owned(),
            );
        }
        let answer = match fault {
            Some(_) if gzip => {
                return Err(
                    "compresses a fault: `gzip` goes with `set`, `unset` and `ok`".to_owned(),
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
            answer: match self.delay {
                Some(delay) => Answer::Delayed(delay.0, Box::new(answer)),
                None => answer,
            },
        })
    }
}

impl HttpScript {
    fn into_answer(self) -> Result<Answer, String> {
        let status = StatusCode::from_u16(self.status)
            .ok()
            .filter(|_| (200..600).contains(&self.status))
            .ok_or("has no HTTP status: 200 to 599 are possible")?;
        for value in [&self.content_type, &self.location].into_iter().flatten() {
            if HeaderValue::from_str(value).is_err() {
                return Err("has a header value that is not visible ASCII".to_owned());
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

/// A time such as `10s`, `500ms` or `1m30s`, not before zero.
#[derive(Clone, Copy)]
struct Time(Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Offset(offset) = Offset::deserialize(deserializer)?;
        Duration::try_from(offset)
            .map(Self)
            .map_err(|_| D::Error::custom(NEGATIVE_TIME))
    }
}

/// A time such as `10s` or `-10s`.
#[derive(Clone, Copy)]
struct Offset(SignedDuration);

impl<'de> Deserialize<'de> for Offset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map(Self)
            .map_err(|_| D::Error::custom(NOT_A_TIME))
    }
}

/// A size in bytes such as `8MiB`, `64KiB` or `1000`.
struct Size(u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_size(&text)
            .map(Self)
            .ok_or_else(|| D::Error::custom(NOT_A_SIZE))
    }
}

fn parse_size(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 4] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("B", 1),
    ];
    let (number, unit) = UNITS
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))
        .unwrap_or((text, 1));
    number.trim_end().parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests;
