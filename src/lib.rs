//! Prometheus exporter for Tencent Cloud Workload Protection (CWP) licences.
//!
//! A scheduler collects every account on a timer, because the cloud's quota is per
//! account; each collection replaces a snapshot; a scrape renders the snapshots and
//! never causes a call.
//!
//! ```text
//! scheduler -> collection -> api -> cloud          exposition <- server <- Prometheus
//!                  |                                   |
//!                  +-----------> snapshot <------------+
//! ```
//!
//! # Code map
//!
//! A module uses only modules below it. From the top:
//!
//! - [`cli`]: flags and commands; `main.rs` only calls it.
//! - [`once`]: the command that collects once and prints or writes the result.
//! - [`doctor`]: the command that checks each account step by step.
//! - [`app`]: the daemon: binds, starts, reloads and stops everything.
//! - [`server`]: HTTP listeners, connections and what is answered at which path.
//! - [`service_manager`]: what systemd is told.
//! - [`status`]: how the exporter and its accounts are, for the status page and its JSON.
//! - [`web_config`]: the file that says how the server faces its clients: TLS, passwords.
//! - [`fleet`]: the accounts that are collected, and how a reload changes them.
//! - [`scheduler`]: when to collect; one task for each account and collector.
//! - [`collection`]: one collection, from the question to the new snapshot.
//! - [`failure_log`]: what the log says of failed collections.
//! - [`state_dir`]: the last good snapshots on disk.
//! - [`exposition`]: what a scrape sees, built from the snapshots.
//! - [`snapshot`]: what is known of each account, and its age.
//! - [`collector`]: the table of collectors and what their answers mean.
//! - [`api`]: the client of the API: budget, retries, counting.
//! - [`credentials`]: the key to sign with, whole, for each request.
//! - [`deadline`]: how long a collection may take, and what it waits for.
//! - [`cloud`]: one signed exchange with the cloud.
//! - [`metrics`]: what the exporter counts about itself, and how metrics are defined.
//! - [`reason`]: the closed set of reasons why a collection failed.
//! - [`stack`]: a Prometheus and an Alertmanager with the shipped files, for the demo.
//! - [`simulator`]: the simulated cloud of the demo, the tests and `simulate`.
//! - [`config`]: the file and the environment, checked.
//! - [`budget`]: how many requests may be sent.
//! - [`tc3`]: the request signature, pure.
//! - [`logging`]: log lines as logfmt or JSON.
//! - [`log_limit`]: a log line at most so often, with a count.
//! - [`atomic_file`]: where output goes: files that are replaced whole or not at all.
//! - [`signals`]: the signals that ask the process to stop or to reload.
//! - [`clock`]: the wall clock, passed in, and moments by it and by one that nobody sets.
//!
//! # What holds everywhere
//!
//! - A value that is missing, malformed or too old is absent: never 0, never NaN.
//! - Only [`cloud`] sends requests to the cloud, and every request takes a permit of
//!   [`budget`].
//! - Only the task that owns a snapshot slot replaces it, and only whole.
//! - A secret is in no configuration, log line, error or debug output.
//! - No input, answer or configuration can make the process panic or exit, but for a
//!   configuration that is wrong at start.

pub mod api;
pub mod app;
pub mod atomic_file;
pub mod budget;
pub mod cli;
pub mod clock;
pub mod cloud;
pub mod collection;
pub mod collector;
pub mod config;
pub mod credentials;
pub mod deadline;
pub mod doctor;
pub mod exposition;
pub mod failure_log;
pub mod fleet;
pub mod log_limit;
pub mod logging;
pub mod metrics;
pub mod once;
pub mod reason;
pub mod scheduler;
pub mod server;
pub mod service_manager;
pub mod signals;
pub mod simulator;
pub mod snapshot;
pub mod stack;
pub mod state_dir;
pub mod status;
pub mod tc3;
pub mod web_config;
