//! The accounts that are collected, and how that set changes when the configuration
//! does: what stays the same keeps its snapshot, its schedule and its credential.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus::Registry;
use tokio_util::sync::DropGuard;

use crate::cloud::Prepared;
use crate::cloud::api::{ApiClient, Target};
use crate::cloud::budget::Budgets;
use crate::cloud::credentials::{Context, Provider, Providers};
use crate::cloud::http::{HttpSend, Network, Reconfigured};
use crate::cloud::trust::Trust;
use crate::collection::Collection;
use crate::collection::scheduler::Scheduler;
use crate::collection::snapshot::{AccountState, KeySource, Revision, Slot, Store};
use crate::collectors::{self, Collector};
use crate::config::{Account, Api, Config, Endpoint, Environment, Poll};
use crate::metrics::{ActionMetrics, ExporterMetrics};
use crate::system::clock::Clock;

/// Why a configuration cannot be put to work. What was at work before still is.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// Two metrics have the same name, which is a bug.
    #[error("cannot register the metrics: {0}; please report this")]
    Metrics(#[from] prometheus::Error),
}

/// The accounts, and what they share.
pub struct Fleet {
    environment: Environment,
    clock: Clock,
    metrics: ExporterMetrics,
    store: Arc<Store>,
    /// None in tests that script it.
    network: Option<Arc<Network>>,
    shared: Shared,
    providers: Providers,
    /// In the order of the configuration.
    members: Vec<Member>,
}

/// What all accounts share, and the settings that it was made from.
#[derive(Clone)]
struct Shared {
    poll: Poll,
    api: Api,
    client: Arc<ApiClient>,
    context: Context,
}

/// One account.
struct Member {
    account: Arc<Account>,
    state: Arc<AccountState>,
    collections: Vec<Arc<Collection>>,
    /// Its tasks, which end when these are dropped.
    tasks: Vec<DropGuard>,
}

/// What a new configuration changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// Accounts that are new, or whose endpoint, region or credentials are.
    pub added: usize,
    /// Accounts that go on with other labels or settings.
    pub changed: usize,
    /// Accounts that go on as they were.
    pub kept: usize,
    /// Accounts that are gone.
    pub removed: usize,
}

impl Fleet {
    /// The accounts of `config`, none of them collected yet.
    ///
    /// # Errors
    ///
    /// See [`FleetError`].
    pub fn new(
        config: &Config,
        environment: &Environment,
        clock: &Clock,
        registry: &Registry,
    ) -> Result<Self, FleetError> {
        let network = Arc::new(Network::new(
            Trust::of(config, environment),
            config.proxies.clone(),
        ));
        let http = Arc::clone(&network);
        let mut fleet = Self::on(http, config, environment, clock, registry)?;
        fleet.network = Some(network);
        Ok(fleet)
    }

    fn on(
        http: Arc<dyn HttpSend>,
        config: &Config,
        environment: &Environment,
        clock: &Clock,
        registry: &Registry,
    ) -> Result<Self, FleetError> {
        let metrics = ExporterMetrics::register(registry)?;
        if let Some(shard) = config.share.shard {
            metrics.set_shard(shard.index(), shard.total().get());
        }
        let shared = Shared::new(config, environment, clock, &metrics, http);
        let mut fleet = Self {
            environment: environment.clone(),
            clock: clock.clone(),
            store: Arc::new(Store::new(Vec::new(), config.poll.max_age)),
            network: None,
            providers: Providers::new(shared.context.clone()),
            shared,
            metrics,
            members: Vec::new(),
        };
        fleet.apply(config, None)?;
        Ok(fleet)
    }

    /// What is known of the accounts.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// When the accounts are polled.
    #[must_use]
    pub fn poll(&self) -> &Poll {
        &self.shared.poll
    }

    /// What the exporter counts about itself.
    #[must_use]
    pub fn metrics(&self) -> &ExporterMetrics {
        &self.metrics
    }

    /// Who sends the requests, to find out what a new configuration changes there.
    #[must_use]
    pub fn network(&self) -> Option<Arc<Network>> {
        self.network.clone()
    }

