//! Reads the steps of a timeline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode};

use super::super::answer::{Answer, AnswerFields, MAX_NESTED};
use super::super::timeline::TimelineStep;
use super::orders::{self, Orders};
use super::units::size;
use super::{TIME, any_text, fields, secret_id, some_text, texts, token, valid_text};
use crate::config::{
    Fault, Node, Reader, Section, duration, list, only_true, text, unknown, whole,
};

/// The keys of a step that are a whole answer.
const ANSWERS: [&str; 9] = [
    "error",
    "legacy_error",
    "http",
    "hang",
    "reset",
    "cut",
    "body",
    "oversized",
    "nested",
];

/// The keys of a step that can be combined with other keys.
const CHANGES: [&str; 12] = [
    "at",
    "action",
    "set",
    "unset",
    "orders",
    "remove_orders",
    "between_pages",
    "ok",
    "gzip",
    "delay",
    "rotate",
    "revoke",
];

/// The largest code of an error of the old gateway.
const MAX_CODE: i64 = 999_999;

/// The owner of a timeline.
pub(crate) enum TimelineOwner<'a> {
    /// An account with its orders at first, and the answers to further actions by which those
    /// are known.
    Account(Orders, &'a BTreeMap<Arc<str>, AnswerFields>),
    Service,
}

/// A timeline that has been read.
pub(crate) struct Steps<'n> {
    /// The steps, each with the action that it is about, if not about all.
    pub(crate) steps: Vec<(Option<Arc<str>>, TimelineStep)>,
    pub(crate) rotations: Vec<Rotation<'n>>,
}

/// A change of key, and where it is written.
pub(crate) struct Rotation<'n> {
    pub(crate) at: Duration,
    pub(crate) node: Node<'n>,
    pub(crate) secret_id: Option<String>,
    pub(crate) secret_key: String,
    pub(crate) token: Option<String>,
}

/// Reads a timeline.
pub(crate) fn read<'n>(
    reader: &mut Reader,
    node: Option<Node<'n>>,
    mut owner: TimelineOwner<'_>,
    repeat: Option<Duration>,
) -> Steps<'n> {
    let mut read = Steps {
        steps: Vec::new(),
        rotations: Vec::new(),
    };
    let items = reader.value(node, |node| list(node, "write `- ` before each step"));
    let mut previous: Option<Duration> = None;
    for node in items.into_iter().flatten() {
        let section = reader.section(Some(&node), &[CHANGES.as_slice(), &ANSWERS].concat());
        let at = reader.required(&section, "at", |node| {
            let at = duration(node, &TIME)?;
            if previous.is_some_and(|previous| previous >= at) {
                return Err(Fault::new(
                    "not later than the step before it",
                    "sort the steps by `at`",
                ));
            }
            if repeat.is_some_and(|repeat| repeat <= at) {
                return Err(Fault::new(
                    "the step is never reached, as `repeat` is not longer",
                    "raise `repeat` or lower `at`",
                ));
            }
            Ok(at)
        });
        previous = at.or(previous);
        let at = at.unwrap_or_default();
        read.steps
            .extend(step(reader, &node, &section, &mut owner, at));
        let rotation = section
            .get("rotate")
            .filter(|_| matches!(owner, TimelineOwner::Account(..)));
        read.rotations
            .extend(rotation.and_then(|node| rotate(reader, node, at)));
    }
    read
}

fn step(
    reader: &mut Reader,
    node: &Node<'_>,
    section: &Section<'_>,
    owner: &mut TimelineOwner<'_>,
    at: Duration,
) -> Option<(Option<Arc<str>>, TimelineStep)> {
    let has = |name: &str| section.get(name).is_some();
    let has_any = |names: &[&str]| names.iter().any(|name| has(name));
    let mut set = reader.value(section.get("set"), fields);
    let unset = reader.value(section.get("unset"), |node| {
        texts(node, "write `- ` before each item")
    });
    for name in ["between_pages", "ok", "gzip", "revoke"] {
        reader.value(section.get(name), only_true);
    }
    let delay = reader.value(section.get("delay"), |node| duration(node, &TIME));
    let written = ANSWERS
        .into_iter()
        .find_map(|name| Some((name, section.get(name)?)));
    let fault = written.and_then(|(name, node)| answer(reader, name, &node));

    let changes = has_any(&["set", "unset"]);
    let changes_orders = has_any(&["orders", "remove_orders"]);
    let changes_keys = has_any(&["rotate", "revoke"]);
    let answers = ANSWERS.iter().filter(|name| has(name)).count();
    let answers = answers + usize::from(changes || changes_orders) + usize::from(has("ok"));
    let is_of_account = changes || changes_orders || changes_keys;
    let is_of_account = is_of_account || has_any(&["action", "between_pages"]);
    let problem = if matches!(owner, TimelineOwner::Service) && is_of_account {
        Some((
            "changes an account",
            "write `set`, `unset`, `orders`, `remove_orders`, `between_pages`, `action`, `rotate` \
             and `revoke` in the timelines of accounts",
        ))
    } else if changes_orders && (changes || has("action")) {
        Some((
            "changes orders and something else",
            "write each of them as a step with its own `at`",
        ))
    } else if has("between_pages") && !changes && !changes_orders {
        Some((
            "has `between_pages` without a change",
            "add `orders`, `remove_orders`, `set` or `unset`",
        ))
    } else if answers > 1 {
        Some((
            "has several answers",
            "write each of them as a step with its own `at`",
        ))
    } else if answers == 0 && !changes_keys && !has_any(&["gzip", "delay"]) {
        Some((
            "changes nothing",
            "add `set`, `unset`, `ok` or a fault such as `error`",
        ))
    } else if has("gzip") && has_any(&ANSWERS) {
        Some((
            "has `gzip` and a fault, which cannot be compressed",
            "remove one of the two",
        ))
    } else {
        None
    };
    if let Some((what, remedy)) = problem {
        reader.report(node, Fault::new(format!("the step {what}"), remedy));
        return None;
    }
    let mut action = None;
    if let TimelineOwner::Account(orders, answers) = owner {
        action = reader.value(section.get("action"), |node| known_action(node, answers));
        if let Some(node) = section.get("remove_orders") {
            orders.remove(reader, node);
        }
        if let Some(node) = section.get("orders") {
            orders.add(reader, node);
        }
        if changes_orders {
            action = Some(orders::ACTION.into());
            set = Some(orders.answer());
        } else if changes && action.is_none() {
            action = Some(LICENSES.into());
        }
    }
    let answer = match fault {
        Some(fault) => fault,
        None if has("gzip") => Answer::Gzip,
        None => Answer::Ok,
    };
    let step = TimelineStep {
        at,
        set: set.unwrap_or_default(),
        unset: unset.unwrap_or_default(),
        between_pages: has("between_pages"),
        revoke: has("revoke"),
        answer: match delay {
            Some(delay) => Answer::Delayed(delay, Box::new(answer)),
            None => answer,
        },
    };
    Some((action, step))
}

