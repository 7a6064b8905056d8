//! The last good snapshots on disk, so that a restart is not blind: they are shown
//! with their true age until the first fresh collection. No secret is among them.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::atomic_file::Output;
use crate::clock::Moment;
use crate::collector::Samples;
use crate::config::Shard;
use crate::snapshot::{AccountState, CollectorState, Slot, Store, Success};

/// The version of the file's form. One of another version is ignored.
const VERSION: u32 = 1;

/// The largest file that is read, in bytes: more than enough for 100,000 accounts.
const MAX_FILE: u64 = 512 * 1024 * 1024;

/// How far ahead of our clock a snapshot may claim to be.
const MAX_AHEAD: SignedDuration = SignedDuration::from_secs(300);

/// Where the snapshots are kept.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
}

/// The snapshots could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {path}: {source}; name a folder of this user's with --state.dir")]
pub struct StateError {
    verb: &'static str,
    path: String,
    source: io::Error,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    cwp_exporter_snapshots: u32,
    accounts: Vec<SavedAccount>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedAccount {
    name: String,
    /// Tells an account from another of the same name.
    identity: String,
    collectors: Vec<SavedCollector>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedCollector {
    collector: String,
    collected_at: Timestamp,
    /// Metric, value of its second label, value.
    samples: Vec<(String, String, f64)>,
}

impl StateDir {
    /// The snapshots of a process, or of one shard, in the folder `folder`.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written to.
    pub fn open(folder: &Path, shard: Option<Shard>) -> Result<Self, StateError> {
        let name = match shard {
            Some(shard) => format!("snapshots-{}.json", shard.index()),
            None => "snapshots.json".to_owned(),
        };
        tempfile::Builder::new()
            .prefix(".cwp-exporter-")
            .tempfile_in(folder)
            .map_err(|source| StateError {
                verb: "write to",
                path: folder.display().to_string(),
                source,
            })?;
        Ok(Self {
            path: folder.join(name),
        })
    }

    /// Saves the last good snapshots of all accounts. Blocks.
    ///
    /// # Errors
    ///
    /// When the file cannot be replaced; the one before is then untouched.
    pub fn save(&self, store: &Store) -> Result<(), StateError> {
        let accounts = store.load();
        let saved = Saved {
            cwp_exporter_snapshots: VERSION,
            accounts: accounts.list().iter().map(save).collect(),
        };
        let bytes = serde_json::to_vec(&saved).map_err(io::Error::from);
        bytes
            .and_then(|bytes| {
                Output::at(&self.path)
                    .map_err(io::Error::other)?
                    .write(&bytes, 0o600)
            })
            .map_err(|source| self.error("write", source))
    }

    /// Puts the saved snapshots into those slots of `store` that have none, and
    /// returns how many. Blocks.
    ///
    /// # Errors
    ///
    /// When there is a file but it cannot be read, is damaged, or is not ours.
    pub fn restore(&self, store: &Store, now: Timestamp) -> Result<usize, StateError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(self.error("read", error)),
        };
        let mut bytes = Vec::new();
        let read = file.take(MAX_FILE).read_to_end(&mut bytes);
        read.map_err(|source| self.error("read", source))?;
        let saved: Saved = serde_json::from_slice(&bytes)
            .map_err(|error| self.error("understand", error.into()))?;
        if saved.cwp_exporter_snapshots != VERSION {
            let other = io::Error::other("it is of another version");
            return Err(self.error("understand", other));
        }
        let accounts = store.load();
        let accounts = accounts.list().iter();
        let by_name: HashMap<&str, _> = accounts.map(|each| (each.name.as_str(), each)).collect();
        let mut restored = 0;
        for saved in &saved.accounts {
            let account = by_name.get(saved.name.as_str());
            let Some(account) = account.filter(|account| account.identity == saved.identity) else {
                continue;
            };
            for collector in &saved.collectors {
                let mut slots = account.slots.iter();
                let slot = slots.find(|slot| slot.collector().name() == collector.collector);
                if slot.is_some_and(|slot| restore(slot, collector, now)) {
                    restored += 1;
                }
            }
        }
        Ok(restored)
    }

    fn error(&self, verb: &'static str, source: io::Error) -> StateError {
        StateError {
            verb,
            path: self.path.display().to_string(),
            source,
        }
    }
}

fn save(account: &Arc<AccountState>) -> SavedAccount {
    let collectors = account.slots.iter().filter_map(|slot| {
        let state = slot.load();
        let success = state.last_success.as_ref()?;
        let samples = success.samples.iter().map(|sample| {
            let name = sample.metric.name.to_owned();
            (name, sample.label.to_owned(), sample.value)
        });
        Some(SavedCollector {
            collector: slot.collector().name().to_owned(),
            collected_at: success.at.wall,
            samples: samples.collect(),
        })
    });
    SavedAccount {
        name: account.name.clone(),
        identity: account.identity.clone(),
        collectors: collectors.collect(),
    }
}

/// Puts a saved snapshot into a slot that has none; says whether it did.
fn restore(slot: &Slot, saved: &SavedCollector, now: Timestamp) -> bool {
    let age = now.duration_since(saved.collected_at);
    if slot.load().last_success.is_some() || age < -MAX_AHEAD {
        return false;
    }
    let samples = saved.samples.iter();
    let samples = samples.map(|(name, label, value)| (name.as_str(), label.as_str(), *value));
    // A sample that this version does not know makes the rest doubtful.
    let Some(samples) = Samples::from_named(slot.collector().series(), samples) else {
        return false;
    };
    let age = Duration::try_from(age).unwrap_or_default();
    slot.store(CollectorState {
        last_success: Some(Success {
            at: Moment {
                wall: saved.collected_at,
                instant: Instant::now().checked_sub(age).unwrap_or_else(Instant::now),
            },
            samples,
        }),
        restored: true,
        ..CollectorState::default()
    });
    true
}

