//! Reads accounts, written one by one or many at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::super::action::Action;
use super::super::answer::{AnswerFields, documented_example, nothing_bought};
use super::super::key::{Permissions, SimulatedKey};
use super::super::scenario::{Role, ScenarioAccount, SimulatedAccount};
use super::super::sts::is_role_arn;
use super::super::timeline::Timeline;
use super::orders::{self, Orders};
use super::step::{self, LICENSES, Rotation, TimelineOwner};
use super::{any_text, fields, rate_limit, secret_id, some_text, texts, token, valid_text};
use crate::config::{Fault, Node, Reader, Section, list, whole};

/// How many accounts can be written as one.
const MAX_COUNT: u32 = 100_000;
/// The largest `Limit` that lists take, and the most that a scenario can say.
const PAGE_LIMIT: u64 = 100;
const MAX_PAGE_LIMIT: u64 = 100_000;
/// The placeholder of an account's number.
const NUMBER: &str = "{n}";

/// The items of the scenario's list, each with its accounts.
pub(crate) type Entries<'n> = [(Node<'n>, Vec<ScenarioAccount>)];

/// Reads the accounts of the item `node`: one account, or the number of its `count`.
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
            "orders",
            "answers",
            "page_limit",
            "timeline",
        ],
    );
    let count = reader.value(section.get("count"), |node| whole(node, 1..=MAX_COUNT));
    let written = written(reader, &section, count.is_some());
    let fields = reader.value(section.get("fields"), fields);
    let mut answers = answers(reader, section.get("answers"));
    let mut orders = Orders::default();
    if let Some(node) = section.get("orders") {
        orders.add(reader, node.clone());
        if answers.contains_key(orders::ACTION) {
            let what = format!("the account has `answers` to {}, too", orders::ACTION);
            reader.report(&node, Fault::new(what, "remove one of the two"));
        }
        answers.insert(orders::ACTION.into(), orders.answer());
    }
    let mut all = nothing_bought();
    all.extend(answers);
    let timeline = section.get("timeline");
    let owner = TimelineOwner::Account(orders, &all);
    let read = step::read(reader, timeline, owner, repeat);
    for rotation in &read.rotations {
        check_rotation(reader, &section, rotation, count.is_some());
    }
    let Some(written) = written else {
        return Vec::new();
    };
    let timeline_of = |action: &str, fields: AnswerFields| {
        let steps = read.steps.iter();
        let steps = steps.filter(|(of, _)| of.as_deref().is_none_or(|of| of == action));
        let steps = steps.map(|(_, step)| step.clone()).collect();
        Arc::new(Timeline::new(fields, steps, repeat))
    };
    let timeline = timeline_of(LICENSES, fields.unwrap_or_else(documented_example));
    let further = all.into_iter().map(|(action, fields)| {
        let timeline = timeline_of(&action, fields);
        (action, timeline)
    });
    let further = Arc::new(further.collect());
    let accounts = (0..count.unwrap_or(1)).map(|number| {
        let template = Template(count.map(|_| number.to_string()));
        let account = template.account(&written);
        let rotations = read.rotations.iter();
        let rotations = rotations.map(|rotation| rotation.key(&template, &account.secret_id));
        ScenarioAccount {
            rotations: rotations.collect(),
            account,
            timeline: Arc::clone(&timeline),
            further: Arc::clone(&further),
        }
    });
    accounts.collect()
}

