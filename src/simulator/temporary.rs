//! The temporary keys that the simulated cloud has issued.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::key::SimulatedKey;

/// Expired keys are removed when there are more keys than this.
const SWEEP_FROM: usize = 65_536;

/// Every key, by its secret id.
#[derive(Debug)]
pub(crate) struct TemporaryKeys {
    /// Distinguishes the keys of two simulators.
    seed: u64,
    issued: u64,
    by_secret_id: HashMap<String, IssuedKey>,
    sweep_at: usize,
}

/// A temporary key.
#[derive(Debug, Clone)]
pub(crate) struct IssuedKey {
    pub(crate) key: Arc<SimulatedKey>,
    /// The account it belongs to, by its index in the scenario.
    pub(crate) tenant: usize,
    /// Counted from 1.
    pub(crate) serial: u64,
    /// Scenario time when it was issued.
    pub(crate) issued_at: Duration,
    /// Unix seconds from which on it is refused.
    pub(crate) expires: i64,
    /// Unix seconds at which half of its lifetime is over.
    pub(crate) half: i64,
}

impl IssuedKey {
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        now.as_second() >= self.expires
    }

    /// When it expires, as the API writes it.
    pub(crate) fn expiration(&self) -> String {
        Timestamp::from_second(self.expires)
            .unwrap_or(Timestamp::MAX)
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string()
    }
}

impl TemporaryKeys {
    /// No keys; those to come differ from all of another `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            issued: 0,
            by_secret_id: HashMap::new(),
            sweep_at: SWEEP_FROM,
        }
    }

    /// Issues a key that is valid for `lifetime`, rounded up to the full second.
    pub(crate) fn issue(
        &mut self,
        tenant: usize,
        issued_at: Duration,
        now: Timestamp,
        lifetime: Duration,
    ) -> IssuedKey {
        if self.by_secret_id.len() >= self.sweep_at {
            self.by_secret_id.retain(|_, key| !key.is_expired(now));
            let left = self.by_secret_id.len();
            self.sweep_at = left.saturating_mul(2).max(SWEEP_FROM);
        }
        self.issued = self.issued.saturating_add(1);
        let end = now.checked_add(lifetime).unwrap_or(Timestamp::MAX);
        let expires = end.as_second() + i64::from(end.subsec_nanosecond() > 0);
        let seconds = expires.saturating_sub(now.as_second());
        let key = SimulatedKey {
            secret_id: format!("AKID{}", self.text("id")),
            secret_key: self.text("key"),
            token: Some(["a", "b", "c", "d"].map(|part| self.text(part)).concat()),
        };
        let temporary = IssuedKey {
            key: Arc::new(key),
            tenant,
            serial: self.issued,
            issued_at,
            expires,
            half: now.as_second().saturating_add(seconds / 2),
        };
        let secret_id = temporary.key.secret_id.clone();
        self.by_secret_id.insert(secret_id, temporary.clone());
        temporary
    }

    /// The key of an id, expired or not.
    pub(crate) fn get(&self, secret_id: &str) -> Option<&IssuedKey> {
        self.by_secret_id.get(secret_id)
    }

    /// The serial of the latest key.
    pub(crate) fn latest(&self) -> u64 {
        self.issued
    }

    /// 64 hexadecimal digits that cannot be guessed.
    fn text(&self, part: &str) -> String {
        let text = format!("{:x}/{:x}/{part}", self.seed, self.issued);
        base16ct::lower::encode_string(&Sha256::digest(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn issue(keys: &mut TemporaryKeys, now: Timestamp, lifetime_ms: u64) -> IssuedKey {
        keys.issue(0, Duration::ZERO, now, Duration::from_millis(lifetime_ms))
    }

    #[test]
    fn no_two_keys_are_equal() {
        let (mut keys, mut others) = (TemporaryKeys::new(1), TemporaryKeys::new(2));
        let first = issue(&mut keys, at(0), 1_000).key;
        for other in [
            issue(&mut keys, at(0), 1_000),
            issue(&mut others, at(0), 1_000),
        ] {
            assert_ne!(first.secret_id, other.key.secret_id);
            assert_ne!(first.secret_key, other.key.secret_key);
            assert_ne!(first.token, other.key.token);
            assert_eq!(other.key.token.as_ref().unwrap().len(), 256);
        }
    }

    #[test]
    fn key_expires_at_the_announced_second_and_never_early() {
        let mut keys = TemporaryKeys::new(1);
        let half_past = Timestamp::from_millisecond(10_500).unwrap();
        for (now, lifetime_ms, expires) in [
            (at(10), 7_200_000, 7_210),
            (at(10), 1, 11),
            (half_past, 500, 11),
            (half_past, 501, 12),
        ] {
            let key = issue(&mut keys, now, lifetime_ms);
            assert_eq!(key.expires, expires);
            assert!(!key.is_expired(at(expires - 1)) && key.is_expired(at(expires)));
        }
        let key = issue(&mut keys, at(1_717_200_000), 7_200_000);
        assert_eq!(key.expiration(), "2024-06-01T02:00:00Z");
        assert_eq!(key.half, 1_717_203_600);
        assert_eq!(issue(&mut keys, at(10), 5_000).half, 12);
        assert_eq!(issue(&mut keys, at(10), 1_000).half, 10);
    }

    #[test]
    fn only_expired_keys_are_removed_and_only_when_there_are_many() {
        let mut keys = TemporaryKeys::new(1);
        let long = issue(&mut keys, at(0), 1_000_000).key;
        let short = issue(&mut keys, at(0), 1_000).key;
        assert!(
            keys.get(&short.secret_id)
                .is_some_and(|key| key.is_expired(at(1)))
        );
        keys.sweep_at = 2;
        issue(&mut keys, at(1), 1_000);
        assert!(keys.get(&short.secret_id).is_none());
        assert!(keys.get(&long.secret_id).is_some());
        assert_eq!(keys.latest(), 3);
    }
}
