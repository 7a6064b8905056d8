//! Verifies requests as the API does.
//!
//! Without state: a request, a time and the key that the request claims go in, an action or a
//! refusal comes out. The checks have the API's order: form, authenticity, permission. The
//! rate limit, which has state, comes between these and the [`parameters`].

use std::collections::HashSet;
use std::sync::Arc;

use http::{HeaderMap, Method, Uri};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::action::Action;
use super::headers::{Authorization, UNSIGNED, required, single};
use super::key::{Claim, KeyStatus};
use super::refusal::Refusal;
use crate::cloud::tc3::{self, CanonicalRequest, CredentialScope};

/// How far a request's time may be off, in seconds.
const MAX_SKEW: u64 = 300;
/// How long a body may be, in bytes.
pub(crate) const MAX_BODY: usize = 10 * 1024 * 1024;

/// A request as it was received.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReceivedRequest<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// Checks that `request` is authentic and permitted; returns its action.
///
/// `claim` is the key whose id the request claims, if there is such; `scripted` are the
/// actions that the scenario has answers to.
///
/// # Errors
///
/// The refusal that the API would answer with.
pub(crate) fn authenticate(
    request: &ReceivedRequest<'_>,
    now: Timestamp,
    claim: Option<&Claim>,
    scripted: &HashSet<Arc<str>>,
) -> Result<Action, Refusal> {
    check_form(request)?;
    let name = required(request.headers, "x-tc-action", "Action")?;
    let version = single(request.headers, "x-tc-version")?.unwrap_or_default();
    let action = Action::choose(name, version, scripted)?;
    let time = check_time(request.headers, now)?;
    if action.needs_region() {
        required(request.headers, "x-tc-region", "Region")?;
    }
    let value = required(request.headers, "authorization", "Authorization")?;
    if !action.is_signed() {
        return match value {
            UNSIGNED => Ok(action),
            _ => Err(Refusal::invalid_authorization(
                "The action takes no signature: the Authorization header must be `SKIP`.",
            )),
        };
    }
    let authorization = Authorization::parse(value).ok_or_else(|| {
        Refusal::invalid_authorization(
            "The Authorization header is not of the form `TC3-HMAC-SHA256 \
             Credential=<id>/<date>/<service>/tc3_request, SignedHeaders=<names>, Signature=<hex>`.",
        )
    })?;
    let claim = claim
        .filter(|claim| claim.key.secret_id == authorization.secret_id)
        .ok_or_else(Refusal::secret_id_not_found)?;
    let scope = CredentialScope::new(action.service(), time);
    check_signature(request, &scope, &authorization, &claim.key.secret_key)?;
    let token = single(request.headers, "x-tc-token")?.filter(|token| !token.is_empty());
    if token != claim.key.token.as_deref() {
        return Err(Refusal::token(
            "temporary keys need the token they were issued with, permanent keys have none",
        ));
    }
    match claim.status {
        KeyStatus::Good => {}
        KeyStatus::Expired => return Err(Refusal::token("it has expired")),
        KeyStatus::Revoked => return Err(Refusal::token("it has been revoked")),
    }
    if !claim.permissions.allow(action.service(), action.name()) {
        return Err(Refusal::unauthorized(action.service(), action.name(), "*"));
    }
    Ok(action)
}

/// The parameters of a request.
///
/// # Errors
///
/// The refusal that the API would answer with.
pub(crate) fn parameters(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_slice(body)
        .map_err(|_| Refusal::new("InvalidParameter", "The request body is not a JSON object."))
}

fn check_form(request: &ReceivedRequest<'_>) -> Result<(), Refusal> {
    if request.method == Method::GET {
        let message = "The simulated API takes POST only.";
        return Err(Refusal::new("InvalidRequest", message));
    }
    if request.method != Method::POST {
        let message = "Only GET and POST requests are supported.";
        return Err(Refusal::new("UnsupportedProtocol", message));
    }
    if request.uri.path() != "/" || request.uri.query().is_some_and(|query| !query.is_empty()) {
        let message = "The path of a POST request is `/`, without a query.";
        return Err(Refusal::new("InvalidRequest", message));
    }
    if request.body.len() > MAX_BODY {
        return Err(too_large());
    }
    Ok(())
}

/// The refusal of a body of more than [`MAX_BODY`] bytes.
pub(crate) fn too_large() -> Refusal {
    Refusal::new(
        "RequestSizeLimitExceeded",
        "The request is larger than 10 MB.",
    )
}

fn check_time(headers: &HeaderMap, now: Timestamp) -> Result<Timestamp, Refusal> {
    let value = required(headers, "x-tc-timestamp", "Timestamp")?;
    let invalid = || {
        let message = "The value of the parameter `Timestamp` is not a Unix time in seconds.";
        Refusal::new("InvalidParameterValue", message)
    };
    if !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid());
    }
    let seconds: i64 = value.parse().map_err(|_| invalid())?;
    if seconds.abs_diff(now.as_second()) > MAX_SKEW {
        return Err(Refusal::new(
            "AuthFailure.SignatureExpire",
            format!(
                "The provided credentials have expired: the timestamp `{seconds}` differs from \
                 the server's time `{}` by more than 5 minutes.",
                now.as_second()
            ),
        ));
    }
    Timestamp::from_second(seconds).map_err(|_| invalid())
}

fn check_signature(
    request: &ReceivedRequest<'_>,
    scope: &CredentialScope,
    authorization: &Authorization<'_>,
    secret_key: &str,
) -> Result<(), Refusal> {
    if authorization.scope != scope.text() {
        return Err(Refusal::invalid_authorization(
            "The Credential's date is not the UTC date of the timestamp, or its service is not \
             the action's, `cwp` or `sts`.",
        ));
    }
    let content_type = required(request.headers, "content-type", "Content-Type")?;
    if !is_json(content_type) {
        let message = "The Content-Type of a POST request is `application/json`.";
        return Err(Refusal::new("InvalidRequest", message));
    }
    let names: Vec<&str> = authorization.signed_headers.split(';').collect();
    let sorted = names.windows(2).all(|pair| pair.first() < pair.last());
    let lower = names.iter().all(|name| is_lower_token(name));
    if !(sorted && lower && names.contains(&"content-type") && names.contains(&"host")) {
        return Err(Refusal::invalid_authorization(
            "SignedHeaders must be sorted, in lower case, and include `content-type` and `host`.",
        ));
    }
    let mut headers = Vec::with_capacity(names.len());
    for name in names {
        let Some(value) = single(request.headers, name)? else {
            return Err(Refusal::invalid_authorization(&format!(
                "The signed header `{name}` is missing from the request."
            )));
        };
        headers.push((name, value));
    }
    let signing_key = tc3::signing_key(secret_key, scope);
    let matches = |headers: &[(&str, &str)]| {
        let canonical = CanonicalRequest {
            method: request.method.as_str(),
            query: "",
            headers,
            payload: request.body,
        };
        tc3::signature(&signing_key, scope, &canonical) == authorization.signature
    };
    // The vendor's document lower-cases the values, its SDKs sign them as sent.
    let lower = headers.iter().map(|(_, value)| value.to_ascii_lowercase());
    let lower: Vec<String> = lower.collect();
    let pairs = headers.iter().zip(&lower);
    let lower: Vec<_> = pairs
        .map(|((name, _), value)| (*name, value.as_str()))
        .collect();
    if matches(&headers) || matches(&lower) {
        Ok(())
    } else {
        Err(Refusal::signature())
    }
}

/// Whether a content type is JSON, with or without a charset.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

fn is_lower_token(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.bytes().all(is_token)
}

#[cfg(test)]
mod tests;
