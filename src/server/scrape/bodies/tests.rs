//! The number of renderings, and the memory of bodies.

use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::{SignedDuration, Timestamp};
use prometheus::Registry;

use super::*;
use crate::collection::snapshot::{CollectorState, Store, Success};
use crate::collectors::Sample;
use crate::collectors::license_general::defs as licences;
use crate::server::fixture;
use crate::system::clock::Clock;

const HOUR: Duration = Duration::from_secs(3600);

/// Bodies of so many accounts, and how often something was rendered for them: each
/// rendering asks for the time of day.
fn counted(accounts: usize) -> (Bodies, Arc<Store>, Arc<AtomicUsize>) {
    let (store, looks) = (fixture::store(accounts), Arc::new(AtomicUsize::new(0)));
    let counting = Arc::clone(&looks);
    let clock = Clock::new(move || {
        counting.fetch_add(1, Ordering::Relaxed);
        Timestamp::UNIX_EPOCH
    });
    let exposition = Exposition::new(Registry::new(), Arc::clone(&store), clock, None);
    (Bodies::new(exposition, 0), store, looks)
}

/// Lets time pass in which snapshots change all the time.
async fn changes_for(time: Duration, store: &Store) {
    for _ in 0..100 {
        store.revision().advance();
        tokio::time::sleep(time / 100).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_rendered_while_nobody_scrapes() {
    for (accounts, prepares) in [(1, false), (INLINE_ACCOUNTS + 1, true)] {
        let (bodies, store, looks) = counted(accounts);
        let looks = || looks.load(Ordering::Relaxed);
        changes_for(HOUR, &store).await;
        assert_eq!(looks(), 0, "{accounts} accounts, never scraped");

        for gzip in [false, true] {
            bodies.body(Format::Text, gzip).await.unwrap();
        }
        let scraped = looks();
        assert!(scraped > 0);
        changes_for(PRERENDER_FOR, &store).await;
        assert_eq!(looks() > scraped, prepares, "{accounts} accounts, lately");

        changes_for(PRERENDER_FOR, &store).await;
        let idle = looks();
        changes_for(HOUR, &store).await;
        assert_eq!(looks(), idle, "{accounts} accounts, long ago");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_few_accounts_shows_at_once_and_of_many_within_a_second() {
    for (accounts, gzip, may_lag) in [
        (INLINE_ACCOUNTS, false, false),
        (INLINE_ACCOUNTS, true, false),
        (INLINE_ACCOUNTS + 1, false, true),
        (INLINE_ACCOUNTS + 1, true, true),
    ] {
        let (bodies, store, looks) = counted(accounts);
        let renders = async || {
            let before = looks.load(Ordering::Relaxed);
            bodies.body(Format::Text, gzip).await.unwrap();
            looks.load(Ordering::Relaxed) > before
        };
        assert!(renders().await);
        assert!(!renders().await);
        store.revision().advance();
        assert_eq!(renders().await, !may_lag, "{accounts} accounts");
        store.revision().advance();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(renders().await, "{accounts} accounts");
    }
}

#[tokio::test(start_paused = true)]
async fn the_part_of_many_accounts_is_used_on_though_snapshots_have_changed() {
    for (accounts, is_used_on) in [(INLINE_ACCOUNTS, false), (INLINE_ACCOUNTS + 1, true)] {
        let (bodies, store, _) = counted(accounts);
        let part = async || {
            bodies.body(Format::Text, false).await.unwrap();
            bodies.of(Format::Text, false).accounts.load_full().unwrap()
        };
        let first = part().await;
        store.revision().advance();
        tokio::time::advance(LIVE_MAX_AGE * 2).await;
        assert_eq!(Arc::ptr_eq(&first, &part().await), is_used_on);
    }
}

#[tokio::test(start_paused = true)]
async fn many_accounts_are_rendered_where_no_other_answer_has_to_wait() {
    for (accounts, is_elsewhere) in [(INLINE_ACCOUNTS, false), (INLINE_ACCOUNTS + 1, true)] {
        let here = std::thread::current().id();
        let looked = Arc::new(AtomicUsize::new(0));
        let elsewhere = Arc::clone(&looked);
        let clock = Clock::new(move || {
            if std::thread::current().id() != here {
                elsewhere.fetch_add(1, Ordering::Relaxed);
            }
            Timestamp::UNIX_EPOCH
        });
        let store = fixture::store(accounts);
        let bodies = Bodies::new(Exposition::new(Registry::new(), store, clock, None), 0);
        bodies.body(Format::Text, false).await.unwrap();
        assert_eq!(
            looked.load(Ordering::Relaxed) > 0,
            is_elsewhere,
            "{accounts}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_rendered_for_many_accounts_is_dropped_35_seconds_after_the_last_scrape() {
    let (bodies, ..) = counted(INLINE_ACCOUNTS + 1);
    bodies.body(Format::Text, false).await.unwrap();
    let is_kept = || bodies.of(Format::Text, false).accounts.load().is_some();
    tokio::time::sleep(PRERENDER_FOR + Duration::from_millis(1)).await;
    assert!(is_kept());
    tokio::time::sleep(PRERENDER_INTERVAL).await;
    assert!(!is_kept());
}

#[tokio::test(start_paused = true)]
async fn a_part_is_expected_to_be_as_large_as_the_last_one() {
    let (bodies, ..) = counted(3);
    let body = bodies.of(Format::Text, false);
    assert_eq!(body.expected_size(3), 3 * 512);
    bodies.body(Format::Text, false).await.unwrap();
    let length = body.accounts.load_full().unwrap().bytes.len();
    assert!(length > 0);
    assert_eq!(body.expected_size(3), length);
}

#[test]
fn what_is_not_cached_is_compressed_as_a_whole_or_not_at_all() {
    let text = "some text\n".repeat(1000);
    assert_eq!(once(text.clone().into(), false).unwrap(), text);
    let bytes = once(text.clone().into(), true).unwrap();
    let decompressed = io::read_to_string(GzDecoder::new(&*bytes)).unwrap();
    assert!(bytes.len() < text.len() && decompressed == text);
}

#[tokio::test(start_paused = true)]
async fn a_small_body_is_one_piece_and_a_large_one_is_not_copied() {
    for (accounts, count) in [(1, 1), (TEXT_ACCOUNTS, 2)] {
        let (bodies, ..) = counted(accounts);
        let mut body = bodies.body(Format::OpenMetrics, false).await.unwrap();
        let pieces: Vec<Bytes> = std::iter::from_fn(|| body.next())
            .map(Result::unwrap)
            .collect();
        assert_eq!(pieces.len(), count, "{accounts} accounts");
        let text = bodies.exposition().render(Format::OpenMetrics).unwrap();
        assert_eq!(pieces.concat(), text);
        assert_eq!(text.len() > JOINED, count == 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_body_comes_in_its_parts_while_there_is_no_memory_for_a_copy() {
    let (bodies, ..) = counted(1);
    let pieces = async || {
        tokio::time::advance(LIVE_MAX_AGE).await;
        let mut body = bodies.body(Format::OpenMetrics, false).await.unwrap();
        std::iter::from_fn(|| body.next()).count()
    };
    assert_eq!(pieces().await, 1);
    let held: Vec<_> = std::iter::from_fn(|| bodies.limits().try_memory(1024)).collect();
    assert_eq!(pieces().await, 2);
    drop(held);
    assert_eq!(pieces().await, 1);
}

#[tokio::test(start_paused = true)]
async fn no_body_that_is_kept_shows_a_value_that_has_become_too_old() {
    let moment = Duration::from_millis(1);
    for (accounts, gzip) in [(2, false), (2, true), (INLINE_ACCOUNTS + 1, false)] {
        let (bodies, store, _) = counted(accounts);
        let now = bodies.exposition().now();
        for (number, account) in store.load().list().iter().enumerate() {
            let age = if number == 1 {
                HOUR / 2
            } else {
                Duration::ZERO
            };
            account.slots[0].store(CollectorState {
                last_success: Some(Success {
                    at: now.earlier_by(SignedDuration::try_from(age).unwrap()),
                    samples: [Sample::new(licences::LICENSES, [], 7.0)].into(),
                    rows_hidden: None,
                    requests: 1,
                }),
                ..CollectorState::default()
            });
        }
        let values = async || {
            let mut body = bodies.body(Format::Text, gzip).await.unwrap();
            let pieces = std::iter::from_fn(|| body.next()).map(Result::unwrap);
            let bytes = pieces.collect::<Vec<Bytes>>().concat();
            let text = if gzip {
                io::read_to_string(GzDecoder::new(bytes.as_slice())).unwrap()
            } else {
                String::from_utf8(bytes).unwrap()
            };
            text.matches("\ntencentcloud_cwp_licenses{").count()
        };
        for shown in [accounts, accounts - 1] {
            tokio::time::advance(HOUR / 2 - moment).await;
            assert_eq!(values().await, shown);
            tokio::time::advance(moment).await;
        }
        assert_eq!(values().await, 0);
    }
}

/// All four kinds of bodies.
const KINDS: [(Format, bool); 4] = [
    (Format::Text, false),
    (Format::Text, true),
    (Format::OpenMetrics, false),
    (Format::OpenMetrics, true),
];

#[tokio::test(start_paused = true)]
async fn bodies_of_one_revision_share_its_memory() {
    for accounts in [INLINE_ACCOUNTS, TEXT_ACCOUNTS, TEXT_ACCOUNTS + 1] {
        let (bodies, ..) = counted(accounts);
        for (format, gzip) in KINDS {
            let mut first = bodies.body(format, gzip).await.unwrap();
            let text = bodies.exposition().render(format).unwrap();
            let free = bodies.limits().free_memory();
            let mut readers = Vec::new();
            for _ in 0..50 {
                readers.push(bodies.body(format, gzip).await.unwrap());
            }
            let pages = first.length().is_none();
            assert_eq!(pages, !gzip && accounts > TEXT_ACCOUNTS);
            let each = if pages { DECOMPRESSING } else { 0 };
            assert_eq!(free - bodies.limits().free_memory(), 50 * each);
            let bytes: Vec<Bytes> = std::iter::from_fn(|| first.next())
                .map(Result::unwrap)
                .collect();
            assert!(gzip || bytes.concat() == text, "{accounts} accounts");
            assert!(!pages || bytes.iter().all(|piece| piece.len() <= PIECE));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unsent_bodies_of_many_revisions_hold_a_bounded_memory_and_give_all_of_it_back() {
    for (accounts, gzip) in [
        (INLINE_ACCOUNTS, false),
        (INLINE_ACCOUNTS, true),
        (TEXT_ACCOUNTS + 1, false),
    ] {
        let (bodies, store, _) = counted(accounts);
        let limits = bodies.limits();
        let all = limits.free_memory();
        let mut others = Vec::new();
        let left = if accounts > INLINE_ACCOUNTS {
            2_000_000
        } else {
            200_000
        };
        while limits.free_memory() > left {
            others.extend(limits.try_memory(16 * 1024));
        }
        let mut unsent = Vec::new();
        let refused = loop {
            store.revision().advance();
            tokio::time::sleep(MAX_LAG).await;
            match bodies.body(Format::Text, gzip).await {
                Ok(body) => unsent.push(body),
                Err(error) => break error,
            }
            assert!(unsent.len() < 1000, "nobody is refused");
        };
        assert!(matches!(refused, NoBody::Refused(LimitReached::Memory)));
        assert!(unsent.len() > 1, "{}", unsent.len());
        drop(unsent);
        assert!(bodies.body(Format::Text, gzip).await.is_ok());
        if accounts > INLINE_ACCOUNTS {
            // What was scraped last is kept for a while.
            tokio::time::sleep(PRERENDER_FOR * 2).await;
            drop(others);
            assert_eq!(limits.free_memory(), all);
        }
    }
}
