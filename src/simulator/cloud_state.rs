//! The simulated cloud as it is at one moment.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::action::Action;
use super::answer::{Answer, Page};
use super::headers;
use super::key::{Claim, KeyStatus};
use super::log::{RequestEntry, RequestLog, action_name};
use super::metadata::{self, MetadataRequest};
use super::rate::RateWindow;
use super::refusal::Refusal;
use super::reply::ReplyContent;
use super::response_script::ResponseScript;
use super::scenario::{RoleBinding, Scenario};
use super::sts::{self, AssumeRoleRequest};
use super::temporary::IssuedKey;
use super::tenants::Tenants;
use super::verify::{self, ReceivedRequest};

/// What changes with time and with requests.
#[derive(Debug)]
pub(crate) struct CloudState {
    /// When scenario time began, once it has.
    pub(crate) start: Option<Instant>,
    pub(crate) tenants: Tenants,
    pub(crate) sts: ResponseScript,
    pub(crate) metadata: ResponseScript,
    /// The role of the instance that asks for metadata.
    binding: Option<RoleBinding>,
    /// The key that its metadata show.
    shown: Option<IssuedKey>,
    rate_limit: NonZeroU32,
    sts_rate_limit: NonZeroU32,
    /// The longest life of the token service's keys.
    sts_lifetime: Option<Duration>,
    rate: RateWindow,
    pub(crate) log: RequestLog,
}

/// What the parameters of an authentic request ask for.
pub(crate) enum Asked {
    /// The key of a role.
    Role(AssumeRoleRequest),
    /// The licences.
    Licences,
    /// What the scenario has for a further action: a page, if the answer is a list.
    Scripted(Page),
}

/// Reads the parameters of an authentic request.
///
/// # Errors
///
/// The refusal that the API would answer with.
pub(crate) fn read(action: &Action, body: &[u8]) -> Result<Asked, Refusal> {
    let parameters = verify::parameters(body)?;
    match action {
        Action::AssumeRole | Action::AssumeRoleWithWebIdentity => {
            AssumeRoleRequest::read(action, &parameters).map(Asked::Role)
        }
        Action::Scripted(_) => Page::read(&parameters).map(Asked::Scripted),
        Action::DescribeLicenseGeneral => match parameters.keys().next() {
            Some(name) => Err(Refusal::unknown_parameter(name)),
            None => Ok(Asked::Licences),
        },
    }
}

impl CloudState {
    pub(crate) fn new(scenario: Scenario) -> Self {
        Self {
            start: None,
            tenants: Tenants::new(scenario.parts),
            sts: ResponseScript::new(scenario.sts.timeline),
            metadata: ResponseScript::new(scenario.metadata.timeline),
            binding: scenario.metadata.binding,
            shown: None,
            rate_limit: scenario.rate_limit,
            sts_rate_limit: scenario.sts.rate_limit,
            sts_lifetime: scenario.sts.lifetime,
            rate: RateWindow::default(),
            log: RequestLog::default(),
        }
    }

    /// The scenario's time at an instant, rounds that are over included.
    pub(crate) fn elapsed(&self, at: Instant) -> Duration {
        self.start
            .map_or(Duration::ZERO, |start| at.saturating_duration_since(start))
    }

    pub(crate) fn name(&self, tenant: Option<usize>) -> Option<&str> {
        let tenant = self.tenants.get(tenant?)?;
        Some(tenant.account.name())
    }