/// The action whose answers are the fields of an account.
pub(crate) const LICENSES: &str = "DescribeLicenseGeneral";

/// The name of an action that an account has answers to.
fn known_action(
    node: &Node<'_>,
    answers: &BTreeMap<Arc<str>, AnswerFields>,
) -> Result<Arc<str>, Fault> {
    let name = text(node)?;
    let names: Vec<&str> = [LICENSES]
        .into_iter()
        .chain(answers.keys().map(|name| &**name))
        .collect();
    match names.contains(&name) {
        true => Ok(name.into()),
        false => Err(unknown("action", name, &names)),
    }
}

/// The answer of the key `name`, one of [`ANSWERS`].
fn answer(reader: &mut Reader, name: &str, node: &Node<'_>) -> Option<Answer> {
    match name {
        "error" => {
            let section = reader.section(Some(node), &["code", "message"]);
            let message = reader.value(section.get("message"), any_text);
            Some(Answer::Error {
                code: reader.required(&section, "code", any_text)?,
                message: message.unwrap_or_default(),
            })
        }
        "legacy_error" => {
            let section = reader.section(Some(node), &["code", "message", "codeDesc"]);
            let message = reader.value(section.get("message"), any_text);
            let code_desc = reader.value(section.get("codeDesc"), any_text);
            Some(Answer::LegacyError {
                code: reader
                    .required(&section, "code", |node| whole(node, -MAX_CODE..=MAX_CODE))?,
                message: message.unwrap_or_default(),
                code_desc: code_desc.unwrap_or_default(),
            })
        }
        "http" => {
            let keys = ["status", "body", "content_type", "location"];
            let section = reader.section(Some(node), &keys);
            let status = reader.required(&section, "status", |node| whole(node, 200..=599_u16));
            let body = reader.value(section.get("body"), any_text);
            Some(Answer::Http {
                content_type: reader.value(section.get("content_type"), header),
                location: reader.value(section.get("location"), header),
                status: StatusCode::from_u16(status?).ok()?,
                body: body.unwrap_or_default(),
            })
        }
        "hang" => reader.value(Some(node), only_true).map(|_| Answer::Hang),
        "reset" => reader.value(Some(node), only_true).map(|_| Answer::Reset),
        "cut" => {
            let most = u32::MAX as usize;
            let bytes = reader.value(Some(node), |node| whole(node, 0..=most));
            bytes.map(Answer::Cut)
        }
        "body" => reader.value(Some(node), any_text).map(Answer::Body),
        "oversized" => reader.value(Some(node), size).map(Answer::Oversized),
        _ => {
            let depth = reader.value(Some(node), |node| whole(node, 0..=MAX_NESTED));
            depth.map(Answer::Nested)
        }
    }
}

fn header(node: &Node<'_>) -> Result<String, Fault> {
    let is_value = |text: &str| HeaderValue::from_str(text).is_ok();
    let remedy = "write visible ASCII";
    valid_text(node, is_value, "no header can carry this text", remedy)
}

/// The key that replaces an account's own key.
fn rotate<'n>(reader: &mut Reader, node: Node<'n>, at: Duration) -> Option<Rotation<'n>> {
    let section = reader.section(Some(&node), &["secret_id", "secret_key", "token"]);
    let secret_id = reader.value(section.get("secret_id"), secret_id);
    let token = reader.value(section.get("token"), token);
    Some(Rotation {
        at,
        secret_key: reader.required(&section, "secret_key", some_text)?,
        node,
        secret_id,
        token,
    })
}
