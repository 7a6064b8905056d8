//! The accounts of the simulated API, and its answers over time.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use super::key::{Permissions, SimulatedKey};
use super::refusal::Refusal;
use super::sts::AssumeRoleRequest;
use super::timeline::Timeline;

/// A scripted stand-in for the cloud.
///
/// Written in YAML. Times are such as `500ms`, `10s` or `1m30s`.
///
/// | of the whole | |
/// |---|---|
/// | `accounts: […]` | the accounts; the only key that must be there |
/// | `rate_limit: 20` | licence requests per second, account and action |
/// | `repeat: 5m` | the time after which all timelines repeat |
/// | `clock_offset: -6m` | how far the cloud's clock is ahead, negative if behind |
/// | `sts: {lifetime: 5s, rate_limit: 600, timeline: […]}` | the token service: the longest lifetime of its keys, which may be shorter than a caller can ask for; its requests per second; its faults |
/// | `metadata: {account: prod, role: CwpExporter, lifetime: 2h, timeline: […]}` | instance metadata: the account whose role is bound to the instance, none if absent; the role's name, otherwise taken from its ARN; the lifetime of its keys; its faults |
///
/// | of an account | |
/// |---|---|
/// | `name: prod` | must be there |
/// | `secret_id: …`, `secret_key: …` | its own key; must be there unless it has a `role` |
/// | `token: …` | makes its own key temporary: demanded in `X-TC-Token` |
/// | `allow: ["cwp:DescribeLicenseGeneral"]` | what it may do, by its own key and its role; otherwise everything |
/// | `rate_limit: 5` | its own limit instead of those above; all keys of its role share it |
/// | `role: {arn: "qcs::cam::uin/100000000001:roleName/CwpExporter"}` | a role to be assumed; also `external_id: …` (then demanded) and `trusts: [name, …]` (the accounts that may assume it; otherwise all) |
/// | `web_identity: {provider: tke, token: …}` | what AssumeRoleWithWebIdentity must present for the role |
/// | `fields: {LicenseCnt: 100}` | what is answered at first, any names and values; otherwise [`documented_example`](super::documented_example) |
/// | `orders: [{ResourceId: cwplic-a, Deadline: in 6d}]` | the list of `DescribeLicenseList`, otherwise empty: the API's fields; those that are not written have values of their own; `count: 250` for so many orders, with `{n}` in the `ResourceId` |
/// | `answers: {DescribeGeneralStat: {MachinesAll: 7}}` | what is answered to further actions of CWP; otherwise to those of the exporter's collectors that there is nothing; a `List` is answered in pages, as `Limit` and `Offset` say |
/// | `page_limit: 10` | the largest `Limit` that lists take, otherwise 100 |
/// | `timeline: […]` | what changes |
/// | `count: 10000` | so many accounts, 100,000 at most; `{n}` in any text but `allow`, `fields` and faults is the number of each, from 0 |
///
/// A step of a timeline says `at` which time, in ascending order, one of these
/// begins to hold until the next step:
///
/// | step | requests are answered |
/// |---|---|
/// | `set: {Field: value}`, `unset: [Field]` or both | with the changed fields |
/// | `orders: […]`, `remove_orders: [ResourceId]` or both | with orders that are changed, added or removed |
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
/// alone. A field that a step has changed stays so until another step changes it. A step
/// without `action: DescribeLicenseList` is about all actions of CWP; `set` and `unset` are
/// then about the licences. With `between_pages: true` a change waits until a further page
/// of the list is asked for.
///
/// In the fields `Deadline`, `BuyTime`, `StartTime` and `EndTime` a time can be relative to
/// the scenario's beginning: `in 6d`, `30d ago`.
///
/// Of accounts also, with any of these or alone:
///
/// | step | from that time on |
/// |---|---|
/// | `rotate: {secret_key: …}` | the account's own key is this one, also with `secret_id: …` (otherwise the first one) and `token: …`; the previous key is refused |
/// | `revoke: true` | earlier temporary keys are refused with `AuthFailure.TokenFailure`; new ones work |
///
/// The timelines of `sts` and `metadata` take faults and `ok`. A fault issues no key;
/// an `error` of instance metadata is `{"Code": …, "Message": …}`.
///
/// Temporary keys stay good until their own end, whatever is issued after them.
/// Instance metadata show the same key until half of its lifetime is over.
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
///
/// let ten_thousand = Scenario::parse("
/// accounts:
///   - {count: 10000, name: 'a{n}', secret_id: 'AKIDa{n}', secret_key: 'key-a{n}'}
/// ")?;
/// assert_eq!(ten_thousand.accounts().len(), 10_000);
/// # Ok::<(), cwp_exporter::config::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Requests per second, account and action.
    pub(crate) rate_limit: u32,
    /// The API's clock minus the local clock.
    pub(crate) clock_offset: SignedDuration,
    pub(crate) accounts: Vec<ScenarioAccount>,
    pub(crate) sts: TokenService,
    pub(crate) metadata: MetadataService,
}

