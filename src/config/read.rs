//! From what was written to a [`Config`] that cannot be wrong.

mod accounts_files;
mod credentials;

use std::collections::{BTreeMap, HashMap};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::ca_file::CaFile;
use super::collectors::{self, CollectorDefaults, ages};
use super::credentials::{Credentials, EnvKey, SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE};
use super::endpoint::Endpoint;
use super::environment::Environment;
use super::path::path;
use super::problem::{Fault, SourceLocation};
use super::proxy::Proxies;
use super::reader::{MAX_DURATION, Reader, Section, count, duration, list, text};
use super::tree::{Node, Tree, Value};
use super::{Account, Api, Config, Partition, Poll};

pub(super) use self::credentials::keys as credential_keys;

/// The keys at the top.
const ROOT_KEYS: [&str; 4] = ["poll", "api", "accounts", "accounts_files"];

/// The keys of `poll`.
pub(super) const POLL_KEYS: &[&str] = &["interval", "timeout", "max_age"];

/// The keys of `api`.
#[rustfmt::skip]
pub(super) const API_KEYS: &[&str] = &[
    "endpoint", "rate_limit", "max_in_flight", "sts_endpoint", "metadata_endpoint", "proxy_url", "ca_file",
];

/// The keys of an account.
pub(super) const ACCOUNT_KEYS: &[&str] = &["name", "endpoint", "region", "labels", "credentials"];

/// The most requests in flight: far beyond use, far below what the runtime takes.
const MAX_IN_FLIGHT: u32 = 100_000;

/// Reads all settings. The result counts only if `reader` has no problem.
pub(super) fn config(
    reader: &mut Reader,
    root: &Node<'_>,
    environment: &Environment,
    defaults: &[CollectorDefaults],
) -> Config {
    // Without a collector that can be set, there is nothing that `collectors` could say.
    let collectors = (!defaults.is_empty()).then_some("collectors");
    let known: Vec<&str> = ROOT_KEYS.into_iter().chain(collectors).collect();
    let root = reader.section(Some(root), &known);
    let poll = poll(reader, root.get("poll"));
    let api = api(reader, root.get("api"));
    let collectors = collectors::read(reader, root.get("collectors"), defaults);
    let files = root.get("accounts_files");
    let files = files.map(|node| accounts_files::read(reader, node));
    let accounts = accounts(reader, &root, files.as_deref(), &api.endpoint, environment);
    let (proxies, fault) = Proxies::new(api.proxy_url.as_ref(), environment);
    let config = Config {
        poll,
        api,
        collectors,
        accounts,
        accounts_files: files.map(|files| files.into_iter().map(|(path, _)| path).collect()),
        partition: Partition::default(),
        proxies,
        warnings: Proxies::warning(environment).into_iter().collect(),
    };
    if let Some((name, fault)) = fault {
        // A variable of the whole machine is of no concern where nothing needs a proxy.
        let mut asked = config.endpoints(environment);
        if asked.any(|endpoint| config.proxies.would_proxy(endpoint.url())) {
            reader.report_at(
                SourceLocation::Variable(name.to_owned()),
                String::new(),
                fault,
            );
        }
    }
    config
}

fn poll(reader: &mut Reader, node: Option<Node<'_>>) -> Poll {
    let section = reader.section(node, POLL_KEYS);
    let default = Poll::default();
    let millis = Duration::from_millis(1)..=MAX_DURATION;
    let (interval, max_age) = ages(reader, &section, default.interval, default.max_age);
    let timeout = reader.value(section.get("timeout"), |node| duration(node, &millis));
    Poll {
        interval,
        timeout: timeout.unwrap_or(default.timeout),
        max_age,
    }
}

fn api(reader: &mut Reader, node: Option<Node<'_>>) -> Api {
    let section = reader.section(node, API_KEYS);
    let default = Api::default();
    let rate_limit = reader.value(section.get("rate_limit"), |node| count(node, u32::MAX));
    let in_flight = reader.value(section.get("max_in_flight"), |node| {
        count(node, MAX_IN_FLIGHT)
    });
    let endpoint = reader.value(section.get("endpoint"), https_endpoint);
    let sts = reader.value(section.get("sts_endpoint"), https_endpoint);
    let metadata = reader.value(section.get("metadata_endpoint"), |node| {
        Endpoint::parse_without_tls(text(node)?)
    });
    Api {
        endpoint: endpoint.unwrap_or(default.endpoint),
        rate_limit: rate_limit
            .and_then(NonZeroU32::new)
            .unwrap_or(default.rate_limit),
        max_in_flight: in_flight
            .and_then(|count| NonZeroUsize::new(usize::try_from(count).ok()?))
            .unwrap_or(default.max_in_flight),
        sts_endpoint: sts.unwrap_or(default.sts_endpoint),
        metadata_endpoint: metadata.unwrap_or(default.metadata_endpoint),
        proxy_url: reader.value(section.get("proxy_url"), |node| text(node)?.parse()),
        ca_file: reader.value(section.get("ca_file"), |node| CaFile::read(path(node)?)),
    }
}

fn https_endpoint(node: &Node<'_>) -> Result<Endpoint, Fault> {
    text(node)?.parse()
}

