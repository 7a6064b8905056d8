//! The command that checks each account step by step, with a remedy for each failed step.
//!
//! Accounts are examined at the same time, with one real request of each collector within
//! the budget; accounts with the same key, endpoint and region share the request. Nothing is
//! logged: the output has all findings.

mod certificate;
mod exchange;
mod key;
mod policy;
pub(super) mod print;
mod report;
mod route;
mod text;
mod tls;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::{FutureExt as _, LocalBoxFuture, Shared, join, join_all};
use futures_util::stream::FuturesUnordered;
use prometheus::Registry;

use crate::cloud::budget::{Budgets, Lane};
use crate::cloud::credentials::{Context, Provider, Providers};
use crate::cloud::http::{HttpSend, Network};
use crate::cloud::trust::{ClientError, Trust};
use crate::cloud::{Credential, RequestTemplate};
use crate::collectors::{self, Collector, Collectors, Schedule};
use crate::config::{Account, Config, Endpoint, Environment, Source};
use crate::metrics::ExporterMetrics;
use crate::system::clock::Clock;

use exchange::Exchange;
pub use policy::Policy;
pub use report::{
    AccountDiagnosis, Check, CheckResult, CheckStatus, ConfigFinding, Configuration, Diagnosis,
};
use route::{Route, RouteProbe};
use tls::TlsProbe;

/// Why no request was sent where a step of the route has failed.
const UNREACHABLE: &str = "the endpoint cannot be reached";

/// A part of the diagnosis, reported as soon as it is known.
#[derive(Debug)]
pub enum Finding<'a> {
    /// Whether the configuration can be used, and the number of accounts to examine.
    Configuration(&'a Configuration, usize),
    /// The diagnosis of one account.
    Account(&'a AccountDiagnosis),
}

/// Examines the configuration and every account of it. Each finding goes to `report` at once.
///
/// # Errors
///
/// When two metrics have the same name, which is a bug.
pub async fn examine(
    collectors: Collectors,
    source: &Source,
    clock: &Clock,
    mut report: impl FnMut(Finding<'_>),
) -> prometheus::Result<Diagnosis> {
    let mut unusable = |problems| {
        let diagnosis = Diagnosis::unusable(problems);
        report(Finding::Configuration(&diagnosis.configuration, 0));
        diagnosis
    };
    let config = match source.load() {
        Ok(config) => config,
        Err(error) => {
            // A check finds the problems of key files too.
            let error = source.check().err().unwrap_or(error);
            let problems = error.problems().iter();
            return Ok(unusable(problems.map(ConfigFinding::from).collect()));
        }
    };
    let (network, probe) = match network(&config, &source.environment) {
        Ok(both) => both,
        Err(error) => return Ok(unusable(vec![ConfigFinding::from(&error)])),
    };
    let http: Arc<dyn HttpSend> = Arc::new(network);
    // Providers need metrics, which are not shown here.
    let metrics = ExporterMetrics::register(&Registry::new())?;
    let context = Context::new(
        &config,
        &source.environment,
        Arc::clone(&http),
        clock,
        &metrics,
    );
    let mut providers = Providers::new(context);
    let doctor = Doctor {
        enabled: Schedule::enabled(collectors, &config),
        config: &config,
        http,
        clock: clock.clone(),
        budgets: Budgets::new(config.rate_limit(), config.api.max_in_flight),
    };
    let configuration = Configuration {
        status: CheckStatus::Ok,
        problems: Vec::new(),
        warnings: config.warnings(),
    };
    let accounts = config.accounts.len();
    report(Finding::Configuration(&configuration, accounts));

    let routes = routes(&config, &probe);
    let groups = groups(&config.accounts, &mut providers);
    let mut examinations: FuturesUnordered<_> = groups
        .into_iter()
        .filter_map(|group| {
            let route = routes.get(&group.account.endpoint)?.clone();
            let examination = doctor.examine(group.account, group.provider, route);
            Some(examination.map(|diagnosis| (group.positions, diagnosis)))
        })
        .collect();
    let mut diagnoses = BTreeMap::new();
    while let Some((positions, diagnosis)) = examinations.next().await {
        for position in positions {
            let account = config.accounts.get(position);
            let diagnosis = AccountDiagnosis {
                account: account.map_or_else(String::new, |account| account.name.clone()),
                ..diagnosis.clone()
            };
            report(Finding::Account(&diagnosis));
            diagnoses.insert(position, diagnosis);
        }
    }
    Ok(Diagnosis::new(
        configuration,
        diagnoses.into_values().collect(),
        &Policy::of(doctor.enabled.iter().map(|(collector, _)| *collector)),
    ))
}

/// Accounts whose requests are the same to the byte: one request serves all of them.
struct Group<'a> {
    /// The first of them.
    account: &'a Account,
    provider: Arc<dyn Provider>,
    /// The indices of all of them in the configuration, in ascending order.
    positions: Vec<usize>,
}

/// The accounts grouped by credentials, endpoint and region.
fn groups<'a>(accounts: &'a [Arc<Account>], providers: &mut Providers) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut known = HashMap::new();
    for (position, account) in accounts.iter().enumerate() {
        let target = (&account.credentials, &account.endpoint, &account.region);
        let index = *known.entry(target).or_insert(groups.len());
        match groups.get_mut(index) {
            Some(group) => group.positions.push(position),
            None => groups.push(Group {
                account,
                provider: providers.provider(&account.credentials),
                positions: vec![position],
            }),
        }
    }
    groups
}

