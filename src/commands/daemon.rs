//! The daemon: binds, starts, reloads and stops all parts.

mod reload;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::collection::fleet::{Fleet, FleetError};
use crate::collection::load;
use crate::collection::scheduler::Scheduler;
use crate::collection::snapshot::Store;
use crate::collection::state_dir::{Saver, StateDir, StateError};
use crate::collectors::{self, Collectors};
use crate::commands::service_manager;
use crate::config::{ActiveConfig, Config, ConfigError, Environment, Source, shown_path};
use crate::exposition::Exposition;
use crate::exposition::process::ProcessMetrics;
use crate::server::calendar::Calendar;
use crate::server::listen::{self, ListenAddress, ListenError};
use crate::server::renderer::{Renderer, WAITING_PAGES, WAITING_PROBES};
use crate::server::router::Router;
use crate::server::scrape::bodies::Bodies;
use crate::server::status::Status;
use crate::server::thread::ServingThread;
use crate::server::web_config::WebConfigFile;
use crate::server::{Limits, Server};
use crate::system::clock::{Clock, TimePoint};
use crate::system::reading::{self, PATIENCE, Progress};
use crate::system::signals::{Hangups, StopSignals};
use reload::{LoadedConfig, Reloads};

/// The interval of checks whether every account was collected.
const FIRST_COLLECTIONS_POLL: Duration = Duration::from_millis(500);

/// How long the end waits for the serving thread, which gives its connections two seconds.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Why the program could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has problems.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The configuration cannot be used.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The system has no thread to serve with.
    #[error(
        "cannot start the serving thread: {0}; check how many threads and how much memory this process may have"
    )]
    Thread(io::Error),
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}; please report this")]
    Signals(#[from] io::Error),
}

/// The HTTP server has ended before the shutdown.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP server has ended unexpectedly; restart the exporter and report this")]
pub struct ServerDied;

/// The options of the daemon.
#[derive(Debug, Clone)]
pub struct AppOptions {
    /// The collectors.
    pub collectors: Collectors,
    /// The addresses to listen on.
    pub listen_addresses: Vec<ListenAddress>,
    /// Whether to listen on the sockets that the service manager passes instead.
    pub systemd_socket: bool,
    /// The limits of serving.
    pub limits: Limits,
    /// The web configuration: TLS, passwords, headers.
    pub web_config: Option<PathBuf>,
    /// The token that opens the calendar without a password.
    pub calendar_token: Option<PathBuf>,
    /// Whether `/-/healthy` and `/-/ready` need no password.
    pub health_without_auth: bool,
    /// The path of the metrics.
    pub telemetry_path: String,
    /// Whether clients may request a reload.
    pub enable_lifecycle: bool,
    /// The folder that keeps the last good values for the next start.
    pub state_dir: Option<PathBuf>,
    /// This program, which uses the folder in a separate process.
    pub program: PathBuf,
}

/// A bound daemon.
pub struct App {
    source: Source,
    clock: Clock,
    thread: ServingThread,
    server: Server,
    fleet: Fleet,
    active: Arc<ActiveConfig>,
    started_at: TimePoint,
    exposition: Exposition,
    options: AppOptions,
    saver: Option<Saver>,
    hangups: Hangups,
}

