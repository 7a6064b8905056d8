//! The state of the simulated cloud, and its answers to requests.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::action::Action;
use super::answer::{Answer, Page};
use super::headers;
use super::key::KeyStatus;
use super::log::{Received, RequestLog};
use super::metadata::{self, MetadataRequest};
use super::rate::RateWindow;
use super::refusal::Refusal;
use super::relative_time;
use super::reply::ReplyContent;
use super::response_script::ResponseScript;
use super::scenario::{RoleBinding, Scenario};
use super::sts::{self, AssumeRoleRequest};
use super::temporary::IssuedKey;
use super::tenants::Tenants;
use super::verify::{self, ReceivedRequest};

/// The state that changes with time and with requests.
#[derive(Debug)]
pub(crate) struct CloudState {
    /// When scenario time began, also by the API's clock; none before that.
    pub(crate) start: Option<(Instant, Timestamp)>,
    pub(crate) tenants: Tenants,
    pub(crate) sts: ResponseScript,
    pub(crate) metadata: ResponseScript,
    /// The key in the metadata of the instance.
    instance_key: Option<IssuedKey>,
    /// The scenario without its accounts, which are the tenants.
    scenario: Scenario,
    rate: RateWindow,
    pub(crate) log: RequestLog,
}

/// The parameters of an authentic request.
pub(crate) enum Parameters {
    /// The key of a role.
    Role(AssumeRoleRequest),
    /// The licences.
    Licenses,
    /// The answer that the scenario has for a further action; a page, if it is a list.
    Scripted(Page),
}

impl Parameters {
    /// Reads the body of an authentic request.
    ///
    /// # Errors
    ///
    /// The refusal that the API would answer with.
    pub(crate) fn read(action: &Action, body: &[u8]) -> Result<Self, Refusal> {
        let parameters = verify::parameters(body)?;
        match action {
            Action::AssumeRole | Action::AssumeRoleWithWebIdentity => {
                AssumeRoleRequest::read(action, &parameters).map(Self::Role)
            }
            Action::Scripted(_) => Page::read(&parameters).map(Self::Scripted),
            Action::DescribeLicenseGeneral => {
                Refusal::check_names(&parameters, &[]).map(|()| Self::Licenses)
            }
        }
    }
}

impl CloudState {
    pub(crate) fn new(mut scenario: Scenario) -> Self {
        Self {
            start: None,
            tenants: Tenants::new(std::mem::take(&mut scenario.accounts)),
            sts: ResponseScript::new(Arc::clone(&scenario.sts.timeline)),
            metadata: ResponseScript::new(Arc::clone(&scenario.metadata.timeline)),
            instance_key: None,
            scenario,
            rate: RateWindow::default(),
            log: RequestLog::default(),
        }
    }

    /// The scenario's time at an instant, past rounds included.
    pub(crate) fn elapsed(&self, at: Instant) -> Duration {
        self.start.map_or(Duration::ZERO, |(start, _)| {
            at.saturating_duration_since(start)
        })
    }

    fn name(&self, tenant: Option<usize>) -> Option<&str> {
        Some(self.tenants.get(tenant?)?.account.name())
    }

    /// Answers an authentic, permitted request of or for `tenant`.
    ///
    /// # Errors
    ///
    /// The refusal that the API would answer with.
    pub(crate) fn serve(
        &mut self,
        action: &Action,
        parameters: Result<Parameters, Refusal>,
        tenant: Option<usize>,
        (at, now): (Instant, Timestamp),
    ) -> Result<(Answer, ReplyContent), Refusal> {
        let elapsed = self.elapsed(at);
        let caller = tenant.and_then(|index| self.tenants.get(index));
        if let (Some(index), Some(caller)) = (tenant, caller) {
            let service_limit = match action.service() {
                "sts" => self.scenario.sts.rate_limit,
                _ => self.scenario.rate_limit,
            };
            let limit = caller.account.rate_limit.unwrap_or(service_limit);
            self.rate
                .admit(index, action, limit, at)
                .map_err(|count| Refusal::rate(count, limit))?;
        }
        let parameters = parameters?;
        if let Parameters::Role(role) = &parameters {
            let index = self.tenants.of_role(&role.role_arn);
            let index = index.ok_or_else(Refusal::role_not_found)?;
            let caller = self.name(tenant).unwrap_or_default();
            if let Some(tenant) = self.tenants.get(index) {
                tenant.account.admit(caller, role)?;
            }
            let (answer, mut fields) = self.sts.answer(("sts", None), false, elapsed);
            if answer.is_good() {
                let lifetime = role.duration.min(self.scenario.sts.lifetime);
                let key = self.tenants.issue(index, elapsed, now, lifetime);
                fields = Arc::new(sts::fields(&key));
            }
            return Ok((answer, ReplyContent::Fields(fields)));
        }
        // Every signed request has a tenant: an unknown secret id was refused before.
        let tenant = tenant.and_then(|index| self.tenants.get_mut(index));
        let tenant = tenant.ok_or_else(Refusal::secret_id_not_found)?;
        let name = (tenant.account.name(), Some(action.name()));
        let Parameters::Scripted(page) = parameters else {
            let (answer, fields) = tenant.script.answer(name, false, elapsed);
            return Ok((answer, ReplyContent::Fields(fields)));
        };
        let script = tenant.further.get_mut(action.name());
        let script = script.ok_or_else(|| Refusal::no_such_action(action.name()))?;
        if page.limit > tenant.account.page_limit {
            return Err(Refusal::invalid_value("Limit", &page.limit.into()));
        }
        let (answer, fields) = script.answer(name, page.offset > 0, elapsed);
        let mut fields = page.of(&fields);
        relative_time::resolve(&mut fields, self.start.map_or(now, |(_, start)| start));
        Ok((answer, ReplyContent::Fields(Arc::new(fields))))
    }

