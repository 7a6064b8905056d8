//! Whether a request is one that the API would answer.
//!
//! Pure: a request, a time and the account it claims to come from go in, a verdict
//! comes out. In the API's order: is it a request at all, is it authentic, is it
//! permitted. The rate limit, which has a memory, comes between that and the
//! [`parameters`].

use http::{HeaderMap, Method, Uri};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::refusal::{Language, Refusal};
use super::scenario::Account;
use crate::tc3::{self, CanonicalRequest, CredentialScope};

/// The only action that is known.
const ACTION: &str = "DescribeLicenseGeneral";
/// The version of the product's API.
const VERSION: &str = "2018-02-28";
/// The first label of the product's host name.
const SERVICE: &str = "cwp";
/// How far a request's time may be off, in seconds.
const MAX_SKEW: u64 = 300;
/// How long a body may be, in bytes.
pub(crate) const MAX_BODY: usize = 10 * 1024 * 1024;

/// A request as it was received.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// The secret id a request claims, true or not.
pub(crate) fn secret_id(headers: &HeaderMap) -> Option<&str> {
    let value = single(headers, "authorization").ok().flatten()?;
    Some(Authorization::parse(value)?.secret_id)
}

/// The language a request asks for.
pub(crate) fn language(headers: &HeaderMap) -> Language {
    match single(headers, "x-tc-language") {
        Ok(Some("zh-CN")) => Language::Chinese,
        _ => Language::English,
    }
}

/// The action a request asks for, known or not.
pub(crate) fn action(headers: &HeaderMap) -> Option<&str> {
    single(headers, "x-tc-action").ok().flatten()
}

/// Checks that `request` is authentic and permitted; returns its action.
///
/// `account` is the one whose [`secret_id`] the request claims, if there is such.
///
/// # Errors
///
/// The refusal that the API would answer with.
pub(crate) fn authenticate<'a>(
    request: &Request<'a>,
    now: Timestamp,
    account: Option<&Account>,
) -> Result<&'a str, Refusal> {
    check_form(request)?;
    let action = check_action(request.headers)?;
    let time = check_time(request.headers, now)?;
    let value = required(request.headers, "authorization", "Authorization")?;
    let authorization = Authorization::parse(value).ok_or_else(|| {
        Refusal::invalid_authorization(
            "The Authorization header is not of the form `TC3-HMAC-SHA256 \
             Credential=<id>/<date>/<service>/tc3_request, SignedHeaders=<names>, Signature=<hex>`.",
        )
    })?;
    let account = account
        .filter(|account| account.secret_id() == authorization.secret_id)
        .ok_or_else(Refusal::secret_id_not_found)?;
    check_signature(request, time, &authorization, account.secret_key())?;
    let token = single(request.headers, "x-tc-token")?.filter(|token| !token.is_empty());
    if token != account.token() {
        return Err(Refusal::token());
    }
    if !account.may(SERVICE, action) {
        return Err(Refusal::unauthorized(action));
    }
    Ok(action)
}

/// Checks the parameters of an authentic request: there are none.
///
/// # Errors
///
/// The refusal that the API would answer with.
pub(crate) fn parameters(body: &[u8]) -> Result<(), Refusal> {
    let parameters: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|_| Refusal::new("InvalidParameter", "The request body is not a JSON object."))?;
    match parameters.keys().next() {
        Some(name) => Err(Refusal::new(
            "UnknownParameter",
            format!("The parameter `{name}` is not recognized."),
        )),
        None => Ok(()),
    }
}

fn check_form(request: &Request<'_>) -> Result<(), Refusal> {
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

fn check_action(headers: &HeaderMap) -> Result<&str, Refusal> {
    let action = required(headers, "x-tc-action", "Action")?;
    let version = single(headers, "x-tc-version")?;
    if version != Some(VERSION) {
        let version = version.unwrap_or_default();
        let message = format!("The version `{version}` does not exist; cwp has `{VERSION}`.");
        return Err(Refusal::new("NoSuchVersion", message));
    }
    if action != ACTION {
        let message = format!(
            "The request action=`{action}` is invalid or does not match version=`{VERSION}`."
        );
        return Err(Refusal::new("InvalidAction", message));
    }
    Ok(action)
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
    request: &Request<'_>,
    time: Timestamp,
    authorization: &Authorization<'_>,
    secret_key: &str,
) -> Result<(), Refusal> {
    let scope = CredentialScope::new(SERVICE, time);
    if authorization.scope != scope.text() {
        return Err(Refusal::invalid_authorization(
            "The Credential's date is not the UTC date of the timestamp, or its service is not `cwp`.",
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
    // The vendor's document lower-cases the values, its SDKs sign them as sent.
    let lower: Vec<String> = headers
        .iter()
        .map(|(_, value)| value.to_lowercase())
        .collect();
    let lowered: Vec<(&str, &str)> = headers
        .iter()
        .zip(&lower)
        .map(|((name, _), value)| (*name, value.as_str()))
        .collect();
    let matches = [&headers, &lowered].into_iter().any(|headers| {
        let canonical = CanonicalRequest {
            method: request.method.as_str(),
            query: "",
            headers,
            payload: request.body,
        };
        tc3::signature(secret_key, &scope, &canonical) == authorization.signature
    });
    if matches {
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

/// The trimmed value of a header, `None` if there is no such.
///
/// # Errors
///
/// A header that comes twice, or is not ASCII, has no one value.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match (value.to_str(), values.next()) {
        (Ok(value), None) => Ok(Some(value.trim())),
        _ => Err(Refusal::new(
            "InvalidRequest",
            format!("The header `{name}` must come once and in ASCII."),
        )),
    }
}

/// The value of a header that must be there, empty or not being as good as absent.
fn required<'a>(headers: &'a HeaderMap, name: &str, parameter: &str) -> Result<&'a str, Refusal> {
    single(headers, name)?
        .filter(|value| !value.is_empty())
        .ok_or_else(|| Refusal::missing(parameter))
}

/// The parts of an `Authorization` header.
#[derive(Debug, PartialEq)]
struct Authorization<'a> {
    secret_id: &'a str,
    /// `<date>/<service>/tc3_request`.
    scope: &'a str,
    signed_headers: &'a str,
    /// 64 lower-case hexadecimal digits.
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// Takes a header value apart; `None` unless it has exactly the documented form.
    fn parse(value: &'a str) -> Option<Self> {
        let parts = value
            .strip_prefix(tc3::ALGORITHM)?
            .strip_prefix(" Credential=")?;
        let (credential, rest) = parts.split_once(", SignedHeaders=")?;
        let (signed_headers, signature) = rest.split_once(", Signature=")?;
        let (secret_id, scope) = credential.split_once('/')?;
        let mut labels = scope.split('/');
        let (date, service, end) = (labels.next()?, labels.next()?, labels.next()?);
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let well_formed = !secret_id.is_empty()
            && !secret_id.contains([' ', ','])
            && date.len() == 10
            && !service.is_empty()
            && end == "tc3_request"
            && labels.next().is_none()
            && signature.len() == 64
            && signature.bytes().all(is_hex);
        well_formed.then_some(Self {
            secret_id,
            scope,
            signed_headers,
            signature,
        })
    }
}

#[cfg(test)]
mod tests;