    /// One for each account and collector.
    pub fn collections(&self) -> impl Iterator<Item = &Arc<Collection>> {
        let members = self.members.iter();
        members.flat_map(|member| &member.collections)
    }

    /// Puts `config`, and what it `changed` of the network, to work instead of the one
    /// before; either all of it or, in the case of an error, none.
    ///
    /// # Errors
    ///
    /// See [`FleetError`].
    pub fn apply(
        &mut self,
        config: &Config,
        changed: Option<Reconfigured>,
    ) -> Result<Changes, FleetError> {
        let shared = self
            .shared
            .for_config(config, &self.environment, &self.clock, &self.metrics);
        let same_client = Arc::ptr_eq(&shared.client, &self.shared.client);
        // Providers that still fit go on with the keys they have.
        let same_providers = shared.context.is_same(&self.shared.context);
        let mut providers = if same_providers {
            self.providers.clone()
        } else {
            Providers::new(shared.context.clone())
        };

        let questions = collectors::all().iter();
        let mut questions = questions
            .map(|collector| Question::new(*collector, &shared.client))
            .collect::<prometheus::Result<Vec<_>>>()?;

        // Nothing can fail from here on.
        if let (Some(network), Some(changed)) = (&self.network, changed) {
            network.reconfigure(changed);
        }
        let before = std::mem::take(&mut self.members).into_iter();
        let mut before: HashMap<String, Member> = before
            .map(|member| (member.account.name.clone(), member))
            .collect();
        let mut changes = Changes::default();
        let mut members = Vec::with_capacity(config.accounts.len());
        let mut states = Vec::with_capacity(config.accounts.len());
        for account in &config.accounts {
            let before = before.remove(&account.name);
            let before = before.filter(|member| member.is_of(account));
            let provider = providers.provider(&account.credentials);
            let state = match &before {
                Some(member) if same_client && same_providers && member.account == *account => {
                    Arc::clone(&member.state)
                }
                before => {
                    let (client, revision) = (&shared.client, self.store.revision());
                    let before = before.as_ref();
                    Arc::new(account_state(account, &provider, client, before, revision))
                }
            };
            match &before {
                None => changes.added += 1,
                Some(member) if same_client && member.account == *account => changes.kept += 1,
                Some(_) => changes.changed += 1,
            }
            let (collections, tasks) = match before {
                Some(member) if same_client => (member.collections, member.tasks),
                _ => {
                    let questions = &mut questions;
                    let collections = collections(account, &state, &provider, &shared, questions);
                    (collections, Vec::new())
                }
            };
            states.push(Arc::clone(&state));
            members.push(Member {
                account: Arc::clone(account),
                state,
                collections,
                tasks,
            });
        }
        changes.removed = before.len();
        providers.forget_unused();
        self.providers = providers;
        self.store.replace(states, config.poll.max_age);
        self.members = members;
        self.shared = Shared {
            poll: config.poll.clone(),
            ..shared
        };
        Ok(changes)
    }

    /// Starts the tasks of all accounts that have none: the first collections soon, and
    /// from then on evenly over the interval. The others keep their schedule.
    pub fn schedule(&mut self, scheduler: &Scheduler) {
        let members = self.members.iter();
        let is_new: Vec<bool> = members
            .flat_map(|member| member.collections.iter().map(|_| member.tasks.is_empty()))
            .collect();
        let mut schedules = scheduler.schedules(self.shared.poll.interval, &is_new);
        for member in &mut self.members {
            for collection in &member.collections {
                let schedule = schedules.next().flatten();
                let task =
                    schedule.map(|schedule| scheduler.spawn(Arc::clone(collection), schedule));
                member.tasks.extend(task);
            }
        }
    }
}

impl Shared {
    fn new(
        config: &Config,
        environment: &Environment,
        clock: &Clock,
        metrics: &ExporterMetrics,
        http: Arc<dyn HttpSend>,
    ) -> Self {
        let budgets = || Budgets::new(config.rate_limit(), config.api.max_in_flight);
        let client = ApiClient::new(
            Arc::clone(&http),
            budgets(),
            clock.clone(),
            config.poll.timeout,
            config.poll.interval,
            metrics.clone(),
        );
        Self {
            poll: config.poll.clone(),
            api: config.api.clone(),
            client: Arc::new(client),
            context: Context {
                environment: environment.clone(),
                files: Arc::default(),
                http,
                clock: clock.clone(),
                metrics: metrics.clone(),
                sts_endpoint: config.api.sts_endpoint.clone(),
                metadata_endpoint: config.api.metadata_endpoint.clone(),
                timeout: config.poll.timeout,
                sts_budgets: Arc::new(budgets()),
            },
        }
    }

