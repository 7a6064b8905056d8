//! A scenario as it is written.

use std::collections::HashSet;
use std::num::NonZeroU32;
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
pub(crate) struct Script {
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

impl Script {
    pub(crate) fn parse(yaml: &str) -> Result<Self, ScenarioError> {
        serde_saphyr::from_str(yaml).map_err(|error| ScenarioError::unreadable(yaml, &error))
    }

    /// Checks what the form alone does not say.
    pub(crate) fn into_scenario(self) -> Result<Scenario, ScenarioError> {
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
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(yaml: &str) -> Result<Scenario, ScenarioError> {
        Script::parse(yaml)?.into_scenario()
    }

    fn account(rest: &str) -> String {
        format!(
            "accounts:\n  - name: prod\n    secret_id: AKIDprod\n    secret_key: hunter2hunter2\n{rest}"
        )
    }

    fn message(yaml: &str) -> String {
        let message = parse(yaml).unwrap_err().to_string();
        assert!(!message.contains("hunter2"), "{message}");
        message
    }

    #[test]
    fn every_kind_of_step_is_understood() {
        let scenario = parse(include_str!(
            "../../tests/fixtures/scenarios/every-step.yml"
        ))
        .unwrap();
        assert_eq!(scenario.rate_limit.get(), 50);
        assert_eq!(scenario.clock_offset, SignedDuration::from_mins(-10));
        let (account, timeline) = scenario.roles.first().unwrap();
        assert_eq!(account.token(), Some("token-every-step"));
        assert_eq!(timeline.repeat, Some(Duration::from_secs(300)));
        let ok = || Box::new(Answer::Ok);
        let expected = [
            Answer::Ok,
            Answer::Ok,
            Answer::Error {
                code: "InternalError".to_owned(),
                message: "An internal error has occurred.".to_owned(),
            },
            Answer::LegacyError {
                code: 4000,
                message: "Bad request".to_owned(),
                code_desc: "InvalidParameter".to_owned(),
            },
            Answer::Http {
                status: StatusCode::FOUND,
                body: "<html>moved</html>".to_owned(),
                content_type: Some("text/html".to_owned()),
                location: Some("http://127.0.0.1:9/".to_owned()),
            },
            Answer::Hang,
            Answer::Reset,
            Answer::Cut(40),
            Answer::Body("not json".to_owned()),
            Answer::Body(String::new()),
            Answer::Oversized(8 << 20),
            Answer::Nested(20_000),
            Answer::Gzip,
            Answer::Delayed(Duration::from_millis(1500), ok()),
            Answer::Delayed(Duration::from_secs(2), Box::new(Answer::Reset)),
            Answer::Ok,
        ];
        let answers: Vec<Answer> = timeline
            .steps
            .iter()
            .map(|step| step.answer.clone())
            .collect();
        assert_eq!(answers, expected);
        let fields = timeline.at(Duration::from_secs(2)).fields;
        assert_eq!(
            serde_json::Value::from(fields),
            json!({
                "LicenseCnt": 100, "ProtectType": null, "FutureCnt": {"any": [1, -2.5, "x"]}
            })
        );
        let (_, second) = scenario.roles.get(1).unwrap();
        assert_eq!(second.fields, documented_example());
    }

    #[test]
    fn limit_is_the_apis_unless_given() {
        let scenario = parse(&account("")).unwrap();
        assert_eq!(scenario.rate_limit.get(), 20);
        assert_eq!(scenario.clock_offset, SignedDuration::ZERO);
    }

    #[test]
    fn mistakes_are_told_with_line_and_remedy() {
        let step = |step: &str| account(&format!("    timeline:\n      - {{{step}}}\n"));
        for (yaml, expected) in [
            (
                "acounts: []".to_owned(),
                "line 1: unknown key `acounts`: did you mean `accounts`?",
            ),
            (
                "repeat: 5m".to_owned(),
                "the key `accounts` is missing: add it",
            ),
            ("accounts: []".to_owned(), "`accounts` is empty"),
            (
                account("    tokn: x"),
                "line 5: unknown key `tokn`: did you mean `token`?",
            ),
            (
                account("    token: ''"),
                "line 2: account `prod`: `token` must be visible ASCII",
            ),
            (account("    secret_key: hunter2"), "a key comes twice"),
            (
                account("rate_limit: 0"),
                "wrong kind of value: write a nonzero u32",
            ),
            (account("repeat: 0s"), "line 5: `repeat` is zero"),
            (
                account("repeat: 5 apples"),
                "line 5: not a time: write one such as `500ms`",
            ),
            (step("at: -1s, ok: true"), "a time is negative"),
            (
                step("at: 1s"),
                "line 6: account `prod`: the step at 1s says nothing",
            ),
            (
                step("at: 1s, hang: true, reset: true"),
                "the step at 1s says several things",
            ),
            (step("at: 1s, ok: true, reset: true"), "says several things"),
            (step("at: 1s, set: {}, cut: 1"), "says several things"),
            (
                step("at: 1s, hang: false"),
                "says `hang: false`: write `true` or leave it out",
            ),
            (step("at: 1s, hang: true, gzip: true"), "compresses a fault"),
            (
                step("at: 1s, http: {status: 101}"),
                "has no HTTP status: 200 to 599",
            ),
            (
                step("at: 1s, http: {status: 302, location: \"a\\nb\"}"),
                "not visible ASCII",
            ),
            (
                step("at: 1s, oversized: big"),
                "not a size: write one such as `64KiB`",
            ),
            (step("at: 1s, nested: 10000001"), "nests too deep"),
            (
                step("at: 1s, ok: true}\n      - {at: 1s, ok: true"),
                "line 7: account `prod`: the step at 1s comes after",
            ),
            (
                step("at: 5m, ok: true").replace("accounts", "repeat: 5m\naccounts"),
                "is never reached",
            ),
            (
                account("  - name: prod\n    secret_id: AKIDprod\n    secret_key: hunter2\n"),
                "line 5: the name `prod` comes twice: give each its own\n\
                 line 5: account `prod`: another one has its `secret_id`",
            ),
            ("accounts: [".to_owned(), "not valid YAML"),
            (
                "accounts: prod".to_owned(),
                "line 1: wrong kind of value: write a list",
            ),
            (
                "accounts: [prod]".to_owned(),
                "line 1: wrong kind of value: write keys with values",
            ),
            (
                "accounts:\n  - {secret_key:hunter2}".to_owned(),
                "line 2: unknown key `secret_key…`: write a blank after its colon",
            ),
            (String::new(), "accounts"),
        ] {
            let message = message(&yaml);
            assert!(
                message.contains(expected),
                "{yaml}\n=> {message}\nnot: {expected}"
            );
        }
    }

    #[test]
    fn secrets_are_in_no_message() {
        for yaml in [
            account("   odd"),
            "accounts: hunter2".to_owned(),
            "accounts: [hunter2]".to_owned(),
            "accounts:\n  - secret_key: [hunter2]".to_owned(),
            "accounts:\n  - secret_key: {hunter2: hunter2}".to_owned(),
            "accounts:\n  - secret_key: \"hunter2".to_owned(),
            "accounts:\n  - secret_key: *hunter2".to_owned(),
            "accounts:\n  - secret_key: !hunter2 hunter2".to_owned(),
            "accounts:\n  - secret_key: 'hunter2' hunter2".to_owned(),
            "accounts:\n  - secret_key: a: hunter2: b".to_owned(),
            "accounts:\n  - {name: a, secret_key:hunter2}".to_owned(),
            "accounts:\n  - name: a\n    secret_key:hunter2".to_owned(),
            "accounts:\n  - name: a\n    secret_key:hunter2\n    token: a".to_owned(),
            format!("accounts:\n  - secret_key: \"hunter2{}", "\n\n".repeat(9)),
            "rate_limit: hunter2".to_owned(),
            "repeat: hunter2".to_owned(),
        ] {
            assert!(message(&yaml).len() > 10, "{yaml}");
        }
        let shown = format!("{:?}", parse(&account("    token: hunter2")).unwrap());
        assert!(shown.contains("AKIDprod"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn sizes_have_units() {
        for (text, size) in [
            ("0", Some(0)),
            ("12", Some(12)),
            ("12B", Some(12)),
            ("1KiB", Some(1024)),
            ("8 MiB", Some(8 << 20)),
            ("1GiB", Some(1 << 30)),
            ("18446744073709551615GiB", None),
            ("MiB", None),
            ("-1", None),
        ] {
            assert_eq!(parse_size(text), size, "{text}");
        }
    }
}