/// The network of requests, and the probe of routes.
fn network(
    config: &Config,
    environment: &Environment,
) -> Result<(Network, RouteProbe), ClientError> {
    let trust = Trust::of(config, environment);
    let probe = RouteProbe {
        proxies: config.proxies.clone(),
        tls: TlsProbe::new(&trust)?,
        timeout: config.poll.timeout,
    };
    Ok((Network::new(trust, config.proxies.clone()), probe))
}

/// The route to an endpoint, probed once for all accounts of the endpoint.
type SharedRoute<'a> = Shared<LocalBoxFuture<'a, Arc<Route>>>;

/// The route to each endpoint.
fn routes<'a>(config: &'a Config, probe: &'a RouteProbe) -> HashMap<&'a Endpoint, SharedRoute<'a>> {
    let endpoints = config.accounts.iter().map(|account| &account.endpoint);
    let routes = endpoints.map(|endpoint| {
        let route = probe.probe(endpoint).map(Arc::new);
        (endpoint, route.boxed_local().shared())
    });
    routes.collect()
}

/// The state that all examinations share.
struct Doctor<'a> {
    /// The enabled collectors and their schedules.
    enabled: Vec<(&'static dyn Collector, Schedule)>,
    config: &'a Config,
    http: Arc<dyn HttpSend>,
    clock: Clock,
    budgets: Budgets,
}

impl Doctor<'_> {
    async fn examine(
        &self,
        account: &Account,
        provider: Arc<dyn Provider>,
        route: SharedRoute<'_>,
    ) -> AccountDiagnosis {
        let poll = &self.config.poll;
        let allowed = poll.deadline(poll.interval);
        let key = key::check(&*provider, || self.clock.now(), allowed);
        let (key, route) = join(key, route).await;
        let mut steps = vec![key.step];
        let mut summary = vec![key.summary];
        let is_open = route.is_open();
        let proxy = route.proxy.clone();
        let mut exchanges = Vec::new();
        steps.extend(route.steps.iter().cloned());
        match key.credential {
            Some(credential) if is_open => {
                let collectors = self.enabled.iter();
                let all = collectors
                    .map(|(collector, _)| self.exchange(account, &credential, *collector));
                exchanges = join_all(all).await;
                let tunnel = proxy.as_ref().and_then(|_| exchange::tunnel(&exchanges));
                if tunnel.is_some() {
                    steps.retain(|step| step.step != Check::Tls);
                }
                let is_closed = tunnel.as_ref().is_some_and(CheckResult::has_failed);
                steps.extend(tunnel);
                if is_closed {
                    steps.extend(exchange::skip(UNREACHABLE));
                } else {
                    let (further, findings) = exchange::steps(&exchanges);
                    steps.extend(further);
                    summary.extend(findings);
                }
            }
            Some(_) => steps.extend(exchange::skip(UNREACHABLE)),
            None => steps.extend(exchange::skip("there is no key to sign with")),
        }
        let enabled = self.enabled.iter().enumerate();
        let requests_per_day = enabled
            .map(|(position, (_, schedule))| {
                let exchange = exchanges.get(position);
                schedule.requests_per_day(exchange.map_or(1, Exchange::requests))
            })
            .sum();
        AccountDiagnosis {
            account: account.name.clone(),
            ok: !steps.iter().any(CheckResult::has_failed),
            endpoint: account.endpoint.url().to_owned(),
            region: account.region.clone(),
            proxy,
            requests_per_day,
            steps,
            summary,
        }
    }

    /// Sends the requests of a collection, without retries.
    async fn exchange(
        &self,
        account: &Account,
        credential: &Credential,
        collector: &'static dyn Collector,
    ) -> Exchange {
        let request = collector.request();
        let (endpoint, region) = (&account.endpoint, account.region.as_deref());
        let prepared = RequestTemplate::new(endpoint, region, request.clone());
        let (first, skew) = (&prepared, &Cell::new(None));
        let ask = |parameters| async move {
            let prepared = match parameters {
                None => first,
                Some(parameters) => &first.with_parameters(parameters),
            };
            let quota = credential.quota_key();
            let permit = self.budgets.permit(quota, request.action, Lane::Prompt);
            let permit = permit.await;
            let (now, timeout) = (self.clock.now(), self.config.poll.timeout);
            let reply = prepared
                .send(&*self.http, Some(credential), now, timeout)
                .await;
            drop(permit);
            skew.set(skew.get().or(reply.skew(self.clock.now())));
            reply.outcome
        };
        let outcome = collectors::collect(collector, ask).await;
        Exchange {
            collector: collector.name(),
            decides: collector.defaults().is_none(),
            action: format!("{}:{}", request.service, request.action),
            outcome,
            skew: skew.get(),
        }
    }
}
