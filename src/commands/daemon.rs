//! The daemon: binds, starts, reloads and stops everything.

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
use crate::collection::scheduler::Scheduler;
use crate::collection::snapshot::Store;
use crate::collection::state_dir::{Saver, StateDir, StateError};
use crate::collectors::{self, Collectors};
use crate::commands::service_manager;
use crate::config::{ActiveConfig, Config, ConfigError, Source, shown_path};
use crate::exposition::Exposition;
use crate::exposition::process::ProcessMetrics;
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
use reload::{Read, Reloads};

/// How often it is looked whether every account was collected.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long the end waits for the serving thread, which gives its connections two seconds.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// Why the program could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has problems.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The configuration cannot be put to work.
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
    /// The system hands over no signals.
    #[error("cannot receive signals: {0}; please report this")]
    Signals(#[from] io::Error),
}

/// The HTTP server has ended although nobody asked it to.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP server has ended unexpectedly; restart the exporter and report this")]
pub struct ServerDied;

/// How the daemon faces the world, and where it keeps what.
#[derive(Debug, Clone)]
pub struct AppOptions {
    /// What collects.
    pub collectors: Collectors,
    /// Where to listen.
    pub listen_addresses: Vec<ListenAddress>,
    /// Whether to listen on the sockets that the service manager passes instead.
    pub systemd_socket: bool,
    /// How much is served at a time.
    pub limits: Limits,
    /// The web configuration: TLS, passwords, headers.
    pub web_config: Option<PathBuf>,
    /// Whether health is told without a password.
    pub health_without_auth: bool,
    /// Where the metrics are.
    pub telemetry_path: String,
    /// Whether a client may ask for a reload.
    pub enable_lifecycle: bool,
    /// Where the last good values are kept for the next start.
    pub state_dir: Option<PathBuf>,
    /// This program, which reads and writes there in a process of its own.
    pub program: PathBuf,
}

/// A bound daemon.
pub struct App {
    source: Source,
    clock: Clock,
    thread: ServingThread,
    server: Server,
    fleet: Fleet,
    running: Arc<ActiveConfig>,
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
        // First, so that whoever connects is not turned away while thousands of
        // accounts are read, but served right after.
        let thread = ServingThread::start().map_err(StartError::Thread)?;
        let (inherited, addresses) = (options.systemd_socket, &options.listen_addresses);
        let listeners = thread.open(listen::listen(inherited, addresses)).await?;
        let mut server = Server::new(listeners, options.limits.connections);
        let source = Source {
            collectors: collectors::defaults(options.collectors),
            ..source
        };
        let (web_config, config) = read(&thread, &source, options.web_config.as_deref())?;
        if let Some(file) = web_config {
            server = server.guarded_by(file, options.health_without_auth);
        }
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
                let dir = StateDir::new(options.program.clone(), folder, config.share.shard);
                Some(Saver::start(dir, fleet.store(), clock, fleet.metrics()).await?)
            }
            None => None,
        };
        let running = Arc::new(ActiveConfig::new(config, started_at));
        Ok(Self {
            exposition: Exposition::new(
                registry,
                Arc::clone(fleet.store()),
                clock.clone(),
                Some(ProcessMetrics::new(started_at, Arc::clone(&running))),
            ),
            source,
            clock: clock.clone(),
            thread,
            server,
            fleet,
            running,
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
    /// When the server has ended although nobody asked it to.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), ServerDied> {
        self.server.announce();
        let (requests, mut requested) = mpsc::channel(1);
        let scheduler = Scheduler::new(fastrand::f64());
        let bodies = Bodies::new(self.exposition, self.options.limits.scrapes);
        let site = Arc::new(Router {
            telemetry_path: self.options.telemetry_path,
            pages: Renderer::new(WAITING_PAGES, &bodies),
            probes: Renderer::new(WAITING_PROBES, &bodies),
            bodies,
            status: Status::new(
                Arc::clone(self.fleet.store()),
                Arc::clone(&self.running),
                scheduler.liveness(),
                self.clock.clone(),
                self.started_at,
            ),
            store: Arc::clone(self.fleet.store()),
            liveness: scheduler.liveness(),
            reload: self.options.enable_lifecycle.then_some(requests),
        });
        let mut reloads = Reloads::new(self.source, self.fleet.network());
        let mut collecting = Collecting {
            clock: self.clock,
            fleet: self.fleet,
            running: self.running,
            scheduler,
        };
        collecting.start();
        let stop = CancellationToken::new();
        let mut serving = self.thread.spawn(self.server.serve(site, stop.clone()));
        let informing = service_manager::keep_informed(
            collecting.scheduler.liveness(),
            Arc::clone(collecting.fleet.store()),
        );
        tokio::spawn(stop.clone().run_until_cancelled_owned(informing));
        let first = tell_first_collections(Arc::clone(collecting.fleet.store()));
        tokio::spawn(stop.clone().run_until_cancelled_owned(first));
        service_manager::ready();
        let mut hangups = self.hangups;
        let mut shutdown = std::pin::pin!(shutdown);
        let outcome = loop {
            tokio::select! {
                () = &mut shutdown => break Ok(()),
                // It ends only when told to, or by a panic.
                _ = &mut serving => break Err(ServerDied),
                () = hangups.next() => reloads.ask(None),
                Some(request) = requested.recv() => reloads.ask(Some(request)),
                (read, waiting) = reloads.read() => {
                    let outcome = collecting.reload(read);
                    for request in waiting {
                        // Whoever asked may have left in the meantime.
                        let _ = request.send(outcome.clone());
                    }
                }
            }
        };
        info!("stopping");
        service_manager::stopping();
        // Who waits for a reload is told that there is none any more.
        drop((reloads, requested));
        stop.cancel();
        let last_answers = Instant::now() + LAST_ANSWERS;
        if let Some(saver) = self.saver {
            saver.stop().await;
        }
        collecting.scheduler.stop().await;
        // A panic while draining no longer matters, and neither does a thread that waits for
        // a disk with the files of the web configuration.
        if outcome.is_ok()
            && tokio::time::timeout_at(last_answers, serving)
                .await
                .is_err()
        {
            warn!("the serving thread does not end, and is left behind");
        }
        info!("stopped");
        outcome
    }
}

