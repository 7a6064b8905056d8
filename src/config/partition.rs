//! The part of one process: its shard of the accounts, its replica's part of the rate limit.

use std::collections::HashMap;
use std::iter;
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::Serialize;

use super::RateLimit;
use super::problem::{ConfigError, Fault, Problem, SourceLocation};
use super::reader::show;
use super::serialize::SECRET;
use super::{CollectorDefaults, Config, Credentials, Environment, IdSource};

/// The place of the configuration, and the part of this process.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// The variables that overlay it.
    pub environment: Environment,
    /// This process's part.
    pub partition: Partition,
    /// The collectors that can be set.
    pub collectors: Vec<CollectorDefaults>,
}

/// This process's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// The accounts it collects; all of them without.
    pub shard: Option<Shard>,
    /// How many processes collect the same accounts, this one included.
    pub replicas: NonZeroU32,
}

impl Default for Partition {
    fn default() -> Self {
        Self {
            shard: None,
            replicas: NonZeroU32::MIN,
        }
    }
}

/// One of several processes that divide the accounts among themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Shard {
    index: u32,
    total: NonZeroU32,
}

impl Shard {
    /// The shard `index`, counted from 0, of `total`; nothing if there is no such.
    #[must_use]
    pub fn new(index: u32, total: NonZeroU32) -> Option<Self> {
        (index < total.get()).then_some(Self { index, total })
    }

    /// Its number, counted from 0.
    #[must_use]
    pub fn index(self) -> u32 {
        self.index
    }

    /// How many there are.
    #[must_use]
    pub fn total(self) -> NonZeroU32 {
        self.total
    }

    /// Whether the account with this name belongs to this shard.
    ///
    /// Every account has a score with every shard, and belongs to the highest (rendezvous
    /// hashing): a new shard takes its accounts from the other shards, and no account moves
    /// between the other shards.
    #[must_use]
    pub fn owns(self, account: &str) -> bool {
        let scores = (0..self.total.get()).map(|shard| (score(account, shard), shard));
        scores.max().is_some_and(|(_, shard)| shard == self.index)
    }
}