impl App {
    /// Binds the addresses, reads the configuration of `source` and prepares
    /// everything, but collects nothing yet.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub async fn bind(
        source: Source,
        clock: &Clock,
        options: AppOptions,
    ) -> Result<Self, StartError> {
        // Listening comes first: clients that connect while thousands of accounts are read
        // wait, and are not refused.
        let thread = ServingThread::start().map_err(StartError::Thread)?;
        let (inherited, addresses) = (options.systemd_socket, &options.listen_addresses);
        let listeners = thread.open(listen::listen(inherited, addresses)).await?;
        let source = Source {
            collectors: collectors::defaults(options.collectors),
            ..source
        };
        let (web_config, config) = read(&thread, &source, &options)?;
        let server = Server {
            listeners,
            connections: options.limits.connections,
            web_config: web_config.map(Arc::new),
            health_is_open: options.health_without_auth,
        };
        let registry = Registry::new();
        let fleet = Fleet::new(
            options.collectors,
            &config,
            &source.environment,
            clock,
            &registry,
        )?;
        let started_at = clock.moment();
        fleet.metrics().note_reload(true);
        for warning in config.warnings() {
            warn!("{warning}");
        }
        let saver = match &options.state_dir {
            Some(folder) => {
                let dir = StateDir::new(options.program.clone(), folder, config.partition.shard);
                Some(Saver::start(dir, fleet.store(), clock, fleet.metrics()).await?)
            }
            None => None,
        };
        let active = Arc::new(ActiveConfig::new(config, started_at));
        Ok(Self {
            exposition: Exposition::new(
                registry,
                Arc::clone(fleet.store()),
                clock.clone(),
                Some(ProcessMetrics::new(started_at, Arc::clone(&active))),
            ),
            source,
            clock: clock.clone(),
            thread,
            server,
            fleet,
            active,
            started_at,
            options,
            saver,
            hangups: Hangups::catch()?,
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
    /// When the server has ended before the shutdown.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), ServerDied> {
        self.server.announce();
        let (requests, mut requested) = mpsc::channel(1);
        let scheduler = Scheduler::new(fastrand::f64());
        let bodies = Bodies::new(self.exposition, self.options.limits.scrapes);
        let router = Arc::new(Router {
            telemetry_path: self.options.telemetry_path,
            pages: Renderer::new(WAITING_PAGES, &bodies),
            probes: Renderer::new(WAITING_PROBES, &bodies),
            bodies,
            status: Status {
                store: Arc::clone(self.fleet.store()),
                active: Arc::clone(&self.active),
                liveness: scheduler.liveness(),
                clock: self.clock.clone(),
                started_at: self.started_at,
            },
            calendar: Calendar::default(),
            reload: self.options.enable_lifecycle.then_some(requests),
        });
        let mut reloads = Reloads::new(self.source, self.fleet.network());
        let mut collecting = Collecting {
            clock: self.clock,
            fleet: self.fleet,
            active: self.active,
            scheduler,
        };
        collecting.fleet.schedule(&collecting.scheduler);
        collecting.log_load();
        let stop = CancellationToken::new();
        let mut serving = self.thread.spawn(self.server.serve(router, stop.clone()));
        let notifying = service_manager::keep_notified(
            collecting.scheduler.liveness(),
            Arc::clone(collecting.fleet.store()),
        );
        tokio::spawn(stop.clone().run_until_cancelled_owned(notifying));
        let first = log_first_collections(Arc::clone(collecting.fleet.store()));
        tokio::spawn(stop.clone().run_until_cancelled_owned(first));
        let loads = load::watch(
            Arc::clone(collecting.fleet.store()),
            Arc::clone(&collecting.active),
        );
        tokio::spawn(stop.clone().run_until_cancelled_owned(loads));
        service_manager::ready();
        let mut hangups = self.hangups;
        let mut shutdown = std::pin::pin!(shutdown);
        let outcome = loop {
            tokio::select! {
                () = &mut shutdown => break Ok(()),
                // Without a shutdown, serving ends only by a panic.
                _ = &mut serving => break Err(ServerDied),
                () = hangups.next() => reloads.request(None),
                Some(request) = requested.recv() => reloads.request(Some(request)),
                (read, waiting) = reloads.read() => {
                    let outcome = collecting.reload(read);
                    for request in waiting {
                        // The client may have left in the meantime.
                        let _ = request.send(outcome.clone());
                    }
                }
            }
        };
        info!("stopping");
        service_manager::stopping();
        // Clients that wait for a reload get an answer: the exporter is stopping.
        drop((reloads, requested));
        stop.cancel();
        let drain_deadline = Instant::now() + DRAIN_TIMEOUT;
        if let Some(saver) = self.saver {
            saver.stop().await;
        }
        collecting.scheduler.stop().await;
        // A panic while draining no longer matters, nor does a thread that waits for a disk
        // with files of the web configuration.
        let drained = tokio::time::timeout_at(drain_deadline, serving);
        if outcome.is_ok() && drained.await.is_err() {
            warn!("the serving thread does not end: the exporter stops without waiting for it");
        }
        info!("stopped");
        outcome
    }
}

/// Reads both configurations on this thread, whose allocator then holds them, while `other`
/// watches: a thread that waits for a disk handles no signal.
fn read(
    other: &ServingThread,
    source: &Source,
    options: &AppOptions,
) -> Result<(Option<WebConfigFile>, Config), ConfigError> {
    let progress = Arc::<Progress>::default();
    let watching = other.spawn(watch(Arc::clone(&progress)));
    let read = progress.of(|| {
        let (file, token) = (&options.web_config, &options.calendar_token);
        let web_config = open_web_config(file.as_deref(), token.as_deref(), &source.environment)?;
        Ok((web_config, source.load()?))
    });
    watching.abort();
    read
}

/// Reads the web configuration and the calendar's token, if there are files of them.
///
/// # Errors
///
/// When one of them cannot be used, or the token has no effect.
pub fn open_web_config(
    file: Option<&Path>,
    token: Option<&Path>,
    environment: &Environment,
) -> Result<Option<WebConfigFile>, ConfigError> {
    let config = file
        .map(|file| WebConfigFile::open(file, environment))
        .transpose()?;
    match (config, token) {
        (Some(config), Some(token)) => config.with_calendar_token(token).map(Some),
        (None, Some(token)) => Err(ConfigError::whole(
            token,
            "--web.calendar-token-file has no effect without --web.config.file: the calendar needs \
             no password then",
            "set passwords with --web.config.file, or leave the flag out",
        )),
        (config, None) => Ok(config),
    }
}

/// Ends the process at a stop signal, as nothing has started yet that must be stopped, and
/// logs a file that hangs.
async fn watch(progress: Arc<Progress>) {
    let logging = async {
        let file = progress.hangs(PATIENCE).await;
        warn!(
            file = shown_path(&file),
            remedy = reading::REMEDY,
            "the start waits until a file can be read"
        );
    };
    let Ok(signals) = StopSignals::catch() else {
        return logging.await;
    };
    tokio::join!(logging, async {
        signals.received().await;
        std::process::exit(0);
    });
}

/// Logs once that every account was collected, and how many collections of licences succeeded:
/// those of other collectors follow.
async fn log_first_collections(store: Arc<Store>) {
    let started = Instant::now();
    let mut ticks = tokio::time::interval(FIRST_COLLECTIONS_POLL);
    while !store.is_ready() {
        ticks.tick().await;
    }
    let accounts = store.load();
    let slots = accounts.list().iter().flat_map(|account| &account.slots);
    let deciding = slots.filter(|slot| slot.decides());
    let outcomes = deciding.filter_map(|slot| slot.load().succeeded());
    let (succeeded, failed): (Vec<_>, Vec<_>) = outcomes.partition(|succeeded| *succeeded);
    let elapsed = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    info!(
        accounts = accounts.list().len(),
        succeeded = succeeded.len(),
        failed = failed.len(),
        after = ?Duration::from_millis(elapsed),
        "the first collection of every account has ended"
    );
}

/// The parts that change at a reload.
struct Collecting {
    clock: Clock,
    fleet: Fleet,
    active: Arc<ActiveConfig>,
    scheduler: Scheduler,
}

impl Collecting {
    /// Applies the configuration that was read, or keeps the previous configuration and logs
    /// why.
    fn reload(&mut self, read: Result<LoadedConfig, String>) -> Result<(), String> {
        service_manager::reloading();
        let outcome = self.apply(read);
        service_manager::ready();
        outcome
    }

    fn apply(&mut self, read: Result<LoadedConfig, String>) -> Result<(), String> {
        let now = self.clock.moment();
        match read {
            Ok(LoadedConfig { config, network }) => {
                for warning in config.warnings() {
                    warn!("{warning}");
                }
                let changes = self.fleet.apply(&config, network);
                self.fleet.schedule(&self.scheduler);
                self.fleet.metrics().note_reload(true);
                self.active.replace(config, now);
                self.fleet.store().revision().advance();
                info!(
                    added = changes.added,
                    changed = changes.changed,
                    kept = changes.kept,
                    removed = changes.removed,
                    "configuration reloaded"
                );
                self.log_load();
                Ok(())
            }
            Err(error) => {
                self.fleet.metrics().note_reload(false);
                self.active.refuse(error.clone(), now);
                self.fleet.store().revision().advance();
                error!(
                    error,
                    "configuration not reloaded: the previous configuration stays in use"
                );
                Err(error)
            }
        }
    }

    fn log_load(&self) {
        let poll = &self.active.load().config.poll;
        info!(
            accounts = self.fleet.store().load().list().len(),
            interval = ?poll.interval,
            max_age = ?poll.max_age,
            requests_per_day = self.fleet.requests_per_day(),
            "collecting"
        );
    }
}
