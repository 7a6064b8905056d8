//! Reads scenarios.

mod account;
mod orders;
mod step;
mod units;

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use self::step::TimelineOwner;
use super::answer::AnswerFields;
use super::relative_time;
use super::scenario::{MetadataService, RoleBinding, Scenario, ScenarioAccount, TokenService};
use super::timeline::Timeline;
use crate::config::{
    ConfigError, Fault, MAX_DURATION, Node, Reader, Tree, Value, duration, list, signed_duration,
    text, whole, yaml,
};

/// The API's limit for DescribeLicenseGeneral, in requests per second.
const RATE_LIMIT: u32 = 20;
/// The API's limit for AssumeRole, in requests per second.
const STS_RATE_LIMIT: u32 = 600;
/// The lifetime of keys in instance metadata.
const METADATA_LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);

/// A time from the start.
const TIME: RangeInclusive<Duration> = Duration::ZERO..=MAX_DURATION;
/// A time that must pass.
const PERIOD: RangeInclusive<Duration> = Duration::from_millis(1)..=MAX_DURATION;

impl Scenario {
    /// Reads a scenario from the file at `path`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, and as [`parse`](Self::parse).
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let path = Arc::from(path);
        Self::of(&yaml::read_file(&path)?, &path)
    }

    /// Reads a scenario.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with it, each with its line and a remedy, and never with a secret.
    pub fn parse(yaml: &str) -> Result<Self, ConfigError> {
        let path = Arc::from(Path::new("scenario"));
        let tree = yaml::read(yaml, &path);
        Self::of(
            &tree.map_err(|problems| ConfigError::new(Some(&path), problems))?,
            &path,
        )
    }

    /// The scenario of the demo.
    ///
    /// # Errors
    ///
    /// None in practice: it is embedded, and tested.
    pub fn demo() -> Result<Self, ConfigError> {
        Self::parse(include_str!("demo.yml"))
    }

    fn of(tree: &Tree, path: &Arc<Path>) -> Result<Self, ConfigError> {
        let mut reader = Reader::default();
        let scenario = scenario(&mut reader, &Node::root(tree, Some(path)));
        match scenario {
            Some(scenario) if reader.problems.is_empty() => Ok(scenario),
            _ => Err(ConfigError::new(Some(path), reader.problems)),
        }
    }
}

/// Reads all of a scenario; nothing if there is a problem.
fn scenario(reader: &mut Reader, root: &Node<'_>) -> Option<Scenario> {
    if matches!(root.value, Value::Null) {
        let fault = Fault::new("the scenario is empty", "add `accounts` with an account");
        reader.report(root, fault);
        return None;
    }
    let section = reader.section(
        Some(root),
        &[
            "rate_limit",
            "repeat",
            "clock_offset",
            "accounts",
            "sts",
            "metadata",
        ],
    );
    let limit = reader.value(section.get("rate_limit"), rate_limit);
    let repeat = reader.value(section.get("repeat"), |node| duration(node, &PERIOD));
    let clock_offset = reader.value(section.get("clock_offset"), signed_duration);
    let items = reader.required(&section, "accounts", |node| {
        let items = list(node, "write `- ` before each account")?;
        match items.is_empty() {
            true => Err(Fault::new("the list is empty", "add an account")),
            false => Ok(items),
        }
    });
    let mut entries = Vec::new();
    for node in items.into_iter().flatten() {
        let accounts = account::read(reader, &node, repeat);
        entries.push((node, accounts));
    }
    let sts = token_service(reader, section.get("sts"), repeat);
    if reader.problems.is_empty() {
        account::check_unique(&entries, reader);
        account::check_trusts(&entries, reader);
    }
    let accounts = entries.into_iter().flat_map(|(_, accounts)| accounts);
    let accounts: Vec<ScenarioAccount> = accounts.collect();
    let metadata = metadata_service(reader, section.get("metadata"), &accounts, repeat);
    Some(Scenario {
        rate_limit: limit.unwrap_or(RATE_LIMIT),
        clock_offset: clock_offset.unwrap_or(SignedDuration::ZERO),
        accounts,
        sts,
        metadata,
    })
}

/// Requests per second.
fn rate_limit(node: &Node<'_>) -> Result<u32, Fault> {
    whole(node, 1..=u32::MAX)
}

/// A text for which `is_valid` holds; the fault is `what` with any other text.
fn valid_text(
    node: &Node<'_>,
    is_valid: impl FnOnce(&str) -> bool,
    what: &str,
    remedy: &str,
) -> Result<String, Fault> {
    let text = text(node)?;
    match is_valid(text) {
        true => Ok(text.to_owned()),
        false => Err(Fault::new(what, remedy)),
    }
}

/// Whether `text` has characters, and only those of which `is_part` holds.
fn is_made_of(text: &str, is_part: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(is_part)
}

