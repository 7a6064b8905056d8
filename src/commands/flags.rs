//! The flags that several commands take. All of them may stand before the command or behind it.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::Args;

use super::CommandFailure;
use crate::collectors;
use crate::commands::daemon::AppOptions;
use crate::config::{Environment, Partition, Shard};
use crate::server::Limits;
use crate::server::listen::ListenAddress;
use crate::server::router::PATHS;
use crate::system::logging::{LogFormat, Threshold};

/// The most shards: the time to find the owner of an account grows with their number.
const MAX_SHARDS: u32 = 10_000;

#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Configuration file (YAML).
    #[arg(long = "config.file", value_name = "FILE")]
    pub(super) config_file: Option<PathBuf>,

    /// Check the configuration, print its problems, and exit.
    #[arg(long = "config.check")]
    pub(super) config_check: bool,

    /// Address to listen on: HOST:PORT, or :PORT for all addresses. The flag can be given several
    /// times.
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        default_value = ":10064"
    )]
    listen_addresses: Vec<ListenAddress>,

    /// Listen on the sockets that systemd passes, and on no other address.
    #[arg(long = "web.systemd-socket")]
    systemd_socket: bool,

    /// Web configuration file (YAML): TLS, passwords and headers, in the format of the Prometheus
    /// exporters.
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub(super) web_config_file: Option<PathBuf>,

    /// File with the token of the calendar. With a password in the web configuration,
    /// /calendar.ics?token=TOKEN needs no password.
    #[arg(long = "web.calendar-token-file", value_name = "FILE")]
    pub(super) calendar_token_file: Option<PathBuf>,

    /// Answer /-/healthy and /-/ready without a password, even if the web configuration has
    /// passwords.
    #[arg(long = "web.health-without-auth")]
    health_without_auth: bool,

    /// Maximum number of open connections. A further connection replaces an idle connection.
    #[arg(
        long = "web.max-connections",
        value_name = "COUNT",
        default_value = "512",
        value_parser = count
    )]
    max_connections: NonZeroU32,

    /// Maximum number of scrapes at the same time. Further scrapes wait for at most five seconds.
    /// 0 means no limit.
    #[arg(
        long = "web.max-requests",
        value_name = "COUNT",
        default_value = "40",
        value_parser = count_or_zero
    )]
    max_requests: u32,

    /// Path of the metrics.
    #[arg(
        long = "web.telemetry-path",
        value_name = "PATH",
        default_value = "/metrics",
        value_parser = telemetry_path
    )]
    telemetry_path: String,

    /// Allow clients to reload the configuration with POST or PUT /-/reload.
    #[arg(long = "web.enable-lifecycle")]
    enable_lifecycle: bool,

    /// Number of this shard, counted from 0. The process collects only the accounts of this shard.
    /// `auto` takes the number at the end of POD_NAME or of the host name.
    #[arg(
        long = "shard.index",
        value_name = "INDEX",
        value_parser = shard_index
    )]
    shard_index: Option<ShardIndex>,

    /// Number of shards.
    #[arg(
        long = "shard.total",
        value_name = "TOTAL",
        value_parser = shard_total
    )]
    shard_total: Option<NonZeroU32>,

    /// Number of replicas. Replicas collect the same accounts and share api.rate_limit.
    #[arg(
        long = "replica.count",
        value_name = "COUNT",
        default_value = "1",
        value_parser = count
    )]
    replica_count: NonZeroU32,

    /// Folder for the last good values. After a restart, these values are shown with their true
    /// age until the accounts have been collected again.
    #[arg(long = "state.dir", value_name = "FOLDER")]
    pub(super) state_dir: Option<PathBuf>,

    /// Lowest level of the events in the log.
    #[arg(
        long = "log.level",
        value_name = "LEVEL",
        value_enum,
        ignore_case = true,
        default_value_t = Threshold::Info
    )]
    pub(super) log_level: Threshold,

    /// Format of the log, which goes to standard error.
    #[arg(
        long = "log.format",
        value_name = "FORMAT",
        value_enum,
        ignore_case = true,
        default_value_t = LogFormat::Logfmt
    )]
    pub(super) log_format: LogFormat,
}

/// The value of `--shard.index`.
#[derive(Debug, Clone, Copy)]
enum ShardIndex {
    /// The number at the end of the pod's or the host's name.
    Auto,
    Number(u32),
}

