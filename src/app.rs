//! The daemon: the only place that knows all parts and puts them together.

use std::net::SocketAddr;
use std::sync::Arc;

use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::api::{ApiClient, Target};
use crate::budget::Budgets;
use crate::clock::Clock;
use crate::cloud::http::{ClientError, HttpSend, Network, ProxySettings};
use crate::collection::Collection;
use crate::collector;
use crate::config::{Account, Config, Environment};
use crate::credentials::{Context, Providers};
use crate::exposition::Exposition;
use crate::metrics::ExporterMetrics;
use crate::metrics::process::ProcessMetrics;
use crate::scheduler::Scheduler;
use crate::server::Server;
use crate::server::listen::{self, ListenError};
use crate::server::site::Site;
use crate::snapshot::{AccountState, Slot, Store};

/// Why the program could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The API client cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Two metrics have the same name, which is a bug.
    #[error("cannot register the metrics: {0}; please report this")]
    Metrics(#[from] prometheus::Error),
}

/// The HTTP server has ended although nobody asked it to.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP server has ended unexpectedly; restart the exporter and report this")]
pub struct ServerDied;

/// How the daemon faces the world.
#[derive(Debug, Clone)]
pub struct WebOptions {
    /// Where to listen, each `HOST:PORT`.
    pub listen_addresses: Vec<String>,
    /// Where the metrics are.
    pub telemetry_path: String,
}

/// Everything that collects and renders, before anything runs.
pub struct Pipeline {
    /// What is known of the accounts.
    pub store: Arc<Store>,
    /// One for each account and collector.
    pub collections: Vec<Collection>,
    /// What a scrape sees.
    pub exposition: Exposition,
}

impl Pipeline {
    /// The pipeline that `config` asks for, on the real network.
    ///
    /// `process` is for a daemon only, see [`Exposition::new`].
    ///
    /// # Errors
    ///
    /// When the API client or the metrics cannot be set up.
    pub fn new(
        config: &Config,
        environment: &Environment,
        clock: &Clock,
        process: Option<ProcessMetrics>,
    ) -> Result<Self, StartError> {
        let network = Network::new(
            needs_tls(config, environment),
            ProxySettings::new(config.api.proxy_url.as_ref(), environment).as_ref(),
            config.api.ca_file.as_deref(),
        )?;
        Self::with_http(config, environment, clock, process, Arc::new(network))
    }

    /// The same on any network.
    ///
    /// # Errors
    ///
    /// When the metrics cannot be set up.
    pub fn with_http(
        config: &Config,
        environment: &Environment,
        clock: &Clock,
        process: Option<ProcessMetrics>,
        http: Arc<dyn HttpSend>,
    ) -> Result<Self, StartError> {
        let registry = Registry::new();
        let metrics = ExporterMetrics::register(&registry)?;
        let api = Arc::new(ApiClient::new(
            Arc::clone(&http),
            Budgets::new(config.api.rate_limit, config.api.max_in_flight),
            clock.clone(),
            config.poll.timeout,
            config.poll.interval,
            metrics.clone(),
        ));
        let accounts = config.accounts.iter().map(account_state).collect();
        let store = Arc::new(Store::new(accounts, config.poll.max_age));

        let context = Context {
            environment: environment.clone(),
            http: Arc::clone(&http),
            clock: clock.clone(),
            metrics,
            sts_endpoint: config.api.sts_endpoint.clone(),
            metadata_endpoint: config.api.metadata_endpoint.clone(),
            timeout: config.poll.timeout,
            sts_budgets: Arc::new(Budgets::new(
                config.api.rate_limit,
                config.api.max_in_flight,
            )),
        };
        let mut providers = Providers::new(context);
        let mut collections = Vec::new();
        for (account, state) in config.accounts.iter().zip(store.accounts()) {
            let target = Target {
                endpoint: account.endpoint.clone(),
                region: account.region.clone(),
                credentials: providers.provider(&account.credentials),
            };
            for slot in &state.slots {
                collections.push(Collection::new(
                    Arc::clone(&api),
                    target.clone(),
                    Arc::clone(state),
                    Arc::clone(slot),
                    api.instruments(slot.collector().request().action)?,
                    clock.clone(),
                ));
            }
        }
        let exposition = Exposition::new(registry, Arc::clone(&store), clock.clone(), process)?;
        Ok(Self {
            store,
            collections,
            exposition,
        })
    }
}

