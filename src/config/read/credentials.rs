//! Reads `accounts[].credentials`. Of all its values only `type` is ever shown.

mod role;
mod sources;

use super::super::credentials::{
    Credentials, EnvKey, IdSource, Key, NoKey, Profile, SECRET_ID_VARIABLE, SecretSource,
    StaticKey, literal_id,
};
use super::super::environment::Environment;
use super::super::path::{path, variable_name};
use super::super::problem::Fault;
use super::super::reader::{Reader, Section, text, unknown};
use super::super::regular_file::read_text;
use super::super::tree::{Node, Value};

/// Each type and its keys.
#[rustfmt::skip]
const TYPES: [(&str, &[&str]); 8] = [
    ("static", &["secret_id", "secret_id_file", "secret_id_env", "secret_key_file", "secret_key_env", "token_file", "token_env"]),
    ("env", &[]),
    ("profile", &["profile", "file"]),
    ("tccli", &["profile"]),
    ("cvm_role", &["role"]),
    ("tke_oidc", &[]),
    ("assume_role", &["role_arn", "session_name", "duration", "external_id_file", "external_id_env", "source"]),
    ("default", &[]),
];

/// How many roles may be assumed one by another.
const MAX_ROLES: usize = 2;

/// The keys of all types, without those of a source.
pub(in super::super) fn keys() -> Vec<&'static str> {
    let types = TYPES.iter();
    let keys = types.flat_map(|(_, keys)| keys.iter().copied());
    std::iter::once("type").chain(keys).collect()
}

/// Reads the credentials of `account`; without any, it is the chain.
pub(super) fn read(
    reader: &mut Reader,
    account: &Section<'_>,
    environment: &Environment,
) -> Option<Credentials> {
    match account.get("credentials") {
        Some(node) => read_node(reader, &node, environment, 0),
        None => {
            check_chain(reader, account.node(), environment);
            Some(Credentials::Default)
        }
    }
}

/// Reads credentials that are the source of `roles` roles.
fn read_node(
    reader: &mut Reader,
    node: &Node<'_>,
    environment: &Environment,
    roles: usize,
) -> Option<Credentials> {
    let section = reader.map(Some(node));
    if !matches!(node.value, Value::Map(_)) {
        return None;
    }
    if section.get("type").is_none() {
        let fault = Fault::new("missing", format!("add one of {}", type_names().join(", ")));
        reader.report_missing(&section, "type", fault);
        return None;
    }
    let (kind, keys) = reader.value(section.get("type"), credential_type)?;
    for (name, node) in section.entries() {
        if let Some(fault) = foreign_key(name, kind, keys) {
            reader.report(&node, fault);
        }
    }
    match kind {
        "env" => {
            check_env(reader, node, environment);
            Some(Credentials::Env)
        }
        "profile" => sources::profile(reader, node, &section, environment),
        "tccli" => sources::tccli(reader, node, &section, environment),
        "cvm_role" => sources::cvm_role(reader, &section),
        "tke_oidc" => sources::tke_oidc(reader, node, environment),
        "assume_role" if roles >= MAX_ROLES => {
            let fault = Fault::new(
                "more than two roles, each assumed by the next",
                "let one role be assumed directly",
            );
            reader.report(node, fault);
            None
        }
        "assume_role" => role::assume_role(reader, &section, environment, roles),
        "default" => {
            check_chain(reader, node, environment);
            Some(Credentials::Default)
        }
        _ => static_key(reader, &section, environment),
    }
}

fn static_key(
    reader: &mut Reader,
    section: &Section<'_>,
    environment: &Environment,
) -> Option<Credentials> {
    let secret_id = one_of(
        reader,
        section,
        "secret_id",
        &["secret_id", "secret_id_file", "secret_id_env"],
        true,
    );
    // A literal key was refused already.
    let literal = section.get("secret_key").is_some();
    let secret_key = one_of(
        reader,
        section,
        "secret_key",
        &["secret_key_file", "secret_key_env"],
        !literal,
    );
    let token = one_of(
        reader,
        section,
        "token",
        &["token_file", "token_env"],
        false,
    );

    let (id_key, id_node) = secret_id.unzip();
    let secret_id = reader.value(id_node.as_ref(), |node| match id_key {
        Some("secret_id") | None => literal_id(text(node)?).map(IdSource::Literal),
        Some(name) => stored(name, node).map(IdSource::Stored),
    });
    let before = reader.problems.len();
    if let (Some(node), Some(source)) = (&id_node, &secret_id) {
        reader.check_external(node, || {
            if let IdSource::Stored(SecretSource::Env(name)) = source {
                check_blanks(name, environment)?;
            }
            source.read(environment, &read_text)
        });
    }
    let secret_key = secret(reader, secret_key, environment);
    let token = secret(reader, token, environment);
    let (node, key) = (
        id_node?,
        StaticKey {
            secret_id: secret_id?,
            secret_key: secret_key?,
            token,
        },
    );
    // Each part can be valid, although the parts do not belong to one key.
    if reader.problems.len() == before {
        check_key(reader, &node, || {
            let parts = key.parts(environment, &read_text)?;
            parts.check_pair().map(|()| Some(parts))
        });
    }
    Some(Credentials::Static(key))
}

