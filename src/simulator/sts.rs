//! The requests and answers of the security token service.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::action::Action;
use super::answer::{AnswerFields, object};
use super::refusal::Refusal;
use super::temporary::IssuedKey;

/// The lifetime of a key whose request names none, in seconds.
const DEFAULT_DURATION: u64 = 7_200;
/// The longest lifetime of a key, in seconds.
const MAX_DURATION: u64 = 43_200;
/// The documented parameters of AssumeRole.
const ASSUME_ROLE: [&str; 9] = [
    "DurationSeconds",
    "ExternalId",
    "Policy",
    "RoleArn",
    "RoleSessionName",
    "SerialNumber",
    "SourceIdentity",
    "Tags",
    "TokenCode",
];
/// The documented parameters of AssumeRoleWithWebIdentity.
const WEB_IDENTITY: [&str; 5] = [
    "DurationSeconds",
    "ProviderId",
    "RoleArn",
    "RoleSessionName",
    "WebIdentityToken",
];

/// A well-formed request for a role's key.
#[derive(PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct AssumeRoleRequest {
    pub(crate) role_arn: String,
    pub(crate) duration: Duration,
    pub(crate) external_id: Option<String>,
    /// The provider and its token.
    pub(crate) web_identity: Option<(String, String)>,
}

impl AssumeRoleRequest {
    /// Reads the parameters of `action`.
    ///
    /// # Errors
    ///
    /// The refusal that the API would answer with.
    pub(crate) fn read(action: &Action, parameters: &Map<String, Value>) -> Result<Self, Refusal> {
        let by_web_identity = *action == Action::AssumeRoleWithWebIdentity;
        let known: &[&str] = match by_web_identity {
            true => &WEB_IDENTITY,
            false => &ASSUME_ROLE,
        };
        Refusal::check_names(parameters, known)?;
        let web_identity = match by_web_identity {
            true => {
                let provider = required(parameters, "ProviderId")?;
                let token = required(parameters, "WebIdentityToken")?;
                Some((provider.to_owned(), token.to_owned()))
            }
            false => None,
        };
        let role_arn = required(parameters, "RoleArn")?;
        if !is_role_arn(role_arn) {
            return Err(wrong(
                "RoleArn must be of the form `qcs::cam::uin/<uin>:roleName/<name>` or \
                 `qcs::cam::uin/<uin>:role/<id>`.",
            ));
        }
        let session = required(parameters, "RoleSessionName")?;
        if !is_session_name(session) {
            return Err(wrong(
                "RoleSessionName must have 2 to 128 letters, digits and `_+=,.@-`.",
            ));
        }
        let external_id = text(parameters, "ExternalId")?;
        Ok(Self {
            role_arn: role_arn.to_owned(),
            duration: duration(parameters)?,
            external_id: external_id.map(str::to_owned),
            web_identity,
        })
    }
}

/// The answer with a key.
pub(crate) fn fields(temporary: &IssuedKey) -> AnswerFields {
    let key = &temporary.key;
    object(json!({
        "Credentials": {
            "TmpSecretId": key.secret_id,
            "TmpSecretKey": key.secret_key,
            "Token": key.token,
        },
        "ExpiredTime": temporary.expires,
        "Expiration": temporary.expiration(),
    }))
}

/// Whether a text names a role.
pub(crate) fn is_role_arn(text: &str) -> bool {
    let role = || {
        let (uin, role) = text.strip_prefix("qcs::cam::uin/")?.split_once(':')?;
        let name = role
            .strip_prefix("roleName/")
            .or_else(|| role.strip_prefix("role/"))?;
        let number = !uin.is_empty() && uin.bytes().all(|byte| byte.is_ascii_digit());
        Some(number && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()))
    };
    role().unwrap_or_default()
}

fn is_session_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    (2..=128).contains(&text.len()) && text.bytes().all(is_part)
}

fn duration(parameters: &Map<String, Value>) -> Result<Duration, Refusal> {
    let seconds = match parameters.get("DurationSeconds") {
        None => DEFAULT_DURATION,
        Some(value) => match value.as_u64() {
            None | Some(0) => return Err(wrong("DurationSeconds must be a positive integer.")),
            Some(seconds) => seconds,
        },
    };
    if seconds > MAX_DURATION {
        let message = format!("DurationSeconds is at most {MAX_DURATION}.");
        return Err(Refusal::new("InvalidParameter.OverTimeError", message));
    }
    Ok(Duration::from_secs(seconds))
}

/// The value of a required parameter, which must not be empty.
fn required<'a>(parameters: &'a Map<String, Value>, name: &str) -> Result<&'a str, Refusal> {
    text(parameters, name)?
        .filter(|value| !value.is_empty())
        .ok_or_else(|| Refusal::missing(name))
}

fn text<'a>(parameters: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Refusal> {
    match parameters.get(name) {
        None => Ok(None),
        Some(Value::String(value)) => Ok(Some(value)),
        Some(_) => Err(wrong(&format!("{name} must be a string."))),
    }
}

fn wrong(message: &str) -> Refusal {
    Refusal::new("InvalidParameter.ParamError", message)
}

#[cfg(test)]
mod tests;
