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
//! - [`commands`]: flags, and what each command does: the daemon, `once`, `doctor`,
//!   `demo`; `main.rs` only calls it.
//! - [`simulator`]: the simulated cloud of `simulate`, of `demo` and of the tests.
//! - [`server`]: HTTP listeners, connections, passwords, and what is answered at which path.
//! - [`exposition`]: the text that a scrape sees, rendered from the snapshots.
//! - [`collection`]: which accounts are collected when, and what is known of each.
//! - [`collectors`]: the table of collectors, and what the answers of each action mean.
//! - [`cloud`]: signed requests within the budget, and the keys to sign them with.
//! - [`config`]: the file and the environment, checked.
//! - [`metrics`]: what the exporter counts about itself, and why collections fail.
//! - [`system`]: the clock, files, log lines, runtimes, signals, spelling and words.
//!
//! # What holds everywhere
//!
//! - A value that is missing, malformed or too old is absent: never 0, never NaN.
//! - Only [`cloud`] sends requests to the cloud, and every request takes a permit of
//!   [`cloud::budget`].
//! - Only the task that owns a snapshot slot replaces it, and only whole.
//! - A secret is in no configuration, log line, error or debug output.
//! - No input, answer or configuration can make the process panic or exit, but for a
//!   configuration that is wrong at start.

pub mod cloud;
pub mod collection;
pub mod collectors;
pub mod commands;
pub mod config;
pub mod exposition;
pub mod metrics;
pub mod server;
pub mod simulator;
pub mod system;
