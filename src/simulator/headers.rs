//! The headers of a request.

use http::HeaderMap;

use super::refusal::{Language, Refusal};
use crate::cloud::tc3;

/// The value of `Authorization` in a request that takes no signature.
pub(crate) const UNSIGNED: &str = "SKIP";

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

/// The trimmed value of a header, `None` if there is no such.
///
/// # Errors
///
/// A header that comes twice or is not ASCII.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
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

/// The value of a header that must be present and not empty.
pub(crate) fn required<'a>(
    headers: &'a HeaderMap,
    name: &str,
    parameter: &str,
) -> Result<&'a str, Refusal> {
    single(headers, name)?
        .filter(|value| !value.is_empty())
        .ok_or_else(|| Refusal::missing(parameter))
}

/// The parts of an `Authorization` header.
#[derive(Debug, PartialEq)]
pub(crate) struct Authorization<'a> {
    pub(crate) secret_id: &'a str,
    /// `<date>/<service>/tc3_request`.
    pub(crate) scope: &'a str,
    pub(crate) signed_headers: &'a str,
    /// 64 lower-case hexadecimal digits.
    pub(crate) signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// Parses a header value; `None` unless the value has exactly the documented form.
    pub(crate) fn parse(value: &'a str) -> Option<Self> {
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
