//! The command line, with flags as Prometheus' tools spell them, and the commands.

pub mod daemon;
mod demo;
pub mod doctor;
mod flags;
pub mod once;
pub mod service_manager;
pub mod stack;
mod usage;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tracing::{info, warn};

use crate::cloud::credentials::MAX_READS;
use crate::cloud::trust::Trust;
use crate::collection::state_dir::{StateDir, worker};
use crate::collectors;
use crate::commands::daemon::{App, AppOptions, StartError, open_web_config};
use crate::config::{Config, Environment, Source, shown_path};
use crate::exposition;
use crate::server::listen::ListenAddress;
use crate::simulator::{Scenario, Simulator};
use crate::system::clock::Clock;
use crate::system::logging::{self, Threshold};
use crate::system::output::{Output, Unsuitable, remedy};
use crate::system::reading::{self, PATIENCE};
use crate::system::runtime;
use crate::system::signals::StopSignals;
use crate::system::words::counted;
use flags::Flags;

/// Prometheus exporter for the licences of Tencent Cloud Workload Protection (CWP).
///
/// Without a command, the exporter serves the metrics until it is stopped. Without a configuration
/// file, the exporter collects one account with the key in TENCENTCLOUD_SECRET_ID and
/// TENCENTCLOUD_SECRET_KEY.
#[derive(Debug, Parser)]
#[command(name = "cwp-exporter", version = VERSION, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

impl Cli {
    /// Reads a command line, the program's name first.
    ///
    /// # Errors
    ///
    /// When the command line is wrong; the error's text has a remedy. Help and version, which
    /// end the program too, are among the errors.
    pub fn read<T: Into<OsString>>(
        arguments: impl IntoIterator<Item = T>,
    ) -> Result<Self, clap::Error> {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let mut command = usage::prepare(Self::command());
        let matches = command
            .try_get_matches_from_mut(&arguments)
            .map_err(|error| usage::add_tip(&mut command, &arguments, error))?;
        usage::check(&mut command, &arguments, &matches)?;
        Self::from_arg_matches(&matches)
    }
}

const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (revision ",
    env!("CWP_EXPORTER_REVISION"),
    ", rustc ",
    env!("CWP_EXPORTER_RUSTC"),
    ")"
);

#[derive(Debug, Subcommand)]
enum Command {
    /// Collect each account once and print the metrics. The exit code is 1 if an account failed.
    Once {
        /// File to write instead of standard output (`-`). The file is replaced as a whole, or not
        /// at all.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Check each account step by step and say what to do. The exit code is 1 if a step failed.
    Doctor {
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Simulate the CWP API on a loopback address. Requests are verified as in the real API.
    Simulate {
        /// Loopback address to listen on.
        #[arg(
            long,
            value_name = "ADDRESS",
            default_value = "127.0.0.1:10065",
            value_parser = loopback_address
        )]
        listen: ListenAddress,
        /// Scenario file (YAML). The default is the scenario of the demo.
        #[arg(long, value_name = "FILE")]
        scenario: Option<PathBuf>,
    },
    /// Serve simulated accounts, without any configuration.
    Demo {
        /// Start Prometheus and Alertmanager too, with the rules and the routes of this project.
        /// One hour of the rules takes one minute. Both programs must be on PATH.
        #[arg(long)]
        stack: bool,
    },
}

/// The permissions of a textfile, which another user reads.
const READABLE: u32 = 0o644;

/// Why a command failed.
enum CommandFailure {
    /// Exit code 1: a failure while running.
    Running(String),
    /// Exit code 1: the log or the output shows the failure.
    AlreadyReported,
    /// Exit code 2: wrong usage or configuration.
    Usage(String),
}

impl CommandFailure {
    fn running(error: impl ToString) -> Self {
        Self::Running(error.to_string())
    }

    fn usage(error: impl ToString) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<StartError> for CommandFailure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(_) | StartError::State(_) => Self::usage(error),
            _ => Self::running(error),
        }
    }
}

/// The most blocking threads: one for each key file that may hang for ever, and others for
/// name lookups and saving.
const BLOCKING_THREADS: usize = MAX_READS + 512;

