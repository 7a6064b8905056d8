//! A router of accounts that were never collected, for tests.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus::Registry;

use super::calendar::Calendar;
use super::renderer::{Renderer, WAITING_PAGES, WAITING_PROBES};
use super::request_limiter::RequestLimiter;
use super::router::Router;
use super::scrape::bodies::Bodies;
use crate::collection::scheduler::Scheduler;
use crate::collection::snapshot::{AccountState, Slot, Store, TestKey};
use crate::collectors::Schedule;
use crate::collectors::license_general::LicenseGeneral;
use crate::config::{ActiveConfig, Config, Environment};
use crate::exposition::Exposition;
use crate::server::status::Status;
use crate::system::clock::Clock;

const HOUR: Duration = Duration::from_secs(3600);

/// So many accounts, `account-00000` and so on, with a long label.
pub(super) fn store(accounts: usize) -> Arc<Store> {
    let store = Store::new(Vec::new());
    let schedule = Schedule {
        max_age: HOUR,
        ..Schedule::default()
    };
    let list = (0..accounts).map(|number| {
        let name = format!("account-{number:05}");
        Arc::new(AccountState {
            identity: String::new(),
            endpoint: "https://cwp.tencentcloudapi.com".to_owned(),
            region: None,
            labels: [("team".to_owned(), "x".repeat(100))].into(),
            key_source: Box::new(TestKey::default()),
            slots: vec![Slot::new(
                &LicenseGeneral,
                &name,
                schedule,
                store.revision(),
            )],
            name,
        })
    });
    store.replace(list.collect());
    Arc::new(store)
}

/// The limiter in front of a router of so many accounts, which answers so many scrapes at a
/// time.
pub(super) fn request_limiter(accounts: usize, scrapes: usize) -> RequestLimiter {
    RequestLimiter::new(Arc::new(router(accounts, scrapes)), None)
}

/// A router of so many accounts, which answers so many scrapes at a time.
pub(super) fn router(accounts: usize, scrapes: usize) -> Router {
    let store = store(accounts);
    let clock = Clock::new(|| Timestamp::UNIX_EPOCH);
    let now = clock.moment();
    let key = [
        ("TENCENTCLOUD_SECRET_ID", "x"),
        ("TENCENTCLOUD_SECRET_KEY", "x"),
    ];
    let config = Config::load(None, &Environment::from(key), &[]).unwrap();
    let active = Arc::new(ActiveConfig::new(config, now));
    let exposition = Exposition::new(Registry::new(), Arc::clone(&store), clock.clone(), None);
    let bodies = Bodies::new(exposition, scrapes);
    Router {
        telemetry_path: "/metrics".to_owned(),
        pages: Renderer::new(WAITING_PAGES, &bodies),
        probes: Renderer::new(WAITING_PROBES, &bodies),
        bodies,
        status: Status {
            store,
            active,
            liveness: Scheduler::new(0.0).liveness(),
            clock,
            started_at: now,
        },
        calendar: Calendar::default(),
        reload: None,
    }
}
