//! The command that collects every account once: for a terminal, a script, or the textfile
//! collector of node_exporter.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use prometheus::Registry;
use tracing::Level;

use crate::collection::failure_log::log_failure;
use crate::collection::fleet::{Fleet, FleetError};
use crate::collectors::Collectors;
use crate::config::{Config, Environment};
use crate::exposition::Exposition;
use crate::system::clock::Clock;

/// Collects every account once with every enabled collector, all at a time within the budget.
/// Returns the exposition and whether every account is up; the log says which collections
/// failed.
///
/// # Errors
///
/// When the configuration cannot be used.
pub async fn collect(
    collectors: Collectors,
    config: &Config,
    environment: &Environment,
    clock: &Clock,
) -> Result<(Exposition, bool), FleetError> {
    let registry = Registry::new();
    let fleet = Fleet::new(collectors, config, environment, clock, &registry)?;
    fleet.metrics().note_reload(true);
    // All start at once, so the last collection may wait for the budget of all requests.
    let requests = u32::try_from(fleet.collections().count()).unwrap_or(u32::MAX);
    let wait = Duration::from_secs_f64(f64::from(requests) / config.rate_limit().sustained());
    let outcomes = fleet.collections().map(|collection| async move {
        let decides = collection.slot().decides();
        let deadline = collection.slot().schedule().deadline.saturating_add(wait);
        let outcome = collection.run_within(deadline).await;
        if let Err(error) = &outcome {
            // Every failure is a result of the command, and is logged.
            let level = if decides { Level::ERROR } else { Level::WARN };
            let (account, collector) = (collection.account(), collection.collector());
            log_failure(level, account, collector, error, 0);
        }
        outcome.is_ok() || !decides
    });
    let all_succeeded = join_all(outcomes)
        .await
        .into_iter()
        .all(|succeeded| succeeded);
    let store = Arc::clone(fleet.store());
    let exposition = Exposition::new(registry, store, clock.clone(), None);
    Ok((exposition, all_succeeded))
}