/// Runs the program and returns its exit code: 0 after a stop
/// signal or success, 1 after a failure while running, 2 for wrong usage or configuration.
#[must_use]
pub fn run() -> ExitCode {
    if let Some(code) = worker::run_if_asked(std::env::args_os().skip(1)) {
        return code;
    }
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Standard error may be closed.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let clock = Clock::system();
    let threshold = match (&cli.command, cli.flags.log_level) {
        // The doctor's output shows what would be logged.
        (Some(Command::Doctor { .. }), Threshold::Info | Threshold::Warn) => Threshold::Error,
        (_, threshold) => threshold,
    };
    logging::init(cli.flags.log_format, threshold, clock.clone());
    // This thread collects; another thread serves.
    let runtime = match runtime::single_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return exit(Err(CommandFailure::Running(format!(
                "cannot start: {error}; check how many files this process may open"
            ))));
        }
    };
    let outcome = runtime.block_on(execute(cli, &Environment::process(), &clock));
    // A pending name lookup must not delay the end.
    runtime.shutdown_background();
    exit(outcome)
}

fn exit(outcome: Result<(), CommandFailure>) -> ExitCode {
    let (code, message) = match outcome {
        Ok(()) => (0, None),
        Err(CommandFailure::AlreadyReported) => (1, None),
        Err(CommandFailure::Running(message)) => (1, Some(message)),
        Err(CommandFailure::Usage(message)) => (2, Some(message)),
    };
    if let Some(message) = message {
        // Standard error may be closed.
        let _ = writeln!(io::stderr(), "cwp-exporter: {message}");
    }
    ExitCode::from(code)
}

async fn execute(cli: Cli, environment: &Environment, clock: &Clock) -> Result<(), CommandFailure> {
    let Cli { flags, command } = cli;
    let source = Source {
        file: flags.config_file.clone(),
        environment: environment.clone(),
        partition: flags.partition(environment)?,
        collectors: collectors::defaults(collectors::all()),
    };
    let load = || source.load().map_err(CommandFailure::usage);
    match command {
        None if flags.config_check => {
            let options = flags.app_options();
            let checking = move || check(&source, &options);
            let checked = reading::within(PATIENCE, checking).await;
            let config = checked.unwrap_or_else(|path| Err(CommandFailure::Usage(hangs(&path))))?;
            for warning in config.warnings() {
                warn!("{warning}");
            }
            let accounts = counted(config.accounts.len(), "account");
            print(format!("configuration is good: {accounts}\n"))
        }
        None => serve(source, clock, flags.app_options()).await,
        Some(Command::Once { output }) => {
            let config = load()?;
            once(&config, environment, clock, output.as_deref()).await
        }
        Some(Command::Doctor { json }) => {
            doctor::print::run(collectors::all(), &source, clock, json).await
        }
        Some(Command::Simulate { listen, scenario }) => {
            simulate(listen, scenario.as_deref(), clock).await
        }
        Some(Command::Demo { stack }) => demo::run(clock, flags.app_options(), stack).await,
    }
}

/// The configuration, if the web configuration, the state folder and the trusted certificates
/// are good too; else the problems of both configurations. Blocks for as long as their files do.
fn check(source: &Source, options: &AppOptions) -> Result<Config, CommandFailure> {
    let environment = &source.environment;
    let (web, token) = (&options.web_config, &options.calendar_token);
    let web = open_web_config(web.as_deref(), token.as_deref(), environment);
    let config = match (source.check(), web) {
        (Ok(config), Ok(_)) => config,
        (Ok(_), Err(web)) => return Err(CommandFailure::usage(web)),
        (Err(config), Ok(_)) => return Err(CommandFailure::usage(config)),
        (Err(config), Err(web)) => return Err(CommandFailure::Usage(format!("{config}\n{web}"))),
    };
    let state_dir = options.state_dir.as_deref();
    state_dir
        .map_or(Ok(()), StateDir::check)
        .map_err(CommandFailure::usage)?;
    // Without certificates to trust, every collection would fail.
    let trust = Trust::of(&config, environment);
    trust.read().map_err(CommandFailure::usage)?;
    Ok(config)
}

