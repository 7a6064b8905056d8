//! The configuration: a YAML file, overlaid by environment variables.
//!
//! [`Config::load`] reads both, checks everything and reports every problem at
//! once. What it returns cannot be wrong. Secrets themselves are not part of it:
//! it only says where they are. [`Source::check`] makes sure that they can be read.
//!
//! Every key can be set by an environment variable: `poll.interval` by
//! `CWP_EXPORTER_POLL__INTERVAL`, `accounts[0].region` by
//! `CWP_EXPORTER_ACCOUNTS__0__REGION`. Keys become lower case, and an empty
//! variable counts as not set. Text that looks like a number, `true`, a list or a
//! map needs double quotes inside the variable.

mod active;
mod ca_file;
mod collectors;
mod credentials;
mod endpoint;
mod environment;
mod identity;
mod layers;
mod partition;
mod path;
mod problem;
mod proxy;
mod rate_limit;
mod read;
mod reader;
mod regular_file;
mod serialize;
mod show;
#[cfg(test)]
mod tests;
mod tree;
mod variables;
pub(crate) mod yaml;

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

pub use self::active::{ActiveConfig, ConfigVersion};
pub use self::ca_file::CaFile;
pub use self::collectors::{CollectorDefaults, CollectorSettings};
pub use self::credentials::{
    AssumeRole, CREDENTIALS_FILE_VARIABLE, Credentials, EnvKey, IdSource, Key, NoKey, Profile,
    SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE, SecretSource, StaticKey, TKE_VARIABLES,
    TOKEN_VARIABLES, Tccli, TccliKey, TkeOidc, is_role_name, is_usual_id,
};
pub use self::endpoint::Endpoint;
pub use self::environment::Environment;
pub use self::partition::{Partition, Shard, Source};
pub(crate) use self::path::{path, shown_path};
pub use self::problem::{ConfigError, Fault, Problem, SourceLocation};
pub use self::proxy::{Proxies, ProxyUrl};
pub use self::rate_limit::RateLimit;
pub use self::regular_file::{NoText, ReadText, read_text};

// The web configuration is a file of its own, read in the same way.
pub(crate) use self::layers::Settings;
pub(crate) use self::reader::{
    MAX_DURATION, Reader, Section, duration, list, only_true, signed_duration, text, unknown, whole,
};
pub(crate) use self::tree::{Node, Tree, Value};

use self::problem::printable;
use self::reader::show as show_duration;

/// The API's own ceiling, in requests per second and action, for most accounts.
const USUAL_CEILING: u32 = 20;

/// Everything that can be configured, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// When to poll.
    pub poll: Poll,
    /// How to reach the cloud.
    pub api: Api,
    /// The settings of the collectors that have their own, by name.
    pub collectors: BTreeMap<&'static str, CollectorSettings>,
    /// Whom to poll, with unique names: at least one before sharding, unless files of
    /// accounts are yet to come.
    pub accounts: Vec<Arc<Account>>,
    /// The files whose accounts follow those of the configuration file; `None` unless
    /// `accounts_files` is set, and without such a file.
    pub accounts_files: Option<Vec<Arc<Path>>>,
    /// The part of the accounts and of the rate limit that is this process's.
    pub partition: Partition,
    /// Which requests go through a proxy: `api.proxy_url` or the environment's.
    pub proxies: Proxies,
    /// What is allowed but likely not meant, a sentence each.
    pub(crate) warnings: Vec<String>,
}

/// When to poll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Poll {
    /// From one poll of an account and collector to the next; at least 1 s.
    #[serde(serialize_with = "serialize::duration")]
    pub interval: Duration,
    /// How long one API request may take; more than 0.
    #[serde(serialize_with = "serialize::duration")]
    pub timeout: Duration,
    /// How long values are kept without a success; at least `interval`. Unless it is
    /// set, 10 minutes or three intervals, whichever is longer, but a year at most.
    #[serde(serialize_with = "serialize::duration")]
    pub max_age: Duration,
}

impl Poll {
    /// The longest that a collection may take, with everything in it.
    const LONGEST_COLLECTION: Duration = Duration::from_secs(60);

    /// How long a collection with the interval `interval` may take: its key, its turn in the
    /// budget, all requests and the pauses between them.
    #[must_use]
    pub fn deadline(&self, interval: Duration) -> Duration {
        let attempts = self.timeout.saturating_mul(3);
        interval.max(attempts).min(Self::LONGEST_COLLECTION)
    }
}

impl Default for Poll {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
            max_age: Duration::from_secs(600),
        }
    }
}