impl Flags {
    /// This process's part of the accounts and the budget.
    pub(super) fn partition(&self, environment: &Environment) -> Result<Partition, CommandFailure> {
        let shard = match (self.shard_index, self.shard_total) {
            (None, None) => None,
            (Some(index), Some(total)) => Some(shard(index, total, environment)?),
            (Some(_), None) => {
                return Err(CommandFailure::usage(
                    "--shard.index: --shard.total, the number of shards, is missing",
                ));
            }
            (None, Some(_)) => {
                return Err(CommandFailure::usage(
                    "--shard.total: --shard.index, the number of this shard, is missing",
                ));
            }
        };
        Ok(Partition {
            shard,
            replicas: self.replica_count,
        })
    }

    /// The options of the daemon.
    pub(super) fn app_options(self) -> AppOptions {
        AppOptions {
            collectors: collectors::all(),
            listen_addresses: self.listen_addresses,
            systemd_socket: self.systemd_socket,
            limits: Limits {
                connections: NonZeroUsize::try_from(self.max_connections)
                    .unwrap_or(NonZeroUsize::MAX),
                scrapes: usize::try_from(self.max_requests).unwrap_or(usize::MAX),
            },
            web_config: self.web_config_file,
            calendar_token: self.calendar_token_file,
            health_without_auth: self.health_without_auth,
            telemetry_path: self.telemetry_path,
            enable_lifecycle: self.enable_lifecycle,
            state_dir: self.state_dir,
            program: own_program(),
        }
    }
}

fn shard(
    index: ShardIndex,
    total: NonZeroU32,
    environment: &Environment,
) -> Result<Shard, CommandFailure> {
    let last = total.get() - 1;
    let (index, message) = match index {
        ShardIndex::Number(index) => (
            index,
            format!(
                "--shard.index: there is no shard {index} of {total}; shards are counted from 0 to \
                 {last}"
            ),
        ),
        ShardIndex::Auto => {
            let (source, name) = name_of_this_process(environment);
            let index = name.rsplit_once('-').and_then(|(_, end)| end.parse().ok());
            let index = index.ok_or_else(|| {
                CommandFailure::Usage(format!(
                    "--shard.index=auto: {source} is {name:?} and does not end in a hyphen and a \
                     number, as cwp-exporter-0 does; write the number instead of auto"
                ))
            })?;
            let message = format!(
                "--shard.index=auto: {source} is {name:?}, but --shard.total={total} allows 0 to \
                 {last} only; raise --shard.total, or write the number instead of auto"
            );
            (index, message)
        }
    };
    Shard::new(index, total).ok_or(CommandFailure::Usage(message))
}

/// The name of the pod, or else of the host, with the source of the name.
fn name_of_this_process(environment: &Environment) -> (&'static str, String) {
    match environment.get("POD_NAME") {
        Some(name) if !name.is_empty() => ("POD_NAME", name.to_owned()),
        _ => {
            let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            ("the host name", name.trim().to_owned())
        }
    }
}

fn whole_number(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let number = text.parse().ok();
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("write a whole number from {least} to {most}"))
}

fn count(text: &str) -> Result<NonZeroU32, String> {
    whole_number(text, 1, u32::MAX).map(|count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN))
}

fn count_or_zero(text: &str) -> Result<u32, String> {
    whole_number(text, 0, u32::MAX).map_err(|form| format!("{form}; 0 is no limit"))
}

fn shard_total(text: &str) -> Result<NonZeroU32, String> {
    whole_number(text, 1, MAX_SHARDS).and_then(|_| count(text))
}

fn shard_index(text: &str) -> Result<ShardIndex, String> {
    match text {
        "auto" => Ok(ShardIndex::Auto),
        number => whole_number(number, 0, MAX_SHARDS - 1)
            .map(ShardIndex::Number)
            .map_err(|form| format!("{form}, or auto")),
    }
}

fn telemetry_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("a path begins with a slash, as /metrics does".to_owned());
    }
    if PATHS.contains(&text) {
        return Err("this path has another page; choose another path, such as /metrics".to_owned());
    }
    let is_path_char =
        |char: char| char.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@%/".contains(char);
    match text.chars().find(|char| !is_path_char(*char)) {
        Some(char) => Err(format!("a path cannot contain {char:?}")),
        None => Ok(text.to_owned()),
    }
}

/// The path of this program, to start a second process: the running version, even if the file
/// was replaced. Without `/proc`, as in a bare chroot, the first argument.
fn own_program() -> PathBuf {
    let executable = PathBuf::from("/proc/self/exe");
    if executable.exists() {
        return executable;
    }
    std::env::args_os().next().map_or(executable, PathBuf::from)
}