/// Text that is not empty. It may be a secret.
fn some_text(node: &Node<'_>) -> Result<String, Fault> {
    let remedy = "write any text, such as `demo`";
    valid_text(node, |text| !text.is_empty(), "the text is empty", remedy)
}

fn secret_id(node: &Node<'_>) -> Result<String, Fault> {
    let is_id = |id: &str| is_made_of(id, |byte| byte.is_ascii_graphic() && !b"/,".contains(&byte));
    let remedy = "write visible ASCII without `/` and `,`";
    valid_text(node, is_id, "not a secret id", remedy)
}

fn token(node: &Node<'_>) -> Result<String, Fault> {
    let is_token = |token: &str| is_made_of(token, |byte| byte.is_ascii_graphic());
    let remedy = "write visible ASCII, or remove the key for a permanent key";
    valid_text(node, is_token, "not a token", remedy)
}

fn any_text(node: &Node<'_>) -> Result<String, Fault> {
    text(node).map(str::to_owned)
}

fn texts(node: &Node<'_>, remedy: &str) -> Result<Vec<String>, Fault> {
    list(node, remedy)?.iter().map(any_text).collect()
}

/// Names and values that are an answer's.
fn fields(node: &Node<'_>) -> Result<AnswerFields, Fault> {
    let json = node.value.to_json();
    relative_time::check("", &json)?;
    match json {
        serde_json::Value::Object(fields) => Ok(fields),
        _ => Err(Fault::new(
            format!("expected a map, found {}", node.value.kind()),
            "write `name: value` lines under it",
        )),
    }
}

fn token_service(
    reader: &mut Reader,
    node: Option<Node<'_>>,
    repeat: Option<Duration>,
) -> TokenService {
    let section = reader.section(node, &["rate_limit", "lifetime", "timeline"]);
    let limit = reader.value(section.get("rate_limit"), rate_limit);
    let lifetime = reader.value(section.get("lifetime"), |node| duration(node, &PERIOD));
    TokenService {
        rate_limit: limit.unwrap_or(STS_RATE_LIMIT),
        lifetime: lifetime.unwrap_or(Duration::MAX),
        timeline: timeline(reader, section.get("timeline"), repeat),
    }
}

fn metadata_service(
    reader: &mut Reader,
    node: Option<Node<'_>>,
    accounts: &[ScenarioAccount],
    repeat: Option<Duration>,
) -> MetadataService {
    let section = reader.section(node, &["account", "role", "lifetime", "timeline"]);
    let lifetime = reader.value(section.get("lifetime"), |node| duration(node, &PERIOD));
    let timeline = timeline(reader, section.get("timeline"), repeat);
    let role = reader.value(section.get("role"), role_name);
    if section.get("account").is_none() && section.get("role").is_some() {
        let fault = Fault::new("missing", "add the name of the account that has the role");
        reader.report_missing(&section, "account", fault);
    }
    // An account with a problem is not in the list, but may be named here.
    let account = section
        .get("account")
        .filter(|_| reader.problems.is_empty());
    let tenant = reader.value(account, |node| {
        let name = text(node)?;
        let found = accounts
            .iter()
            .position(|entry| entry.account.name() == name);
        found.ok_or_else(|| {
            Fault::new(
                format!("the scenario has no account `{name}`"),
                "use the name of an account",
            )
        })
    });
    let binding = tenant.and_then(|tenant| {
        let tenant_role = accounts
            .get(tenant)
            .and_then(|entry| entry.account.role_arn());
        let of_arn = || Some(tenant_role?.rsplit_once(":roleName/")?.1.to_owned());
        let Some(role) = role.or_else(of_arn) else {
            let fault = Fault::new(
                "missing",
                "add the role's name, or give the account a `roleName/` ARN",
            );
            reader.report_missing(&section, "role", fault);
            return None;
        };
        Some(RoleBinding {
            role,
            tenant,
            lifetime: lifetime.unwrap_or(METADATA_LIFETIME),
        })
    });
    MetadataService { timeline, binding }
}

/// The name of an instance's role, which becomes part of a path.
fn role_name(node: &Node<'_>) -> Result<String, Fault> {
    let is_name = |name: &str| {
        is_made_of(name, |byte| {
            byte.is_ascii_graphic() && !b"?#%".contains(&byte)
        })
    };
    let remedy = "write visible ASCII without `?`, `#` and `%`";
    valid_text(node, is_name, "not the name of a role", remedy)
}

fn timeline(
    reader: &mut Reader,
    node: Option<Node<'_>>,
    repeat: Option<Duration>,
) -> Arc<Timeline> {
    let read = step::read(reader, node, TimelineOwner::Service, repeat);
    let steps = read.steps.into_iter().map(|(_, step)| step);
    Arc::new(Timeline::new(AnswerFields::new(), steps.collect(), repeat))
}

#[cfg(test)]
mod tests;
