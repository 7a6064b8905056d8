//! Whether a client's password is right, without letting anybody wear the processor out.
//!
//! Asking bcrypt takes long on purpose. It is asked once for each password, one at a
//! time and away from the async threads; those who ask wait in a short queue, in which
//! no address has more than a few places. A password that was right is remembered for as
//! long as its user has the same hash, so who has it never waits again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::sync::Semaphore;

use crate::web_config::PasswordHash;

/// How many wrong passwords are remembered.
const WRONG_ONES: usize = 100;

/// How many clients may wait for bcrypt.
const QUEUE: usize = 64;

/// How many of them may be of one address.
const QUEUE_OF_ONE: usize = 4;

/// What a user, a hash and a password are remembered by. Nothing can be told from it.
type Digest = [u8; 32];

/// What is known of passwords.
pub(super) struct Passwords {
    /// Of this process only. Without one nothing is remembered.
    key: Option<[u8; 32]>,
    known: Mutex<Known>,
    waiting: Mutex<Waiting>,
    bcrypt: Arc<Semaphore>,
}

#[derive(Default)]
struct Known {
    /// Each user's password that was right.
    right: HashMap<String, Digest>,
    /// The oldest first.
    wrong: VecDeque<Digest>,
}

#[derive(Default)]
struct Waiting {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The password is the user's.
    Right,
    /// There is no such user, or it is not its password.
    Wrong,
    /// Too many are waiting.
    Busy,
}

impl Passwords {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        let mut key = [0; 32];
        let random = rustls::crypto::ring::default_provider().secure_random;
        Self {
            key: random.fill(&mut key).is_ok().then_some(key),
            known: Mutex::default(),
            waiting: Mutex::default(),
            bcrypt: Arc::new(Semaphore::new(1)),
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
        let digest = self.digest(user, &hash, password);
        if let Some(known) = digest.and_then(|digest| self.known().verdict(user, digest)) {
            return known;
        }
        let Some(_place) = Place::take(&self.waiting, peer) else {
            return Verdict::Busy;
        };
        let Ok(turn) = Arc::clone(&self.bcrypt).acquire_owned().await else {
            return Verdict::Busy;
        };
        // Others may have asked the same in the meantime.
        if let Some(known) = digest.and_then(|digest| self.known().verdict(user, digest)) {
            return known;
        }
        let password = password.to_vec();
        let asked = tokio::task::spawn_blocking(move || {
            // Also if the client leaves: it is the work that must not be done twice at a time.
            let _turn = turn;
            hash.matches(&password)
        });
        let right = matches!(asked.await, Ok(true)) && users.contains_key(user);
        if let Some(digest) = digest {
            self.known().note(user, digest, right);
        }
        if right {
            Verdict::Right
        } else {
            Verdict::Wrong
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

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn verdict(&self, user: &str, digest: Digest) -> Option<Verdict> {
        if self.right.get(user) == Some(&digest) {
            return Some(Verdict::Right);
        }
        self.wrong.contains(&digest).then_some(Verdict::Wrong)
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

/// A place in the queue for bcrypt; it is given back when this is dropped.
struct Place<'w> {
    waiting: &'w Mutex<Waiting>,
    peer: IpAddr,
}

impl<'w> Place<'w> {
    fn take(waiting: &'w Mutex<Waiting>, peer: IpAddr) -> Option<Self> {
        let mut queue = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = queue.by_address.get(&peer).copied().unwrap_or_default();
        if queue.all >= QUEUE || of_peer >= QUEUE_OF_ONE {
            return None;
        }
        queue.all += 1;
        queue.by_address.insert(peer, of_peer + 1);
        Some(Self { waiting, peer })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut queue = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        queue.all -= 1;
        let of_peer = queue
            .by_address
            .get(&self.peer)
            .copied()
            .unwrap_or_default();
        if of_peer > 1 {
            queue.by_address.insert(self.peer, of_peer - 1);
        } else {
            queue.by_address.remove(&self.peer);
        }
    }
}

/// Neither passwords nor what is left of them.
impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn users(password: &str) -> BTreeMap<String, PasswordHash> {
        let hash = bcrypt::hash(password, 4).unwrap();
        BTreeMap::from([("alice".to_owned(), hash.parse().unwrap())])
    }

    fn poll_once<F: Future>(future: F) -> Option<F::Output> {
        futures_util::FutureExt::now_or_never(future)
    }

    #[tokio::test]
    async fn a_password_is_right_or_wrong_and_remembered_either_way() {
        let (passwords, users) = (Passwords::new(), users("fish"));
        for (user, password, verdict) in [
            ("alice", "fish", Verdict::Right),
            ("alice", "Fish", Verdict::Wrong),
            ("bob", "fish", Verdict::Wrong),
            ("", "", Verdict::Wrong),
        ] {
            let check = || passwords.check(&users, user, password.as_bytes(), PEER);
            // While bcrypt is busy, an answer is from memory.
            let busy = Arc::clone(&passwords.bcrypt).acquire_owned().await;
            assert_eq!(poll_once(check()), None, "{user}");
            drop(busy);
            assert_eq!(check().await, verdict, "{user}");
            let _busy = Arc::clone(&passwords.bcrypt).acquire_owned().await;
            assert_eq!(poll_once(check()), Some(verdict), "{user}");
        }
    }

    #[tokio::test]
    async fn a_password_is_forgotten_with_its_hash() {
        let passwords = Passwords::new();
        let (before, after) = (users("fish"), users("bird"));
        assert_eq!(
            passwords.check(&before, "alice", b"fish", PEER).await,
            Verdict::Right
        );
        assert_eq!(
            passwords.check(&after, "alice", b"fish", PEER).await,
            Verdict::Wrong
        );
        assert_eq!(
            passwords.check(&after, "alice", b"bird", PEER).await,
            Verdict::Right
        );
        let nobody = BTreeMap::new();
        assert_eq!(
            passwords.check(&nobody, "alice", b"bird", PEER).await,
            Verdict::Wrong
        );
    }

    #[tokio::test]
    async fn a_flood_of_wrong_passwords_holds_up_neither_the_known_nor_other_addresses() {
        let (passwords, users) = (Passwords::new(), users("fish"));
        let check = |password: &'static [u8], peer: u8| {
            passwords.check(
                &users,
                "alice",
                password,
                Ipv4Addr::new(127, 0, 0, peer).into(),
            )
        };
        assert_eq!(check(b"fish", 1).await, Verdict::Right);
        let busy = Arc::clone(&passwords.bcrypt).acquire_owned().await;
        let mut flood = Vec::new();
        for _ in 0..QUEUE_OF_ONE {
            let mut waits = Box::pin(check(b"wrong", 2));
            assert_eq!(poll_once(&mut waits), None);
            flood.push(waits);
        }
        assert_eq!(poll_once(check(b"wrong", 2)), Some(Verdict::Busy));
        assert_eq!(poll_once(check(b"fish", 2)), Some(Verdict::Right));
        let mut other = Box::pin(check(b"other", 3));
        assert_eq!(poll_once(&mut other), None, "it waits for its turn");
        drop(flood);
        drop(busy);
        assert_eq!(other.await, Verdict::Wrong);
        let waiting = passwords.waiting.lock().unwrap();
        assert!(waiting.all == 0 && waiting.by_address.is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut known = Known::default();
        for number in 0..u8::MAX {
            known.note("alice", [number; 32], false);
            known.note("alice", [number; 32], true);
        }
        assert_eq!(known.wrong.len(), WRONG_ONES);
        assert_eq!(known.right.len(), 1);
    }
}
