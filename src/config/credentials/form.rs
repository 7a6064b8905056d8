//! What secret ids and secret keys look like.

use crate::config::path::unexpanded;
use crate::config::problem::Fault;

/// How the ids of the cloud begin: those of its Chinese and its international site.
const ID_PREFIXES: [&str; 2] = ["AKID", "IKID"];

/// The length of a permanent secret id, in characters.
const ID_LENGTH: usize = 36;

/// The length of a permanent secret key, in characters.
const KEY_LENGTH: usize = 32;

/// The longest id of a temporary key, in characters.
const MAX_ID_LENGTH: usize = 1024;

/// Quotes that a shell, an editor or a document puts around a value.
const QUOTES: [char; 9] = ['"', '\'', '`', '“', '”', '‘', '’', '«', '»'];

/// Whether `text` looks like a secret id, so that it may be shown.
#[must_use]
pub fn is_usual_id(text: &str) -> bool {
    let mut rests = ID_PREFIXES.iter().filter_map(|id| text.strip_prefix(id));
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.len() <= MAX_ID_LENGTH && rests.any(|rest| !rest.is_empty() && rest.chars().all(allowed))
}

/// `text` without surrounding white space, if it can be an id, a key or a token: one word
/// that can stand in an HTTP header.
pub(super) fn word(text: &str) -> Result<&str, Fault> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Fault::new("the value is empty", "fill it in").in_chinese("填写该值"));
    }
    if text.starts_with(QUOTES) || text.ends_with(QUOTES) {
        return Err(
            Fault::new("the value has quotes around it", "remove the quotes")
                .in_chinese("去掉引号"),
        );
    }
    if text.ends_with("\\n") || text.ends_with("\\r") {
        return Err(Fault::new(
            "the value ends with a line end that is spelled out as `\\n` or `\\r`",
            "remove these characters",
        )
        .in_chinese("去掉这些字符"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Fault::new(
            "the value has white space, control or non-ASCII characters inside",
            "copy it anew: one word, nothing else",
        )
        .in_chinese("重新复制：只有一个词，没有其他内容"));
    }
    Ok(text)
}

/// A secret id that is written in the configuration.
pub(in crate::config) fn literal_id(text: &str) -> Result<String, Fault> {
    if text.trim() != text {
        return Err(Fault::new(
            "the secret id begins or ends with a blank or a line end",
            "remove it",
        ));
    }
    let id = word(text)?;
    check_id(id)?;
    Ok(id.to_owned())
}

/// What is wrong with `id` as a secret id, a word.
pub(super) fn check_id(id: &str) -> Result<(), Fault> {
    if unexpanded(id).is_some() {
        return Err(Fault::new(
            "the value does not look like a secret id: variables are not expanded here",
            "write the secret id itself, or name the variable in `secret_id_env`",
        )
        .in_chinese("直接填写 SecretId，或用 `secret_id_env` 指定变量"));
    }
    if !is_usual_id(id) && looks_like_key(id) {
        return Err(Fault::new(
            "the value does not look like a secret id, but like a secret key",
            "write the secret id, which begins with AKID or IKID",
        )
        .in_chinese("填写以 AKID 或 IKID 开头的 SecretId"));
    }
    if id.contains(QUOTES) || id.contains('\\') {
        return Err(Fault::new(
            "the value has quotes or backslashes and does not look like a secret id",
            "write the secret id alone",
        )
        .in_chinese("只填写 SecretId"));
    }
    Ok(())
}

/// What is wrong with `id` and `key`, words, as the two halves of one key.
pub(super) fn check_pair(id: &str, key: &str) -> Result<(), Fault> {
    if id == key && is_usual_id(id) {
        return Err(Fault::new(
            "the secret id and the secret key are the same value",
            "write the secret id in one place and its secret key in the other",
        )
        .in_chinese("一处填写 SecretId，另一处填写对应的 SecretKey"));
    }
    if is_usual_id(key) && !is_usual_id(id) {
        return Err(Fault::new(
            "the secret id and the secret key are swapped",
            "write each in the place of the other",
        )
        .in_chinese("把两者对调"));
    }
    if is_usual_id(key) && key.len() == ID_LENGTH {
        return Err(Fault::new(
            "the secret key looks like a secret id",
            "write the secret key that belongs to the secret id",
        )
        .in_chinese("填写该 SecretId 对应的 SecretKey"));
    }
    check_id(id)
}

/// Whether `text`, which does not begin like an id, is as long and as mixed as a permanent
/// secret key, or is Base64 as the keys of roles are.
fn looks_like_key(text: &str) -> bool {
    let letters = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    match text.len() {
        KEY_LENGTH => letters || text.bytes().all(base64),
        length => length > KEY_LENGTH && !letters && text.bytes().all(base64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3gnPhESA";
    const KEY: &str = "Gu5t9xGARNpq86cd98joQYCN3Cozk1qA";

    #[test]
    fn ids_of_both_sites_permanent_or_temporary_are_usual() {
        for id in [
            ID,
            "IKIDz8krbsJ5yKBZQpn74WFkmLPx3gnPhESA",
            "AKIDproduction",
            "AKIDa-_9",
        ] {
            assert!(is_usual_id(id), "{id}");
            assert_eq!(check_pair(id, KEY), Ok(()));
        }
        for id in [KEY, "AKID", "akidx", "AKID x", "AKIDx\"", "shared", ""] {
            assert!(!is_usual_id(id), "{id}");
        }
        // Unusual, but nothing says that it is wrong.
        for id in [
            "shared",
            "my.company:key-1",
            "0123456789abcdefABCDEF0123456789abcdEF",
        ] {
            assert_eq!(check_pair(id, KEY), Ok(()), "{id}");
        }
    }

    #[test]
    fn a_key_in_place_of_the_id_and_an_id_in_place_of_the_key_are_told() {
        for (id, key, what) in [
            (KEY, ID, "the secret id and the secret key are swapped"),
            (
                ID,
                ID,
                "the secret id and the secret key are the same value",
            ),
            ("AKIDother", ID, "the secret key looks like a secret id"),
            (
                KEY,
                "another",
                "the value does not look like a secret id, but like a secret key",
            ),
            (
                "q9cO1S7m3Fj4B1ZkCWqEmbLOqGkXg0cUo5pKx3vT2y8=",
                KEY,
                "the value does not look like a secret id, but like a secret key",
            ),
            (
                "${SECRET_ID}",
                KEY,
                "the value does not look like a secret id: variables are not expanded here",
            ),
            (
                "AKID\"x",
                KEY,
                "the value has quotes or backslashes and does not look like a secret id",
            ),
        ] {
            let fault = check_pair(id, key).unwrap_err();
            assert_eq!(fault.what, what, "{id}");
            assert!(fault.chinese_remedy.is_some(), "{id}");
        }
    }

    #[test]
    fn quotes_and_spelled_out_line_ends_are_told() {
        for text in ["\"a\"", "'a'", "`a`", "“a”", "\"a", "a'"] {
            let fault = word(text).unwrap_err();
            assert_eq!(fault.what, "the value has quotes around it", "{text}");
        }
        assert!(word("a\\n").unwrap_err().what.contains("line end"));
        assert_eq!(word(" a\r\n"), Ok("a"));
    }
}