    /// Answers an authentic, permitted request of or for `tenant`.
    ///
    /// # Errors
    ///
    /// The refusal that the API would answer with.
    pub(crate) fn serve(
        &mut self,
        action: &Action,
        asked: Result<Asked, Refusal>,
        tenant: Option<usize>,
        (at, now): (Instant, Timestamp),
    ) -> Result<(Answer, ReplyContent), Refusal> {
        let elapsed = self.elapsed(at);
        let caller = tenant.and_then(|place| self.tenants.get(place));
        if let (Some(place), Some(caller)) = (tenant, caller) {
            let service_limit = match action.service() {
                "sts" => self.sts_rate_limit,
                _ => self.rate_limit,
            };
            let limit = caller.account.rate_limit.unwrap_or(service_limit);
            self.rate
                .admit(place, action, limit, at)
                .map_err(|count| Refusal::rate(count, limit))?;
        }
        let asked = asked?;
        if let Asked::Role(wish) = &asked {
            let place = self.tenants.of_role(&wish.role_arn);
            let place = place.ok_or_else(Refusal::role_not_found)?;
            let caller = self.name(tenant).unwrap_or_default();
            if let Some(tenant) = self.tenants.get(place) {
                tenant.account.admit(caller, wish)?;
            }
            let (answer, mut fields) = self.sts.answer("sts", elapsed);
            if answer.is_good() {
                let longest = self.sts_lifetime.unwrap_or(Duration::MAX);
                let lifetime = wish.duration.min(longest);
                let key = self.tenants.issue(place, elapsed, now, lifetime);
                fields = Arc::new(sts::fields(&key));
            }
            return Ok((answer, ReplyContent::Fields(fields)));
        }
        // Unknown only if there had been no account, which is refused before.
        let tenant = tenant.and_then(|place| self.tenants.get_mut(place));
        let tenant = tenant.ok_or_else(Refusal::secret_id_not_found)?;
        let (answer, fields) = tenant.player.answer(tenant.account.name(), elapsed);
        let fields = match asked {
            Asked::Scripted(page) => {
                let known = tenant.account.answers.get(action.name());
                Arc::new(page.of(known.ok_or_else(|| Refusal::no_such_action(action))?))
            }
            _ => fields,
        };
        Ok((answer, ReplyContent::Fields(fields)))
    }

    /// Answers a question to the metadata service.
    pub(crate) fn inform(
        &mut self,
        question: &MetadataRequest<'_>,
        path: &str,
        at: Instant,
        now: Timestamp,
    ) -> (Answer, ReplyContent) {
        let binding = self.binding.clone();
        let place = binding.as_ref().map(|binding| binding.tenant);
        let (answer, _) = self.metadata.answer("metadata", self.elapsed(at));
        let content = match (question, &binding) {
            (MetadataRequest::Role, Some(binding)) => metadata::role(&binding.role),
            (MetadataRequest::Key(role), Some(binding)) if *role == binding.role => {
                if answer.is_good() {
                    metadata::key(&self.show(binding, at, now))
                } else {
                    // A fault is played instead of this.
                    metadata::role(&binding.role)
                }
            }
            _ => metadata::nothing(),
        };
        let verdict = match &content {
            ReplyContent::Plain(status, _) if !status.is_success() => "NotFound",
            _ => "ok",
        };
        self.log.metadata = self.log.metadata.saturating_add(1);
        let action = Some(Cow::Owned(path.to_owned()));
        self.note(at, place, action, verdict);
        (answer, content)
    }

    /// The key that metadata show: the same one until half of its life is over.
    fn show(&mut self, binding: &RoleBinding, at: Instant, now: Timestamp) -> IssuedKey {
        let elapsed = self.elapsed(at);
        let fresh = |key: &&IssuedKey| {
            let standing = self.tenants.standing(key, elapsed, now);
            standing == KeyStatus::Good && now.as_second() < key.half
        };
        if let Some(key) = self.shown.as_ref().filter(fresh) {
            return key.clone();
        }
        let (tenant, lifetime) = (binding.tenant, binding.lifetime);
        let key = self.tenants.issue(tenant, elapsed, now, lifetime);
        self.shown = Some(key.clone());
        key
    }

    pub(crate) fn remember(
        &mut self,
        request: &ReceivedRequest<'_>,
        at: Instant,
        claim: Option<&Claim>,
        tenant: Option<usize>,
        refusal: Option<&Refusal>,
    ) {
        let signer = claim.and_then(|claim| self.tenants.get_mut(claim.tenant));
        if let Some(signer) = signer {
            signer.requests = signer.requests.saturating_add(1);
        }
        let action = headers::action(request.headers);
        if action
            .and_then(Action::built_in)
            .is_some_and(|action| action.service() == "sts")
        {
            self.log.sts = self.log.sts.saturating_add(1);
        }
        let verdict = refusal.map_or("ok", |refusal| refusal.code);
        self.note(at, tenant, action.map(action_name), verdict);
    }

    fn note(
        &mut self,
        at: Instant,
        tenant: Option<usize>,
        action: Option<Cow<'static, str>>,
        verdict: &'static str,
    ) {
        tracing::debug!(
            account = self.name(tenant),
            action = action.as_deref(),
            verdict,
            "request"
        );
        self.log.push(RequestEntry {
            at,
            tenant,
            action,
            verdict,
        });
    }
}