/// Checks the variables of [`Credentials::Env`].
pub(super) fn check_env(reader: &mut Reader, node: &Node<'_>, environment: &Environment) {
    check_key(reader, node, || Ok(Some(env_key(environment)?)));
}

fn env_key(environment: &Environment) -> Result<Key, NoKey> {
    let key = EnvKey::read(environment)?;
    check_blanks(SECRET_ID_VARIABLE, environment).map_err(NoKey::Broken)?;
    Ok(key)
}

/// Checks the sources of [`Credentials::Default`] that are on this machine.
fn check_chain(reader: &mut Reader, node: &Node<'_>, environment: &Environment) {
    check_key(reader, node, || {
        let key = match env_key(environment) {
            Err(NoKey::Absent(_)) => Profile::default().read(environment, &read_text),
            key => key,
        };
        match key {
            Err(NoKey::Absent(_)) => Ok(None),
            key => Ok(Some(key?)),
        }
    });
}

/// Checks a key that is outside the configuration, if there is one. Warns of an id that does not begin with AKID or IKID: it is allowed, and works if the API knows it.
fn check_key(
    reader: &mut Reader,
    node: &Node<'_>,
    read: impl FnOnce() -> Result<Option<Key>, Fault>,
) {
    let key = reader.check_external(node, read).flatten();
    if key.is_some_and(|key| !key.has_usual_id()) {
        let fault = Fault::new(
            "the secret id does not begin with AKID or IKID, as the cloud's secret ids do",
            "check the secret id if the API refuses it",
        );
        reader.warn(node, fault);
    }
}

/// Checks a variable that holds a secret id, as the SDKs want it.
fn check_blanks(name: &str, environment: &Environment) -> Result<(), Fault> {
    let value = environment.raw(name).unwrap_or_default();
    if value.trim() == value {
        return Ok(());
    }
    Err(Fault::new(
        format!("the secret id in {name} begins or ends with a blank or a line end"),
        "remove it",
    ))
}

fn credential_type(node: &Node<'_>) -> Result<(&'static str, &'static [&'static str]), Fault> {
    let name = text(node)?;
    let found = TYPES.into_iter().find(|(known, _)| *known == name);
    found.ok_or_else(|| unknown("type", name, &type_names()))
}

fn type_names() -> [&'static str; 8] {
    TYPES.map(|(name, _)| name)
}

/// What is wrong with a key among credentials of type `kind`, which has `keys`.
fn foreign_key(name: &str, kind: &str, keys: &[&str]) -> Option<Fault> {
    if name == "type" || keys.contains(&name) {
        return None;
    }
    if ["secret_key", "token", "external_id"].contains(&name) {
        return Some(Fault::new(
            "a secret must not be written here",
            format!(
                "put it in a file or a variable and name that in `{name}_file` or `{name}_env`"
            ),
        ));
    }
    let owners: Vec<String> = TYPES
        .iter()
        .filter(|(_, keys)| keys.contains(&name))
        .map(|(owner, _)| format!("`{owner}`"))
        .collect();
    if !owners.is_empty() {
        return Some(Fault::new(
            format!("belongs to type {}, not `{kind}`", owners.join(" or ")),
            "remove it or change the type",
        ));
    }
    let known: Vec<&str> = keys.iter().copied().chain(["type"]).collect();
    Some(unknown("key", name, &known))
}

/// The one of `names` that is written. Two are a problem, none is when `required`.
fn one_of<'n>(
    reader: &mut Reader,
    section: &Section<'n>,
    subject: &str,
    names: &[&'static str],
    required: bool,
) -> Option<(&'static str, Node<'n>)> {
    let mut written = names
        .iter()
        .filter_map(|name| Some((*name, section.get(name)?)));
    let first = written.next();
    match first {
        Some((name, _)) => {
            for (_, node) in written {
                let fault = Fault::new(format!("excludes `{name}`"), "keep one of the two");
                reader.report(&node, fault);
            }
        }
        None if required => {
            let fault = Fault::new("missing", format!("add one of {}", names.join(", ")));
            reader.report_missing(section, subject, fault);
        }
        None => {}
    }
    first
}

fn secret(
    reader: &mut Reader,
    written: Option<(&str, Node<'_>)>,
    environment: &Environment,
) -> Option<SecretSource> {
    let (name, node) = written?;
    let source = reader.value(Some(&node), |node| stored(name, node))?;
    reader.check_external(&node, || source.read(environment, &read_text));
    Some(source)
}

/// Where a secret is, by the value of the key `name`.
fn stored(name: &str, node: &Node<'_>) -> Result<SecretSource, Fault> {
    if name.ends_with("_file") {
        path(node).map(SecretSource::File)
    } else {
        variable_name(node).map(SecretSource::Env)
    }
}