/// Reads the parts that do not change with time, with [`NUMBER`] for the number of each of
/// `many` accounts.
fn written(reader: &mut Reader, section: &Section<'_>, many: bool) -> Option<SimulatedAccount> {
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
    let page_limit = reader.value(section.get("page_limit"), |node| {
        whole(node, 1..=MAX_PAGE_LIMIT)
    });
    Some(SimulatedAccount {
        page_limit: page_limit.unwrap_or(PAGE_LIMIT),
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
fn answers(reader: &mut Reader, node: Option<Node<'_>>) -> BTreeMap<Arc<str>, AnswerFields> {
    let section = reader.map(node);
    let mut answers = BTreeMap::new();
    for (name, node) in section.entries() {
        if Action::built_in(name).is_some() {
            let fault = Fault::new(
                "this action has answers of its own",
                "write `fields` for the licences; keys of roles are issued by themselves",
            );
            reader.report(&node, fault);
        } else if let Some(fields) = reader.value(Some(node), fields) {
            answers.insert(name.into(), fields);
        }
    }
    answers
}

/// `text`, if each of `many` accounts can have its own.
fn own(text: String, many: bool) -> Result<String, Fault> {
    if many && !text.contains(NUMBER) {
        return Err(Fault::new(
            "the same for all `count` accounts",
            format!("write `{NUMBER}` where the number goes"),
        ));
    }
    Ok(text)
}

/// A permitted action, or a pattern of actions.
fn pattern(node: &Node<'_>) -> Result<String, Fault> {
    let remedy = "write `*`, `cwp:*` or a name such as `cwp:DescribeLicenseGeneral`";
    valid_text(node, Permissions::is_pattern, "not an action", remedy)
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
        texts(node, "write `- ` before each name")
    });
    let arn = reader.required(&section, "arn", |node| {
        let first = Template(many.then(|| "0".to_owned()));
        let is_arn = |arn: &str| is_role_arn(&first.fill(arn));
        let remedy = "write `qcs::cam::uin/100000000001:roleName/CwpExporter` or \
                      `qcs::cam::uin/100000000001:role/4611686018427397919`";
        own(
            valid_text(node, is_arn, "not the ARN of a role", remedy)?,
            many,
        )
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
    /// Its time and key; the id is the `first` one unless written.
    fn key(&self, template: &Template, first: &str) -> (Duration, SimulatedKey) {
        let secret_id = self.secret_id.as_ref().map(|id| template.fill(id));
        let key = SimulatedKey {
            secret_id: secret_id.unwrap_or_else(|| first.to_owned()),
            secret_key: template.fill(&self.secret_key),
            token: self.token.as_ref().map(|token| template.fill(token)),
        };
        (self.at, key)
    }
}

/// Writes the number of an account, if there is a number, into texts.
struct Template(Option<String>);

impl Template {
    fn fill(&self, text: &str) -> String {
        match &self.0 {
            Some(number) => text.replace(NUMBER, number),
            None => text.to_owned(),
        }
    }

    fn account(&self, written: &SimulatedAccount) -> SimulatedAccount {
        let mut account = written.clone();
        let SimulatedAccount {
            name,
            secret_id,
            secret_key,
            token,
            role,
            ..
        } = &mut account;
        let own = [name, secret_id, secret_key].into_iter().chain(token);
        let of_role = role.iter_mut().flat_map(|role| {
            let identity = role.web_identity.iter_mut();
            let identity = identity.flat_map(|(provider, token)| [provider, token]);
            let trusts = role.trusts.iter_mut().flatten();
            let texts = trusts.chain(identity).chain(&mut role.external_id);
            texts.chain([&mut role.arn])
        });
        for text in own.chain(of_role) {
            *text = self.fill(text);
        }
        account
    }
}

/// Checks that names, secret ids and roles are unique; one problem for each entry and key.
pub(crate) fn check_unique(entries: &Entries<'_>, reader: &mut Reader) {
    // The first account, with its entry, that has each text.
    let mut owners = HashMap::new();
    for (index, (node, accounts)) in entries.iter().enumerate() {
        let mut reported = HashSet::new();
        for (number, entry) in accounts.iter().enumerate() {
            let account = &entry.account;
            let later = entry.rotations.iter().map(|(_, key)| &*key.secret_id);
            let ids = [account.secret_id.as_str()].into_iter().chain(later);
            let ids = ids.filter(|id| !id.is_empty()).map(|id| ("secret_id", id));
            let arn = account.role_arn().map(|arn| ("role.arn", arn));
            for key in [("name", account.name())].into_iter().chain(ids).chain(arn) {
                let owner = *owners.entry(key).or_insert((index, number));
                if owner == (index, number) || !reported.insert(key.0) {
                    continue;
                }
                let other = entries.get(owner.0).map(|(node, _)| node);
                let other = other.map(|node| format!("{} at {}", node.key, node.location));
                let what = format!("the same as that of {}", other.unwrap_or_default());
                let fault = Fault::new(what, "give each account its own");
                let key = format!("{}.{}", node.key, key.0);
                reader.report_at(node.location.clone(), key, fault);
            }
        }
    }
}

/// Checks that roles trust accounts that exist; one problem for each entry.
pub(crate) fn check_trusts(entries: &Entries<'_>, reader: &mut Reader) {
    let accounts = entries.iter().flat_map(|(_, accounts)| accounts);
    let names: HashSet<&str> = accounts.map(|entry| entry.account.name()).collect();
    for (node, accounts) in entries {
        let roles = accounts
            .iter()
            .filter_map(|entry| entry.account.role.as_ref());
        let mut trusted = roles.filter_map(|role| role.trusts.as_ref()).flatten();
        if let Some(name) = trusted.find(|name| !names.contains(name.as_str())) {
            let what = format!("`{name}` is not an account of this scenario");
            let fault = Fault::new(what, "use the names of accounts");
            let key = format!("{}.role.trusts", node.key);
            reader.report_at(node.location.clone(), key, fault);
        }
    }
}