/// A number that looks random, but is the same in every process and version: FNV-1a
/// over the name, then the finish of SplitMix64 for each shard.
fn score(account: &str, shard: u32) -> u64 {
    let name = account.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut mixed: u64 = (u64::from(shard) + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(name);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Source {
    /// Reads this process's part of the configuration as it is now.
    ///
    /// # Errors
    ///
    /// See [`Config::load`]. Also when the rate budget cannot serve the accounts.
    pub fn load(&self) -> Result<Config, ConfigError> {
        self.read(false)
    }

    /// The same, and tries to read each account's key from files and variables. Blocks for
    /// as long as these files do. The configuration's [`warnings`](Config::warnings) tell of
    /// odd keys.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), and for each key that is missing or cannot be right.
    pub fn check(&self) -> Result<Config, ConfigError> {
        self.read(true)
    }

    fn read(&self, is_strict: bool) -> Result<Config, ConfigError> {
        let file = self.file.as_deref();
        let mut config = Config::read(file, &self.environment, &self.collectors, is_strict)?;
        config.partition = self.partition;
        if let Some(shard) = self.partition.shard {
            config.accounts.retain(|account| shard.owns(&account.name));
        }
        match config.overload() {
            None => Ok(config),
            Some((key, fault)) => {
                let location = SourceLocation::whole(file);
                let problem = Problem::new(location, key, fault);
                Err(ConfigError::new(file, vec![problem]))
            }
        }
    }
}

/// Accounts that are charged to one quota, as far as the configuration tells.
#[derive(PartialEq, Eq, Hash)]
enum Charged<'a> {
    Key(&'a str),
    Source(&'a Credentials),
}

impl Config {
    /// This process's rate limit for each credential and action.
    #[must_use]
    pub fn rate_limit(&self) -> RateLimit {
        RateLimit {
            requests: self.api.rate_limit,
            replicas: self.partition.replicas,
        }
    }

    /// The problem, with the key of the interval, if the accounts of a credential need more
    /// requests than its budget allows, with one request for each collection. Each action has
    /// a budget of its own.
    fn overload(&self) -> Option<(String, Fault)> {
        let mut accounts = HashMap::new();
        for account in &self.accounts {
            let charged = match &account.credentials {
                Credentials::Static(key) => match &key.secret_id {
                    // `/config` shows this in place of ids that differ.
                    IdSource::Literal(id) if id == SECRET => continue,
                    IdSource::Literal(id) => Charged::Key(id),
                    _ => Charged::Source(&account.credentials),
                },
                other => Charged::Source(other),
            };
            *accounts.entry(charged).or_insert(0_u32) += 1;
        }
        let most = accounts.into_values().max()?;
        let sustained = self.rate_limit().sustained();
        let collectors = self.collectors.iter();
        let collectors = collectors
            .filter(|(_, settings)| settings.enabled)
            .map(|(name, settings)| (format!("collectors.{name}.interval"), settings.interval));
        let mut all =
            iter::once(("poll.interval".to_owned(), self.poll.interval)).chain(collectors);
        all.find_map(|(key, interval)| {
            let needed = f64::from(most) / interval.as_secs_f64();
            (needed > sustained).then(|| {
                let least = (f64::from(most) / sustained).ceil();
                let fault = Fault::new(
                    format!(
                        "{most} accounts of one credential every {} need {needed:.1} requests per \
                         second, but `api.rate_limit` allows {sustained:.1}",
                        show(interval)
                    ),
                    format!("write at least `{least}s`, or raise `api.rate_limit`"),
                );
                (key, fault)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::config::CollectorSettings;

    fn shards(total: u32) -> Vec<Shard> {
        let total = NonZeroU32::new(total).unwrap();
        (0..total.get())
            .map(|index| Shard::new(index, total).unwrap())
            .collect()
    }

    /// To which of `total` shards each of 10,000 accounts belongs.
    fn owners(total: u32) -> Vec<u32> {
        let shards = shards(total);
        (0..10_000)
            .map(|account| {
                let name = format!("account-{account}");
                let owners: Vec<_> = shards.iter().filter(|shard| shard.owns(&name)).collect();
                assert_eq!(owners.len(), 1, "{name}");
                owners[0].index()
            })
            .collect()
    }

    #[test]
    fn every_account_belongs_to_one_shard_and_the_shards_are_even() {
        for total in [1, 2, 4, 5, 16] {
            let owners = owners(total);
            for shard in 0..total {
                let own = owners.iter().filter(|owner| **owner == shard).count();
                let even = 10_000 / total as usize;
                assert!(own.abs_diff(even) < even / 8, "{own} of {total} shards");
            }
        }
    }

    #[test]
    fn a_fifth_shard_takes_its_part_and_nothing_else_moves() {
        let (four, five) = (owners(4), owners(5));
        let moved: Vec<_> = four.iter().zip(&five).filter(|(a, b)| a != b).collect();
        assert!((1_800..=2_200).contains(&moved.len()), "{}", moved.len());
        assert!(moved.iter().all(|(_, to)| **to == 4));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_account_has_one_shard_and_moves_only_to_a_shard_that_is_new(
            account in ".*",
            total in 1_u32..40,
        ) {
            let owner = |total| {
                let mut owners = shards(total).into_iter().filter(|shard| shard.owns(&account));
                (owners.next().map(Shard::index), owners.next())
            };
            let ((before, another), (after, one_more)) = (owner(total), owner(total + 1));
            prop_assert!(before.is_some() && another.is_none() && one_more.is_none());
            prop_assert!(after == before || after == Some(total), "{after:?}");
        }
    }

    #[test]
    fn the_hash_is_the_same_for_ever() {
        let total = NonZeroU32::new(5).unwrap();
        let owner = |name: &str| shards(5).into_iter().position(|shard| shard.owns(name));
        assert_eq!(owner("prod"), Some(3));
        assert_eq!(owner("主机"), Some(4));
        assert!(Shard::new(5, total).is_none());
    }

    /// A collector that is on.
    const LIST: CollectorDefaults = CollectorDefaults {
        name: "list",
        settings: CollectorSettings {
            enabled: true,
            interval: Duration::from_secs(300),
            max_age: Duration::from_secs(1800),
            max_rows: None,
        },
    };

    fn load(yaml: &str, partition: Partition) -> Result<Config, ConfigError> {
        let file = tempfile::Builder::new().suffix(".yml").tempfile().unwrap();
        std::fs::write(file.path(), yaml).unwrap();
        let source = Source {
            file: Some(file.path().to_owned()),
            environment: Environment::from([("KEY", "key")]),
            partition,
            collectors: vec![LIST],
        };
        source.load()
    }

    fn accounts(count: u32, interval: &str) -> String {
        let accounts: String = (0..count)
            .map(|number| format!("  - {{name: a{number}, credentials: {{type: static, secret_id: shared, secret_key_env: KEY}}}}\n"))
            .collect();
        format!("poll: {{interval: {interval}}}\naccounts:\n{accounts}")
    }

    #[test]
    fn a_shard_has_its_own_accounts_only_and_may_have_none() {
        let yaml = accounts(3, "60s");
        let of = |shard| {
            let partition = Partition {
                shard: Some(shard),
                ..Partition::default()
            };
            load(&yaml, partition).unwrap().accounts.len()
        };
        let sizes: Vec<_> = shards(7).into_iter().map(of).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 3);
        assert!(sizes.contains(&0));
    }

    #[test]
    fn a_budget_that_cannot_serve_the_accounts_is_refused_with_the_interval_that_could() {
        assert!(load(&accounts(8, "1s"), Partition::default()).is_ok());
        let error = load(&accounts(20, "2s"), Partition::default()).unwrap_err();
        let text = error.to_string();
        assert!(
            text.ends_with(
                "poll.interval: 20 accounts of one credential every 2s need 10.0 requests per \
                 second, but `api.rate_limit` allows 8.9; write at least `3s`, or raise \
                 `api.rate_limit`"
            ),
            "{text}"
        );
        // Each action has a budget of its own.
        let each = |interval: &str| {
            let list = format!("collectors: {{list: {{interval: {interval}}}}}\n");
            load(&(list + &accounts(20, "3s")), Partition::default())
        };
        assert!(each("3s").is_ok());
        let text = each("2s").unwrap_err().to_string();
        assert!(
            text.contains("collectors.list.interval: 20 accounts"),
            "{text}"
        );
        let pair = Partition {
            replicas: NonZeroU32::new(2).unwrap(),
            ..Partition::default()
        };
        assert!(load(&accounts(8, "1s"), pair).is_err());
        assert!(load(&accounts(8, "2s"), pair).is_ok());
    }
}
