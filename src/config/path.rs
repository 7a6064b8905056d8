//! Paths and variables' names, which are taken as they are written.

use std::path::{Component, Path, PathBuf};

use super::problem::{Fault, SourceLocation};
use super::reader::text;
use super::tree::Node;

/// The length of a secret key. Tokens are longer.
const SECRET_FROM: usize = 32;

/// A path; a relative one starts at the configuration file's directory or, in an
/// environment variable, at the working directory.
pub(crate) fn path(node: &Node<'_>) -> Result<PathBuf, Fault> {
    let text = text(node)?;
    if text.is_empty() {
        return Err(Fault::new("the path is empty", "name a file"));
    }
    if let Some(what) = unexpanded(text) {
        return Err(Fault::new(what, "write the absolute path"));
    }
    if text.split('/').any(may_be_secret) {
        return Err(Fault::new(
            "looks like a secret, not like the path of a file",
            "put the secret in a file and write the file's path here",
        ));
    }
    Ok(folder(node).join(text))
}

/// Where a relative path starts.
pub(super) fn folder<'p>(node: &'p Node<'_>) -> &'p Path {
    let folder = match &node.location {
        SourceLocation::File { path, .. } => path.parent(),
        _ => None,
    };
    folder.unwrap_or(Path::new(""))
}

/// The name of an environment variable.
pub(super) fn variable_name(node: &Node<'_>) -> Result<String, Fault> {
    let name = text(node)?;
    let foreign = |c: char| c.is_whitespace() || c.is_control() || "$%={}()\"'`".contains(c);
    if name.is_empty() || name.contains(foreign) {
        return Err(Fault::new(
            "not the name of an environment variable",
            "write the name alone, such as `CWP_SECRET_KEY`, without `$`, braces or a value",
        ));
    }
    if may_be_secret(name) {
        return Err(Fault::new(
            "looks like a secret, not like the name of an environment variable",
            "put the secret in a variable and write the variable's name here",
        ));
    }
    Ok(name.to_owned())
}

/// What is wrong with a text of which the writer expects that a shell, systemd or a
/// template puts something in.
pub(super) fn unexpanded(text: &str) -> Option<&'static str> {
    let is_name = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let home = text
        .split('/')
        .next()
        .is_some_and(|first| first.starts_with('~'));
    if home {
        return Some("`~` is not expanded here");
    }
    let mut dollars = text.split('$').skip(1);
    if dollars.any(|rest| rest.starts_with(['{', '(']) || is_name(rest)) {
        return Some("variables such as `$NAME` and `${NAME}` are not expanded here");
    }
    if text.contains("{{") {
        return Some("templates such as `{{ name }}` are not expanded here");
    }
    // `%h/key` of systemd, `%NAME%` of Windows.
    let mut parts = text.split('/');
    if parts.any(|part| part.strip_prefix('%').is_some_and(is_name)) {
        return Some("specifiers such as `%h` and `%NAME%` are not expanded here");
    }
    None
}

/// `path` as it may be shown: without parts that look like a secret. A user may have written
/// the secret instead of the name of its file.
pub(crate) fn shown_path(path: &Path) -> String {
    let mut shown = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => match name.to_str() {
                Some(name) if !may_be_secret(name) && !name.contains(char::is_control) => {
                    shown.push(name);
                }
                _ => shown.push("<not shown>"),
            },
            other => shown.push(other),
        }
    }
    shown.display().to_string()
}

/// Whether `name` is as long and as mixed as a secret key or a token.
fn may_be_secret(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "+=_-".contains(c);
    let mut runs = name.split(|c: char| !is_part(c));
    runs.any(|run| {
        let has = |kind: fn(&char) -> bool| run.chars().any(|c| kind(&c));
        run.len() >= SECRET_FROM
            && has(char::is_ascii_lowercase)
            && has(char::is_ascii_uppercase)
            && has(char::is_ascii_digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_would_expand_is_told() {
        for text in [
            "~",
            "~/key",
            "~ops/key",
            "$HOME/key",
            "/run/${NAME}/key",
            "/run/$(id -u)/key",
            "$KEY",
            "%h/key",
            "%d/key",
            "%APPDATA%/key",
            "/run/{{ name }}",
        ] {
            assert!(unexpanded(text).is_some(), "{text}");
        }
        for text in [
            "key",
            "/a~b/key",
            "./~key",
            "/mnt/5$/key",
            "/mnt/100%/key",
            "a{b}",
            "$",
            "%",
        ] {
            assert_eq!(unexpanded(text), None, "{text}");
        }
    }

    #[test]
    fn a_path_is_shown_but_for_what_may_be_a_secret() {
        for (path, shown) in [
            (
                "/run/secrets/account-12/secret_key",
                "/run/secrets/account-12/secret_key",
            ),
            (
                "/var/run/6f1c2a80-7f0e-4d44-9d0b-3a1f6f4f9a11/key",
                "/var/run/6f1c2a80-7f0e-4d44-9d0b-3a1f6f4f9a11/key",
            ),
            (
                "/etc/CwpExporterProductionKey.pem",
                "/etc/CwpExporterProductionKey.pem",
            ),
            ("/etc/Gu5t9xGARNpq86cd98joQYCN3Cozk1qA", "/etc/<not shown>"),
            ("AKIDz8krbsJ5yKBZQpn74WFkmLPx3gnPhESA", "<not shown>"),
            (
                "/etc/eyJhbGciOiJSUzI1NiIsImtpZCI6IjEyMyJ9.eyJpc3M",
                "/etc/<not shown>",
            ),
            ("/etc/a\nb", "/etc/<not shown>"),
        ] {
            assert_eq!(shown_path(Path::new(path)), shown);
        }
    }
}
