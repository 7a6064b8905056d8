//! The demo: the simulated API and the daemon in one process, so that a newcomer
//! without an account sees what an account would show.

use std::net::{Ipv4Addr, SocketAddr};

use tokio_util::sync::CancellationToken;

use super::{Failure, say};
use crate::app::{App, AppOptions};
use crate::clock::Clock;
use crate::config::{Environment, Source};
use crate::signals::StopSignals;
use crate::simulator::{Scenario, Simulator};

/// Serves the demo scenario until a signal comes.
pub(super) async fn run(clock: &Clock, options: AppOptions) -> Result<(), Failure> {
    let signals = StopSignals::catch().map_err(Failure::running)?;
    let scenario = Scenario::demo().map_err(Failure::running)?;
    let accounts: Vec<_> = scenario.accounts().cloned().collect();
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let simulator = Simulator::bind(anywhere, scenario, clock.clone())
        .await
        .map_err(Failure::running)?;
    let api = format!("http://{}", simulator.local_addr());

    // The configuration takes the way of any other, so the demo shows the real thing.
    let mut variables = vec![
        ("CWP_EXPORTER_API__ENDPOINT".to_owned(), api.clone()),
        ("CWP_EXPORTER_POLL__INTERVAL".to_owned(), "1s".to_owned()),
        ("CWP_EXPORTER_POLL__TIMEOUT".to_owned(), "1s".to_owned()),
        ("CWP_EXPORTER_POLL__MAX_AGE".to_owned(), "30s".to_owned()),
    ];
    for (position, account) in accounts.iter().enumerate() {
        let key = format!("CWP_EXPORTER_ACCOUNTS__{position}");
        let secret_key = format!("DEMO_SECRET_KEY_{position}");
        variables.extend([
            (format!("{key}__NAME"), account.name().to_owned()),
            (format!("{key}__CREDENTIALS__TYPE"), "static".to_owned()),
            (
                format!("{key}__CREDENTIALS__SECRET_ID"),
                account.secret_id().to_owned(),
            ),
            (
                format!("{key}__CREDENTIALS__SECRET_KEY_ENV"),
                secret_key.clone(),
            ),
            (secret_key, account.secret_key().to_owned()),
        ]);
    }
    let environment = Environment::from_iter(variables);
    let source = Source {
        environment,
        ..Source::default()
    };
    let config = source.load().map_err(Failure::running)?;
    let telemetry_path = options.telemetry_path.clone();
    let app = App::bind(source, &config, clock, options)
        .await
        .map_err(Failure::running)?;

    for address in app.local_addrs() {
        let host = if address.ip().is_unspecified() {
            format!("localhost:{}", address.port())
        } else {
            address.to_string()
        };
        say(&format!(
            "Open http://{host}/ or scrape http://{host}{telemetry_path}\n"
        ))?;
    }
    say(&format!(
        "{} simulated accounts at {api}; stop with Ctrl-C\n",
        accounts.len()
    ))?;

    let stop = CancellationToken::new();
    let simulation = tokio::spawn(simulator.run_until(stop.clone().cancelled_owned()));
    let outcome = app.run_until(signals.received()).await;
    stop.cancel();
    // The simulator has nothing to report.
    let _ = simulation.await;
    outcome.map_err(Failure::running)
}
