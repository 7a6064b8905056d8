//! Accounts as they are written, one by one or many at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::super::action::Action;
use super::super::answer::{Fields, documented_example};
use super::super::key::{Permissions, SimulatedKey};
use super::super::scenario::{Account, Role, ScenarioAccount};
use super::super::sts::is_role_arn;
use super::super::timeline::Timeline;
use super::step::{self, Rotation, TimelineOwner};
use super::{any_text, fields, rate_limit, some_text};
use crate::config::{Fault, Node, Reader, Section, list, text, whole};

/// How many accounts can be written as one.
const MAX_COUNT: u32 = 100_000;
/// What stands for an account's number.
const NUMBER: &str = "{n}";

/// Items of the scenario's list, and the accounts that each stands for.
pub(crate) type Entries<'n> = [(Node<'n>, Vec<ScenarioAccount>)];

/// Reads the accounts that `node` stands for: one, or as many as its `count` says.
pub(crate) fn read(
    reader: &mut Reader,
    node: &Node<'_>,
    repeat: Option<Duration>,
) -> Vec<ScenarioAccount> {
    let section = reader.section(
        Some(node),
        &[
            "name",
            "count",
            "secret_id",
            "secret_key",
            "token",
            "allow",
            "rate_limit",
            "role",
            "web_identity",
            "fields",
            "answers",
            "timeline",
        ],
    );
    let count = reader.value(section.get("count"), |node| whole(node, 1..=MAX_COUNT));
    let written = written(reader, &section, count.is_some());
    let fields = reader.value(section.get("fields"), fields);
    let read = step::read(
        reader,
        section.get("timeline"),
        TimelineOwner::Account,
        repeat,
    );
    for rotation in &read.rotations {
        check_rotation(reader, &section, rotation, count.is_some());
    }
    let Some(written) = written else {
        return Vec::new();
    };
    let fields = fields.unwrap_or_else(documented_example);
    let timeline = Arc::new(Timeline::new(fields, read.steps, repeat));
    let parts = (0..count.unwrap_or(1)).map(|number| {
        let fill = Template(count.map(|_| number.to_string()));
        let account = fill.account(&written);
        let rotations = read.rotations.iter();
        let rotations = rotations.map(|rotation| rotation.fill(&fill, &account.secret_id));
        ScenarioAccount {
            rotations: rotations.collect(),
            account,
            timeline: Arc::clone(&timeline),
        }
    });
    parts.collect()
}

/// Reads what does not change with time, with [`NUMBER`] where each of `many` accounts has
/// its number.
fn written(reader: &mut Reader, section: &Section<'_>, many: bool) -> Option<Account> {
    let name = reader.required(section, "name", |node| own(some_text(node)?, many));
    let id = reader.value(section.get("secret_id"), |node| own(secret_id(node)?, many));
    let key = reader.value(section.get("secret_key"), some_text);
    let token = reader.value(section.get("token"), token);
    let role = section.get("role");
    let [has_id, has_key, has_token] =
        ["secret_id", "secret_key", "token"].map(|name| section.get(name).is_some());
    let mut missing = |name: &str, remedy: &str| {
        reader.report_missing(section, name, Fault::new("missing", remedy));
    };
    match (has_id, has_key) {
        (true, false) => missing("secret_key", "add the key"),
        (false, false) if role.is_some() && !has_token => {}
        (false, false) if role.is_some() => missing(
            "secret_id",
            "add `secret_id` and `secret_key`, to which the token belongs",
        ),
        (false, _) => missing("secret_id", "add the key"),
        (true, true) => {}
    }
    let allow = reader.value(section.get("allow"), |node| {
        list(node, "write `- ` before each item")
    });
    let allow = allow.map(|items| {
        let patterns = items.into_iter();
        let patterns = patterns.filter_map(|node| reader.value(Some(node), pattern));
        patterns.collect()
    });
    let web_identity = web_identity(reader, section.get("web_identity"));
    if role.is_none() && section.get("web_identity").is_some() {
        let fault = Fault::new("missing", "add the role that `web_identity` may assume");
        reader.report_missing(section, "role", fault);
    }
    let role = role.and_then(|node| role_of(reader, &node, web_identity, many));
    let answers = answers(reader, section.get("answers"));
    Some(Account {
        answers: Arc::new(answers),
        name: name?,
        secret_id: id.unwrap_or_default(),
        secret_key: key.unwrap_or_default(),
        token,
        permissions: Permissions::new(allow),
        rate_limit: reader.value(section.get("rate_limit"), rate_limit),
        role,
    })
}