/// Tells accounts of one name apart, in words that give nothing away.
#[must_use]
pub fn identity(parts: impl Hash) -> String {
    struct Sha(Sha256);

    impl Hasher for Sha {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        /// Not asked for: the whole digest is.
        fn finish(&self) -> u64 {
            0
        }
    }

    let mut sha = Sha(Sha256::new());
    parts.hash(&mut sha);
    let digest = sha.0.finalize();
    base16ct::lower::encode_string(digest.get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::collector::Collector as _;
    use crate::collector::license_general::{LicenseGeneral, defs};
    use crate::snapshot::{KeySource, Revision};

    const MAX_AGE: Duration = Duration::from_secs(600);

    fn noon() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    /// This moment, with that time of day.
    fn moment(wall: Timestamp) -> Moment {
        let instant = Instant::now();
        Moment { wall, instant }
    }

    /// A store of one account, collected at noon if `value` says what was found.
    fn store(name: &str, identity: &str, value: Option<f64>) -> Store {
        let slot = Slot::new(&LicenseGeneral, &Revision::default());
        if let Some(value) = value {
            let samples = [
                (defs::LICENSES.name, "", value),
                (defs::EDITION.name, "ultimate", value),
            ];
            slot.store(CollectorState {
                last_success: Some(Success {
                    at: moment(noon()),
                    samples: Samples::from_named(LicenseGeneral.series(), samples).unwrap(),
                }),
                ..CollectorState::default()
            });
        }
        let account = AccountState {
            name: name.to_owned(),
            identity: identity.to_owned(),
            endpoint: String::new(),
            region: None,
            labels: BTreeMap::new(),
            key_source: KeySource::new(String::new),
            slots: vec![Arc::new(slot)],
        };
        Store::new(vec![Arc::new(account)], MAX_AGE)
    }

    fn state(store: &Store) -> Arc<CollectorState> {
        store.load().list()[0].slots[0].load()
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_comes_back_with_its_values_and_its_age() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::open(folder.path(), None).unwrap();
        dir.save(&store("a", "x", Some(7.0))).unwrap();
        tokio::time::advance(Duration::from_secs(3600)).await;

        let later = noon() + SignedDuration::from_secs(300);
        let fresh = store("a", "x", None);
        assert_eq!(dir.restore(&fresh, later).unwrap(), 1);
        let state = state(&fresh);
        assert!(state.restored);
        let samples: Vec<_> = state
            .samples(moment(later), MAX_AGE)
            .unwrap()
            .iter()
            .collect();
        assert_eq!(samples.len(), 2);
        assert!(samples.iter().all(|sample| sample.value.eq(&7.0)));
        assert_eq!(samples[0].label, "ultimate");
        tokio::time::advance(Duration::from_secs(300)).await;
        assert!(
            state.samples(moment(later), MAX_AGE).is_none(),
            "ten minutes old"
        );
    }

    #[tokio::test]
    async fn what_is_not_this_accounts_or_from_the_future_stays_out() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::open(folder.path(), None).unwrap();
        dir.save(&store("a", "x", Some(7.0))).unwrap();
        let yesterday = noon() - SignedDuration::from_hours(24);
        for (name, identity, now) in [
            ("b", "x", noon()),
            ("a", "y", noon()),
            ("a", "x", yesterday),
        ] {
            let fresh = store(name, identity, None);
            assert_eq!(dir.restore(&fresh, now).unwrap(), 0);
            assert!(state(&fresh).last_success.is_none());
        }
        let collected = store("a", "x", Some(8.0));
        assert_eq!(dir.restore(&collected, noon()).unwrap(), 0, "has its own");
    }

    #[tokio::test]
    async fn a_file_that_is_damaged_or_foreign_is_an_error_and_restores_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::open(folder.path(), None).unwrap();
        let fresh = store("a", "x", None);
        assert_eq!(dir.restore(&fresh, noon()).unwrap(), 0, "no file yet");
        dir.save(&store("a", "x", Some(7.0))).unwrap();
        let path = folder.path().join("snapshots.json");
        let good = std::fs::read_to_string(&path).unwrap();
        for bad in [
            String::new(),
            "{}".to_owned(),
            "not json".to_owned(),
            good[..good.len() / 2].to_owned(),
            good.replace("snapshots\":1", "snapshots\":2"),
            good.replace("\"accounts\"", "\"acounts\""),
        ] {
            std::fs::write(&path, &bad).unwrap();
            let error = dir.restore(&fresh, noon()).unwrap_err().to_string();
            assert!(error.contains("snapshots.json"), "{error}");
        }
        for unknown in ["tencentcloud_cwp_licenses", "7.0"] {
            let other = if unknown == "7.0" { "-7.0" } else { "other" };
            std::fs::write(&path, good.replace(unknown, other)).unwrap();
            assert_eq!(dir.restore(&fresh, noon()).unwrap(), 0);
        }
        assert!(state(&fresh).last_success.is_none());
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_an_error_that_names_it() {
        let error = StateDir::open(Path::new("/nowhere"), None).unwrap_err();
        assert!(error.to_string().contains("/nowhere"));
    }

    #[test]
    fn identities_tell_different_parts_apart_and_give_nothing_away() {
        let one = identity(("https://a", "AKIDsecret"));
        assert_eq!(one, identity(("https://a", "AKIDsecret")));
        assert_ne!(one, identity(("https://a", "AKIDother")));
        assert_eq!(one.len(), 32);
    }
}
