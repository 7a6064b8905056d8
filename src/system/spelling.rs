//! Suggests the known word that an unknown word was likely meant to be.

/// The most letters that may be wrong in a long word.
const MAX_WRONG: usize = 3;

/// The word of `known` that `written` likely means.
#[must_use]
pub fn likely_meant<'k>(
    written: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    let known = known.into_iter();
    let similar = known.filter_map(|word| Some((wrong_letters(written, word)?, word)));
    similar
        .min_by_key(|(wrong, _)| *wrong)
        .map(|(_, word)| word)
}

/// How many letters of `written` are wrong, missing or too many, if it is likely a
/// misspelling of `known`: at most one in three, and `MAX_WRONG`. Two that changed places
/// are one. Capitals do not count, nor what stands between words.
#[must_use]
pub fn wrong_letters(written: &str, known: &str) -> Option<usize> {
    let (written, known) = (letters(written), letters(known));
    let length = known.chars().count();
    let allowed = (length / 3).min(MAX_WRONG);
    // Comparing takes long where there are thousands of words.
    if length.abs_diff(written.chars().count()) > allowed {
        return None;
    }
    let wrong = strsim::damerau_levenshtein(&written, &known);
    (wrong <= allowed).then_some(wrong)
}

/// The letters and digits of a word, in lower case.
fn letters(word: &str) -> String {
    let letters = word.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_misspelling_is_recognised_and_what_is_another_word_is_not() {
        for (written, known, wrong) in [
            ("intervall", "interval", Some(1)),
            ("intevral", "interval", Some(1)),
            ("Max-Age", "max_age", Some(0)),
            ("MAXAGE", "max_age", Some(0)),
            ("max.agee", "max_age", Some(1)),
            ("nmae", "name", Some(1)),
            ("mane", "name", None),
            ("tyep", "type", Some(1)),
            ("no", "on", None),
            ("", "name", None),
            ("CWP_EXPORTER_VERSION", "CWP_EXPORTER_POLL__INTERVAL", None),
            ("metadata_endpiont", "metadata_endpoint", Some(1)),
            ("meta_dt_endpiont", "metadata_endpoint", Some(3)),
            ("mt_dt_endpiont", "metadata_endpoint", None),
        ] {
            assert_eq!(wrong_letters(written, known), wrong, "{written} {known}");
        }
    }

    #[test]
    fn of_several_words_the_most_similar_is_meant() {
        let known = ["secret_key", "secret_key_env", "secret_id", "type"];
        let meant = |written| likely_meant(written, known);
        assert_eq!(meant("secret_kye"), Some("secret_key"));
        assert_eq!(meant("secret-key-evn"), Some("secret_key_env"));
        assert_eq!(meant("secretid"), Some("secret_id"));
        assert_eq!(meant("other"), None);
    }
}