/// Reads the answers to further actions.
fn answers(reader: &mut Reader, node: Option<Node<'_>>) -> BTreeMap<Arc<str>, Fields> {
    let section = reader.map(node);
    let mut answers = BTreeMap::new();
    for (name, node) in section.entries() {
        if Action::built_in(name).is_some() {
            let fault = Fault::new(
                "this action has answers of its own",
                "write `fields` for the licences; keys of roles are handed out by themselves",
            );
            reader.report(&node, fault);
        } else if let Some(fields) = reader.value(Some(node), fields) {
            answers.insert(name.into(), fields);
        }
    }
    answers
}

/// `text`, if it can be the own one of each account.
fn own(text: String, many: bool) -> Result<String, Fault> {
    if many && !text.contains(NUMBER) {
        return Err(Fault::new(
            "the same for all `count` accounts",
            format!("write `{NUMBER}` where the number goes"),
        ));
    }
    Ok(text)
}

pub(super) fn secret_id(node: &Node<'_>) -> Result<String, Fault> {
    let id = text(node)?;
    let is_part = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b',';
    if id.is_empty() || !id.bytes().all(is_part) {
        return Err(Fault::new(
            "not a secret id",
            "write visible ASCII without `/` and `,`",
        ));
    }
    Ok(id.to_owned())
}

pub(super) fn token(node: &Node<'_>) -> Result<String, Fault> {
    let token = text(node)?;
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Fault::new(
            "not a token",
            "write visible ASCII, or remove the key for a permanent key",
        ));
    }
    Ok(token.to_owned())
}

/// An action that may be done, or a pattern of such.
fn pattern(node: &Node<'_>) -> Result<String, Fault> {
    let pattern = text(node)?;
    if !Permissions::is_pattern(pattern) {
        return Err(Fault::new(
            "not an action",
            "write `*`, `cwp:*` or a name such as `cwp:DescribeLicenseGeneral`",
        ));
    }
    Ok(pattern.to_owned())
}

fn web_identity(reader: &mut Reader, node: Option<Node<'_>>) -> Option<(String, String)> {
    let section = reader.section(Some(node?), &["provider", "token"]);
    let provider = reader.required(&section, "provider", some_text);
    let token = reader.required(&section, "token", some_text);
    Some((provider?, token?))
}

fn role_of(
    reader: &mut Reader,
    node: &Node<'_>,
    web_identity: Option<(String, String)>,
    many: bool,
) -> Option<Role> {
    let section = reader.section(Some(node), &["arn", "external_id", "trusts"]);
    let external_id = reader.value(section.get("external_id"), any_text);
    let trusts = reader.value(section.get("trusts"), |node| {
        let items = list(node, "write `- ` before each name")?;
        items.iter().map(any_text).collect::<Result<_, _>>()
    });
    let arn = reader.required(&section, "arn", |node| {
        let arn = text(node)?;
        if !is_role_arn(&Template(many.then(|| "0".to_owned())).text(arn)) {
            return Err(Fault::new(
                "not the ARN of a role",
                "write `qcs::cam::uin/100000000001:roleName/CwpExporter` or \
                 `qcs::cam::uin/100000000001:role/4611686018427397919`",
            ));
        }
        own(arn.to_owned(), many)
    });
    Some(Role {
        arn: arn?,
        external_id,
        trusts,
        web_identity,
    })
}

