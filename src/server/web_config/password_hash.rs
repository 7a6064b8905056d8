//! A bcrypt hash of a password.

use std::fmt;
use std::str::FromStr;

use bcrypt::HashParts;

use crate::config::Fault;

/// The length of a hash. The toolkit, too, ignores what follows, such as a line end.
const LENGTH: usize = 60;

/// A valid bcrypt hash.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    text: String,
    cost: u32,
}

impl PasswordHash {
    /// A hash that no password matches, as expensive to verify as other hashes of `cost`.
    #[must_use]
    pub fn unmatched(cost: u32) -> Self {
        Self {
            text: format!("$2y${cost:02}${:.<53}", ""),
            cost,
        }
    }

    /// The binary logarithm of the work of one verification.
    #[must_use]
    pub fn cost(&self) -> u32 {
        self.cost
    }

    /// The text of the hash.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether `password` matches. Takes from milliseconds to hours, depending on the cost.
    #[must_use]
    pub fn matches(&self, password: &[u8]) -> bool {
        bcrypt::verify(password, &self.text).unwrap_or(false)
    }
}

impl FromStr for PasswordHash {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault = || {
            Fault::new(
                "not a bcrypt hash",
                "write the text that `htpasswd -nBC 10 \"\"` prints after the colon",
            )
        };
        let text = text.get(..LENGTH).ok_or_else(fault)?;
        let parts: HashParts = text.parse().map_err(|_| fault())?;
        let cost = parts.get_cost();
        if !(4..=31).contains(&cost) {
            return Err(fault());
        }
        Ok(Self {
            text: text.to_owned(),
            cost,
        })
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of "fish", made by htpasswd.
    const FISH: &str = "$2y$04$aQ1fPqO8cvlpXtm5pTRBfOeZZYQ.fdmFMxBGgmXmdfRmPvJcjxYY2";

    #[test]
    fn only_the_password_matches_and_nothing_matches_the_unmatched() {
        let hash: PasswordHash = bcrypt::hash("fish", 4).unwrap().parse().unwrap();
        assert!(hash.matches(b"fish"));
        assert!(!hash.matches(b"Fish"));
        assert_eq!(hash.cost(), 4);
        let unmatched = PasswordHash::unmatched(4);
        assert_eq!(unmatched.text().parse(), Ok(unmatched.clone()));
        assert!(!unmatched.matches(b"fish") && !unmatched.matches(b""));
    }

    #[test]
    fn a_malformed_hash_is_refused_and_a_line_end_after_a_hash_is_not() {
        let line = format!("{FISH}\n");
        assert_eq!(line.parse::<PasswordHash>().unwrap().text(), FISH);
        for bad in [
            "",
            "fish",
            &FISH[..59],
            &FISH.replace("$04$", "$03$"),
            &FISH.replace("$04$", "$xx$"),
            "äöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöü",
        ] {
            assert!(bad.parse::<PasswordHash>().is_err(), "{bad}");
        }
    }

    #[test]
    fn debug_shows_no_hash() {
        let hash: PasswordHash = FISH.parse().unwrap();
        assert_eq!(format!("{hash:?}"), "<secret>");
    }
}
