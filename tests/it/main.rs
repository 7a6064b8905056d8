//! Integration tests: one binary, a module per behaviour.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod alertmanager;
mod answers;
mod architecture;
mod browser;
mod budget;
mod calendar;
mod credentials;
mod dashboard;
mod deploy;
mod discovery;
mod docs;
mod doctor;
mod drift;
mod failure;
mod formats;
mod further_collector;
mod harness;
mod hostile;
mod inbox;
mod kills;
mod orders;
mod permission;
mod platform;
mod program;
mod prometheus;
mod proxy;
mod reload;
mod restart;
mod rules;
mod scrape;
mod service_manager;
mod stack;
mod status;
mod textfile;
mod tls;
mod upgrade;
mod web;
