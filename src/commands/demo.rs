//! The demo: the simulated API and the daemon in one process. A newcomer without an account
//! sees the metrics and the alerts of simulated accounts.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{CommandFailure, print};
use crate::collectors;
use crate::commands::daemon::{App, AppOptions, StartError};
use crate::commands::stack::{self, Stack, StackError, receiver};
use crate::config::{Environment, Source};
use crate::server::web_config::WebConfigFile;
use crate::simulator::{Scenario, SimulatedAccount, Simulator};
use crate::system::clock::Clock;
use crate::system::signals::{Hangups, StopSignals};

/// How often the demo's Prometheus scrapes.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);

/// Serves the demo scenario until a signal comes or the terminal is closed; `with_stack` beside
/// a Prometheus and an Alertmanager.
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
            // The terminal was closed.
            () = hangups.next() => {}
        }
    });
    let scheme = match &options.web_config {
        Some(_) if with_stack => {
            return Err(CommandFailure::usage(
                "demo --stack does not take --web.config.file, because its Prometheus has no \
                 password and no certificate; leave one of the two flags out",
            ));
        }
        Some(file) => {
            let file = WebConfigFile::open(file, &Environment::default())
                .map_err(CommandFailure::usage)?;
            match file.initial().tls {
                Some(_) => "https",
                None => "http",
            }
        }
        None => "http",
    };
    let scenario = Scenario::demo().map_err(CommandFailure::running)?;
    let accounts: Vec<_> = scenario.accounts().cloned().collect();
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let simulator = Simulator::bind(any_port, scenario, clock.clone())
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
        print(format!(
            "Open {scheme}://{address}/ or scrape {scheme}://{address}{telemetry_path}\n"
        ))?;
    }
    if let Some(stack) = &stack {
        print(format!(
            "Prometheus   {}\nAlertmanager {}\n\
             One hour of the rules takes one minute. Notifications are printed here.\n",
            stack.prometheus_page, stack.alertmanager_page
        ))?;
    }
    print(format!(
        "{} simulated accounts at {api}; stop with Ctrl-C\n",
        accounts.len()
    ))?;

    let stop = CancellationToken::new();
    let simulation = tokio::spawn(simulator.run_until(stop.clone().cancelled_owned()));
    let mut stack_error = None;
    let shutdown = async {
        tokio::select! {
            () = stopped => {}
            error = ended(stack.as_mut()) => stack_error = Some(error),
        }
    };
    let outcome = app.run_until(shutdown).await;
    if let Some(stack) = stack {
        stack.stop().await;
    }
    stop.cancel();
    // The simulator has nothing to report.
    let _ = simulation.await;
    match stack_error {
        Some(error) => Err(CommandFailure::running(error)),
        None => outcome.map_err(CommandFailure::running),
    }
}

/// The configuration of `accounts` of the simulated API, as environment variables: the demo
/// reads it as any other configuration.
fn source(accounts: &[SimulatedAccount], api: &str) -> Source {
    let mut variables = vec![
        ("CWP_EXPORTER_API__ENDPOINT".to_owned(), api),
        ("CWP_EXPORTER_POLL__INTERVAL".to_owned(), "1s"),
        ("CWP_EXPORTER_POLL__TIMEOUT".to_owned(), "1s"),
        ("CWP_EXPORTER_POLL__MAX_AGE".to_owned(), "30s"),
    ];
    for collector in collectors::defaults(collectors::all()) {
        let name = collector.name.to_ascii_uppercase();
        let name = |key: &str| format!("CWP_EXPORTER_COLLECTORS__{name}__{key}");
        variables.extend([
            (name("ENABLED"), "true"),
            (name("INTERVAL"), "2s"),
            (name("MAX_AGE"), "30s"),
        ]);
    }
    let keys: Vec<String> = (0..accounts.len())
        .map(|index| format!("DEMO_KEY_{index}"))
        .collect();
    for (index, (account, key)) in accounts.iter().zip(&keys).enumerate() {
        let name = |name: &str| format!("CWP_EXPORTER_ACCOUNTS__{index}__{name}");
        variables.extend([
            (name("NAME"), account.name()),
            (name("CREDENTIALS__TYPE"), "static"),
            (name("CREDENTIALS__SECRET_ID"), account.secret_id()),
            (name("CREDENTIALS__SECRET_KEY_ENV"), key),
            (key.clone(), account.secret_key()),
        ]);
    }
    Source {
        environment: Environment::from_iter(variables),
        ..Source::default()
    }
}

/// An address to which the programs of this machine can connect.
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
    };
    let (sender, mut notifications) = mpsc::channel(1);
    tokio::spawn(receiver::receive(webhook, sender));
    tokio::spawn(async move {
        while let Some(notification) = notifications.recv().await {
            if print(notification.to_string()).is_err() {
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
