//! Reads `accounts[].credentials`. Of all its values only `type` is ever shown.

use super::super::credentials::{
    Credentials, IdSource, SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE, SecretSource, TOKEN_VARIABLES,
};
use super::super::environment::Environment;
use super::super::problem::{Fault, Place};
use super::super::reader::{Reader, Section, text, unknown};
use super::super::tree::{Node, Value};
use super::path;

/// Each type and its keys, the ones that this version supports first.
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
            "source",
            "external_id_file",
            "external_id_env",
        ],
    ),
    ("default", &[]),
];

/// How many of [`TYPES`] this version supports.
const SUPPORTED: usize = 2;

const USE_SUPPORTED: &str = "use `type: static` or `type: env`";

/// Reads and tries the credentials of `account`.
pub(super) fn read(
    reader: &mut Reader,
    account: &Section<'_>,
    environment: &Environment,
) -> Option<Credentials> {
    let Some(node) = account.get("credentials") else {
        let fault = Fault::new(
            "missing, and finding some without being told is not supported by this version yet",
            USE_SUPPORTED,
        );
        reader.report_missing(account, "credentials", fault);
        return None;
    };
    let section = reader.map(Some(node));
    if !matches!(node.value, Value::Map(_)) {
        return None;
    }
    if section.get("type").is_none() {
        let fault = Fault::new("missing", "add `type: static` or `type: env`");
        reader.report_missing(&section, "type", fault);
        return None;
    }
    let (kind, keys) = reader.value(section.get("type"), credential_type)?;
    for (name, node) in section.entries() {
        if let Some(fault) = foreign_key(name, kind, keys) {
            reader.report(node, fault);
        }
    }
    if kind == "env" {
        check_env(reader, &node.place, &node.key, environment);
        return Some(Credentials::Env);
    }

    let secret_id = one_of(
        reader,
        &section,
        "secret_id",
        &["secret_id", "secret_id_file", "secret_id_env"],
        true,
    );
    // A literal key was refused already.
    let literal = section.get("secret_key").is_some();
    let secret_key = one_of(
        reader,
        &section,
        "secret_key",
        &["secret_key_file", "secret_key_env"],
        !literal,
    );
    let token = one_of(
        reader,
        &section,
        "token",
        &["token_file", "token_env"],
        false,
    );

    let secret_id = reader.value(secret_id.map(|(_, node)| node), |node| {
        let source = match secret_id {
            Some(("secret_id_file", node)) => IdSource::File(path(node)?),
            Some(("secret_id_env", node)) => IdSource::Env(text(node)?.to_owned()),
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
        if environment
            .get(name)
            .is_none_or(|value| value.trim().is_empty())
        {
            let fault = Fault::new(
                format!("{name} is not set"),
                "set it, or use `type: static`",
            );
            reader.report_at(place.clone(), key.to_owned(), fault);
        }
    }
    let names = [SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE];
    for name in names.into_iter().chain(TOKEN_VARIABLES) {
        if environment
            .get(name)
            .is_some_and(|value| !value.trim().is_empty())
            && let Err(fault) = SecretSource::Env(name.to_owned()).read(environment)
        {
            reader.report_at(Place::Variable(name.to_owned()), key.to_owned(), fault);
        }
    }
}

fn credential_type(node: &Node) -> Result<(&'static str, &'static [&'static str]), Fault> {
    let name = text(node)?;
    let position = TYPES.iter().position(|(known, _)| *known == name);
    match position.and_then(|index| Some((index, *TYPES.get(index)?))) {
        Some((index, found)) if index < SUPPORTED => Ok(found),
        Some((_, (later, _))) => Err(not_yet(later)),
        None => {
            let mut fault = unknown("type", name, &TYPES.map(|(known, _)| known));
            if !fault.remedy.starts_with("did") {
                fault.remedy = USE_SUPPORTED.to_owned();
            }
            Err(fault)
        }
    }
}

fn not_yet(kind: &str) -> Fault {
    Fault::new(
        format!("type `{kind}` is not supported by this version yet"),
        USE_SUPPORTED,
    )
}

/// What is wrong with a key among credentials of type `kind`, which has `keys`.
fn foreign_key(name: &str, kind: &str, keys: &[&str]) -> Option<Fault> {
    if name == "type" || keys.contains(&name) {
        return None;
    }
    if name == "secret_key" || name == "token" {
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
) -> Option<(&'static str, &'n Node)> {
    let mut written = names
        .iter()
        .filter_map(|name| Some((*name, section.get(name)?)));
    let first = written.next();
    match first {
        Some((name, _)) => {
            for (_, node) in written {
                let fault = Fault::new(format!("excludes `{name}`"), "keep one of the two");
                reader.report(node, fault);
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
    written: Option<(&str, &Node)>,
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
