//! Credentials of a role that other credentials assume.

use std::time::Duration;

use super::super::super::credentials::{AssumeRole, Credentials, is_role_name};
use super::super::super::environment::Environment;
use super::super::super::problem::Fault;
use super::super::super::reader::{Reader, Section, duration, show, text};
use super::super::super::tree::Node;
use super::sources::optional;
use super::{one_of, read_node, secret};

/// The life of a role's keys, unless it is configured.
const USUAL_LIFE: Duration = Duration::from_secs(2 * 60 * 60);

/// The longest life that the token service grants.
const LONGEST_LIFE: Duration = Duration::from_secs(12 * 60 * 60);

/// Below this, most requests would be for keys.
const SHORTEST_LIFE: Duration = Duration::from_secs(60);

/// The default name of this process in the audit log of the role.
const USUAL_SESSION: &str = "cwp-exporter";

pub(super) fn assume_role(
    reader: &mut Reader,
    section: &Section<'_>,
    environment: &Environment,
    roles: usize,
) -> Option<Credentials> {
    if section.get("role_arn").is_none() {
        let fault = Fault::new(
            "missing",
            "name the role as `qcs::cam::uin/<uin>:roleName/<name>`",
        );
        reader.report_missing(section, "role_arn", fault);
    }
    let role_arn = reader.value(section.get("role_arn"), role_arn);
    let session_name = optional(reader, section, "session_name", session_name);
    let life = optional(reader, section, "duration", life);
    let names = ["external_id_file", "external_id_env"];
    let external_id = one_of(reader, section, "external_id", &names, false);
    let is_written = external_id.is_some();
    let external_id = secret(reader, external_id, environment);
    let source = match section.get("source") {
        Some(node) => read_node(reader, &node, environment, roles + 1),
        None => Some(Credentials::Default),
    };
    if is_written != external_id.is_some() {
        return None;
    }
    Some(Credentials::AssumeRole(Box::new(AssumeRole {
        role_arn: role_arn?,
        session_name: session_name?.unwrap_or_else(|| USUAL_SESSION.to_owned()),
        duration: life?.unwrap_or(USUAL_LIFE),
        external_id,
        source: source?,
    })))
}

/// `qcs::cam::uin/<uin>:roleName/<name>` or `qcs::cam::uin/<uin>:role/<id>`.
fn role_arn(node: &Node<'_>) -> Result<String, Fault> {
    let arn = text(node)?;
    let parts = arn
        .strip_prefix("qcs::cam::uin/")
        .and_then(|rest| rest.split_once(":role"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let good = parts.is_some_and(|(uin, role)| {
        let name = role.strip_prefix("Name/").is_some_and(is_role_name);
        digits(uin) && (name || role.strip_prefix('/').is_some_and(digits))
    });
    if !good {
        return Err(Fault::new(
            "not the ARN of a role",
            "copy it from the CAM console: `qcs::cam::uin/<uin>:roleName/<name>`",
        ));
    }
    Ok(arn.to_owned())
}

fn session_name(node: &Node<'_>) -> Result<String, Fault> {
    let name = text(node)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if !(2..=128).contains(&name.len()) || !name.chars().all(allowed) {
        return Err(Fault::new(
            "not a session's name",
            "write 2 to 128 letters, digits or any of `_+=,.@-`",
        ));
    }
    Ok(name.to_owned())
}

fn life(node: &Node<'_>) -> Result<Duration, Fault> {
    let life = duration(node, &(SHORTEST_LIFE..=LONGEST_LIFE))?;
    if life.subsec_nanos() != 0 {
        let what = format!("{} has a fraction of a second", show(life));
        return Err(Fault::new(what, "write whole seconds, such as `90s`"));
    }
    Ok(life)
}
