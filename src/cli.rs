//! The command line: flags as Prometheus' own tools spell them, and what each
//! command does.

mod demo;
mod doctor;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing::info;

use crate::app::{App, AppOptions, StartError};
use crate::atomic_file::{Output, Unsuitable};
use crate::clock::Clock;
use crate::config::{Config, Environment, Shard, Share, Source};
use crate::logging::{self, Format, Threshold};
use crate::once;
use crate::server::Limits;
use crate::server::site::PATHS;
use crate::signals::StopSignals;
use crate::simulator::{Scenario, Simulator};
use crate::web_config::WebConfigFile;

/// Prometheus exporter for the licences of Tencent Cloud Workload Protection (CWP).
///
/// Without a command it serves. Without a configuration file it collects one account
/// with the key in TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY.
#[derive(Debug, Parser)]
#[command(name = "cwp-exporter", version = VERSION, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (revision ",
    env!("CWP_EXPORTER_REVISION"),
    ", rustc ",
    env!("CWP_EXPORTER_RUSTC"),
    ")"
);

#[derive(Debug, Args)]
struct Flags {
    /// Configuration file (YAML).
    #[arg(long = "config.file", value_name = "FILE", global = true)]
    config_file: Option<PathBuf>,

    /// Check the configuration, say what is wrong with it, and exit.
    #[arg(long = "config.check")]
    config_check: bool,

    /// Address to listen on, HOST:PORT; without a host, every address. Repeatable.
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        default_value = ":10064",
        global = true
    )]
    listen_addresses: Vec<String>,

    /// Listen on the sockets that systemd passes instead.
    #[arg(long = "web.systemd-socket", global = true)]
    systemd_socket: bool,

    /// Web configuration file (YAML): TLS, passwords, headers, as for other exporters.
    #[arg(long = "web.config.file", value_name = "FILE", global = true)]
    web_config_file: Option<PathBuf>,

    /// Answer /-/healthy and /-/ready without the password that the web configuration
    /// demands.
    #[arg(long = "web.health-without-auth", global = true)]
    health_without_auth: bool,

    /// How many connections may be open; a further one takes the place of an idle one.
    #[arg(
        long = "web.max-connections",
        value_name = "COUNT",
        default_value = "512",
        global = true
    )]
    max_connections: NonZeroUsize,

    /// How many scrapes may be answered at a time, further ones wait, for five seconds at most; 0 is no limit.
    #[arg(
        long = "web.max-requests",
        value_name = "COUNT",
        default_value = "40",
        global = true
    )]
    max_requests: usize,

    /// Path of the metrics.
    #[arg(
        long = "web.telemetry-path",
        value_name = "PATH",
        default_value = "/metrics",
        value_parser = telemetry_path,
        global = true
    )]
    telemetry_path: String,

    /// Let clients reload the configuration with POST or PUT /-/reload.
    #[arg(long = "web.enable-lifecycle", global = true)]
    enable_lifecycle: bool,

    /// Collect only the accounts of this shard, counted from 0; `auto` takes the number
    /// at the end of POD_NAME or of the host's name.
    #[arg(
        long = "shard.index",
        value_name = "INDEX",
        requires = "shard_total",
        global = true
    )]
    shard_index: Option<String>,

    /// How many shards there are.
    #[arg(
        long = "shard.total",
        value_name = "TOTAL",
        requires = "shard_index",
        global = true
    )]
    shard_total: Option<NonZeroU32>,

    /// How many replicas collect the same accounts and share api.rate_limit.
    #[arg(
        long = "replica.count",
        value_name = "COUNT",
        default_value = "1",
        global = true
    )]
    replica_count: NonZeroU32,

    /// Keep the last good values in this folder, and show them after a restart with
    /// their true age until they have been collected anew.
    #[arg(long = "state.dir", value_name = "FOLDER", global = true)]
    state_dir: Option<PathBuf>,

    /// Log only events of this level or above.
    #[arg(
        long = "log.level",
        value_name = "LEVEL",
        value_enum,
        default_value_t = Threshold::Info,
        global = true
    )]
    log_level: Threshold,

    /// Format of the log lines on standard error.
    #[arg(
        long = "log.format",
        value_name = "FORMAT",
        value_enum,
        default_value_t = Format::Logfmt,
        global = true
    )]
    log_format: Format,
}

