//! What is rendered, and when.

use std::sync::atomic::AtomicUsize;

use jiff::Timestamp;
use prometheus::Registry;

use super::*;
use crate::clock::Clock;
use crate::collector::license_general::LicenseGeneral;
use crate::snapshot::{AccountState, KeySource, Slot, Store};

const HOUR: Duration = Duration::from_secs(3600);

/// Bodies of so many accounts, and how often something was rendered for them: each
/// rendering asks for the time of day.
fn counted(accounts: usize) -> (Bodies, Arc<Store>, Arc<AtomicUsize>) {
    let store = Store::new(Vec::new(), HOUR);
    let list = (0..accounts).map(|number| {
        Arc::new(AccountState {
            name: format!("account-{number:05}"),
            identity: String::new(),
            endpoint: "https://cwp.tencentcloudapi.com".to_owned(),
            region: None,
            labels: [("team".to_owned(), "x".repeat(100))].into(),
            key_source: KeySource::new(String::new),
            slots: vec![Arc::new(Slot::new(&LicenseGeneral, store.revision()))],
        })
    });
    store.replace(list.collect(), HOUR);
    let (store, looks) = (Arc::new(store), Arc::new(AtomicUsize::new(0)));
    let counting = Arc::clone(&looks);
    let clock = Clock::new(move || {
        counting.fetch_add(1, Ordering::Relaxed);
        Timestamp::UNIX_EPOCH
    });
    let exposition = Exposition::new(Registry::new(), Arc::clone(&store), clock, None);
    (Bodies::new(exposition), store, looks)
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
    for (accounts, prepares) in [(1, false), (FEW + 1, true)] {
        let (bodies, store, looks) = counted(accounts);
        let looks = || looks.load(Ordering::Relaxed);
        changes_for(HOUR, &store).await;
        assert_eq!(looks(), 0, "{accounts} accounts, never scraped");

        for gzip in [false, true] {
            bodies.body(Format::Text, gzip).await.unwrap();
        }
        let scraped = looks();
        assert!(scraped > 0);
        changes_for(PREPARE_FOR, &store).await;
        assert_eq!(looks() > scraped, prepares, "{accounts} accounts, lately");

        changes_for(PREPARE_FOR, &store).await;
        let idle = looks();
        changes_for(HOUR, &store).await;
        assert_eq!(looks(), idle, "{accounts} accounts, long ago");
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_body_is_one_piece_and_a_large_one_is_not_copied() {
    for (accounts, count) in [(1, 1), (MOST_KEPT_AS_TEXT, 2)] {
        let (bodies, ..) = counted(accounts);
        let Body::Pieces(pieces) = bodies.body(Format::OpenMetrics, false).await.unwrap() else {
            panic!("{accounts} accounts are kept as text");
        };
        let pieces: Vec<Bytes> = pieces.into_iter().flatten().collect();
        assert_eq!(pieces.len(), count, "{accounts} accounts");
        let text = bodies.exposition().render(Format::OpenMetrics);
        assert_eq!(pieces.concat(), text);
        assert_eq!(text.len() > super::super::joined::MOST, count == 2);
    }
}