    /// Answers a request to the metadata service.
    pub(crate) fn serve_metadata(
        &mut self,
        request: &MetadataRequest<'_>,
        path: &str,
        at: Instant,
        now: Timestamp,
    ) -> (Answer, ReplyContent) {
        let binding = self.scenario.metadata.binding.clone();
        let (answer, _) = self
            .metadata
            .answer(("metadata", None), false, self.elapsed(at));
        let content = match (request, &binding) {
            (MetadataRequest::Role, Some(binding)) => Some(metadata::role(&binding.role)),
            (MetadataRequest::Key(role), Some(binding)) if *role == binding.role => {
                Some(match answer.is_good() {
                    true => metadata::key(&self.instance_key(binding, at, now)),
                    // A fault is answered instead of this.
                    false => metadata::role(&binding.role),
                })
            }
            _ => None,
        };
        let verdict = content.as_ref().map_or("NotFound", |_| "ok");
        self.log.metadata = self.log.metadata.saturating_add(1);
        let tenant = binding.map(|binding| binding.tenant);
        self.log_request(at, tenant, Some(path), verdict);
        (answer, content.unwrap_or_else(metadata::not_found))
    }

    /// The key in the metadata: the same key until half of its lifetime is over.
    fn instance_key(&mut self, binding: &RoleBinding, at: Instant, now: Timestamp) -> IssuedKey {
        let elapsed = self.elapsed(at);
        let is_fresh = |key: &&IssuedKey| {
            let status = self.tenants.status(key, elapsed, now);
            status == KeyStatus::Good && now.as_second() < key.half
        };
        if let Some(key) = self.instance_key.as_ref().filter(is_fresh) {
            return key.clone();
        }
        let (tenant, lifetime) = (binding.tenant, binding.lifetime);
        let key = self.tenants.issue(tenant, elapsed, now, lifetime);
        self.instance_key = Some(key.clone());
        key
    }

    /// Counts and logs a request of or for `tenant`, which `signer` claims to have signed.
    pub(crate) fn record(
        &mut self,
        request: &ReceivedRequest<'_>,
        at: Instant,
        signer: Option<usize>,
        tenant: Option<usize>,
        refusal: Option<&Refusal>,
    ) {
        if let Some(signer) = signer.and_then(|signer| self.tenants.get_mut(signer)) {
            signer.requests = signer.requests.saturating_add(1);
        }
        let action = headers::action(request.headers);
        let built_in = action.and_then(Action::built_in);
        if built_in.is_some_and(|action| action.service() == "sts") {
            self.log.sts = self.log.sts.saturating_add(1);
        }
        let verdict = refusal.map_or("ok", |refusal| refusal.code);
        self.log_request(at, tenant, action, verdict);
    }

    fn log_request(
        &mut self,
        at: Instant,
        tenant: Option<usize>,
        action: Option<&str>,
        verdict: &'static str,
    ) {
        let account = self.name(tenant);
        tracing::debug!(account, action, verdict, "request");
        let (account, action) = (account.map(str::to_owned), action.map(str::to_owned));
        self.log.push(Received {
            at,
            account,
            action,
            verdict,
        });
    }
}
