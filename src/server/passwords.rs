//! Whether a client's password is right, without letting anybody wear the processor out.
//!
//! A check by bcrypt takes long on purpose. One runs at a time, away from the async threads,
//! and goes on although its client has left: when the client asks again, the verdict is
//! known. What was right is remembered for as long as its user has the same hash, so who
//! has the password waits once after a start, however many others guess.

mod queue;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::sync::watch;

use crate::server::web_config::PasswordHash;
use queue::Queue;

/// How many wrong passwords are remembered.
const WRONG_ONES: usize = 100;

/// How long a client may wait for a verdict. Prometheus itself gives up after ten seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much of a password counts for bcrypt, in bytes.
const COUNTED: usize = 72;

/// What a user, a hash and a password are remembered by. Nothing can be told from it.
type Digest = [u8; 32];

/// Whether the hash is that of the password.
type Check = fn(PasswordHash, Box<[u8]>) -> BoxFuture<'static, bool>;

/// What is known of passwords.
pub(super) struct Passwords {
    /// Of this process only. Without one nobody can be let in.
    key: Option<[u8; 32]>,
    check: Check,
    state: Arc<Mutex<PasswordCache>>,
}

struct PasswordCache {
    /// Each user's password that was right.
    right: HashMap<String, Digest>,
    /// The oldest first.
    wrong: VecDeque<Digest>,
    waiting: Queue<PasswordCheck>,
    /// The one that is being checked.
    checked: Option<(Digest, watch::Sender<Verdict>)>,
}

/// A password to be checked, and where the verdict goes.
struct PasswordCheck {
    user: String,
    hash: PasswordHash,
    password: Box<[u8]>,
    verdict: watch::Sender<Verdict>,
}

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The password is the user's.
    Right,
    /// There is no such user, or it is not its password.
    Wrong,
    /// Not known yet: too many are waiting.
    Busy,
}

impl Passwords {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        Self::checked_by(bcrypt)
    }

    fn checked_by(check: Check) -> Self {
        let mut key = [0; 32];
        let random = rustls::crypto::ring::default_provider().secure_random;
        Self {
            key: random.fill(&mut key).is_ok().then_some(key),
            check,
            state: Arc::new(Mutex::new(PasswordCache {
                right: HashMap::new(),
                wrong: VecDeque::new(),
                waiting: Queue::new(),
                checked: None,
            })),
        }
    }

    /// Whether `password`, sent from `peer`, is that of `user` among `users`.
    pub(super) async fn check(
        &self,
        users: &BTreeMap<String, PasswordHash>,
        user: &str,
        password: &[u8],
        peer: IpAddr,
    ) -> Verdict {
        // Who is no user must take as long as one with a wrong password.
        let hash = users.get(user).cloned().unwrap_or_else(|| {
            let cost = users.values().map(PasswordHash::cost).max();
            PasswordHash::unmatched(cost.unwrap_or_default())
        });
        let Some(digest) = self.digest(user, &hash, password) else {
            return Verdict::Busy;
        };
        let verdict = {
            let mut state = lock(&self.state);
            if let Some(known) = state.verdict(user, digest) {
                return known;
            }
            state.ask(digest, peer, || PasswordCheck {
                user: user.to_owned(),
                hash,
                password: password.get(..COUNTED).unwrap_or(password).into(),
                verdict: watch::Sender::new(Verdict::Busy),
            })
        };
        let Some(mut verdict) = verdict else {
            return Verdict::Busy;
        };
        self.start();
        let known = verdict.wait_for(|verdict| *verdict != Verdict::Busy);
        match tokio::time::timeout(PATIENCE, known).await {
            Ok(Ok(verdict)) => *verdict,
            _ => Verdict::Busy,
        }
    }

    /// Begins to check what waits, unless that is under way.
    fn start(&self) {
        let (check, state) = (self.check, Arc::clone(&self.state));
        let Some(first) = lock(&state).begin() else {
            return;
        };
        tokio::spawn(async move {
            let mut next = Some(first);
            while let Some(PasswordCheck {
                user,
                hash,
                password,
                ..
            }) = next
            {
                let right = check(hash, password).await;
                let mut state = lock(&state);
                state.end(&user, right);
                next = state.begin();
            }
        });
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

/// Asks bcrypt, at the usual priority: a machine that is busy must not keep scrapers out.
fn bcrypt(hash: PasswordHash, password: Box<[u8]>) -> BoxFuture<'static, bool> {
    let asked = tokio::task::spawn_blocking(move || hash.matches(&password));
    asked.map(|right| matches!(right, Ok(true))).boxed()
}

fn lock(state: &Mutex<PasswordCache>) -> MutexGuard<'_, PasswordCache> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PasswordCache {
    fn verdict(&self, user: &str, digest: Digest) -> Option<Verdict> {
        if self.right.get(user) == Some(&digest) {
            return Some(Verdict::Right);
        }
        self.wrong.contains(&digest).then_some(Verdict::Wrong)
    }

    /// Where the verdict on a password will be told, or nothing if too many wait.
    fn ask(
        &mut self,
        digest: Digest,
        peer: IpAddr,
        question: impl FnOnce() -> PasswordCheck,
    ) -> Option<watch::Receiver<Verdict>> {
        if let Some((checked, verdict)) = &self.checked
            && *checked == digest
        {
            return Some(verdict.subscribe());
        }
        if let Some(question) = self.waiting.ask_again(&digest) {
            return Some(question.verdict.subscribe());
        }
        let question = question();
        let verdict = question.verdict.subscribe();
        let waits = self.waiting.push(peer.into(), digest, question);
        waits.then_some(verdict)
    }

    /// What is to be checked now; nothing if a check is under way.
    fn begin(&mut self) -> Option<PasswordCheck> {
        if self.checked.is_some() {
            return None;
        }
        let (digest, question) = self.waiting.next()?;
        self.checked = Some((digest, question.verdict.clone()));
        Some(question)
    }

    /// Takes note of what came of the check.
    fn end(&mut self, user: &str, right: bool) {
        let Some((digest, verdict)) = self.checked.take() else {
            return;
        };
        self.note(user, digest, right);
        verdict.send_replace(if right {
            Verdict::Right
        } else {
            Verdict::Wrong
        });
    }

    fn note(&mut self, user: &str, digest: Digest, right: bool) {
        if right {
            self.right.insert(user.to_owned(), digest);
            return;
        }
        if self.wrong.len() >= WRONG_ONES {
            self.wrong.pop_front();
        }
        self.wrong.push_back(digest);
    }
}

/// Neither passwords nor what is left of them.
impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
