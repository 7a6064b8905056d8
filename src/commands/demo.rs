//! The demo: the simulated API and the daemon in one process, so that a newcomer
//! without an account sees what an account would show.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{CommandFailure, say};
use crate::commands::daemon::{App, AppOptions, StartError};
use crate::commands::stack::{self, Stack, StackError, receiver};
use crate::config::{Environment, Source};
use crate::server::web_config::WebConfigFile;
use crate::simulator::{Account, Scenario, Simulator};
use crate::system::clock::Clock;
use crate::system::signals::{Hangups, StopSignals};

/// How much faster than shipped the rules and the routes go: an hour in a minute.
const PACE: u32 = 60;

/// How often the demo's Prometheus scrapes.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);

/// Serves the demo scenario until a signal comes or its terminal is closed. `with_stack`,
/// a Prometheus and an Alertmanager watch it.
pub(super) async fn run(
    clock: &Clock,
    options: AppOptions,
    with_stack: bool,
) -> Result<(), CommandFailure> {
    let signals = StopSignals::catch().map_err(StartError::Signals)?;
    let mut hangups = Hangups::catch().map_err(StartError::Signals)?;
    let mut stopped = pin!(async {
        tokio::select! {
            () = signals.received() => {}
            // Nobody is left to look at it.
            () = hangups.next() => {}
        }
    });
    let scheme = match &options.web_config {
        Some(_) if with_stack => {
            return Err(CommandFailure::usage(
                "demo --stack does not take --web.config.file, as the Prometheus that it starts \
                 knows no password and no certificate; leave one of them out",
            ));
        }
        Some(file) => {
            let file = WebConfigFile::open(file, &Environment::default())
                .map_err(CommandFailure::usage)?;
            if file.first().tls.is_some() {
                "https"
            } else {
                "http"
            }
        }
        None => "http",
    };
    let scenario = Scenario::demo().map_err(CommandFailure::running)?;
    let accounts: Vec<_> = scenario.accounts().cloned().collect();
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let simulator = Simulator::bind(anywhere, scenario, clock.clone())
        .await
        .map_err(|error| {
            CommandFailure::Running(format!("cannot start the simulated API: {error}"))
        })?;
    let api = format!("http://{}", simulator.local_addr());
    let source = source(&accounts, &api);
    let telemetry_path = options.telemetry_path.clone();
    let app = App::bind(source, clock, options).await?;

    let addresses: Vec<_> = app.local_addrs().into_iter().map(reachable).collect();
    let mut stack = match addresses.first() {
        Some(exporter) if with_stack => tokio::select! {
            started = start_stack(*exporter, &telemetry_path) => {
                Some(started.map_err(CommandFailure::running)?)
            }
            () = &mut stopped => return Ok(()),
        },
        _ => None,
    };
    for address in &addresses {
        say(format!(
            "Open {scheme}://{address}/ or scrape {scheme}://{address}{telemetry_path}\n"
        ))?;
    }
    if let Some(stack) = &stack {
        say(format!(
            "Prometheus   {}\nAlertmanager {}\n\
             An hour of the rules passes in a minute; notifications are printed here.\n",
            stack.prometheus_page(),
            stack.alertmanager_page()
        ))?;
    }
    say(format!(
        "{} simulated accounts at {api}; stop with Ctrl-C\n",
        accounts.len()
    ))?;

    let stop = CancellationToken::new();
    let simulation = tokio::spawn(simulator.run_until(stop.clone().cancelled_owned()));
    let mut broken = None;
    let shutdown = async {
        tokio::select! {
            () = stopped => {}
            error = ended(stack.as_mut()) => broken = Some(error),
        }
    };
    let outcome = app.run_until(shutdown).await;
    if let Some(stack) = stack {
        stack.stop().await;
    }
    stop.cancel();
    // The simulator has nothing to report.
    let _ = simulation.await;
    match broken {
        Some(error) => Err(CommandFailure::running(error)),
        None => outcome.map_err(CommandFailure::running),
    }
}

/// The configuration of `accounts` of the simulated API. It takes the way of any other, so
/// that the demo shows the real thing.
fn source(accounts: &[Account], api: &str) -> Source {
    let mut variables = vec![
        ("CWP_EXPORTER_API__ENDPOINT".to_owned(), api.to_owned()),
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
    Source {
        environment: Environment::from_iter(variables),
        ..Source::default()
    }
}

/// An address that the programs of this machine can connect to.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// Starts a stack whose notifications are printed.
async fn start_stack(exporter: SocketAddr, telemetry_path: &str) -> Result<Stack, StackError> {
    let webhook = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let settings = stack::StackSettings {
        exporter,
        telemetry_path: telemetry_path.to_owned(),
        webhook: format!("http://{}/", webhook.local_addr()?),
        interval: SCRAPE_INTERVAL,
        pace: PACE,
    };
    let (sender, mut notifications) = mpsc::channel(1);
    tokio::spawn(receiver::receive(webhook, sender));
    tokio::spawn(async move {
        while let Some(notification) = notifications.recv().await {
            if say(notification.to_string()).is_err() {
                break;
            }
        }
    });
    Stack::start(&settings).await
}

/// Waits until a program of the stack has ended by itself, for ever without a stack.
async fn ended(stack: Option<&mut Stack>) -> StackError {
    match stack {
        Some(stack) => stack.ended().await,
        None => std::future::pending().await,
    }
}
