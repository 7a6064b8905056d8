//! Prometheus exporter for Tencent Cloud Workload Protection (CWP) licences.

pub mod api;
pub mod app;
pub mod budget;
pub mod cli;
pub mod clock;
pub mod collection;
pub mod collector;
pub mod config;
pub mod credentials;
pub mod exposition;
pub mod logging;
pub mod metrics;
pub mod once;
pub mod reason;
pub mod scheduler;
pub mod server;
pub mod signals;
pub mod simulator;
pub mod snapshot;
pub mod tc3;