/// How to reach the cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Api {
    /// Where the API is for accounts that do not say.
    pub endpoint: Endpoint,
    /// Requests per second for each credential and action.
    pub rate_limit: NonZeroU32,
    /// Requests under way at once in the whole process.
    pub max_in_flight: NonZeroUsize,
    /// The Security Token Service, which hands out temporary keys.
    pub sts_endpoint: Endpoint,
    /// The metadata service of a CVM instance; `http://` to any host is allowed.
    pub metadata_endpoint: Endpoint,
    /// The proxy for requests to the cloud; `None` leaves it to `HTTPS_PROXY` and
    /// `NO_PROXY`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<ProxyUrl>,
    /// The certificates to trust in place of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<CaFile>,
}

impl Default for Api {
    fn default() -> Self {
        const RATE_LIMIT: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
        const MAX_IN_FLIGHT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);
        Self {
            endpoint: Endpoint::https("cwp.tencentcloudapi.com"),
            rate_limit: RATE_LIMIT,
            max_in_flight: MAX_IN_FLIGHT,
            sts_endpoint: Endpoint::https("sts.tencentcloudapi.com"),
            metadata_endpoint: Endpoint::http("metadata.tencentyun.com"),
            proxy_url: None,
            ca_file: None,
        }
    }
}

/// A cloud account to poll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The value of the label `account`: unique, not empty, no surrounding blanks.
    pub name: String,
    /// Its own endpoint or else `api.endpoint`.
    pub endpoint: Endpoint,
    /// The region to name in requests: lower-case letters, digits and `-`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Further labels by names that are valid in Prometheus.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How to sign requests.
    pub credentials: Credentials,
}

impl Config {
    /// Reads `file`, if any, lays the environment's variables over it, adds the accounts of
    /// the files that it names and checks all that is written. `collectors` are those that
    /// can be set. Whether each account's key can be read is for
    /// [`Source::check`].
    ///
    /// Without `accounts` anywhere, [`SECRET_ID_VARIABLE`] and
    /// [`SECRET_KEY_VARIABLE`] make one account named `default`.
    ///
    /// # Errors
    ///
    /// Every problem at once, each with its location, its key and a remedy. Only when
    /// the file cannot be read or is not YAML is that the one problem.
    pub fn load(
        file: Option<&Path>,
        environment: &Environment,
        collectors: &[CollectorDefaults],
    ) -> Result<Self, ConfigError> {
        Self::read(file, environment, collectors, false)
    }

    /// The same. Where `is_strict`, tries to read each account's key from files and variables
    /// too, and blocks for as long as these files do.
    fn read(
        file: Option<&Path>,
        environment: &Environment,
        collectors: &[CollectorDefaults],
        is_strict: bool,
    ) -> Result<Self, ConfigError> {
        let settings = Settings::read(file, environment)?;
        let mut reader = Reader {
            problems: settings.problems.clone(),
            is_strict,
            ..Reader::default()
        };
        let mut config = read::config(&mut reader, &settings.root(), environment, collectors);
        config.warnings.extend(variables::warnings(environment));
        let warnings = reader.warnings.iter().map(ToString::to_string);
        config.warnings.extend(warnings);
        if reader.problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::new(file, reader.problems))
        }
    }

    /// Every service that may be asked: where the accounts are, and who hands out their keys.
    pub fn endpoints(&self, environment: &Environment) -> impl Iterator<Item = &Endpoint> {
        let (sts, metadata) = (&self.api.sts_endpoint, &self.api.metadata_endpoint);
        self.accounts.iter().flat_map(move |account| {
            let sts = account.credentials.ask_sts(environment).then_some(sts);
            let metadata = account.credentials.ask_metadata().then_some(metadata);
            [Some(&account.endpoint), sts, metadata]
                .into_iter()
                .flatten()
        })
    }

    /// What is allowed but likely not meant, a sentence each, for the log.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self.warnings.iter().map(|text| printable(text)).collect();
        let rate_limit = self.api.rate_limit.get();
        if rate_limit > USUAL_CEILING {
            warnings.push(format!(
                "api.rate_limit is {rate_limit}: unless the accounts' quota was raised, the API \
                 throttles above {USUAL_CEILING} requests per second"
            ));
        }
        let collectors = self.collectors.iter();
        let collectors = collectors.map(|(name, settings)| {
            let section = format!("collectors.{name}");
            (section, settings.interval, settings.max_age)
        });
        let poll = ("poll".to_owned(), self.poll.interval, self.poll.max_age);
        for (section, interval, max_age) in [poll].into_iter().chain(collectors) {
            if max_age < interval.saturating_mul(2) {
                warnings.push(format!(
                    "{section}.max_age ({}) is less than two {section}.interval ({}): one failed \
                     collection makes values vanish",
                    show_duration(max_age),
                    show_duration(interval)
                ));
            }
        }
        let Poll {
            interval, timeout, ..
        } = self.poll;
        if timeout > interval {
            warnings.push(format!(
                "poll.timeout ({}) is longer than poll.interval ({}): one slow request delays the \
                 next collection",
                show_duration(timeout),
                show_duration(interval)
            ));
        }
        warnings
    }
}
