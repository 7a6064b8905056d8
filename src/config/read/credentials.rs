//! Reads `accounts[].credentials`. Of all its values only `type` is ever shown.

mod places;
mod role;

use super::super::credentials::{
    Credentials, IdSource, SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE, SecretSource, TOKEN_VARIABLES,
};
use super::super::environment::Environment;
use super::super::problem::{Fault, Place};
use super::super::reader::{Reader, Section, text, unknown};
use super::super::tree::{Node, Value};
use super::path;

/// Each type and its keys.
const TYPES: [(&str, &[&str]); 8] = [
    (
        "static",
        &[
            "secret_id",
            "secret_id_file",
            "secret_id_env",
            "secret_key_file",
            "secret_key_env",
            "token_file",
            "token_env",
        ],
    ),
    ("env", &[]),
    ("profile", &["profile", "file"]),
    ("tccli", &["profile"]),
    ("cvm_role", &["role"]),
    ("tke_oidc", &[]),
    (
        "assume_role",
        &[
            "role_arn",
            "session_name",
            "duration",
            "external_id_file",
            "external_id_env",
            "source",
        ],
    ),
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

/// Reads and tries the credentials of `account`; without any, it is the chain.
pub(super) fn read(
    reader: &mut Reader,
    account: &Section<'_>,
    environment: &Environment,
) -> Option<Credentials> {
    match account.get("credentials") {
        Some(node) => read_node(reader, &node, environment, 0),
        None => Some(Credentials::Default),
    }
}

/// Reads and tries credentials that are the source of `roles` roles.
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
            check_env(reader, &node.place, &node.key, environment);
            Some(Credentials::Env)
        }
        "profile" => places::profile(reader, node, &section, environment),
        "tccli" => places::tccli(reader, node, &section, environment),
        "cvm_role" => places::cvm_role(reader, &section),
        "tke_oidc" => places::tke_oidc(reader, node, environment),
        "assume_role" if roles >= MAX_ROLES => {
            let fault = Fault::new(
                "more than two roles, each assumed by the next",
                "let one role be assumed directly",
            );
            reader.report(node, fault);
            None
        }
        "assume_role" => role::assume_role(reader, &section, environment, roles),
        "default" => Some(Credentials::Default),
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

    let (id_key, secret_id) = secret_id.unzip();
    let secret_id = reader.value(secret_id, |node| {
        let source = match id_key {
            Some("secret_id_file") => IdSource::File(path(node)?),
            Some("secret_id_env") => IdSource::Env(text(node)?.to_owned()),
            _ => IdSource::Literal(text(node)?.trim().to_owned()),
        };
        source.read(environment).map(|_| source)
    });
    let secret_key = secret(reader, secret_key, environment);
    let token = secret(reader, token, environment);
    Some(Credentials::Static {
        secret_id: secret_id?,
        secret_key: secret_key?,
        token,
    })
}

/// Tries the variables of [`Credentials::Env`]. What is wrong with one is said of
/// the variable if it is set, else of `place` and `key`.
pub(super) fn check_env(reader: &mut Reader, place: &Place, key: &str, environment: &Environment) {
    for name in [SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE] {
        if environment.get(name).is_none() {
            let fault = Fault::new(
                format!("{name} is not set"),
                "set it, or use `type: static`",
            );
            reader.report_at(place.clone(), key.to_owned(), fault);
        }
    }
    let names = [SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE];
    for name in names.into_iter().chain(TOKEN_VARIABLES) {
        if environment.get(name).is_some()
            && let Err(fault) = SecretSource::Env(name.to_owned()).read(environment)
        {
            reader.report_at(Place::Variable(name.to_owned()), key.to_owned(), fault);
        }
    }
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
    reader.value(Some(node), |node| {
        let source = if name.ends_with("_file") {
            SecretSource::File(path(node)?)
        } else {
            SecretSource::Env(text(node)?.to_owned())
        };
        source.read(environment).map(|_| source)
    })
}
