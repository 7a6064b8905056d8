//! The selection of accounts by a URL.

use url::form_urlencoded;

use super::health::Health;
use crate::collection::snapshot::AccountState;
use crate::server::language::Language;

/// The default accounts per page.
pub const PER_PAGE: usize = 100;

/// The most accounts per page.
const MAX_PER_PAGE: usize = 1000;

/// The longest text of a search, in characters.
const MAX_TEXT: usize = 200;

/// The selected accounts and their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The text that the account's name, region, label or last failure contains.
    pub text: String,
    /// The health of the accounts, if only one health is selected.
    pub health: Option<Health>,
    /// The order of the accounts.
    pub sort: Sort,
    /// The page, counted from 1; the last page if there are fewer.
    pub page: usize,
    /// The accounts per page, from 1 to 1000.
    pub per_page: usize,
    /// The language of the page, if the reader has chosen one.
    pub language: Option<Language>,
}

/// The order of accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// The most urgent account first, then by name.
    #[default]
    Attention,
    /// By name: this order does not change while a client reads page after page.
    Name,
    /// The next deadline of an order first, then by name.
    Deadline,
}

impl Sort {
    /// Its name in a query; the default has none.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attention => "",
            Self::Name => "name",
            Self::Deadline => "deadline",
        }
    }
}

impl Default for Query {
    fn default() -> Self {
        Self {
            text: String::new(),
            health: None,
            sort: Sort::default(),
            page: 1,
            per_page: PER_PAGE,
            language: None,
        }
    }
}

impl Query {
    /// Parses the query of a URL. Unknown names and malformed values are ignored.
    #[must_use]
    pub fn parse(query: &str) -> Self {
        let mut parsed = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "q" => parsed.text = value.trim().chars().take(MAX_TEXT).collect(),
                "health" => {
                    let mut all = Health::ALL.into_iter();
                    parsed.health = all.find(|health| health.as_str() == value);
                }
                "sort" => {
                    let mut all = [Sort::Name, Sort::Deadline].into_iter();
                    let named = all.find(|sort| sort.as_str() == value);
                    parsed.sort = named.unwrap_or_default();
                }
                "page" => parsed.page = value.parse().unwrap_or(1).max(1),
                "per_page" => {
                    let wanted = value.parse().unwrap_or(PER_PAGE);
                    parsed.per_page = wanted.clamp(1, MAX_PER_PAGE);
                }
                "lang" => parsed.language = Some(Language::named(&value)),
                _ => {}
            }
        }
        parsed
    }

    /// The query of a URL with the same selection.
    #[must_use]
    pub fn to_url(&self) -> String {
        let mut url = form_urlencoded::Serializer::new(String::new());
        if !self.text.is_empty() {
            url.append_pair("q", &self.text);
        }
        if let Some(health) = self.health {
            url.append_pair("health", health.as_str());
        }
        if self.sort != Sort::default() {
            url.append_pair("sort", self.sort.as_str());
        }
        if self.page > 1 {
            url.append_pair("page", &self.page.to_string());
        }
        if self.per_page != PER_PAGE {
            url.append_pair("per_page", &self.per_page.to_string());
        }
        if let Some(language) = self.language {
            url.append_pair("lang", language.as_str());
        }
        url.finish()
    }

    /// Whether all accounts are selected, in the order of attention.
    pub(super) fn is_overview(&self) -> bool {
        self.text.is_empty() && self.health.is_none() && self.sort == Sort::Attention
    }

    /// Whether `account`, which has this `health`, is selected.
    pub(super) fn selects(&self, account: &AccountState, health: Health) -> bool {
        self.health.is_none_or(|wanted| wanted == health)
            && (self.text.is_empty() || self.matches_text(account))
    }

    fn matches_text(&self, account: &AccountState) -> bool {
        let wanted = self.text.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&wanted);
        let labels = &account.labels;
        has(&account.name)
            || account.region.as_deref().is_some_and(has)
            || labels
                .iter()
                .any(|(name, value)| has(&format!("{name}={value}")))
            || account.slots.iter().any(|slot| {
                let state = slot.load();
                let attempt = state.last_attempt.as_ref();
                let failure = attempt.and_then(|attempt| attempt.failure.as_ref());
                failure.is_some_and(|error| {
                    has(error.reason.as_str()) || error.code.as_deref().is_some_and(has)
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_survives_the_way_through_a_url() {
        let query = Query {
            text: "a b&c=\"主机\"".to_owned(),
            health: Some(Health::NearExpiry),
            sort: Sort::Name,
            page: 3,
            per_page: 7,
            language: Some(Language::Chinese),
        };
        assert_eq!(Query::parse(&query.to_url()), query);
        assert_eq!(Query::default().to_url(), "");
        let by_deadline = Query::parse("sort=deadline");
        assert_eq!(by_deadline.to_url(), "sort=deadline");
    }

    #[test]
    fn unknown_names_and_malformed_values_are_ignored() {
        for url in [
            "page=0&per_page=x&health=Well&sort=&other=1",
            "page=-1&health=",
            "page=99999999999999999999999",
            "%ff=%ff&&&==",
            "health=ok&health=no",
        ] {
            assert_eq!(Query::parse(url), Query::default(), "{url}");
        }
        assert_eq!(Query::parse("per_page=0").per_page, 1);
        assert_eq!(Query::parse("per_page=5000").per_page, 1000);
        let long = Query::parse(&format!("q={}", "x".repeat(100_000)));
        assert_eq!(long.text.len(), MAX_TEXT);
    }
}