/// Checks a change of the key of the account or accounts of `section`.
fn check_rotation(reader: &mut Reader, section: &Section<'_>, rotation: &Rotation<'_>, many: bool) {
    let id = rotation.secret_id.clone();
    let fault = if section.get("secret_id").is_none() {
        Fault::new(
            "replaces the account's key, which is missing",
            "add `secret_id` and `secret_key` to the account",
        )
    } else if let Some(Err(fault)) = id.map(|id| own(id, many)) {
        Fault::new(format!("`secret_id` is {}", fault.what), fault.remedy)
    } else {
        return;
    };
    reader.report(&rotation.node, fault);
}

impl Rotation<'_> {
    /// Its time and key; an id that is not written is the `first` one.
    fn fill(&self, fill: &Template, first: &str) -> (Duration, SimulatedKey) {
        let secret_id = fill.option(self.secret_id.as_ref());
        let key = SimulatedKey {
            secret_id: secret_id.unwrap_or_else(|| first.to_owned()),
            secret_key: fill.text(&self.secret_key),
            token: fill.option(self.token.as_ref()),
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

    fn account(&self, written: &Account) -> Account {
        let role = written.role.as_ref();
        let texts = |texts: &Vec<String>| texts.iter().map(|text| self.text(text)).collect();
        Account {
            name: self.text(&written.name),
            secret_id: self.text(&written.secret_id),
            secret_key: self.text(&written.secret_key),
            token: self.option(written.token.as_ref()),
            role: role.map(|role| Role {
                arn: self.text(&role.arn),
                external_id: self.option(role.external_id.as_ref()),
                trusts: role.trusts.as_ref().map(texts),
                web_identity: role
                    .web_identity
                    .as_ref()
                    .map(|(provider, token)| (self.text(provider), self.text(token))),
            }),
            permissions: written.permissions.clone(),
            rate_limit: written.rate_limit,
            answers: Arc::clone(&written.answers),
        }
    }
}

/// Checks that no two accounts share what must be their own; one problem for each entry
/// and key.
pub(crate) fn check_unique(entries: &Entries<'_>, reader: &mut Reader) {
    // Which account, of which entry, has each first.
    let mut owners = HashMap::new();
    for (index, (node, parts)) in entries.iter().enumerate() {
        let mut told = HashSet::new();
        for (number, part) in parts.iter().enumerate() {
            let account = &part.account;
            let later = part.rotations.iter().map(|(_, key)| &*key.secret_id);
            let ids = [account.secret_id.as_str()].into_iter().chain(later);
            let ids = ids.filter(|id| !id.is_empty()).map(|id| ("secret_id", id));
            let arn = account.role_arn().map(|arn| ("role.arn", arn));
            for key in [("name", account.name())].into_iter().chain(ids).chain(arn) {
                let owner = *owners.entry(key).or_insert((index, number));
                if owner == (index, number) || !told.insert(key.0) {
                    continue;
                }
                let other = entries.get(owner.0).map(|(node, _)| node);
                let other = other.map(|node| format!("{} at {}", node.key, node.location));
                let fault = Fault::new(
                    format!("the same as that of {}", other.unwrap_or_default()),
                    "give each account its own",
                );
                reader.report_at(
                    node.location.clone(),
                    format!("{}.{}", node.key, key.0),
                    fault,
                );
            }
        }
    }
}

/// Checks that roles trust accounts that exist; one problem for each entry.
pub(crate) fn check_trusts(entries: &Entries<'_>, reader: &mut Reader) {
    let parts = entries.iter().flat_map(|(_, parts)| parts);
    let names: HashSet<&str> = parts.map(|part| part.account.name()).collect();
    for (node, parts) in entries {
        let mut trusted = parts
            .iter()
            .filter_map(|part| part.account.role.as_ref()?.trusts.as_ref())
            .flatten();
        if let Some(name) = trusted.find(|name| !names.contains(name.as_str())) {
            let fault = Fault::new(
                format!("`{name}` is not an account of this scenario"),
                "use the names of accounts",
            );
            reader.report_at(
                node.location.clone(),
                format!("{}.role.trusts", node.key),
                fault,
            );
        }
    }
}