/// Reads both configurations on this thread, whose memory what they keep shall fill, while
/// `other` watches: a thread that waits for a disk heeds no signal.
fn read(
    other: &ServingThread,
    source: &Source,
    web_config: Option<&Path>,
) -> Result<(Option<WebConfigFile>, Config), ConfigError> {
    let progress = Arc::<Progress>::default();
    let watching = other.spawn(watch(Arc::clone(&progress)));
    let read = progress.of(|| {
        let open = |file| WebConfigFile::open(file, &source.environment);
        let web_config = web_config.map(open).transpose()?;
        Ok((web_config, source.load()?))
    });
    watching.abort();
    read
}

/// Ends the process at a stop signal, as nothing has begun yet that would have to end, and
/// tells of a file that hangs.
async fn watch(progress: Arc<Progress>) {
    let telling = async {
        let file = progress.hangs(PATIENCE).await;
        warn!(
            file = shown_path(&file),
            remedy = reading::REMEDY,
            "the start waits for a file that cannot be read"
        );
    };
    let Ok(signals) = StopSignals::catch() else {
        return telling.await;
    };
    tokio::join!(telling, async {
        signals.received().await;
        std::process::exit(0);
    });
}

/// Tells once that every account was collected, and how many of them well.
async fn tell_first_collections(store: Arc<Store>) {
    let started = Instant::now();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    while !store.is_ready() {
        looks.tick().await;
    }
    let accounts = store.load();
    let slots = accounts.list().iter().flat_map(|account| &account.slots);
    let outcomes: Vec<_> = slots.map(|slot| slot.load().succeeded()).collect();
    let count = |wanted| {
        outcomes
            .iter()
            .filter(|each| **each == Some(wanted))
            .count()
    };
    info!(
        accounts = accounts.list().len(),
        succeeded = count(true),
        failed = count(false),
        after = ?Duration::from_millis(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)),
        "every account was collected for the first time"
    );
}

/// What changes at a reload.
struct Collecting {
    clock: Clock,
    fleet: Fleet,
    running: Arc<ActiveConfig>,
    scheduler: Scheduler,
}

impl Collecting {
    fn start(&mut self) {
        self.fleet.schedule(&self.scheduler);
        self.log_load("collecting");
    }

    /// Puts the configuration that was read into use, or keeps the previous one and says
    /// why.
    fn reload(&mut self, read: Result<Read, String>) -> Result<(), String> {
        service_manager::reloading();
        let outcome = self.apply(read);
        service_manager::ready();
        outcome
    }

    fn apply(&mut self, read: Result<Read, String>) -> Result<(), String> {
        let applied = read.and_then(|Read { config, network }| {
            for warning in config.warnings() {
                warn!("{warning}");
            }
            let changes = self.fleet.apply(&config, network);
            let changes = changes.map_err(|error| error.to_string())?;
            Ok((config, changes))
        });
        let now = self.clock.moment();
        match applied {
            Ok((config, changes)) => {
                self.fleet.schedule(&self.scheduler);
                self.fleet.metrics().note_reload(true);
                self.running.replace(config, now);
                self.fleet.store().revision().advance();
                info!(
                    added = changes.added,
                    changed = changes.changed,
                    kept = changes.kept,
                    removed = changes.removed,
                    "configuration reloaded"
                );
                self.log_load("collecting");
                Ok(())
            }
            Err(error) => {
                self.fleet.metrics().note_reload(false);
                self.running.refuse(error.clone(), now);
                self.fleet.store().revision().advance();
                error!(
                    error,
                    "configuration not reloaded: the previous configuration stays in use"
                );
                Err(error)
            }
        }
    }

    fn log_load(&self, message: &str) {
        let poll = &self.running.load().config.poll;
        info!(
            accounts = self.fleet.store().load().list().len(),
            interval = ?poll.interval,
            max_age = ?poll.max_age,
            requests_per_day = self.fleet.requests_per_day(),
            "{message}"
        );
    }
}
