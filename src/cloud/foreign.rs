//! Text that a service sent, as far as it may be shown.

use std::borrow::Cow;
use std::fmt;

use super::Credential;

/// What is shown instead of a secret.
const STAND_IN: &str = "<secret>";

/// This many characters of a secret are recognised as a part of it.
const RECOGNISED: usize = 8;

/// The longest part of a foreign text that is shown, in characters.
const MAX_SHOWN: usize = 300;

/// Secrets that were sent to a service, which could echo them.
#[derive(Default)]
pub(super) struct Secrets<'a>(Vec<&'a str>);

impl<'a> Secrets<'a> {
    /// Those of `credential` and the `parameter` of an action, where there are any.
    pub(super) fn new(credential: Option<&'a Credential>, parameter: Option<&'a str>) -> Self {
        let secrets = credential.into_iter().flat_map(Credential::secrets);
        Self(secrets.chain(parameter).collect())
    }

    /// `text` without the secrets and the parts of them, on one line and of bounded
    /// length.
    ///
    /// It is cut last: a secret that was cut first would not be recognised.
    pub(super) fn show(&self, text: &str) -> String {
        let without = self.blot_out(text);
        let printable = without
            .chars()
            .map(|char| if char.is_control() { ' ' } else { char });
        printable.take(MAX_SHOWN).collect()
    }

    /// An answer's `json` without the secrets, which its values and names would carry into
    /// metrics. Only whole ones of some length: what is shorter may be part of any answer.
    pub(super) fn leave_out<'t>(&self, json: &'t str) -> Cow<'t, str> {
        let plain = with_few_escapes(json);
        let secrets = self.0.iter().filter(|secret| secret.len() >= RECOGNISED);
        let written = secrets.map(|secret| secret.replace('\\', r"\\").replace('"', r#"\""#));
        let echoed = written.filter(|secret| plain.contains(secret.as_str()));
        let left = echoed.fold(None, |left: Option<String>, secret| {
            Some(left.as_deref().unwrap_or(&plain).replace(&secret, STAND_IN))
        });
        left.map_or(Cow::Borrowed(json), Cow::Owned)
    }

    /// `text` without the secrets and the parts of them.
    pub(super) fn blot_out(&self, text: &str) -> String {
        let secrets = self.0.iter();
        secrets.fold(text.to_owned(), |text, secret| blot_out(&text, secret))
    }
}

impl fmt::Debug for Secrets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STAND_IN)
    }
}

/// `text` without `secret` and without its beginnings: a service that echoes a secret
/// may have cut it.
fn blot_out(text: &str, secret: &str) -> String {
    let mut ends = secret.char_indices().map(|(at, char)| at + char.len_utf8());
    let head_length = ends.find(|end| *end >= RECOGNISED).unwrap_or(secret.len());
    let (head, tail) = secret.split_at(head_length);
    if head.is_empty() {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(head) {
        let pairs = after.chars().zip(tail.chars());
        let same = pairs.take_while(|(found, expected)| found == expected);
        let length = same.map(|(char, _)| char.len_utf8()).sum();
        shown += before;
        shown += STAND_IN;
        rest = after.get(length..).unwrap_or_default();
    }
    shown + rest
}

/// The same JSON, where no printable ASCII character is escaped that need not be: some writers
/// escape `/`, and others `=` and `+`.
fn with_few_escapes(json: &str) -> Cow<'_, str> {
    let mut rest = json;
    let mut plain = String::new();
    while let Some((before, after)) = rest.split_once('\\') {
        plain += before;
        let (char, length) = escaped(after);
        match char {
            Some('"' | '\\') | None => plain.push('\\'),
            Some(_) => {}
        }
        plain.extend(char);
        rest = after.get(length..).unwrap_or_default();
    }
    if plain.is_empty() {
        return Cow::Borrowed(json);
    }
    Cow::Owned(plain + rest)
}

