//! A key's whole life, with an issuer that plays a script on paused time.

use prometheus::Registry;

use super::super::fixture::{self, refreshes};
use super::*;
use crate::cloud::scripted::Scripted;
use crate::system::clock::Clock;
use crate::system::logging::fixture::CapturedLog;

/// Issues keys `AKID0`, `AKID1`… that live `life`; fails while `broken`.
struct Play {
    clock: Clock,
    life: Mutex<i64>,
    broken: Mutex<bool>,
    absent: Mutex<bool>,
    asked: Mutex<u32>,
}

impl Issuer for Arc<Play> {
    fn issue(&self) -> BoxFuture<'_, Result<Credential, Unavailable>> {
        Box::pin(async {
            let number = {
                let mut asked = self.asked.lock();
                *asked += 1;
                *asked - 1
            };
            tokio::time::sleep(Duration::from_millis(100)).await;
            if *self.broken.lock() {
                let why = format!("failure {number}");
                return Err(Unavailable::Broken(Error::new(Reason::Server, why)));
            }
            if *self.absent.lock() {
                let why = Error::new(Reason::Credentials, "no role");
                return Err(Unavailable::Absent(why));
            }
            let life = SignedDuration::from_secs(*self.life.lock());
            let key = Credential::new(format!("AKID{number}"), "hunter2".to_owned(), None);
            Ok(key.temporary("a role".to_owned(), self.clock.now() + life))
        })
    }

    fn source(&self) -> String {
        "a play".to_owned()
    }
}

struct Stage {
    play: Arc<Play>,
    provider: Arc<Temporary<Arc<Play>>>,
    registry: Registry,
}

impl Stage {
    fn new(life: i64) -> Self {
        let registry = Registry::new();
        let context = fixture::context_of(&registry, Scripted::hanging(), []);
        let play = Arc::new(Play {
            clock: context.clock.clone(),
            life: Mutex::new(life),
            broken: Mutex::default(),
            absent: Mutex::default(),
            asked: Mutex::default(),
        });
        Self {
            provider: Arc::new(Temporary::new(Arc::clone(&play), &context)),
            play,
            registry,
        }
    }

    fn asked(&self) -> u32 {
        *self.play.asked.lock()
    }

    fn break_it(&self, broken: bool) {
        *self.play.broken.lock() = broken;
    }

