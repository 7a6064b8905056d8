//! Verification of passwords, such that clients cannot exhaust the processor.
//!
//! A bcrypt check takes long on purpose. One check runs at a time on a thread of its own, and
//! continues after its client has left: when the client asks again, the verdict is cached. The
//! right password of a user is cached as long as the hash stays the same. A client with the
//! right password thereby waits once after a start, however many others guess.

mod queue;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::Mutex;
use sha2::Sha256;
use tokio::sync::watch;

use crate::server::web_config::PasswordHash;
use queue::Queue;

/// The most wrong passwords in the cache.
const MAX_WRONG: usize = 100;

/// The time limit of a client that waits for a verdict. Prometheus gives a scrape up after
/// ten seconds.
const WAIT_TIME: Duration = Duration::from_secs(30);

/// The bytes of a password that bcrypt uses.
const BCRYPT_BYTES: usize = 72;

/// The keyed digest of a user, a hash and a password.
type Digest = [u8; 32];

/// Whether the hash is the hash of the password.
type Compare = fn(PasswordHash, Box<[u8]>) -> BoxFuture<'static, bool>;

/// Checks passwords.
pub(super) struct Passwords {
    /// The key of the digests, random for each process. Without a key nobody is let in.
    key: Option<[u8; 32]>,
    check: Compare,
    cache: Arc<Mutex<PasswordCache>>,
}

#[derive(Default)]
struct PasswordCache {
    /// The right password of each user.
    right: HashMap<String, Digest>,
    /// The oldest first.
    wrong: VecDeque<Digest>,
    queue: Queue<PasswordCheck>,
    /// The check that is running.
    running: Option<(Digest, watch::Sender<Verdict>)>,
}

/// A password to check, and the receivers of the verdict.
struct PasswordCheck {
    user: String,
    hash: PasswordHash,
    password: Box<[u8]>,
    verdict: watch::Sender<Verdict>,
}

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The password is the user's.
    Right,
    /// There is no such user, or the password is not the user's.
    Wrong,
    /// Not known yet: too many passwords wait.
    Busy,
}

impl Passwords {
    /// A checker with an empty cache.
    pub(super) fn new() -> Self {
        Self::checked_by(bcrypt)
    }

    fn checked_by(check: Compare) -> Self {
        let mut key = [0; 32];
        let random = rustls::crypto::ring::default_provider().secure_random;
        Self {
            key: random.fill(&mut key).is_ok().then_some(key),
            check,
            cache: Arc::default(),
        }
    }

    /// Whether `password`, sent from `peer`, is the password of `user` among `users`.
    pub(super) async fn check(
        &self,
        users: &BTreeMap<String, PasswordHash>,
        user: &str,
        password: &[u8],
        peer: IpAddr,
    ) -> Verdict {
        // An unknown user must take as long as a wrong password.
        let hash = users.get(user).cloned().unwrap_or_else(|| {
            let cost = users.values().map(PasswordHash::cost).max();
            PasswordHash::unmatched(cost.unwrap_or_default())
        });
        let Some(digest) = self.digest(user, &hash, password) else {
            return Verdict::Busy;
        };
        let verdict = {
            let mut cache = self.cache.lock();
            if let Some(verdict) = cache.get(user, digest) {
                return verdict;
            }
            cache.enqueue(digest, peer, || PasswordCheck {
                user: user.to_owned(),
                hash,
                password: password.get(..BCRYPT_BYTES).unwrap_or(password).into(),
                verdict: watch::Sender::new(Verdict::Busy),
            })
        };
        let Some(mut verdict) = verdict else {
            return Verdict::Busy;
        };
        self.start();
        let known = verdict.wait_for(|verdict| *verdict != Verdict::Busy);
        match tokio::time::timeout(WAIT_TIME, known).await {
            Ok(Ok(verdict)) => *verdict,
            _ => Verdict::Busy,
        }
    }

    /// Checks the passwords of the queue, unless a check is running.
    fn start(&self) {
        let (check, cache) = (self.check, Arc::clone(&self.cache));
        let mut next = cache.lock().begin();
        if next.is_some() {
            tokio::spawn(async move {
                while let Some(running) = next {
                    let right = check(running.hash, running.password).await;
                    let mut cache = cache.lock();
                    cache.end(&running.user, right);
                    next = cache.begin();
                }
            });
        }
    }

    fn digest(&self, user: &str, hash: &PasswordHash, password: &[u8]) -> Option<Digest> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_ref()?).ok()?;
        for part in [user.as_bytes(), hash.text().as_bytes(), password] {
            mac.update(&part.len().to_be_bytes());
            mac.update(part);
        }
        Some(mac.finalize().into_bytes().into())
    }
}

/// Runs bcrypt at the usual priority: a busy machine must not keep scrapers out.
fn bcrypt(hash: PasswordHash, password: Box<[u8]>) -> BoxFuture<'static, bool> {
    let right = tokio::task::spawn_blocking(move || hash.matches(&password));
    right.map(|right| matches!(right, Ok(true))).boxed()
}

impl PasswordCache {
    fn get(&self, user: &str, digest: Digest) -> Option<Verdict> {
        if self.right.get(user) == Some(&digest) {
            return Some(Verdict::Right);
        }
        self.wrong.contains(&digest).then_some(Verdict::Wrong)
    }

    /// The receiver of the verdict; nothing if too many passwords wait.
    fn enqueue(
        &mut self,
        digest: Digest,
        peer: IpAddr,
        check: impl FnOnce() -> PasswordCheck,
    ) -> Option<watch::Receiver<Verdict>> {
        if let Some((running, verdict)) = &self.running
            && *running == digest
        {
            return Some(verdict.subscribe());
        }
        if let Some(check) = self.queue.ask_again(&digest) {
            return Some(check.verdict.subscribe());
        }
        let check = check();
        let verdict = check.verdict.subscribe();
        let waits = self.queue.push(peer.into(), digest, check);
        waits.then_some(verdict)
    }

    /// Takes the next check out of the queue; nothing if a check is running.
    fn begin(&mut self) -> Option<PasswordCheck> {
        if self.running.is_some() {
            return None;
        }
        let (digest, check) = self.queue.next()?;
        self.running = Some((digest, check.verdict.clone()));
        Some(check)
    }

    /// Stores and sends the verdict of the running check.
    fn end(&mut self, user: &str, right: bool) {
        let Some((digest, receivers)) = self.running.take() else {
            return;
        };
        let verdict = if right {
            Verdict::Right
        } else {
            Verdict::Wrong
        };
        self.insert(user, digest, verdict);
        receivers.send_replace(verdict);
    }

    fn insert(&mut self, user: &str, digest: Digest, verdict: Verdict) {
        if verdict == Verdict::Right {
            self.right.insert(user.to_owned(), digest);
            return;
        }
        if self.wrong.len() >= MAX_WRONG {
            self.wrong.pop_front();
        }
        self.wrong.push_back(digest);
    }
}

#[cfg(test)]
mod tests;