/// An account of a scenario, and its changes.
#[derive(Debug, Clone)]
pub(crate) struct ScenarioAccount {
    pub(crate) account: SimulatedAccount,
    /// The licences over time; shared by accounts that are written as one.
    pub(crate) timeline: Arc<Timeline>,
    /// The answers to further actions of CWP, by their names; shared, too.
    pub(crate) further: Arc<BTreeMap<Arc<str>, Arc<Timeline>>>,
    /// The keys that replace the first key, in the order of their times.
    pub(crate) rotations: Vec<(Duration, SimulatedKey)>,
}

/// The security token service, which issues keys of roles.
#[derive(Debug, Clone)]
pub(crate) struct TokenService {
    pub(crate) timeline: Arc<Timeline>,
    /// Requests per second, account and action.
    pub(crate) rate_limit: u32,
    /// The longest lifetime of a key.
    pub(crate) lifetime: Duration,
}

/// The metadata service of an instance.
#[derive(Debug, Clone)]
pub(crate) struct MetadataService {
    pub(crate) timeline: Arc<Timeline>,
    /// The instance's role, if it has one.
    pub(crate) binding: Option<RoleBinding>,
}

/// The role of an instance.
#[derive(Debug, Clone)]
pub(crate) struct RoleBinding {
    pub(crate) role: String,
    /// The role's account, by its index in the scenario.
    pub(crate) tenant: usize,
    pub(crate) lifetime: Duration,
}

impl Scenario {
    /// The accounts, in the scenario's order.
    #[must_use]
    pub fn accounts(&self) -> impl ExactSizeIterator<Item = &SimulatedAccount> {
        self.accounts.iter().map(|entry| &entry.account)
    }

    /// The further actions that some account has an answer to.
    pub(crate) fn scripted_actions(&self) -> HashSet<Arc<str>> {
        let names = self.accounts.iter().flat_map(|entry| entry.further.keys());
        names.cloned().collect()
    }
}

/// An account of the simulated API.
#[derive(Clone)]
pub struct SimulatedAccount {
    pub(crate) name: String,
    pub(crate) secret_id: String,
    pub(crate) secret_key: String,
    pub(crate) token: Option<String>,
    pub(crate) permissions: Permissions,
    /// Requests per second and action, if other than the scenario's.
    pub(crate) rate_limit: Option<u32>,
    pub(crate) role: Option<Role>,
    /// The largest `Limit` that its lists take.
    pub(crate) page_limit: u64,
}

/// The role by which others act for an account.
#[derive(Clone)]
pub(crate) struct Role {
    pub(crate) arn: String,
    pub(crate) external_id: Option<String>,
    /// The names of the accounts that may assume it; all when absent.
    pub(crate) trusts: Option<Vec<String>>,
    /// The provider and the token that it trusts.
    pub(crate) web_identity: Option<(String, String)>,
}

impl SimulatedAccount {
    /// Unique in its scenario.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Unique in its scenario; empty if only its role has keys.
    #[must_use]
    pub fn secret_id(&self) -> &str {
        &self.secret_id
    }

    /// The key that requests must be signed with at first.
    #[must_use]
    pub fn secret_key(&self) -> &str {
        &self.secret_key
    }

    /// The value of `X-TC-Token` that a temporary key needs.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The ARN of the role by which others act for it.
    #[must_use]
    pub fn role_arn(&self) -> Option<&str> {
        Some(&self.role.as_ref()?.arn)
    }

    /// Its own key, if it has one.
    pub(crate) fn key(&self) -> Option<SimulatedKey> {
        (!self.secret_id.is_empty()).then(|| SimulatedKey {
            secret_id: self.secret_id.clone(),
            secret_key: self.secret_key.clone(),
            token: self.token.clone(),
        })
    }

    /// Gives its role's web identity another token; false if it has none.
    pub(crate) fn set_web_identity(&mut self, token: &str) -> bool {
        let role = self.role.as_mut();
        let trusted = role.and_then(|role| role.web_identity.as_mut());
        let trusted = trusted.map(|(_, trusted)| token.clone_into(trusted));
        trusted.is_some()
    }

    /// Checks that `caller`, or the bearer of a web identity, may assume its role.
    ///
    /// # Errors
    ///
    /// The refusal that the API would answer with.
    pub(crate) fn admit(&self, caller: &str, request: &AssumeRoleRequest) -> Result<(), Refusal> {
        let role = self.role.as_ref().ok_or_else(Refusal::role_not_found)?;
        if request.web_identity.is_some() {
            return match role.web_identity == request.web_identity {
                true => Ok(()),
                false => Err(Refusal::web_identity()),
            };
        }
        let trusts = role.trusts.as_ref();
        let is_trusted = trusts.is_none_or(|names| names.iter().any(|name| name == caller));
        let is_meant = role.external_id.is_none() || role.external_id == request.external_id;
        if is_trusted && is_meant {
            return Ok(());
        }
        Err(Refusal::unauthorized("sts", "AssumeRole", &role.arn))
    }
}

impl fmt::Debug for SimulatedAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedAccount")
            .field("name", &self.name)
            .field("secret_id", &self.secret_id)
            .field("permissions", &self.permissions)
            .finish_non_exhaustive()
    }
}
