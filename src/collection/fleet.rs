//! The accounts that are collected, and how a new configuration changes them: an account that
//! stays the same keeps its snapshot, its schedule and its key.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus::Registry;
use tokio_util::sync::DropGuard;

use crate::cloud::RequestTemplate;
use crate::cloud::api::{ApiClient, Target};
use crate::cloud::budget::Budgets;
use crate::cloud::credentials::{Context, Provider, Providers};
use crate::cloud::http::{HttpSend, Network, Reconfigured};
use crate::cloud::trust::Trust;
use crate::collection::Collection;
use crate::collection::scheduler::Scheduler;
use crate::collection::snapshot::{AccountState, KeySource, Revision, Slot, Store};
use crate::collectors::{Collector, Collectors, Schedule};
use crate::config::{Account, Api, Config, Endpoint, Environment};
use crate::metrics::{ActionMetrics, ExporterMetrics};
use crate::system::clock::Clock;

/// Two metrics have the same name, which is a bug.
#[derive(Debug, thiserror::Error)]
#[error("cannot register the metrics: {0}; please report this")]
pub struct FleetError(#[from] prometheus::Error);

/// The accounts, and what they share.
pub struct Fleet {
    collectors: Collectors,
    store: Arc<Store>,
    /// `None` in tests, whose network is scripted.
    network: Option<Arc<Network>>,
    shared: FleetContext,
    providers: Providers,
    /// In the order of the configuration.
    members: Vec<Member>,
}

/// What all accounts share, and the settings that made it.
#[derive(Clone)]
struct FleetContext {
    timeout: Duration,
    /// The collectors that are enabled, with their schedules, in the order of the table.
    enabled: Vec<(&'static dyn Collector, Schedule)>,
    api: Api,
    client: Arc<ApiClient>,
    context: Context,
}

/// One account.
struct Member {
    account: Arc<Account>,
    state: Arc<AccountState>,
    /// One for each slot of the state.
    jobs: Vec<Job>,
}

/// What collects one account with one collector.
struct Job {
    collection: Arc<Collection>,
    /// The task that collects, once it is started. The task ends when the guard is dropped.
    task: Option<DropGuard>,
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
    /// The accounts of `config`, none of them collected yet, and those of these `collectors`
    /// that it enables.
    ///
    /// # Errors
    ///
    /// See [`FleetError`].
    pub fn new(
        collectors: Collectors,
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
        let mut fleet = Self::on(http, collectors, config, environment, clock, registry)?;
        fleet.network = Some(network);
        Ok(fleet)
    }

    fn on(
        http: Arc<dyn HttpSend>,
        collectors: Collectors,
        config: &Config,
        environment: &Environment,
        clock: &Clock,
        registry: &Registry,
    ) -> Result<Self, FleetError> {
        let metrics = ExporterMetrics::register(registry)?;
        if let Some(shard) = config.partition.shard {
            metrics.set_shard(shard.index(), shard.total().get());
        }
        let context = Context::new(config, environment, http, clock, &metrics);
        let shared = FleetContext::new(config, Schedule::enabled(collectors, config), context);
        let mut fleet = Self {
            collectors,
            store: Arc::new(Store::new(Vec::new())),
            network: None,
            providers: Providers::new(shared.context.clone()),
            shared,
            members: Vec::new(),
        };
        fleet.apply(config, None);
        Ok(fleet)
    }

    /// What is known of the accounts.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// How many requests a day the accounts need, with the pages of lists as far as they are
    /// known.
    #[must_use]
    pub fn requests_per_day(&self) -> u64 {
        let slots = self.members.iter().flat_map(|member| &member.state.slots);
        slots.map(Slot::requests_per_day).sum()
    }

    /// What the exporter counts about itself.
    #[must_use]
    pub fn metrics(&self) -> &ExporterMetrics {
        &self.shared.context.metrics
    }

    /// The network settings, to compare with those of a new configuration.
    #[must_use]
    pub fn network(&self) -> Option<Arc<Network>> {
        self.network.clone()
    }

    /// One for each account and collector.
    pub fn collections(&self) -> impl Iterator<Item = &Arc<Collection>> {
        let jobs = self.members.iter().flat_map(|member| &member.jobs);
        jobs.map(|job| &job.collection)
    }

    /// Applies `config`, and the network that it `changed`.
    pub fn apply(&mut self, config: &Config, changed: Option<Reconfigured>) -> Changes {
        let shared = self
            .shared
            .for_config(config, Schedule::enabled(self.collectors, config));
        let same_client = Arc::ptr_eq(&shared.client, &self.shared.client);
        // A provider that stays the same keeps its key.
        let same_providers = shared.context.is_same(&self.shared.context);
        let mut providers = if same_providers {
            self.providers.clone()
        } else {
            Providers::new(shared.context.clone())
        };

        let collectors = shared.enabled.iter();
        let requests = collectors.map(|(collector, _)| FirstRequest::new(*collector, &shared));
        let mut requests: Vec<FirstRequest> = requests.collect();

        if let (Some(network), Some(changed)) = (&self.network, changed) {
            network.reconfigure(changed);
        }
        let before = std::mem::take(&mut self.members).into_iter();
        let mut before: HashMap<String, Member> = before
            .map(|member| (member.account.name.clone(), member))
            .collect();
        let mut changes = Changes::default();
        let mut members = Vec::with_capacity(config.accounts.len());
        for account in &config.accounts {
            let before = before.remove(&account.name);
            let before = before.filter(|member| member.is_of(account));
            let provider = providers.provider(&account.credentials);
            let same_account = before.as_ref().map(|member| member.account == *account);
            let (before, mut jobs) = match before {
                None => (None, Vec::new()),
                Some(member) => (Some(member.state), member.jobs),
            };
            let (before, revision) = (before.as_deref(), self.store.revision());
            let state = Arc::new(account_state(account, &provider, &shared, before, revision));
            let mut is_kept = same_account == Some(true);
            let new_jobs = state
                .slots
                .iter()
                .zip(&mut requests)
                .map(|(slot, request)| {
                    let known = jobs.iter().position(|job| same_client && job.is_for(slot));
                    if let Some(position) = known {
                        return jobs.swap_remove(position);
                    }
                    is_kept = false;
                    let target = Target {
                        request: request.to(account),
                        credentials: Arc::clone(&provider),
                    };
                    Job {
                        collection: Arc::new(Collection::new(
                            Arc::clone(&shared.client),
                            target,
                            account.name.clone(),
                            slot.clone(),
                            request.instruments.clone(),
                            shared.context.clock.clone(),
                        )),
                        task: None,
                    }
                });
            let new_jobs = new_jobs.collect();
            match same_account {
                None => changes.added += 1,
                Some(_) if is_kept => changes.kept += 1,
                Some(_) => changes.changed += 1,
            }
            members.push(Member {
                account: Arc::clone(account),
                state,
                jobs: new_jobs,
            });
        }
        changes.removed = before.len();
        providers.forget_unused();
        self.providers = providers;
        let states = members.iter().map(|member| Arc::clone(&member.state));
        self.store.replace(states.collect());
        self.members = members;
        self.shared = shared;
        changes
    }

    /// Starts the tasks of all jobs that have none: the first collections soon, and from
    /// then on evenly over the interval of each collector. The others keep their schedule.
    pub fn schedule(&mut self, scheduler: &Scheduler) {
        for (position, (_, schedule)) in self.shared.enabled.iter().enumerate() {
            let members = self.members.iter_mut();
            let mut jobs: Vec<&mut Job> = members
                .filter_map(|member| member.jobs.get_mut(position))
                .collect();
            let is_new: Vec<bool> = jobs.iter().map(|job| job.task.is_none()).collect();
            let schedules = scheduler.ticks(schedule.interval, &is_new);
            for (job, schedule) in jobs.iter_mut().zip(schedules) {
                if let Some(schedule) = schedule {
                    let collection = Arc::clone(&job.collection);
                    job.task = Some(scheduler.spawn(collection, schedule));
                }
            }
        }
    }
}

impl FleetContext {
    fn new(
        config: &Config,
        enabled: Vec<(&'static dyn Collector, Schedule)>,
        context: Context,
    ) -> Self {
        let client = ApiClient::new(
            Arc::clone(&context.http),
            Budgets::new(config.rate_limit(), config.api.max_in_flight),
            context.clock.clone(),
            config.poll.timeout,
            context.metrics.clone(),
        );
        Self {
            timeout: config.poll.timeout,
            enabled,
            api: config.api.clone(),
            client: Arc::new(client),
            context,
        }
    }

    /// The same client and context if `config` has the same settings for them, otherwise new
    /// ones. Settings of the network do not count: the network itself applies them.
    fn for_config(
        &self,
        config: &Config,
        enabled: Vec<(&'static dyn Collector, Schedule)>,
    ) -> Self {
        let api = Api {
            proxy_url: self.api.proxy_url.clone(),
            ca_file: self.api.ca_file.clone(),
            ..config.api.clone()
        };
        if self.timeout == config.poll.timeout && self.api == api {
            return Self {
                enabled,
                ..self.clone()
            };
        }
        Self::new(config, enabled, self.context.for_config(config))
    }
}

impl Member {
    /// Whether `account` is the same account of the cloud, with the same key.
    fn is_of(&self, account: &Account) -> bool {
        self.account.endpoint == account.endpoint
            && self.account.region == account.region
            && self.account.credentials == account.credentials
    }
}

impl Job {
    /// Whether the job collects for `slot`, at the slot's interval.
    fn is_for(&self, slot: &Slot) -> bool {
        let own = self.collection.slot();
        own.collector().name() == slot.collector().name()
            && Schedule {
                // Only readers of the slot need the age.
                max_age: slot.schedule().max_age,
                ..*own.schedule()
            } == *slot.schedule()
    }
}

/// The state of `account`, with the slots that it had `before`.
fn account_state(
    account: &Account,
    provider: &Arc<dyn Provider>,
    shared: &FleetContext,
    before: Option<&AccountState>,
    revision: &Revision,
) -> AccountState {
    let before = before.map_or(&[][..], |before| &before.slots);
    let slots = shared.enabled.iter().map(|(collector, schedule)| {
        let mut known = before.iter();
        let known = known.find(|slot| slot.collector().name() == collector.name());
        match known {
            Some(slot) => slot.with_schedule(*schedule),
            None => Slot::new(*collector, &account.name, *schedule, revision),
        }
    });
    AccountState {
        name: account.name.clone(),
        identity: account.identity(),
        endpoint: account.endpoint.url().to_owned(),
        region: account.region.clone(),
        labels: account.labels.clone(),
        key_source: Box::new(AccountKey {
            provider: Arc::clone(provider),
            client: Arc::clone(&shared.client),
        }),
        slots: slots.collect(),
    }
}

/// The key of an account.
struct AccountKey {
    provider: Arc<dyn Provider>,
    client: Arc<ApiClient>,
}

impl KeySource for AccountKey {
    fn text(&self) -> String {
        self.provider.source()
    }

    fn expires_at(&self) -> Option<Timestamp> {
        self.provider.current()?.expires_at()
    }

    fn quota(&self) -> Option<String> {
        Some(self.provider.current()?.quota_key().to_owned())
    }

    fn spent(&self, action: &'static str) -> u32 {
        self.client.spent(&*self.provider, action)
    }
}

/// The first request of a collector, of whichever account.
struct FirstRequest {
    collector: &'static dyn Collector,
    instruments: ActionMetrics,
    /// By where it is asked.
    prepared: HashMap<(Endpoint, Option<String>), Arc<RequestTemplate>>,
}

impl FirstRequest {
    fn new(collector: &'static dyn Collector, shared: &FleetContext) -> Self {
        Self {
            collector,
            instruments: shared.client.instruments(collector.request().action),
            prepared: HashMap::new(),
        }
    }

    /// The request for `account`, shared with all others of the same place.
    fn to(&mut self, account: &Account) -> Arc<RequestTemplate> {
        let place = (account.endpoint.clone(), account.region.clone());
        let prepared = self.prepared.entry(place).or_insert_with(|| {
            let (endpoint, region) = (&account.endpoint, account.region.as_deref());
            Arc::new(RequestTemplate::new(
                endpoint,
                region,
                self.collector.request(),
            ))
        });
        Arc::clone(prepared)
    }
}

#[cfg(test)]
mod tests;
