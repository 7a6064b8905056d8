//! A key that a service issues for a limited time: kept, and replaced ahead of its expiry.
//!
//! While a key is valid no collection waits for the next key, and a failed renewal has no
//! effect until the key has expired. Without a valid key, all collections wait for the one
//! request that is under way. After a failure, the service is not asked before a backoff
//! of 1 to 60 s has passed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::Instant;
use tracing::{debug, info};

use super::{Context, Provider, Unavailable};
use crate::cloud::{Credential, Error};
use crate::metrics::reason::Reason;

/// The shortest time before its expiry at which a key is replaced, unless half the key's life
/// is shorter.
const MIN_LEAD: Duration = Duration::from_secs(300);

/// The pause after the first failure; it doubles with each further one.
const BACKOFF: Duration = Duration::from_secs(2);

/// The longest pause after a failure.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// A key that replaced a refused key and is refused too is not replaced again before this
/// time has passed: the next key would be refused for the same reason.
const MIN_RENEWAL_GAP: Duration = Duration::from_secs(1);

/// Asks a service for a key.
pub(super) trait Issuer: Send + Sync + 'static {
    /// A key that says when it expires.
    fn issue(&self) -> BoxFuture<'_, Result<Credential, Unavailable>>;

    /// The service in words.
    fn source(&self) -> String;
}

/// The parts of a key, by the names that the token service and the metadata service
/// share.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Keys {
    tmp_secret_id: String,
    tmp_secret_key: String,
    token: String,
}

impl Keys {
    /// The credential of `holder` until `expires_at` in Unix seconds; nothing if a
    /// part cannot be one.
    pub(super) fn credential(self, holder: &str, expires_at: i64) -> Option<Credential> {
        let parts = [&self.tmp_secret_id, &self.tmp_secret_key, &self.token];
        let word = |part: &String| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic());
        let expires_at = Timestamp::from_second(expires_at).ok()?;
        parts.iter().all(|part| word(part)).then(|| {
            Credential::new(self.tmp_secret_id, self.tmp_secret_key, Some(self.token))
                .temporary(holder.to_owned(), expires_at)
        })
    }
}

/// Keeps a key fresh.
pub(super) struct Temporary<I>(Arc<Renewal<I>>);

struct Renewal<I> {
    issuer: I,
    context: Context,
    /// Held by the one request that is under way.
    refresh_lock: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<KeyState>,
}

#[derive(Default)]
struct KeyState {
    issued: Option<Issued>,
    failure: Option<RecentFailures>,
    /// Why the key was not renewed, until somebody takes the error to log it.
    notice: Option<Error>,
}

struct Issued {
    credential: Arc<Credential>,
    /// A refusal before this instant does not trigger a renewal.
    pinned_until: Instant,
    /// When to ask for the next key: by the monotonic clock, which nobody sets, and by the
    /// wall clock, which goes on while the machine sleeps.
    due: (Instant, Timestamp),
}

/// The failures since the last success.
struct RecentFailures {
    error: Unavailable,
    count: u32,
    retry: Instant,
}

/// What can be handed out.
enum Availability {
    /// A key.
    Fresh(Arc<Credential>),
    /// A key that is valid, but due to be replaced.
    Due(Arc<Credential>),
    /// No key, and it is too early to ask again.
    Failed(Unavailable),
    /// No key.
    Absent,
}

impl KeyState {
    fn availability(&self, now: Timestamp) -> Availability {
        let failure = self.failure.as_ref();
        let failure = failure.filter(|failure| Instant::now() < failure.retry);
        match (&self.issued, failure) {
            (Some(issued), failure) if !issued.credential.has_expired(now) => {
                let credential = Arc::clone(&issued.credential);
                let (instant, at) = issued.due;
                let is_due = Instant::now() >= instant || now >= at;
                if is_due && failure.is_none() {
                    Availability::Due(credential)
                } else {
                    Availability::Fresh(credential)
                }
            }
            (_, Some(failure)) => Availability::Failed(failure.error.clone()),
            (_, None) => Availability::Absent,
        }
    }
}

impl<I: Issuer> Temporary<I> {
    pub(super) fn new(issuer: I, context: &Context) -> Self {
        Self(Arc::new(Renewal {
            issuer,
            context: context.clone(),
            refresh_lock: Arc::default(),
            state: Mutex::default(),
        }))
    }
}

impl<I: Issuer> Renewal<I> {
    fn availability(&self) -> Availability {
        self.state.lock().availability(self.context.clock.now())
    }

    /// Asks for a key, which no refusal replaces before `gap` has passed. The caller holds
    /// `refresh_lock`.
    async fn refresh(&self, gap: Duration) -> Result<Arc<Credential>, Unavailable> {
        let issued = self.issuer.issue().await;
        let now = self.context.clock.now();
        let issued = issued.and_then(|credential| match credential.expires_at() {
            Some(at) if at > now => Ok((credential, at.duration_since(now))),
            _ => Err(Unavailable::Broken(Error::new(
                Reason::Clock,
                format!(
                    "the temporary key that was issued for {} has already expired by this \
                     machine's clock",
                    self.issuer.source()
                ),
            ))),
        });
        match issued {
            Ok((credential, life)) => Ok(self.keep(credential, life, now, gap)),
            Err(error) => Err(self.note(error, now)),
        }
    }