impl Flags {
    /// This process's part of the accounts and the budget.
    fn share(&self, environment: &Environment) -> Result<Share, Failure> {
        let shard = match (self.shard_index.as_deref(), self.shard_total) {
            (Some(index), Some(total)) => {
                let index = match index {
                    "auto" => ordinal(environment).ok_or_else(|| {
                        Failure::usage(
                            "--shard.index=auto: neither POD_NAME nor the host's name ends in a \
                             hyphen and a number; write the number",
                        )
                    })?,
                    index => index.parse().map_err(|_| {
                        Failure::usage("--shard.index: write a number from 0, or `auto`")
                    })?,
                };
                let shard = Shard::new(index, total).ok_or_else(|| {
                    Failure::Usage(format!(
                        "--shard.index: there is no shard {index} of {total}; they are counted from 0"
                    ))
                })?;
                Some(shard)
            }
            _ => None,
        };
        Ok(Share {
            shard,
            replicas: self.replica_count,
        })
    }
}

/// The number at the end of this pod's or host's name, as in `cwp-exporter-3`.
fn ordinal(environment: &Environment) -> Option<u32> {
    let host = || {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
        Some(name.trim().to_owned())
    };
    let pod = environment.get("POD_NAME").map(str::to_owned);
    let name = pod.or_else(host)?;
    let (_, number) = name.rsplit_once('-')?;
    number.parse().ok()
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Collect every account once and print the exposition; exit 1 if any account failed.
    Once {
        /// Write to this file instead, replacing it whole or not at all; `-` is standard
        /// output.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Check each account step by step and say what to do; exit 1 if any step failed.
    Doctor {
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Play the CWP API on a loopback address, verifying requests as the real one does.
    Simulate {
        /// Loopback address to listen on.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:10065")]
        listen: SocketAddr,
        /// Scenario file (YAML); the demo's scenario when absent.
        #[arg(long, value_name = "FILE")]
        scenario: Option<PathBuf>,
    },
    /// Serve simulated accounts in one process, with nothing to configure.
    Demo {
        /// Start Prometheus and Alertmanager as well, with the rules and the routes that
        /// are shipped, an hour in a minute. Both must be on PATH.
        #[arg(long)]
        stack: bool,
    },
}

/// The permissions of a textfile: whoever reads it is another user.
const READABLE: u32 = 0o644;

/// Why a command did not do what was asked, as an exit code.
enum Failure {
    /// Exit code 1: it failed while running.
    Running(String),
    /// Exit code 1: it has said why already.
    Said,
    /// Exit code 2: usage or configuration.
    Usage(String),
}

impl Failure {
    fn running(error: impl ToString) -> Self {
        Self::Running(error.to_string())
    }

    fn usage(error: impl ToString) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Runs the program and returns its exit code: 0 asked to stop, 1 failed while
/// running, 2 wrong usage or configuration.
#[must_use]
pub fn run() -> ExitCode {
    // Wrong usage makes clap exit with code 2.
    let cli = Cli::parse();
    let clock = Clock::system();
    let threshold = match (&cli.command, cli.flags.log_level) {
        // What is usually worth a line is in the report.
        (Some(Command::Doctor { .. }), Threshold::Info | Threshold::Warn) => Threshold::Error,
        (_, threshold) => threshold,
    };
    logging::init(cli.flags.log_format, threshold, clock.clone());
    // What is served is served on a thread of its own.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return exit(Err(Failure::running(error))),
    };
    let outcome = runtime.block_on(execute(cli, &Environment::process(), &clock));
    // A name that is still being looked up must not hold up the end.
    runtime.shutdown_background();
    exit(outcome)
}

fn exit(outcome: Result<(), Failure>) -> ExitCode {
    let (code, message) = match outcome {
        Ok(()) => (0, None),
        Err(Failure::Said) => (1, None),
        Err(Failure::Running(message)) => (1, Some(message)),
        Err(Failure::Usage(message)) => (2, Some(message)),
    };
    if let Some(message) = message {
        // There is nowhere to tell that standard error is closed.
        let _ = writeln!(io::stderr(), "cwp-exporter: {message}");
    }
    ExitCode::from(code)
}

async fn execute(cli: Cli, environment: &Environment, clock: &Clock) -> Result<(), Failure> {
    let Cli { flags, command } = cli;
    if matches!(
        command,
        Some(Command::Simulate { .. } | Command::Demo { .. })
    ) && (flags.config_check || flags.config_file.is_some())
    {
        let text =
            "this command has no configuration file; leave out --config.file and --config.check";
        return Err(Failure::usage(text));
    }
    let source = Source {
        file: flags.config_file.clone(),
        environment: environment.clone(),
        share: flags.share(environment)?,
    };
    let load = || source.load().map_err(Failure::usage);
    match command {
        _ if flags.config_check => {
            let config = checked(load(), flags.web_config_file.as_deref())?;
            let accounts = match config.accounts.len() {
                1 => "1 account".to_owned(),
                count => format!("{count} accounts"),
            };
            say(format!("configuration is good: {accounts}\n"))
        }
        None => serve(source, clock, app_options(flags)).await,
        Some(Command::Once { output }) => {
            let config = load()?;
            once(&config, environment, clock, output.as_deref()).await
        }
        Some(Command::Doctor { json }) => doctor::run(&source, clock, json).await,
        Some(Command::Simulate { listen, scenario }) => {
            simulate(listen, scenario.as_deref(), clock).await
        }
        Some(Command::Demo { stack }) => demo::run(clock, app_options(flags), stack).await,
    }
}

/// The configuration, if the web configuration is good too; the problems of both if not.
fn checked(config: Result<Config, Failure>, web: Option<&Path>) -> Result<Config, Failure> {
    let web = web.map_or(Ok(()), |file| WebConfigFile::open(file).map(|_| ()));
    match (config, web) {
        (config, Ok(())) => config,
        (Ok(_), Err(web)) => Err(Failure::usage(web)),
        (Err(Failure::Usage(config)), Err(web)) => Err(Failure::Usage(format!("{config}\n{web}"))),
        (failed, Err(_)) => failed,
    }
}

fn app_options(flags: Flags) -> AppOptions {
    AppOptions {
        listen_addresses: flags.listen_addresses,
        systemd_socket: flags.systemd_socket,
        limits: Limits {
            connections: flags.max_connections,
            scrapes: flags.max_requests,
        },
        web_config: flags.web_config_file,
        health_without_auth: flags.health_without_auth,
        telemetry_path: flags.telemetry_path,
        enable_lifecycle: flags.enable_lifecycle,
        state_dir: flags.state_dir,
    }
}

async fn serve(source: Source, clock: &Clock, options: AppOptions) -> Result<(), Failure> {
    let signals = StopSignals::catch().map_err(Failure::running)?;
    info!(
        version = env!("CARGO_PKG_VERSION"),
        revision = env!("CWP_EXPORTER_REVISION"),
        "starting cwp-exporter"
    );
    let app = App::bind(source, clock, options)
        .await
        .map_err(|error| match error {
            StartError::Config(error) => Failure::usage(error),
            error => Failure::running(error),
        })?;
    app.run_until(signals.received())
        .await
        .map_err(Failure::running)
}

async fn once(
    config: &Config,
    environment: &Environment,
    clock: &Clock,
    output: Option<&Path>,
) -> Result<(), Failure> {
    let path = output.unwrap_or(Path::new("-"));
    // Before anything is asked of the cloud.
    let output = Output::at(path).map_err(|unsuitable| {
        let message = format!("--output: {} {unsuitable}", path.display());
        match unsuitable {
            Unsuitable::Io(_) => Failure::Running(message),
            Unsuitable::Kind(_) | Unsuitable::NoReader => Failure::Usage(message),
        }
    })?;
    let (text, all_succeeded) = once::collect(config, environment, clock)
        .await
        .map_err(Failure::running)?;
    output.write(&text, READABLE).map_err(|error| {
        Failure::Running(format!("cannot write to {}: {error}", path.display()))
    })?;
    if all_succeeded {
        Ok(())
    } else {
        Err(Failure::Said)
    }
}

async fn simulate(
    listen: SocketAddr,
    scenario: Option<&Path>,
    clock: &Clock,
) -> Result<(), Failure> {
    let scenario = match scenario {
        Some(path) => read_scenario(path)?,
        None => Scenario::demo().map_err(Failure::running)?,
    };
    let signals = StopSignals::catch().map_err(Failure::running)?;
    let simulator = Simulator::bind(listen, scenario, clock.clone())
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => Failure::usage(error),
            _ => Failure::Running(format!("cannot listen on {listen}: {error}")),
        })?;
    simulator.run_until(signals.received()).await;
    Ok(())
}

fn read_scenario(path: &Path) -> Result<Scenario, Failure> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::Usage(format!(
            "cannot read the scenario {shown}: {error}; name a scenario file that this user may read"
        ))
    })?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Failure::Usage(format!(
            "the scenario {shown} is not UTF-8 text; save the file as UTF-8"
        ))
    })?;
    Scenario::parse(&text).map_err(|error| Failure::Usage(format!("{shown}: {error}")))
}

/// Writes to standard output.
fn say(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    let written = Output::Standard.write(text.as_ref(), READABLE);
    written.map_err(Failure::running)
}

fn telemetry_path(text: &str) -> Result<String, String> {
    if PATHS.contains(&text) || !text.starts_with('/') || text.contains(['?', '#']) {
        return Err("a path such as /metrics that is not used otherwise".to_owned());
    }
    Ok(text.to_owned())
}
