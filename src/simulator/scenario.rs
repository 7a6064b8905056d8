//! Who the simulated API knows and how it answers them over time.

use std::fmt;
use std::num::NonZeroU32;

use jiff::SignedDuration;

use super::timeline::Timeline;

/// A scripted stand-in for the cloud.
///
/// Written in YAML. Of the whole: `accounts`, and if need be `rate_limit` (requests per
/// second per secret id and action, 20), `repeat` (after which time begins anew) and
/// `clock_offset` (how far the API's clock is ahead, negative if behind).
///
/// Of an account: `name`, `secret_id` and `secret_key`, and if need be `token` (then
/// demanded in `X-TC-Token`), `allow` (such as `["cwp:DescribeLicenseGeneral"]`;
/// otherwise everything), `fields` (what is answered at first, any names and values;
/// otherwise [`documented_example`](super::documented_example)) and `timeline`.
///
/// A step of the timeline says `at` which time, in ascending order, one of these
/// begins to hold until the next step:
///
/// | step | requests are answered |
/// |---|---|
/// | `set: {Field: value}`, `unset: [Field]` or both | with the changed fields |
/// | `ok: true` | with the fields again |
/// | `error: {code: …, message: …}` | with an API error |
/// | `legacy_error: {code: 4000, message: …, codeDesc: …}` | with an error in the old gateway's shape |
/// | `http: {status: 502, body: …, content_type: …, location: …}` | as by a gateway |
/// | `hang: true` | never |
/// | `reset: true` | with a TCP reset |
/// | `cut: 40` | with the first 40 bytes of a body that promised more |
/// | `body: text` | with that text and status 200 |
/// | `oversized: 8MiB` | with good JSON of that size |
/// | `nested: 20000` | with JSON nested that deep |
///
/// Also `delay: 2s` with any of them, or alone, and `gzip: true` with the first two, or
/// alone. A field that a step has changed stays so until another step changes it.
///
/// ```
/// use cwp_exporter::simulator::Scenario;
///
/// let scenario = Scenario::parse("
/// repeat: 5m
/// accounts:
///   - name: prod
///     secret_id: AKIDprod
///     secret_key: not-a-secret
///     fields: {LicenseCnt: 100, UsedLicenseCnt: 88}
///     timeline:
///       - at: 10s
///         set: {UsedLicenseCnt: 100}
///       - at: 30s
///         http: {status: 502, body: Bad Gateway}
///       - at: 40s
///         ok: true
/// ")?;
/// assert_eq!(scenario.accounts().next().map(|account| account.name()), Some("prod"));
/// # Ok::<(), cwp_exporter::simulator::ScenarioError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Requests per second per secret id and action.
    pub(crate) rate_limit: NonZeroU32,
    /// How far the API's clock is ahead of ours.
    pub(crate) clock_offset: SignedDuration,
    /// The accounts and their answers.
    pub(crate) roles: Vec<(Account, Timeline)>,
}

impl Scenario {
    /// The accounts, in the scenario's order.
    #[must_use]
    pub fn accounts(&self) -> impl ExactSizeIterator<Item = &Account> {
        self.roles.iter().map(|(account, _)| account)
    }
}

/// Someone the simulated API knows.
#[derive(Clone)]
pub struct Account {
    pub(crate) name: String,
    pub(crate) secret_id: String,
    pub(crate) secret_key: String,
    pub(crate) token: Option<String>,
    /// Patterns such as `cwp:DescribeLicenseGeneral`; everything when absent.
    pub(crate) allow: Option<Vec<String>>,
}

impl Account {
    /// Unique in its scenario.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Unique in its scenario.
    #[must_use]
    pub fn secret_id(&self) -> &str {
        &self.secret_id
    }

    /// What requests must be signed with.
    #[must_use]
    pub fn secret_key(&self) -> &str {
        &self.secret_key
    }

    /// What `X-TC-Token` must hold, if the key is a temporary one.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Whether `action` of `service` is allowed.
    pub(crate) fn may(&self, service: &str, action: &str) -> bool {
        self.allow.as_ref().is_none_or(|patterns| {
            patterns
                .iter()
                .any(|pattern| match pattern.split_once(':') {
                    Some((product, name)) => product == service && (name == "*" || name == action),
                    None => pattern == "*",
                })
        })
    }

    #[cfg(test)]
    pub(crate) fn new(name: &str, secret_id: &str, secret_key: &str, token: Option<&str>) -> Self {
        Self {
            name: name.to_owned(),
            secret_id: secret_id.to_owned(),
            secret_key: secret_key.to_owned(),
            token: token.map(str::to_owned),
            allow: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn allowing(mut self, patterns: &[&str]) -> Self {
        self.allow = Some(patterns.iter().map(|&pattern| pattern.to_owned()).collect());
        self
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("secret_id", &self.secret_id)
            .field("allow", &self.allow)
            .finish_non_exhaustive()
    }
}