/// The printable ASCII character that `text`, the text behind a backslash, stands for, if
/// there is such a character, and the number of its bytes in `text`.
fn escaped(text: &str) -> (Option<char>, usize) {
    match text.chars().next() {
        Some(char @ ('"' | '\\' | '/')) => (Some(char), 1),
        Some('u') => {
            let digits = text.get(1..5).unwrap_or_default();
            let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            let code = u8::from_str_radix(digits, 16).ok().filter(|_| is_hex);
            let char = code.map(char::from);
            match char.filter(|char| (' '..='~').contains(char)) {
                Some(char) => (Some(char), 5),
                None => (None, 0),
            }
        }
        _ => (None, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_blotted_out_whole_and_in_part_wherever_it_is() {
        let secret = "0123456789abcdef";
        for (text, shown) in [
            ("0123456789abcdef", "<secret>"),
            (
                "a 0123456789abcdef b 0123456789abcdef",
                "a <secret> b <secret>",
            ),
            ("it was 0123456789a", "it was <secret>"),
            ("01234567: no such key", "<secret>: no such key"),
            ("0123456789abcdé", "<secret>é"),
            ("it was 0123456", "it was 0123456"),
        ] {
            assert_eq!(blot_out(text, secret), shown);
        }
        assert_eq!(blot_out("hunter2, hunter", "hunter2"), "<secret>, hunter");
        assert_eq!(blot_out("nothing", ""), "nothing");
    }

    #[test]
    fn a_secret_is_left_out_of_json_however_its_characters_are_escaped() {
        let secrets = Secrets::new(None, Some("0123/456+789=\\\"x"));
        for (json, left) in [
            (r#""0123/456+789=\\\"x""#, r#""<secret>""#),
            (r#""0123\/456\u002B789\u003d\\\"x""#, r#""<secret>""#),
            (r#""\u0030123/456+789=\u005c\u0022x""#, r#""<secret>""#),
            (r#""\\0123\/456+789=\\\"x\n""#, r#""\\<secret>\n""#),
            (r#""\\u0030 \\/ \u+030""#, r#""\\u0030 \\/ \u+030""#),
            (r#""\u4e3b\/\u00""#, r#""\u4e3b\/\u00""#),
            (r#""ends in \"#, r#""ends in \"#),
            (r#""\u4e3b0123/456+789=\\\"x""#, r#""\u4e3b<secret>""#),
            (r#""\b\u00200123/456+789=\\\"x\u007e""#, r#""\b <secret>~""#),
        ] {
            assert_eq!(secrets.leave_out(json), left, "{json}");
        }
        let letters = Secrets::new(None, Some("ABCDEFGHI"));
        assert_eq!(letters.leave_out(r#""\u0041BCDEFGHI""#), r#""<secret>""#);
        for (secret, left) in [("ABCDEFGH", "<secret>"), ("ABCDEFG", "ABCDEFG")] {
            let secrets = Secrets::new(None, Some(secret));
            assert_eq!(secrets.leave_out(secret), left);
        }
        let other = r#""\u1041BCDEFGHI""#;
        assert_eq!(letters.leave_out(other), other);
    }

    #[test]
    fn a_secret_at_the_cut_leaves_nothing_of_itself() {
        let secrets = Secrets::new(None, Some("0123456789abcdef"));
        for letters in 270..310 {
            let text = format!("{}0123456789abcdef", "x".repeat(letters));
            assert!(!secrets.show(&text).contains("01"), "{letters}");
        }
    }

    #[test]
    fn what_is_shown_has_300_characters_at_the_most() {
        let shown = |length| Secrets::default().show(&"主".repeat(length));
        assert_eq!(shown(300), "主".repeat(300));
        assert_eq!(shown(301), "主".repeat(300));
    }

    #[test]
    fn what_is_shown_is_one_line() {
        assert_eq!(Secrets::default().show("a\r\nb\0"), "a  b ");
    }
}
