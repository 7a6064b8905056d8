//! The languages of the status page, and which of them a reader wants.

use std::cmp::Reverse;

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

use super::negotiation::rated;

/// A language of the status page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// The language for readers who want none of these languages.
    #[default]
    English,
    /// In the characters of the mainland.
    Chinese,
}

impl Language {
    /// The last is preferred where a reader likes all alike.
    const ALL: [Self; 2] = [Self::Chinese, Self::English];

    /// Its tag in HTML and in headers.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }

    /// Its name in a query.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    /// The other language.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::English => Self::Chinese,
            Self::Chinese => Self::English,
        }
    }

    /// The language of this name or tag; English if it is unknown.
    #[must_use]
    pub fn named(tag: &str) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|each| each.is_named_by(tag)).unwrap_or_default()
    }

    /// The language that the header `Accept-Language` rates highest. Of equal ratings, the
    /// language that is named first counts.
    pub(super) fn preferred(headers: &HeaderMap) -> Self {
        let ranges: Vec<_> = rated(headers, ACCEPT_LANGUAGE).collect();
        let rank = |language: Self| {
            let ranges = || ranges.iter().enumerate();
            let named = ranges().filter(|(_, (range, _))| language.is_named_by(range));
            let named = named.map(|(place, (_, quality))| (*quality, Reverse(place)));
            let any = ranges().find(|(_, (range, _))| *range == "*");
            let any = any.map(|(_, (_, quality))| (*quality, Reverse(usize::MAX)));
            named.max().or(any).filter(|(quality, _)| *quality > 0)
        };
        let wanted = Self::ALL
            .into_iter()
            .filter_map(|each| Some((rank(each)?, each)));
        let best = wanted.max_by_key(|(rank, _)| *rank);
        best.map_or_else(Self::default, |(_, best)| best)
    }

    /// Whether `tag` is this language, whatever script and country follow.
    fn is_named_by(self, tag: &str) -> bool {
        let language = tag.split(['-', '_']).next().unwrap_or_default();
        language.eq_ignore_ascii_case(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn preferred(accept_language: &str) -> Language {
        let value = HeaderValue::from_str(accept_language).unwrap();
        Language::preferred(&HeaderMap::from_iter([(ACCEPT_LANGUAGE, value)]))
    }

    #[test]
    fn the_language_with_the_best_quality_is_preferred() {
        for (accept_language, language) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("en-US,en;q=0.9,zh-CN;q=0.8", Language::English),
            ("en;q=0.5, zh;q=0.501", Language::Chinese),
            ("ZH-hans-cn", Language::Chinese),
            ("zh-TW;q=0.1, zh-HK;q=0.9, en;q=0.8", Language::Chinese),
            ("fr, zh;q=0.1", Language::Chinese),
            ("zh, en", Language::Chinese),
            ("en, zh", Language::English),
            ("de;q=0.5, *;q=0.1", Language::English),
            ("zh, *", Language::Chinese),
            ("*, zh;q=0.5", Language::English),
            ("en;q=0, *", Language::Chinese),
            ("zh;q=0, *", Language::English),
        ] {
            assert_eq!(preferred(accept_language), language, "{accept_language}");
        }
    }

    #[test]
    fn who_wants_another_language_or_nothing_readable_gets_english() {
        assert_eq!(Language::preferred(&HeaderMap::new()), Language::English);
        for accept_language in [
            "",
            ",;,=",
            "fr",
            "zh;q=0",
            "zh;q=high",
            "zh;q=1.1",
            "zhuang",
            "en;q=0, zh;q=0",
        ] {
            let language = preferred(accept_language);
            assert_eq!(language, Language::English, "{accept_language}");
        }
    }

    #[test]
    fn a_name_is_a_language_in_any_script_or_country() {
        for tag in ["zh", "ZH", "zh-CN", "zh_TW", "zh-Hans-SG"] {
            assert_eq!(Language::named(tag), Language::Chinese, "{tag}");
        }
        for tag in ["en", "en-GB", "", "fr", "中文"] {
            assert_eq!(Language::named(tag), Language::English, "{tag}");
        }
    }
}
