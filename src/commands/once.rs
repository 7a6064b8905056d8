//! Collecting every account once, for a person at a terminal, for a script, or for
//! the textfile collector of node_exporter.

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
/// When the configuration cannot be put to work.
pub async fn collect(
    collectors: Collectors,
    config: &Config,
    environment: &Environment,
    clock: &Clock,
) -> Result<(Exposition, bool), FleetError> {
    let registry = Registry::new();
    let fleet = Fleet::new(collectors, config, environment, clock, &registry)?;
    fleet.metrics().note_reload(true);
    // All start at once, so the last may have to wait for the budget of all requests.
    let requests = u32::try_from(fleet.collections().count()).unwrap_or(u32::MAX);
    let turns = Duration::from_secs_f64(f64::from(requests) / config.rate_limit().sustained());
    let outcomes = fleet.collections().map(|collection| async move {
        let deadline = collection.slot().schedule().deadline.saturating_add(turns);
        let outcome = collection.run_within(deadline).await;
        if let Err(error) = &outcome {
            // The result of the command, so no threshold of the log hides it.
            log_failure(
                if collection.slot().decides() {
                    Level::ERROR
                } else {
                    Level::WARN
                },
                collection.account(),
                collection.collector(),
                error,
                0,
            );
        }
        outcome.is_ok() || !collection.slot().decides()
    });
    let all_succeeded = join_all(outcomes).await.into_iter().all(|good| good);
    let store = Arc::clone(fleet.store());
    let exposition = Exposition::new(registry, store, clock.clone(), None);
    Ok((exposition, all_succeeded))
}
