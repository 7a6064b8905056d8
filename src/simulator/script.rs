//! A scenario as it is written.

mod account;
mod step;
mod units;

use std::num::NonZeroU32;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;

use self::account::AccountScript;
use self::step::{Kind, StepScript};
use self::units::{Offset, RateLimit, Time};
use super::answer::Fields;
use super::problem::{Problem, ScenarioError};
use super::scenario::{Binding, MetadataService, Part, Scenario, TokenService};
use super::timeline::Timeline;
use crate::config::Value;
use crate::config::yaml::typed::At;
use crate::config::yaml::{self, typed};

/// The API's limit for DescribeLicenseGeneral, in requests per second.
const RATE_LIMIT: u32 = 20;
/// The API's limit for AssumeRole, in requests per second.
const STS_RATE_LIMIT: u32 = 600;
/// How long the keys live that instance metadata show.
const METADATA_LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    rate_limit: Option<RateLimit>,
    repeat: Option<At<Time>>,
    clock_offset: Option<Offset>,
    accounts: Vec<At<AccountScript>>,
    sts: Option<At<StsScript>>,
    metadata: Option<At<MetadataScript>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StsScript {
    rate_limit: Option<RateLimit>,
    lifetime: Option<Time>,
    #[serde(default)]
    timeline: Vec<At<StepScript>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MetadataScript {
    account: Option<String>,
    role: Option<String>,
    lifetime: Option<Time>,
    #[serde(default)]
    timeline: Vec<At<StepScript>>,
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
        let tree = yaml::read(yaml, &Arc::from(Path::new("")))?;
        if matches!(tree.value, Value::Null) {
            let text = "the scenario is empty: add the key `accounts` with at least one account";
            return Err(ScenarioError(vec![Problem::new(0, text)]));
        }
        Ok(typed::from_tree(tree)?)
    }

    /// Checks what the form alone does not say.
    fn into_scenario(self) -> Result<Scenario, ScenarioError> {
        let mut problems = Vec::new();
        let repeat = self.repeat.as_ref().map(|repeat| repeat.value.0);
        if let Some(At { value, line }) = &self.repeat
            && value.0.is_zero()
        {
            problems.push(Problem::new(
                *line,
                "`repeat` is zero: write a time such as `5m`, or remove the key",
            ));
        }
        if self.accounts.is_empty() {
            let text = "`accounts` is empty: add at least one account";
            problems.push(Problem::new(0, text));
        }
        let entries = self.accounts.into_iter().map(|account| {
            let line = account.line;
            (line, account.value.into_parts(line, repeat, &mut problems))
        });
        let entries: Vec<_> = entries.collect();
        account::check_unique(&entries, &mut problems);
        account::check_trusts(&entries, &mut problems);
        let parts: Vec<Part> = entries.into_iter().flat_map(|(_, parts)| parts).collect();
        let sts = sts_service(self.sts, repeat, &mut problems);
        let metadata = metadata_service(self.metadata, &parts, repeat, &mut problems);
        if !problems.is_empty() {
            return Err(ScenarioError(problems));
        }
        Ok(Scenario {
            rate_limit: limit(self.rate_limit.map_or(RATE_LIMIT, RateLimit::get)),
            clock_offset: self
                .clock_offset
                .map_or(SignedDuration::ZERO, |offset| offset.0),
            parts,
            sts,
            metadata,
        })
    }
}

fn limit(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

fn sts_service(
    script: Option<At<StsScript>>,
    repeat: Option<Duration>,
    problems: &mut Vec<Problem>,
) -> TokenService {
    let mut service = TokenService {
        timeline: timeline("`sts`", Vec::new(), repeat, problems),
        rate_limit: limit(STS_RATE_LIMIT),
        lifetime: None,
    };
    if let Some(At { value, line }) = script {
        let per_second = value.rate_limit.map_or(STS_RATE_LIMIT, RateLimit::get);
        service.rate_limit = limit(per_second);
        service.lifetime = lifetime("`sts`", value.lifetime, line, problems);
        service.timeline = timeline("`sts`", value.timeline, repeat, problems);
    }
    service
}

fn metadata_service(
    script: Option<At<MetadataScript>>,
    parts: &[Part],
    repeat: Option<Duration>,
    problems: &mut Vec<Problem>,
) -> MetadataService {
    const OWNER: &str = "`metadata`";
    let Some(At { value, line }) = script else {
        return MetadataService {
            timeline: timeline(OWNER, Vec::new(), repeat, problems),
            binding: None,
        };
    };
    let lifetime = lifetime(OWNER, value.lifetime, line, problems);
    let binding = bind(value.account.as_deref(), value.role, parts);
    let binding = binding.unwrap_or_else(|text| {
        problems.push(Problem::new(line, format!("{OWNER}: {text}")));
        None
    });
    MetadataService {
        timeline: timeline(OWNER, value.timeline, repeat, problems),
        binding: binding.map(|(tenant, role)| Binding {
            role,
            tenant,
            lifetime: lifetime.unwrap_or(METADATA_LIFETIME),
        }),
    }
}

/// The place of an instance's account and the name of its role, or what is wrong.
fn bind(
    account: Option<&str>,
    role: Option<String>,
    parts: &[Part],
) -> Result<Option<(usize, String)>, String> {
    let Some(name) = account else {
        return match role {
            None => Ok(None),
            Some(_) => Err(
                "the key `account` is missing: add the name of the account that has the role"
                    .to_owned(),
            ),
        };
    };
    let mut accounts = parts.iter().map(|part| &part.account);
    let place = accounts
        .position(|account| account.name() == name)
        .ok_or_else(|| {
            format!("the scenario has no account `{name}`: use the name of an account")
        })?;
    let arn = parts.get(place).and_then(|part| part.account.role_arn());
    let from_arn = || Some(arn?.rsplit_once(":roleName/")?.1.to_owned());
    let role = role.or_else(from_arn).ok_or_else(|| {
        format!("the key `role` is missing: add the role's name, or give account `{name}` a `roleName/` ARN")
    })?;
    let is_part = |byte: u8| byte.is_ascii_graphic() && !b"?#%".contains(&byte);
    if role.is_empty() || !role.bytes().all(is_part) {
        return Err("`role` must be visible ASCII without `?`, `#` and `%`".to_owned());
    }
    Ok(Some((place, role)))
}

fn lifetime(
    owner: &str,
    lifetime: Option<Time>,
    line: u64,
    problems: &mut Vec<Problem>,
) -> Option<Duration> {
    let lifetime = lifetime?.0;
    if lifetime.is_zero() {
        let text = format!("{owner}: `lifetime` is zero: write a time such as `5s`");
        problems.push(Problem::new(line, text));
    }
    Some(lifetime)
}

fn timeline(
    owner: &str,
    scripts: Vec<At<StepScript>>,
    repeat: Option<Duration>,
    problems: &mut Vec<Problem>,
) -> Arc<Timeline> {
    let read = step::read(owner, Kind::Service, scripts, repeat, problems);
    Arc::new(Timeline::new(Fields::new(), read.steps, repeat))
}

#[cfg(test)]
mod tests;
