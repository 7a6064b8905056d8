//! The daemon: binds, starts, reloads and stops everything.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus::Registry;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::config::{ConfigError, Running, Source};
use crate::exposition::Exposition;
use crate::fleet::{Fleet, FleetError};
use crate::metrics::process::ProcessMetrics;
use crate::scheduler::Scheduler;
use crate::server::listen::{self, ListenAddress, ListenError};
use crate::server::renderer::{Renderer, WAITING_PAGES, WAITING_PROBES};
use crate::server::scrape::bodies::Bodies;
use crate::server::site::{ReloadRequest, Site};
use crate::server::thread::ServingThread;
use crate::server::{Limits, Server};
use crate::service_manager;
use crate::signals::Hangups;
use crate::state_dir::{StateDir, StateError};
use crate::status::Status;
use crate::web_config::WebConfigFile;

/// How often the last good values are saved.
const SAVE_EVERY: Duration = Duration::from_secs(30);

/// How long the last save may take.
const LAST_SAVE: Duration = Duration::from_secs(2);

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
}

/// A bound daemon.
pub struct App {
    source: Source,
    clock: Clock,
    thread: ServingThread,
    server: Server,
    fleet: Fleet,
    running: Arc<Running>,
    started_at: Timestamp,
    exposition: Exposition,
    options: AppOptions,
    state: Option<StateDir>,
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
        if let Some(file) = &options.web_config {
            let file = WebConfigFile::open(file)?;
            server = server.guarded_by(file, options.health_without_auth);
        }
        let config = source.load()?;
        let registry = Registry::new();
        let fleet = Fleet::new(&config, &source.environment, clock, &registry)?;
        let started_at = clock.now();
        fleet.metrics().note_reload(Some(started_at));
        for warning in config.warnings() {
            warn!("{warning}");
        }
        let state = match &options.state_dir {
            Some(folder) => Some(StateDir::open(folder, config.share.shard)?),
            None => None,
        };
        if let Some(state) = &state {
            match state.restore(fleet.store(), clock.now()) {
                Ok(restored) => info!(restored, "restored the last good values"),
                // They are a convenience: without them it starts as if for the first time.
                Err(error) => warn!(%error, "cannot restore the last good values"),
            }
        }
        Ok(Self {
            exposition: Exposition::new(
                registry,
                Arc::clone(fleet.store()),
                clock.clone(),
                Some(ProcessMetrics::new(started_at)),
            ),
            source,
            clock: clock.clone(),
            thread,
            server,
            fleet,
            running: Arc::new(Running::new(config, started_at)),
            started_at,
            options,
            state,
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
        let site = Arc::new(Site {
            telemetry_path: self.options.telemetry_path,
            pages: Renderer::new(WAITING_PAGES),
            probes: Renderer::new(WAITING_PROBES),
            bodies: Bodies::new(self.exposition, self.options.limits.scrapes),
            status: Status::new(
                Arc::clone(self.fleet.store()),
                Arc::clone(&self.running),
                scheduler.heart(),
                self.clock.clone(),
                self.started_at,
            ),
            store: Arc::clone(self.fleet.store()),
            heart: scheduler.heart(),
            reload: self.options.enable_lifecycle.then_some(requests),
        });
        let mut collecting = Collecting {
            state: self.state,
            source: self.source,
            clock: self.clock,
            fleet: self.fleet,
            running: self.running,
            scheduler,
        };
        collecting.start();
        let stop = CancellationToken::new();
        let mut serving = self.thread.spawn(self.server.serve(site, stop.clone()));
        let informing = service_manager::keep_informed(
            collecting.scheduler.heart(),
            Arc::clone(collecting.fleet.store()),
        );
        tokio::spawn(stop.clone().run_until_cancelled_owned(informing));
        service_manager::ready();
        let mut hangups = self.hangups;
        let mut saves = tokio::time::interval(SAVE_EVERY);
        saves.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shutdown = std::pin::pin!(shutdown);
        let outcome = loop {
            tokio::select! {
                () = &mut shutdown => break Ok(()),
                // It ends only when told to, or by a panic.
                _ = &mut serving => break Err(ServerDied),
                _ = saves.tick() => collecting.save().await,
                () = hangups.next() => {
                    // The log and the metrics say what came of it.
                    let _ = collecting.reload();
                }
                Some(request) = requested.recv() => {
                    let request: ReloadRequest = request;
                    // Whoever asked may have left in the meantime.
                    let _ = request.send(collecting.reload());
                }
            }
        };
        info!("stopping");
        service_manager::stopping();
        stop.cancel();
        // A disk that hangs must not hold up the end.
        if tokio::time::timeout(LAST_SAVE, collecting.save())
            .await
            .is_err()
        {
            warn!("gave up saving the last good values");
        }
        collecting.scheduler.stop().await;
        if outcome.is_ok() {
            // A panic while draining no longer matters.
            let _ = serving.await;
        }
        info!("stopped");
        outcome
    }
}

/// What changes at a reload.
struct Collecting {
    state: Option<StateDir>,
    source: Source,
    clock: Clock,
    fleet: Fleet,
    running: Arc<Running>,
    scheduler: Scheduler,
}

impl Collecting {
    fn start(&mut self) {
        self.fleet.schedule(&self.scheduler);
        self.log_load("collecting");
    }

    /// Puts the configuration to work as it is now, or keeps the one before and
    /// says why.
    fn reload(&mut self) -> Result<(), String> {
        service_manager::reloading();
        let outcome = self.apply();
        service_manager::ready();
        outcome
    }

    fn apply(&mut self) -> Result<(), String> {
        // Read on this thread although collections wait for it, a moment even with
        // thousands of accounts: the memory that reading takes stays with the thread that
        // has read, and here it is what the start has left.
        let config = self.source.load().map_err(|error| error.to_string());
        let applied = config.and_then(|config| {
            for warning in config.warnings() {
                warn!("{warning}");
            }
            let changes = self
                .fleet
                .apply(&config)
                .map_err(|error| error.to_string())?;
            Ok((config, changes))
        });
        let now = self.clock.now();
        match applied {
            Ok((config, changes)) => {
                self.fleet.schedule(&self.scheduler);
                self.fleet.metrics().note_reload(Some(now));
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
                self.fleet.metrics().note_reload(None);
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

    /// Saves the last good values, if they are to be kept.
    async fn save(&self) {
        let Some(state) = self.state.clone() else {
            return;
        };
        let store = Arc::clone(self.fleet.store());
        let saved = tokio::task::spawn_blocking(move || state.save(&store)).await;
        if let Ok(Err(error)) = saved {
            warn!(%error, "cannot save the last good values");
        }
    }

    fn log_load(&self, message: &str) {
        let poll = self.fleet.poll();
        let collections = self.fleet.collections().count() as u128;
        let day_in_millis = 24 * 60 * 60 * 1000_u128;
        let requests_per_day = collections * day_in_millis / poll.interval.as_millis().max(1);
        info!(
            accounts = self.fleet.store().load().list().len(),
            interval = ?poll.interval,
            max_age = ?poll.max_age,
            requests_per_day = u64::try_from(requests_per_day).unwrap_or(u64::MAX),
            "{message}"
        );
    }
}