    /// The same if `config` has the same settings, otherwise another. The way through the
    /// network is none of them: it changes beneath.
    fn for_config(
        &self,
        config: &Config,
        environment: &Environment,
        clock: &Clock,
        metrics: &ExporterMetrics,
    ) -> Self {
        let poll = Poll {
            max_age: self.poll.max_age,
            ..config.poll.clone()
        };
        let api = Api {
            proxy_url: self.api.proxy_url.clone(),
            ca_file: self.api.ca_file.clone(),
            ..config.api.clone()
        };
        if self.poll == poll && self.api == api {
            return self.clone();
        }
        let http = Arc::clone(&self.context.http);
        let shared = Self::new(config, environment, clock, metrics, http);
        Self {
            context: Context {
                // It knows which reads have not ended.
                files: Arc::clone(&self.context.files),
                ..shared.context
            },
            ..shared
        }
    }
}

impl Member {
    /// Whether `account` is the same one to the cloud, whatever else has changed.
    fn is_of(&self, account: &Account) -> bool {
        self.account.endpoint == account.endpoint
            && self.account.region == account.region
            && self.account.credentials == account.credentials
    }
}

/// The state of `account`, with the snapshots that are known already.
fn account_state(
    account: &Account,
    provider: &Arc<dyn Provider>,
    client: &Arc<ApiClient>,
    before: Option<&Member>,
    revision: &Revision,
) -> AccountState {
    AccountState {
        name: account.name.clone(),
        identity: account.identity(),
        endpoint: account.endpoint.url().to_owned(),
        region: account.region.clone(),
        labels: account.labels.clone(),
        key_source: {
            let (source, key) = (Arc::clone(provider), Arc::clone(provider));
            let client = Arc::clone(client);
            KeySource::new(move || source.source())
                .with_spent(move |action| client.spent(&*key, action))
        },
        slots: match before {
            Some(member) => member.state.slots.clone(),
            None => collectors::all()
                .iter()
                .map(|collector| Arc::new(Slot::new(*collector, revision)))
                .collect(),
        },
    }
}

fn collections(
    account: &Account,
    state: &AccountState,
    provider: &Arc<dyn Provider>,
    shared: &Shared,
    questions: &mut [Question],
) -> Vec<Arc<Collection>> {
    // Both have one for each collector, in the same order.
    let collections = state.slots.iter().zip(questions).map(|(slot, question)| {
        let target = Target {
            request: question.to(account),
            credentials: Arc::clone(provider),
        };
        Arc::new(Collection::new(
            Arc::clone(&shared.client),
            target,
            account.name.clone(),
            Arc::clone(slot),
            question.instruments.clone(),
            shared.context.clock.clone(),
            shared.poll.deadline(),
        ))
    });
    collections.collect()
}

/// What a collector asks, of whichever account.
struct Question {
    collector: &'static dyn Collector,
    instruments: ActionMetrics,
    /// By where it is asked.
    prepared: HashMap<(Endpoint, Option<String>), Arc<Prepared>>,
}

impl Question {
    fn new(collector: &'static dyn Collector, client: &ApiClient) -> prometheus::Result<Self> {
        Ok(Self {
            collector,
            instruments: client.instruments(collector.request().action)?,
            prepared: HashMap::new(),
        })
    }

    /// The request for `account`, shared with all others of the same place.
    fn to(&mut self, account: &Account) -> Arc<Prepared> {
        let place = (account.endpoint.clone(), account.region.clone());
        let prepared = self.prepared.entry(place).or_insert_with(|| {
            let (endpoint, region) = (&account.endpoint, account.region.as_deref());
            Arc::new(Prepared::new(endpoint, region, self.collector.request()))
        });
        Arc::clone(prepared)
    }
}

#[cfg(test)]
mod tests;