/// The accounts of the main file, then those of `files`.
fn accounts(
    reader: &mut Reader,
    root: &Section<'_>,
    files: Option<&[(Arc<Path>, Tree)]>,
    endpoint: &Endpoint,
    environment: &Environment,
) -> Vec<Arc<Account>> {
    let main = root.get("accounts");
    if main.is_none() && files.is_none() {
        return zero_configuration(reader, root, endpoint, environment);
    }
    if let Some(node) = &main
        && node.items().is_some_and(|items| items.len() == 0)
        && files.is_none()
    {
        let fault = Fault::new(
            "the list is empty",
            "add an account, or remove the key to use the environment's credentials",
        );
        reader.report(node, fault);
    }
    let files = files.unwrap_or_default().iter();
    let files = files.map(|(path, tree)| Node::root(tree, Some(path)));
    let mut names = HashMap::new();
    let mut accounts = Vec::new();
    for node in main.into_iter().chain(files) {
        if matches!(node.value, Value::Null) {
            continue;
        }
        let remedy = match node.key.as_str() {
            "" => "begin each account with `- name:`, without `accounts:` above",
            _ => "begin each account with `- name:`",
        };
        let items = reader.value(Some(node), |node| list(node, remedy));
        for item in items.into_iter().flatten() {
            let account = account(reader, &item, endpoint, environment, &mut names);
            accounts.extend(account.map(Arc::new));
        }
    }
    accounts
}

/// Without any `accounts`, the usual variables make one account.
fn zero_configuration(
    reader: &mut Reader,
    root: &Section<'_>,
    endpoint: &Endpoint,
    environment: &Environment,
) -> Vec<Arc<Account>> {
    let is_set = |name| environment.get(name).is_some();
    let missing: Vec<&str> = [SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE]
        .into_iter()
        .filter(|name| !is_set(name))
        .collect();
    if !missing.is_empty() {
        let fault = Fault::new(
            "no account is configured",
            format!(
                "list one under `accounts`, or set {} for a single account named `default`",
                missing.join(" and ")
            ),
        );
        reader.report_missing(root, "accounts", fault);
        return Vec::new();
    }
    // Here the variables are the configuration.
    match EnvKey::read(environment) {
        Ok(_) => credentials::check_env(reader, &Node::absent(), environment),
        Err(no_key) => reader.report(&Node::absent(), no_key.into()),
    }
    vec![Arc::new(Account {
        name: "default".to_owned(),
        endpoint: endpoint.clone(),
        region: None,
        labels: BTreeMap::new(),
        credentials: Credentials::Env,
    })]
}

fn account(
    reader: &mut Reader,
    node: &Node<'_>,
    default_endpoint: &Endpoint,
    environment: &Environment,
    names: &mut HashMap<String, String>,
) -> Option<Account> {
    let section = reader.section(Some(node), ACCOUNT_KEYS);
    if !matches!(node.value, Value::Map(_)) {
        return None;
    }
    if section.get("name").is_none() {
        let fault = Fault::new("missing", "give each account a name of its own");
        reader.report_missing(&section, "name", fault);
    }
    let name = reader.value(section.get("name"), |node| account_name(node, names));
    let endpoint = reader.value(section.get("endpoint"), https_endpoint);
    let region = reader.value(section.get("region"), region);
    let labels = labels(reader, section.get("labels"));
    let credentials = credentials::read(reader, &section, environment);
    Some(Account {
        name: name?,
        endpoint: endpoint.unwrap_or_else(|| default_endpoint.clone()),
        region,
        labels,
        credentials: credentials?,
    })
}

/// `names` are those of the accounts before, and where each is.
fn account_name(node: &Node<'_>, names: &mut HashMap<String, String>) -> Result<String, Fault> {
    let name = text(node)?;
    if name.trim().is_empty() {
        return Err(Fault::new("the name is empty", "give the account a name"));
    }
    if name.trim() != name {
        return Err(Fault::new(
            "the name begins or ends with a blank",
            "remove the blanks",
        ));
    }
    if let Some(first) = names.get(name) {
        return Err(Fault::new(
            format!("the same as {first}"),
            "give each account a name of its own",
        ));
    }
    let here = match node.location.to_string().as_str() {
        "" => format!("`{}`", node.key),
        location => format!("`{}` at {location}", node.key),
    };
    names.insert(name.to_owned(), here);
    Ok(name.to_owned())
}

fn region(node: &Node<'_>) -> Result<String, Fault> {
    let region = text(node)?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if region.is_empty() || !region.chars().all(allowed) {
        return Err(Fault::new(
            "not a region's name",
            "write it as the console does, such as `ap-guangzhou`",
        ));
    }
    Ok(region.to_owned())
}

fn labels(reader: &mut Reader, node: Option<Node<'_>>) -> BTreeMap<String, String> {
    let section = reader.map(node);
    let mut labels = BTreeMap::new();
    for (name, node) in section.entries() {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.chars().all(allowed)
            || name.starts_with(|c: char| c.is_ascii_digit())
            || name.is_empty()
        {
            let fault = Fault::new(
                "not a label's name",
                "use letters, digits and `_`, and begin with no digit",
            );
            reader.report(&node, fault);
        }
        let node = Some(node).filter(|node| !matches!(node.value, Value::Null));
        if let Some(value) = reader.value(node, text) {
            labels.insert(name.to_owned(), value.to_owned());
        }
    }
    labels
}