    fn keep(
        &self,
        credential: Credential,
        life: SignedDuration,
        now: Timestamp,
        gap: Duration,
    ) -> Arc<Credential> {
        let life = Duration::try_from(life).unwrap_or_default();
        let wait = life.saturating_sub(lead(life, fastrand::f64()));
        let at = Instant::now();
        let credential = Arc::new(credential);
        let mut state = self.state.lock();
        let known = state.issued.as_ref().map(|issued| &issued.credential);
        if known.is_some_and(|known| *known != credential) {
            self.context.metrics.count_credential_refresh(true);
        }
        if state.failure.is_some() {
            info!(
                source = self.issuer.source(),
                "the temporary key can be renewed again"
            );
        }
        debug!(
            source = self.issuer.source(),
            secret_id = credential.shown_id(),
            ?life,
            refresh_in = ?wait,
            "temporary key issued"
        );
        state.failure = None;
        state.issued = Some(Issued {
            credential: Arc::clone(&credential),
            pinned_until: at + gap,
            due: (at + wait, now.checked_add(wait).unwrap_or(now)),
        });
        credential
    }

    fn note(&self, error: Unavailable, now: Timestamp) -> Unavailable {
        let mut state = self.state.lock();
        let issued = state.issued.as_ref();
        // An absent source counts only once it had a key.
        if issued.is_some() || matches!(error, Unavailable::Broken(_)) {
            self.context.metrics.count_credential_refresh(false);
        }
        let earlier = state.failure.as_ref().map_or(0, |failure| failure.count);
        let valid = issued.is_some_and(|issued| !issued.credential.has_expired(now));
        if valid && earlier == 0 {
            state.notice = Some(error.error().clone());
        }
        let count = earlier.saturating_add(1);
        state.failure = Some(RecentFailures {
            error: error.clone(),
            count,
            retry: Instant::now() + backoff(count, fastrand::f64()),
        });
        error
    }

    /// Whether `rejected` is to be replaced before its time.
    fn wants_renewal(&self, rejected: &Credential) -> bool {
        let state = self.state.lock();
        let rested = |failure: &RecentFailures| Instant::now() >= failure.retry;
        let refused = |issued: &Issued| {
            *issued.credential == *rejected && Instant::now() >= issued.pinned_until
        };
        state.issued.as_ref().is_some_and(refused) && state.failure.as_ref().is_none_or(rested)
    }
}

impl<I: Issuer> Provider for Temporary<I> {
    fn credential(&self) -> BoxFuture<'_, Result<Arc<Credential>, Unavailable>> {
        Box::pin(async {
            let Self(shared) = self;
            match shared.availability() {
                Availability::Fresh(credential) => return Ok(credential),
                Availability::Due(credential) => {
                    if let Ok(lock) = Arc::clone(&shared.refresh_lock).try_lock_owned() {
                        let shared = Arc::clone(shared);
                        tokio::spawn(async move {
                            // The failure is noted, and reported once no key is valid.
                            let _ = shared.refresh(Duration::ZERO).await;
                            drop(lock);
                        });
                    }
                    return Ok(credential);
                }
                Availability::Failed(error) => return Err(error),
                Availability::Absent => {}
            }
            let _lock = shared.refresh_lock.lock().await;
            match shared.availability() {
                Availability::Fresh(credential) | Availability::Due(credential) => Ok(credential),
                Availability::Failed(error) => Err(error),
                Availability::Absent => shared.refresh(Duration::ZERO).await,
            }
        })
    }

    fn current(&self) -> Option<Arc<Credential>> {
        let Self(shared) = self;
        let state = shared.state.lock();
        let issued = state.issued.as_ref();
        issued.map(|issued| Arc::clone(&issued.credential))
    }

    fn renew<'a>(&'a self, rejected: &'a Credential) -> BoxFuture<'a, ()> {
        Box::pin(async {
            let Self(shared) = self;
            let _lock = shared.refresh_lock.lock().await;
            if shared.wants_renewal(rejected) {
                // The failure is noted; the caller sees that the key is the same.
                let _ = shared.refresh(MIN_RENEWAL_GAP).await;
            }
        })
    }

    fn take_notice(&self) -> Option<Error> {
        self.0.state.lock().notice.take()
    }

    fn source(&self) -> String {
        self.0.issuer.source()
    }
}

/// How long before its expiry a key is replaced: when 10 to 20 % of its life is
/// left, by `jitter` in `0.0..1.0`.
fn lead(life: Duration, jitter: f64) -> Duration {
    let share = life.mul_f64(0.1 + 0.1 * jitter);
    share.max(MIN_LEAD).min(life / 2)
}

/// How long to leave the service alone after failure number `count` in a row.
fn backoff(count: u32, jitter: f64) -> Duration {
    let doublings = count.saturating_sub(1).min(16);
    let span = (BACKOFF * 2_u32.saturating_pow(doublings)).min(MAX_BACKOFF);
    span.mul_f64(0.5 + 0.5 * jitter)
}

#[cfg(test)]
mod tests;
