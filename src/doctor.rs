//! The command that checks each account step by step and says what to do.
//!
//! Each account is examined at the same time as the others, with one real request of
//! each collector within the budget. Nothing is logged: the report says it all.

mod certificate;
mod exchange;
mod key;
mod policy;
mod proxy;
mod report;
mod route;
mod text;
mod tls;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures_util::future::join_all;
use prometheus::Registry;

use crate::budget::{Budgets, Pace};
use crate::clock::Clock;
use crate::cloud::http::{ClientError, HttpSend, Network, ProxySettings};
use crate::cloud::{Credential, Prepared};
use crate::collector::{self, Collector};
use crate::config::{Account, Config, Environment, Source};
use crate::credentials::{Context, Provider, Providers};
use crate::metrics::ExporterMetrics;

use exchange::Exchange;
pub use policy::Policy;
use proxy::Proxies;
pub use report::{AccountReport, Configuration, Report, Status, Step, Subject, Trouble};
use route::{Route, Surveyor};
use tls::Tls;

/// Why nothing was asked, where the way is closed.
const NO_WAY: &str = "the endpoint cannot be reached";

/// Examines the configuration and every account of it.
///
/// # Errors
///
/// When two metrics have the same name, which is a bug.
pub async fn examine(source: &Source, clock: &Clock) -> prometheus::Result<Report> {
    let config = match source.load() {
        Ok(config) => config,
        Err(error) => return Ok(Report::unusable(Trouble::all(&error))),
    };
    let (network, surveyor) = match equipment(&config, &source.environment) {
        Ok(equipment) => equipment,
        Err(error) => return Ok(Report::unusable(vec![Trouble::of_network(&error)])),
    };
    let budgets = || Budgets::new(config.rate_limit(), config.api.max_in_flight);
    let http: Arc<dyn HttpSend> = Arc::new(network);
    let mut providers = Providers::new(Context {
        environment: source.environment.clone(),
        http: Arc::clone(&http),
        clock: clock.clone(),
        // Providers count what they do, but here nobody reads it.
        metrics: ExporterMetrics::register(&Registry::new())?,
        sts_endpoint: config.api.sts_endpoint.clone(),
        metadata_endpoint: config.api.metadata_endpoint.clone(),
        timeout: config.poll.timeout,
        sts_budgets: Arc::new(budgets()),
    });
    let doctor = Doctor {
        config: &config,
        http,
        clock: clock.clone(),
        budgets: budgets(),
    };
    let routes = routes(&config, &surveyor).await;
    let accounts = config.accounts.iter();
    let reports = accounts.map(|account| {
        let provider = providers.provider(&account.credentials);
        doctor.examine(account, provider, routes.get(account.endpoint.url()))
    });
    let reports = join_all(reports).await;
    Ok(Report::new(
        config.warnings(),
        reports,
        &Policy::of_collectors(),
    ))
}

/// What reaches the cloud.
fn equipment(
    config: &Config,
    environment: &Environment,
) -> Result<(Network, Surveyor), ClientError> {
    let proxy_url = config.api.proxy_url.as_ref();
    let proxy = ProxySettings::new(proxy_url, environment);
    let ca_file = config.api.ca_file.as_deref();
    let network = |tls| Network::new(tls, proxy.as_ref(), ca_file);
    let needs_tls = config.accounts.iter().any(|one| one.endpoint.is_https());
    let network = match network(true) {
        // Where no endpoint needs them, there may be no certificates.
        Err(ClientError::Tls(_)) if !needs_tls => network(false),
        network => network,
    }?;
    let surveyor = Surveyor {
        proxies: Proxies::new(proxy_url, environment),
        tls: needs_tls.then(|| Tls::new(ca_file)).transpose()?,
        timeout: config.poll.timeout,
    };
    Ok((network, surveyor))
}

/// The way to each endpoint, by its URL.
async fn routes(config: &Config, surveyor: &Surveyor) -> BTreeMap<String, Route> {
    let endpoints: HashSet<_> = config.accounts.iter().map(|one| &one.endpoint).collect();
    let surveys = endpoints.into_iter().map(|endpoint| async move {
        let route = surveyor.survey(endpoint).await;
        (endpoint.url().to_owned(), route)
    });
    join_all(surveys).await.into_iter().collect()
}

/// What all examinations share.
struct Doctor<'a> {
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
        route: Option<&Route>,
    ) -> AccountReport {
        let key = key::ask(&*provider, || self.clock.now()).await;
        let mut steps = vec![key.step];
        let mut summary = vec![key.summary];
        let is_open = route.is_some_and(Route::is_open);
        let proxy = route.and_then(|route| route.proxy.clone());
        steps.extend(route.into_iter().flat_map(|route| route.steps.clone()));
        match key.credential {
            Some(credential) if is_open => {
                let collectors = collector::all().iter();
                let exchanges =
                    collectors.map(|collector| self.request(account, &credential, *collector));
                let exchanges = join_all(exchanges).await;
                let tunnel = proxy.as_ref().and_then(|_| exchange::tunnel(&exchanges));
                if tunnel.is_some() {
                    steps.retain(|step| step.step != Subject::Tls);
                }
                let is_closed = tunnel.as_ref().is_some_and(Step::has_failed);
                steps.extend(tunnel);
                if is_closed {
                    steps.extend(exchange::skip(NO_WAY));
                } else {
                    let (found, words) = exchange::judge(&exchanges);
                    steps.extend(found);
                    summary.extend(words);
                }
            }
            Some(_) => steps.extend(exchange::skip(NO_WAY)),
            None => steps.extend(exchange::skip("there is no key to sign with")),
        }
        AccountReport {
            account: account.name.clone(),
            ok: !steps.iter().any(Step::has_failed),
            endpoint: account.endpoint.url().to_owned(),
            region: account.region.clone(),
            proxy,
            requests_per_day: self.requests_per_day(),
            steps,
            summary,
        }
    }

    /// Asks once, as a collection would.
    async fn request(
        &self,
        account: &Account,
        credential: &Credential,
        collector: &'static dyn Collector,
    ) -> Exchange {
        let request = collector.request();
        let (endpoint, region) = (&account.endpoint, account.region.as_deref());
        let prepared = Prepared::new(endpoint, region, request.clone());
        let permit = self
            .budgets
            .permit(credential.quota_key(), request.action, Pace::Prompt)
            .await;
        let (now, timeout) = (self.clock.now(), self.config.poll.timeout);
        let reply = prepared
            .send(&*self.http, Some(credential), now, timeout)
            .await;
        drop(permit);
        Exchange {
            collector: collector.name(),
            action: format!("{}:{}", request.service, request.action),
            // The header has whole seconds, so on average half of one is missing.
            skew: reply
                .date
                .map(|date| self.clock.now().duration_since(date).as_secs_f64() - 0.5),
            outcome: reply
                .outcome
                .map(|answer| (collector.parse(&answer.fields), answer.request_id)),
        }
    }

    fn requests_per_day(&self) -> u64 {
        const DAY_IN_MILLIS: u128 = 86_400_000;
        let interval = self.config.poll.interval.as_millis().max(1);
        let collectors = u128::try_from(collector::all().len()).unwrap_or_default();
        u64::try_from(collectors * DAY_IN_MILLIS / interval).unwrap_or(u64::MAX)
    }
}
