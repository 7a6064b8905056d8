//! Passwords that are checked in time that does not pass by itself.

use std::net::Ipv4Addr;

use super::*;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How long a check takes that is as slow as bcrypt with a cost of 14.
const SLOW: Duration = Duration::from_secs(1);

fn users(password: &str) -> BTreeMap<String, PasswordHash> {
    let hash = bcrypt::hash(password, 4).unwrap();
    BTreeMap::from([("alice".to_owned(), hash.parse().unwrap())])
}

/// Takes its time, and takes only "fish" for right.
fn slowly(_: PasswordHash, password: Box<[u8]>) -> BoxFuture<'static, bool> {
    let right = async move {
        tokio::time::sleep(SLOW).await;
        &*password == b"fish"
    };
    right.boxed()
}

/// A verdict that needs no check.
fn known<F: Future>(check: F) -> Option<F::Output> {
    check.now_or_never()
}

#[tokio::test]
async fn a_password_is_right_or_wrong_and_cached_either_way() {
    let (passwords, users) = (Passwords::new(), users("fish"));
    for (user, password, verdict) in [
        ("alice", "fish", Verdict::Right),
        ("alice", "Fish", Verdict::Wrong),
        ("bob", "fish", Verdict::Wrong),
        ("", "", Verdict::Wrong),
    ] {
        let check = || passwords.check(&users, user, password.as_bytes(), PEER);
        assert_eq!(known(check()), None, "{user}");
        assert_eq!(check().await, verdict, "{user}");
        assert_eq!(known(check()), Some(verdict), "{user}");
    }
}

#[tokio::test]
async fn a_password_is_forgotten_with_its_hash() {
    let passwords = Passwords::new();
    let (before, after) = (users("fish"), users("bird"));
    for (users, password, verdict) in [
        (&before, "fish", Verdict::Right),
        (&after, "fish", Verdict::Wrong),
        (&after, "bird", Verdict::Right),
        (&BTreeMap::new(), "bird", Verdict::Wrong),
    ] {
        let check = passwords.check(users, "alice", password.as_bytes(), PEER);
        assert_eq!(check.await, verdict, "{password}");
    }
}

#[tokio::test]
async fn bytes_that_bcrypt_ignores_do_not_count() {
    let long = "x".repeat(BCRYPT_BYTES);
    let (passwords, users) = (Passwords::new(), users(&long));
    for (password, verdict) in [
        (long.clone(), Verdict::Right),
        (format!("{long}y"), Verdict::Right),
        (long[1..].to_owned(), Verdict::Wrong),
    ] {
        let check = passwords.check(&users, "alice", password.as_bytes(), PEER);
        assert_eq!(check.await, verdict, "{password}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_continues_after_its_client_has_left_and_equal_passwords_share_a_check() {
    let (passwords, users) = (Passwords::checked_by(slowly), users("fish"));
    let check = || passwords.check(&users, "alice", b"fish", PEER);
    let start = tokio::time::Instant::now();
    assert_eq!(known(check()), None, "the first client leaves");
    tokio::time::sleep(SLOW).await;
    tokio::task::yield_now().await;
    assert_eq!(known(check()), Some(Verdict::Right));
    let wrong = (0..32).map(|_| passwords.check(&users, "alice", b"wrong", PEER));
    for verdict in futures_util::future::join_all(wrong).await {
        assert_eq!(verdict, Verdict::Wrong);
    }
    assert_eq!(start.elapsed(), SLOW * 2);
}

#[tokio::test(start_paused = true)]
async fn a_flood_delays_neither_cached_passwords_nor_other_networks() {
    let (passwords, users) = (Passwords::checked_by(slowly), users("fish"));
    let check = |password: String, peer: u8| {
        let (passwords, users) = (&passwords, &users);
        let peer = Ipv4Addr::new(127, 0, 0, peer).into();
        async move {
            passwords
                .check(users, "alice", password.as_bytes(), peer)
                .await
        }
    };
    assert_eq!(check("fish".to_owned(), 1).await, Verdict::Right);
    // One is being checked, and the others wait.
    for number in 0..=queue::MAX_PER_NETWORK {
        assert_eq!(known(check(number.to_string(), 2)), None);
    }
    let beyond = check("beyond".to_owned(), 2);
    assert_eq!(known(beyond), Some(Verdict::Busy));
    assert_eq!(known(check("fish".to_owned(), 2)), Some(Verdict::Right));
    let start = tokio::time::Instant::now();
    assert_eq!(check("other".to_owned(), 3).await, Verdict::Wrong);
    assert!(start.elapsed() <= SLOW * 3, "{:?}", start.elapsed());
}

/// How many of `scrapes` get in, one in 15 s with a timeout of 10 s, while so many guess
/// from the same address, each with a new password once the last is answered or after
/// `leave`.
async fn scrapes_that_get_in(scrapes: usize, guessers: usize, leave: Duration) -> usize {
    let (passwords, users) = (Arc::new(Passwords::checked_by(slowly)), users("fish"));
    let mut flood = tokio::task::JoinSet::new();
    for guesser in 0..guessers {
        let (passwords, users) = (Arc::clone(&passwords), users.clone());
        flood.spawn(async move {
            for guess in 0.. {
                let password = format!("{guesser}-{guess}");
                let check = passwords.check(&users, "alice", password.as_bytes(), PEER);
                let pause = Duration::from_millis(200);
                if let Ok(verdict) = tokio::time::timeout(leave, check).await {
                    assert_ne!(verdict, Verdict::Right);
                }
                tokio::time::sleep(pause).await;
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut let_in = 0;
    for _ in 0..scrapes {
        let next = tokio::time::Instant::now() + Duration::from_secs(15);
        let scrape = passwords.check(&users, "alice", b"fish", PEER);
        let verdict = tokio::time::timeout(Duration::from_secs(10), scrape).await;
        let_in += usize::from(verdict == Ok(Verdict::Right));
        tokio::time::sleep_until(next).await;
    }
    let_in
}

#[tokio::test(start_paused = true)]
async fn just_restarted_a_scraper_gets_in_while_others_guess_from_its_address() {
    let patient = Duration::from_secs(60);
    assert!(scrapes_that_get_in(14, 8, patient).await >= 13);
    // Also where they are more than may wait, and leave for the next guess.
    assert!(scrapes_that_get_in(8, 100, patient).await >= 5);
    let hasty = Duration::from_millis(100);
    assert!(scrapes_that_get_in(8, 100, hasty).await >= 5);
}

#[tokio::test(start_paused = true)]
async fn a_client_waits_for_a_bounded_time() {
    fn never(_: PasswordHash, _: Box<[u8]>) -> BoxFuture<'static, bool> {
        std::future::pending().boxed()
    }
    let (passwords, users) = (Passwords::checked_by(never), users("fish"));
    let start = tokio::time::Instant::now();
    let check = passwords.check(&users, "alice", b"fish", PEER);
    assert_eq!(check.await, Verdict::Busy);
    assert_eq!(start.elapsed(), WAIT_TIME);
}

#[test]
fn the_cache_is_bounded() {
    let passwords = Passwords::new();
    let mut cache = passwords.cache.lock();
    for number in 0..u8::MAX {
        cache.insert("alice", [number; 32], Verdict::Wrong);
        cache.insert("alice", [number; 32], Verdict::Right);
    }
    assert_eq!(cache.wrong.len(), MAX_WRONG);
    assert_eq!(cache.right.len(), 1);
}