/// The message about a file whose reading does not end.
fn hangs(path: &Path) -> String {
    let seconds = PATIENCE.as_secs();
    format!(
        "reading {} has not ended after {seconds} s; {}",
        shown_path(path),
        reading::REMEDY
    )
}

async fn serve(source: Source, clock: &Clock, options: AppOptions) -> Result<(), CommandFailure> {
    let signals = StopSignals::catch().map_err(StartError::Signals)?;
    info!(
        version = env!("CARGO_PKG_VERSION"),
        revision = env!("CWP_EXPORTER_REVISION"),
        "starting cwp-exporter"
    );
    let app = App::bind(source, clock, options).await?;
    app.run_until(signals.received())
        .await
        .map_err(CommandFailure::running)
}

async fn once(
    config: &Config,
    environment: &Environment,
    clock: &Clock,
    output: Option<&Path>,
) -> Result<(), CommandFailure> {
    let path = output.unwrap_or(Path::new("-"));
    // Before any request to the cloud.
    let output = Output::at(path).map_err(|unsuitable| {
        let message = format!("--output: {} {unsuitable}", path.display());
        match unsuitable {
            Unsuitable::Io(_) => CommandFailure::Running(message),
            Unsuitable::Kind(_) | Unsuitable::NoReader => CommandFailure::Usage(message),
        }
    })?;
    let (exposition, all_succeeded) = once::collect(collectors::all(), config, environment, clock)
        .await
        .map_err(CommandFailure::running)?;
    let (name, rendered) = match output {
        Output::Standard => {
            let rendered = exposition.render(exposition::Format::Text);
            ("standard output".to_owned(), rendered)
        }
        // A textfile has no metrics of the process: the process has ended when the file is
        // read, and node_exporter refuses a series that two files have.
        Output::File(_) | Output::Through(_) => {
            let rendered = exposition.render_accounts(exposition::Format::Text);
            (path.display().to_string(), rendered)
        }
    };
    let text = rendered.map_err(CommandFailure::running)?;
    let written = output.write(&text, READABLE);
    written.map_err(|error| not_written(&name, &error))?;
    match all_succeeded {
        true => Ok(()),
        false => Err(CommandFailure::AlreadyReported),
    }
}

async fn simulate(
    listen: ListenAddress,
    scenario: Option<&Path>,
    clock: &Clock,
) -> Result<(), CommandFailure> {
    let scenario = match scenario {
        Some(path) => Scenario::read(path).map_err(CommandFailure::usage)?,
        None => Scenario::demo().map_err(CommandFailure::running)?,
    };
    let signals = StopSignals::catch().map_err(StartError::Signals)?;
    let unable = |error| CommandFailure::Running(format!("cannot listen on {listen}: {error}"));
    let addresses = listen.resolve().await.map_err(unable)?;
    let Some(address) = addresses.first() else {
        return Err(unable(io::ErrorKind::AddrNotAvailable.into()));
    };
    let simulator = Simulator::bind(*address, scenario, clock.clone())
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => CommandFailure::Usage(format!("--listen: {error}")),
            _ => unable(error),
        })?;
    simulator.run_until(signals.received()).await;
    Ok(())
}

/// An address for the simulated API.
fn loopback_address(text: &str) -> Result<ListenAddress, String> {
    let problem = match text.parse::<ListenAddress>() {
        Ok(address) if address.may_be_loopback() => return Ok(address),
        Ok(_) => "the simulated API listens on a loopback address only",
        Err(error) => error.problem,
    };
    Err(format!(
        "{problem}; write HOST:PORT, such as 127.0.0.1:10065 or [::1]:10065"
    ))
}

/// Writes to standard output.
fn print(text: impl AsRef<[u8]>) -> Result<(), CommandFailure> {
    let written = Output::Standard.write(text.as_ref(), READABLE);
    written.map_err(|error| not_written("standard output", &error))
}

fn not_written(name: &str, error: &io::Error) -> CommandFailure {
    let remedy = remedy(error);
    CommandFailure::Running(format!("cannot write to {name}: {error}; {remedy}"))
}