/// Whether any service that may be asked is behind TLS.
fn needs_tls(config: &Config, environment: &Environment) -> bool {
    let (sts, metadata) = (&config.api.sts_endpoint, &config.api.metadata_endpoint);
    config.accounts.iter().any(|account| {
        account.endpoint.is_https()
            || (sts.is_https() && account.credentials.ask_sts(environment))
            || (metadata.is_https() && account.credentials.ask_metadata())
    })
}

fn account_state(account: &Account) -> AccountState {
    AccountState {
        name: account.name.clone(),
        endpoint: account.endpoint.url(),
        region: account.region.clone(),
        labels: account.labels.clone(),
        slots: collector::all()
            .iter()
            .map(|collector| Arc::new(Slot::new(*collector)))
            .collect(),
    }
}

/// A bound daemon.
pub struct App {
    server: Server,
    pipeline: Pipeline,
    config: Config,
    telemetry_path: String,
}

impl App {
    /// Binds the addresses and prepares everything, but collects nothing yet.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub async fn bind(
        config: Config,
        environment: &Environment,
        clock: &Clock,
        web: WebOptions,
    ) -> Result<Self, StartError> {
        let mut listeners = Vec::new();
        for address in &web.listen_addresses {
            listeners.push(listen::bind(address).await?);
        }
        let process = ProcessMetrics::new(clock.now());
        let pipeline = Pipeline::new(&config, environment, clock, Some(process))?;
        Ok(Self {
            server: Server::new(listeners),
            pipeline,
            config,
            telemetry_path: web.telemetry_path,
        })
    }

    /// The addresses that are listened on.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.server.local_addrs()
    }

    /// Collects and serves until `shutdown`, then stops cleanly.
    ///
    /// # Errors
    ///
    /// When the server has ended although nobody asked it to.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), ServerDied> {
        for warning in self.config.warnings() {
            warn!("{warning}");
        }
        for address in self.local_addrs() {
            info!(%address, path = self.telemetry_path, "listening");
        }
        info!(
            accounts = self.config.accounts.len(),
            interval = ?self.config.poll.interval,
            max_age = ?self.config.poll.max_age,
            rate_limit = self.config.api.rate_limit,
            requests_per_day = requests_per_day(&self.pipeline, &self.config),
            "collecting"
        );
        let Pipeline {
            store,
            collections,
            exposition,
        } = self.pipeline;
        let scheduler = Scheduler::start(collections, self.config.poll.interval, fastrand::f64());
        let site = Arc::new(Site {
            telemetry_path: self.telemetry_path,
            exposition,
            store,
            heart: scheduler.heart(),
        });
        let stop = CancellationToken::new();
        let mut serving = tokio::spawn(self.server.serve(site, stop.clone()));
        let outcome = tokio::select! {
            () = shutdown => Ok(()),
            // It ends only when told to, or by a panic.
            _ = &mut serving => Err(ServerDied),
        };
        info!("stopping");
        stop.cancel();
        scheduler.stop().await;
        if outcome.is_ok() {
            // A panic while draining no longer matters.
            let _ = serving.await;
        }
        info!("stopped");
        outcome
    }
}

/// How many requests a day cost, retries aside.
fn requests_per_day(pipeline: &Pipeline, config: &Config) -> u64 {
    let day_in_millis = 24 * 60 * 60 * 1000_u128;
    let interval = config.poll.interval.as_millis().max(1);
    let collections = pipeline.collections.len() as u128;
    u64::try_from(collections * day_in_millis / interval).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
