//! Accounts as they are written, one by one or many at once.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::super::answer::{Fields, documented_example};
use super::super::key::{Key, Permissions};
use super::super::problem::Problem;
use super::super::scenario::{Account, Part, Role};
use super::super::sts::is_role_arn;
use super::super::timeline::Timeline;
use super::step::{self, Kind, Rotation, StepScript};
use super::units::{RateLimit, Whole};
use crate::config::yaml::typed::At;

/// How many accounts can be written as one.
const MAX_COUNT: i64 = 100_000;
/// What stands for an account's number.
const NUMBER: &str = "{n}";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountScript {
    name: String,
    count: Option<Whole<1, MAX_COUNT>>,
    secret_id: Option<String>,
    secret_key: Option<String>,
    token: Option<String>,
    allow: Option<Vec<String>>,
    rate_limit: Option<RateLimit>,
    role: Option<RoleScript>,
    web_identity: Option<WebIdentityScript>,
    fields: Option<Fields>,
    #[serde(default)]
    timeline: Vec<At<StepScript>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleScript {
    arn: String,
    external_id: Option<String>,
    trusts: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebIdentityScript {
    provider: String,
    token: String,
}

/// Entries of the scenario's list, with their lines.
pub(crate) type Entries = [(u64, Vec<Part>)];

impl AccountScript {
    /// The accounts that are meant: one, or as many as `count` says.
    pub(crate) fn into_parts(
        mut self,
        line: u64,
        repeat: Option<Duration>,
        problems: &mut Vec<Problem>,
    ) -> Vec<Part> {
        let before = problems.len();
        let owner = format!("account `{}`", self.name);
        let mut problem = |line: u64, text: &str| {
            problems.push(Problem::new(line, format!("{owner}: {text}")));
        };
        self.check(&mut |text| problem(line, text));
        let scripts = std::mem::take(&mut self.timeline);
        let read = step::read(&owner, Kind::Account, scripts, repeat, problems);
        for rotation in &read.rotations {
            let text = self.check_rotation(rotation);
            problems.extend(text.map(|text| {
                let at = rotation.at;
                let text = format!("{owner}: the step at {at:?} {text}");
                Problem::new(rotation.line, text)
            }));
        }
        if problems.len() > before {
            // One of them stands for all, so that names are still known.
            self.count = None;
        }
        let fields = self.fields.take().unwrap_or_else(documented_example);
        let timeline = Arc::new(Timeline::new(fields, read.steps, repeat));
        let permissions = Permissions::new(self.allow.take());
        let numbers = 0..self.count.map_or(1_u32, Whole::get);
        let parts = numbers.map(|number| {
            let fill = Template(self.count.map(|_| number.to_string()));
            let account = self.account(&fill, permissions.clone());
            let rotations = read.rotations.iter();
            let rotations = rotations.map(|rotation| rotation.fill(&fill, &account.secret_id));
            Part {
                rotations: rotations.collect(),
                account,
                timeline: Arc::clone(&timeline),
            }
        });
        parts.collect()
    }

    fn account(&self, fill: &Template, permissions: Permissions) -> Account {
        let trusts = |names: &Vec<String>| names.iter().map(|name| fill.text(name)).collect();
        let web_identity = self.web_identity.as_ref();
        let role = self.role.as_ref().map(|role| Role {
            arn: fill.text(&role.arn),
            external_id: fill.option(role.external_id.as_ref()),
            trusts: role.trusts.as_ref().map(trusts),
            web_identity: web_identity
                .map(|identity| (fill.text(&identity.provider), fill.text(&identity.token))),
        });
        Account {
            name: fill.text(&self.name),
            secret_id: fill.option(self.secret_id.as_ref()).unwrap_or_default(),
            secret_key: fill.option(self.secret_key.as_ref()).unwrap_or_default(),
            token: fill.option(self.token.as_ref()),
            permissions,
            rate_limit: self
                .rate_limit
                .and_then(|limit| NonZeroU32::new(limit.get())),
            role,
        }
    }

    /// Checks what does not depend on other accounts.
    fn check(&self, problem: &mut impl FnMut(&str)) {
        if self.name.is_empty() {
            problem("`name` is empty: write a name");
        }
        match (&self.secret_id, &self.secret_key) {
            (Some(secret_id), Some(secret_key)) => {
                if !is_secret_id(secret_id) {
                    problem("`secret_id` must be visible ASCII without `/` and `,`");
                }
                if secret_key.is_empty() {
                    problem("`secret_key` is empty: write any text, such as `demo`");
                }
            }
            (None, None) if self.role.is_some() => {
                if self.token.is_some() {
                    problem(
                        "`token` belongs to a key, which is missing: add `secret_id` and `secret_key`",
                    );
                }
            }
            (None, _) => problem("the key `secret_id` is missing: add it"),
            (_, None) => problem("the key `secret_key` is missing: add it"),
        }
        if !is_token(self.token.as_ref()) {
            problem("`token` must be visible ASCII; leave it out for a permanent key");
        }
        let arn = self.role.as_ref().map(|role| role.arn.as_str());
        if arn.is_some_and(|arn| !is_role_arn(&self.zeroth(arn))) {
            problem(
                "`arn` must be of the form `qcs::cam::uin/100000000001:roleName/CwpExporter` \
                 or `qcs::cam::uin/100000000001:role/4611686018427397919`",
            );
        }
        if arn.is_none() && self.web_identity.is_some() {
            problem("`web_identity` needs a `role`: add the role that it may assume");
        }
        if let Some(identity) = &self.web_identity
            && (identity.provider.is_empty() || identity.token.is_empty())
        {
            problem("`web_identity` has an empty `provider` or `token`: write any text");
        }
        if let Some(allow) = &self.allow
            && !allow.iter().all(|pattern| Permissions::is_pattern(pattern))
        {
            problem(
                "`allow` must be a list of `*`, `cwp:*` or names such as `cwp:DescribeLicenseGeneral`",
            );
        }
        if self.count.is_none() {
            return;
        }
        let unique = [
            ("name", Some(self.name.as_str())),
            ("secret_id", self.secret_id.as_deref()),
            ("arn", arn),
        ];
        for (key, value) in unique {
            if value.is_some_and(|value| !value.contains(NUMBER)) {
                problem(&format!(
                    "`{key}` would be the same for all `count` accounts: write `{NUMBER}` where \
                     the number goes"
                ));
            }
        }
    }

    /// What is wrong with a rotation.
    fn check_rotation(&self, rotation: &Rotation) -> Option<&'static str> {
        let key = &rotation.key;
        if self.secret_id.is_none() {
            return Some(
                "replaces the account's key, which is missing: add `secret_id` and `secret_key` \
                 to the account",
            );
        }
        if key.secret_id.as_ref().is_some_and(|id| !is_secret_id(id)) {
            return Some("has a `secret_id` that is not visible ASCII without `/` and `,`");
        }
        if self.count.is_some()
            && key
                .secret_id
                .as_ref()
                .is_some_and(|id| !id.contains(NUMBER))
        {
            return Some(
                "has the same `secret_id` for all `count` accounts: write `{n}` where the number \
                 goes",
            );
        }
        if key.secret_key.is_empty() {
            return Some("has an empty `secret_key`: write any text, such as `demo`");
        }
        (!is_token(key.token.as_ref())).then_some("has a `token` that is not visible ASCII")
    }

    fn zeroth(&self, text: &str) -> String {
        Template(self.count.map(|_| "0".to_owned())).text(text)
    }
}

impl Rotation {
    /// Its time and key; an id that is not written is the `first` one.
    fn fill(&self, fill: &Template, first: &str) -> (Duration, Key) {
        let secret_id = fill.option(self.key.secret_id.as_ref());
        let key = Key {
            secret_id: secret_id.unwrap_or_else(|| first.to_owned()),
            secret_key: fill.text(&self.key.secret_key),
            token: fill.option(self.key.token.as_ref()),
        };
        (self.at, key)
    }
}

/// Puts an account's number, if it has one, into texts.
struct Template(Option<String>);

impl Template {
    fn text(&self, text: &str) -> String {
        match &self.0 {
            Some(number) => text.replace(NUMBER, number),
            None => text.to_owned(),
        }
    }

    fn option(&self, text: Option<&String>) -> Option<String> {
        text.map(|text| self.text(text))
    }
}

/// Checks that no two accounts share what must be their own; one problem for each entry.
pub(crate) fn check_unique(entries: &Entries, problems: &mut Vec<Problem>) {
    let (mut names, mut arns) = (HashMap::new(), HashMap::new());
    let mut secret_ids = HashMap::new();
    for (line, parts) in entries {
        for (number, part) in parts.iter().enumerate() {
            let account = &part.account;
            let name = account.name();
            let before = problems.len();
            // Where another account has the same already.
            let here = (*line, number);
            let taken = |owner: (u64, usize)| (owner != here).then_some(owner.0);
            let mut problem = |other: u64, key: &str| {
                let text = format!(
                    "account `{name}`: the account on line {other} has the same `{key}`: give \
                     each its own"
                );
                problems.push(Problem::new(*line, text));
            };
            if let Some(other) = taken(*names.entry(name).or_insert(here)) {
                problem(other, "name");
            }
            let own = (!account.secret_id.is_empty()).then_some(&account.secret_id);
            let later = part.rotations.iter().map(|(_, key)| &key.secret_id);
            let mut ids = own.into_iter().chain(later);
            if let Some(other) = ids.find_map(|id| taken(*secret_ids.entry(id).or_insert(here))) {
                problem(other, "secret_id");
            }
            let arn = account.role_arn();
            if let Some(other) = arn.and_then(|arn| taken(*arns.entry(arn).or_insert(here))) {
                problem(other, "arn");
            }
            if problems.len() > before {
                break;
            }
        }
    }
}

/// Checks that roles trust accounts that exist; one problem for each entry.
pub(crate) fn check_trusts(entries: &Entries, problems: &mut Vec<Problem>) {
    let parts = entries.iter().flat_map(|(_, parts)| parts);
    let names: HashSet<&str> = parts.map(|part| part.account.name()).collect();
    for (line, parts) in entries {
        let stranger = parts.iter().find_map(|part| {
            let trusts = part.account.role.as_ref()?.trusts.as_ref()?;
            let name = trusts.iter().find(|name| !names.contains(name.as_str()))?;
            Some((part.account.name(), name))
        });
        problems.extend(stranger.map(|(account, name)| {
            let text = format!(
                "account `{account}`: its role trusts `{name}`, which is not an account of this \
                 scenario: use the name of an account"
            );
            Problem::new(*line, text)
        }));
    }
}

fn is_secret_id(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b',';
    !text.is_empty() && text.bytes().all(is_part)
}

fn is_token(token: Option<&String>) -> bool {
    token.is_none_or(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()))
}