    /// The name of the key that is handed out now.
    async fn key(&self) -> Result<String, String> {
        let credential = self.provider.credential().await;
        credential
            .map(|credential| credential.secret_id().to_owned())
            .map_err(|error| error.to_string())
    }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_cause_one_request() {
    let stage = Stage::new(7200);
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let provider = Arc::clone(&stage.provider);
            tokio::spawn(async move { provider.credential().await.unwrap() })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap().secret_id(), "AKID0");
    }
    assert_eq!(stage.asked(), 1);
    assert_eq!(refreshes(&stage.registry), [0.0, 0.0], "failure, success");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_of_a_broken_service_cause_one_request() {
    let stage = Stage::new(7200);
    stage.break_it(true);
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let provider = Arc::clone(&stage.provider);
            tokio::spawn(async move { provider.credential().await.unwrap_err() })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap().to_string(), "failure 0");
    }
    assert_eq!(stage.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_next_key_is_had_ahead_of_expiry_while_nobody_waits() {
    let stage = Stage::new(7200);
    assert_eq!(stage.key().await.unwrap(), "AKID0");
    // 80 % of its life.
    pass(5700).await;
    assert_eq!(stage.key().await.unwrap(), "AKID0");
    pass(1).await;
    assert_eq!(stage.asked(), 1);
    // 90 % of its life.
    pass(800).await;
    let asked = Instant::now();
    assert_eq!(stage.key().await.unwrap(), "AKID0");
    assert_eq!(asked.elapsed(), Duration::ZERO);
    pass(1).await;
    assert_eq!(stage.key().await.unwrap(), "AKID1");
    assert_eq!(stage.asked(), 2);
    assert_eq!(refreshes(&stage.registry), [0.0, 1.0], "failure, success");
}

#[tokio::test(start_paused = true)]
async fn a_failing_refresh_costs_nothing_until_the_key_has_expired() {
    let stage = Stage::new(7200);
    stage.key().await.unwrap();
    stage.break_it(true);
    pass(6600).await;
    // A hundred accounts each second, to the last second.
    for _ in 0..599 {
        for _ in 0..100 {
            assert_eq!(stage.key().await.unwrap(), "AKID0");
        }
        pass(1).await;
    }
    let asked = stage.asked();
    assert!((8..=30).contains(&asked), "{asked} requests in ten minutes");
    pass(2).await;
    let error = stage.key().await.unwrap_err();
    assert!(error.starts_with("failure"), "{error}");

    stage.break_it(false);
    pass(60).await;
    assert!(stage.key().await.unwrap().starts_with("AKID"));
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_is_replaced_once_for_all_who_used_it() {
    let stage = Stage::new(7200);
    let first = stage.provider.credential().await.unwrap();
    let renewals: Vec<_> = (0..100)
        .map(|_| {
            let (provider, first) = (Arc::clone(&stage.provider), Arc::clone(&first));
            tokio::spawn(async move { provider.renew(&first).await })
        })
        .collect();
    for renewal in renewals {
        renewal.await.unwrap();
    }
    assert_eq!(stage.asked(), 2);
    let second = stage.provider.current().unwrap();
    assert_eq!(second.secret_id(), "AKID1");
    assert_eq!(second.quota_key(), first.quota_key());

    // Where its successor is refused as well, the key is not the reason.
    stage.provider.renew(&second).await;
    assert_eq!(stage.asked(), 2);

    // Of a key that is no longer in use, a refusal says nothing.
    pass(2).await;
    stage.provider.renew(&first).await;
    assert_eq!(stage.asked(), 2);

    // A renewal that fails leaves the key in use and the service alone.
    stage.break_it(true);
    stage.provider.renew(&second).await;
    stage.provider.renew(&second).await;
    assert_eq!(stage.asked(), 3);
    assert_eq!(stage.provider.current(), Some(second));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_replaced_a_refused_one_is_replaced_a_second_later_at_the_earliest() {
    let stage = Stage::new(7200);
    let first = stage.provider.credential().await.unwrap();
    stage.provider.renew(&first).await;
    let second = stage.provider.current().unwrap();
    tokio::time::advance(Duration::from_millis(999)).await;
    stage.provider.renew(&second).await;
    assert_eq!(stage.asked(), 2);
    tokio::time::advance(Duration::from_millis(1)).await;
    stage.provider.renew(&second).await;
    assert_eq!(stage.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_issued_expired_is_a_failure() {
    let stage = Stage::new(0);
    let error = stage.key().await.unwrap_err();
    assert!(error.contains("already expired"), "{error}");
    assert_eq!(refreshes(&stage.registry), [1.0, 0.0], "failure, success");
}

#[tokio::test(start_paused = true)]
async fn after_a_success_the_pauses_begin_anew_and_a_failure_is_told_again() {
    let log = CapturedLog::start();
    let stage = Stage::new(7200);
    stage.break_it(true);
    for _ in 0..20 {
        stage.key().await.unwrap_err();
        pass(60).await;
    }
    stage.break_it(false);
    stage.key().await.unwrap();
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("can be renewed again"), "{lines:?}");
    assert_eq!(stage.provider.take_notice(), None);
    stage.break_it(true);
    pass(6600).await;
    for _ in 0..2 {
        let asked = stage.asked();
        stage.key().await.unwrap();
        // The first pause takes 2 s at the most.
        pass(3).await;
        assert_eq!(stage.asked(), asked + 1);
        // Told with the first failure, and once.
        assert_eq!(stage.provider.take_notice().is_some(), asked == 21);
        assert_eq!(stage.provider.take_notice(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_absent_source_is_a_failed_renewal_only_once_it_had_a_key() {
    let stage = Stage::new(7200);
    *stage.play.absent.lock() = true;
    stage.key().await.unwrap_err();
    assert_eq!(refreshes(&stage.registry), [0.0, 0.0], "failure, success");
    *stage.play.absent.lock() = false;
    pass(60).await;
    stage.key().await.unwrap();
    *stage.play.absent.lock() = true;
    pass(7200).await;
    stage.key().await.unwrap_err();
    assert_eq!(refreshes(&stage.registry), [1.0, 0.0], "failure, success");
}

#[test]
fn a_key_has_no_part_that_is_empty_or_holds_a_blank() {
    let keys = |id: &str, key: &str, token: &str| Keys {
        tmp_secret_id: id.to_owned(),
        tmp_secret_key: key.to_owned(),
        token: token.to_owned(),
    };
    let key = |id: &str, key: &str, token: &str| {
        let keys = keys(id, key, token);
        keys.credential("a role", 1_717_207_200)
    };
    assert!(key("AKIDa", "hunter2", "t+/=").is_some());
    let never = keys("AKIDa", "hunter2", "t").credential("a role", i64::MAX);
    assert_eq!(never, None, "no calendar has this moment");
    for odd in ["", " ", "a b", "a\n", "\ta", "a\0", "é"] {
        assert_eq!(key(odd, "hunter2", "t"), None, "{odd:?}");
        assert_eq!(key("AKIDa", odd, "t"), None, "{odd:?}");
        assert_eq!(key("AKIDa", "hunter2", odd), None, "{odd:?}");
    }
}

#[test]
fn keys_are_replaced_with_a_tenth_to_a_fifth_of_their_life_left() {
    let lead = |life, jitter| lead(Duration::from_secs(life), jitter).as_secs();
    assert_eq!(lead(43_200, 0.0), 4320);
    assert_eq!(lead(43_200, 1.0), 8640);
    assert_eq!(lead(1800, 0.0), 300);
    assert_eq!(lead(300, 1.0), 150);
}

#[test]
fn pauses_after_failures_double_to_a_minute() {
    let pause = |count, jitter| backoff(count, jitter).as_secs();
    assert_eq!((pause(1, 0.0), pause(1, 1.0)), (1, 2));
    assert_eq!((pause(3, 0.0), pause(3, 1.0)), (4, 8));
    assert_eq!((pause(99, 0.0), pause(99, 1.0)), (30, 60));
}
