//! The token that opens the calendar: calendars of the web send no password.

use std::fmt;
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::config::{ConfigError, Fault, Problem, read_text};

/// The fewest characters of a token: those of 128 bits in hexadecimal digits.
const SHORTEST: usize = 32;

/// A token, of which only a digest is kept.
#[derive(Clone)]
pub(super) struct CalendarToken(Hmac<Sha256>);

impl CalendarToken {
    /// Reads the token in `file`. Blocks for as long as the file system does.
    pub(super) fn read(file: &Path) -> Result<Self, ConfigError> {
        let token = read_text(file).map_err(Fault::from);
        let token = token.and_then(|text| Self::parse(text.trim()));
        token.map_err(|fault| ConfigError::new(Some(file), vec![Problem::whole(Some(file), fault)]))
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        const REMEDY: &str = "write a new one into it, such as with: openssl rand -hex 32";
        let is_plain = |char: char| char.is_ascii_alphanumeric() || "-._~".contains(char);
        if text.len() < SHORTEST {
            let what = format!("the calendar's token is shorter than {SHORTEST} characters");
            return Err(Fault::new(what, REMEDY));
        }
        if !text.chars().all(is_plain) {
            let what = "the calendar's token has characters other than letters, digits and -._~, \
                        which stand for themselves in a URL";
            return Err(Fault::new(what, REMEDY));
        }
        let keyed = keyed(text).ok_or_else(|| Fault::new("the token cannot be used", REMEDY))?;
        Ok(Self(keyed))
    }

    /// Whether `sent` is this token. The duration does not depend on how much of the token is
    /// right.
    pub(super) fn is(&self, sent: &str) -> bool {
        let Some(sent) = keyed(sent) else {
            return false;
        };
        let sent = sent.finalize().into_bytes();
        self.0.clone().verify_slice(&sent).is_ok()
    }
}

fn keyed(token: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).ok()?;
    mac.update(b"calendar");
    Some(mac)
}

impl fmt::Debug for CalendarToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdefABCDEF-._~012345";

    #[test]
    fn only_the_whole_token_is_right() {
        let token = CalendarToken::parse(TOKEN).unwrap();
        assert!(token.is(TOKEN));
        for wrong in [
            "",
            &TOKEN[1..],
            &TOKEN[..31],
            &format!("{TOKEN}0"),
            &TOKEN.to_lowercase(),
            &"\u{e9}".repeat(32),
        ] {
            assert!(!token.is(wrong), "{wrong}");
        }
        assert_eq!(format!("{token:?}"), "<secret>");
    }

    #[test]
    fn a_token_that_is_short_or_needs_an_escape_is_refused_and_never_repeated() {
        for wrong in [
            "",
            &TOKEN[1..],
            "0123456789abcdef 0123456789abcdef",
            "0123456789abcdef+0123456789abcdef",
            "0123456789abcdef\n0123456789abcdef",
            "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
        ] {
            let fault = CalendarToken::parse(wrong).unwrap_err().to_string();
            assert!(fault.contains("openssl rand -hex 32"), "{fault}");
            assert!(wrong.is_empty() || !fault.contains(wrong), "{fault}");
        }
    }

    #[test]
    fn blanks_around_the_token_in_its_file_do_not_count() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!(" {TOKEN}\r\n\n")).unwrap();
        assert!(CalendarToken::read(file.path()).unwrap().is(TOKEN));
        assert!(CalendarToken::read(Path::new("/nowhere")).is_err());
    }
}
