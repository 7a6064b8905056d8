//! The metadata service: an instance's role and its keys.

use http::{Method, StatusCode, Uri};
use serde_json::json;

use super::reply::ReplyContent;
use super::temporary::IssuedKey;

/// The path of the name of the instance's role; its keys are below.
const ROLES: &str = "/latest/meta-data/cam/security-credentials";
/// The path of the service.
const ROOT: &str = "/latest/meta-data";

/// A request to the service.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MetadataRequest<'a> {
    /// The role's name.
    Role,
    /// A key of the role of this name.
    Key(&'a str),
    /// Other metadata, which the simulator does not have.
    Other,
}

/// The metadata that a request asks for; none if the request is for another service.
pub(crate) fn request<'a>(method: &Method, uri: &'a Uri) -> Option<MetadataRequest<'a>> {
    let path = uri.path();
    let rest = path.strip_prefix(ROOT)?;
    if method != Method::GET || !(rest.is_empty() || rest.starts_with('/')) {
        return None;
    }
    Some(match path.strip_prefix(ROLES) {
        Some("" | "/") => MetadataRequest::Role,
        Some(rest) => rest
            .strip_prefix('/')
            .map_or(MetadataRequest::Other, MetadataRequest::Key),
        None => MetadataRequest::Other,
    })
}

/// The answer with the role's name.
pub(crate) fn role(name: &str) -> ReplyContent {
    ReplyContent::Plain(StatusCode::OK, name.to_owned())
}

/// The answer with a key.
pub(crate) fn key(temporary: &IssuedKey) -> ReplyContent {
    let key = &temporary.key;
    let body = json!({
        "TmpSecretId": key.secret_id,
        "TmpSecretKey": key.secret_key,
        "Token": key.token,
        "ExpiredTime": temporary.expires,
        "Expiration": temporary.expiration(),
        "Code": "Success",
    });
    ReplyContent::Plain(StatusCode::OK, body.to_string())
}

/// The answer to a request for metadata that do not exist.
pub(crate) fn not_found() -> ReplyContent {
    let body = "<html><body><h1>404 - Not Found</h1></body></html>";
    ReplyContent::Plain(StatusCode::NOT_FOUND, body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_gets_below_the_services_path_ask_for_metadata() {
        const ROLES: &str = "/latest/meta-data/cam/security-credentials";
        let ask = |method: Method, path: &str| {
            let uri: Uri = path.parse().unwrap();
            format!("{:?}", request(&method, &uri))
        };
        for (path, expected) in [
            (format!("{ROLES}/"), "Some(Role)"),
            (ROLES.to_owned(), "Some(Role)"),
            (format!("{ROLES}/Exporter"), "Some(Key(\"Exporter\"))"),
            (format!("{ROLES}/a/b"), "Some(Key(\"a/b\"))"),
            (format!("{ROLES}2/"), "Some(Other)"),
            ("/latest/meta-data/".to_owned(), "Some(Other)"),
            ("/latest/meta-data".to_owned(), "Some(Other)"),
            ("/latest/meta-datum".to_owned(), "None"),
            ("/".to_owned(), "None"),
        ] {
            assert_eq!(ask(Method::GET, &path), expected, "{path}");
            assert_eq!(ask(Method::POST, &path), "None", "{path}");
        }
    }
}
