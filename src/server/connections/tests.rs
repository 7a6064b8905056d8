//! Who is cut, and when.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::server::STALL_TIME;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn connections(limit: usize) -> Arc<Connections> {
    Arc::new(Connections::new(NonZeroUsize::new(limit).unwrap()))
}

async fn after(time: Duration) {
    tokio::time::advance(time).await;
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_takes_the_place_of_the_one_that_was_useless_for_longest() {
    let all = connections(2);
    let asks = all.admit(HERE).await.unwrap();
    after(Duration::from_millis(5)).await;
    let idle = all.admit(HERE).await.unwrap();
    after(Duration::from_millis(5)).await;
    asks.activity().asked(Instant::now());

    let newcomer = tokio::spawn({
        let all = Arc::clone(&all);
        async move { all.admit(HERE).await.unwrap() }
    });
    idle.activity().until_cut().await;
    assert!(!asks.activity.is_cut());
    assert!(!newcomer.is_finished(), "the limit holds");
    drop(idle);
    newcomer.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_network_with_the_most_connections_makes_room() {
    let all = connections(9);
    let alone = all.admit(HERE).await.unwrap();
    let mut many = Vec::new();
    for host in 1..4_u128 {
        after(Duration::from_millis(5)).await;
        let address = Ipv6Addr::from_bits((0x2001_0db8 << 96) + host);
        many.push(all.admit(address.into()).await.unwrap());
    }
    all.cut_useless(2);
    let cut = |place: &ConnectionPermit| place.activity.is_cut();
    assert!(!cut(&alone), "although it is the oldest");
    assert_eq!(
        many.iter().map(cut).collect::<Vec<_>>(),
        [true, true, false]
    );
    let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    assert_eq!(
        ClientNetwork::from(IpAddr::from(mapped)),
        ClientNetwork::from(HERE)
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_for_an_answer_is_cut_last() {
    let all = connections(2);
    let waits = all.admit(HERE).await.unwrap();
    let _answering = waits.activity().answering();
    after(Duration::from_millis(5)).await;
    let idle = all.admit(HERE).await.unwrap();
    all.cut_useless(1);
    assert!(idle.activity.is_cut());
    assert!(!waits.activity.is_cut());
    all.cut_some();
    assert!(waits.activity.is_cut());
}

#[tokio::test(start_paused = true)]
async fn a_head_must_be_whole_in_time_however_steadily_its_bytes_come() {
    let all = connections(9);
    let place = all.admit(HERE).await.unwrap();
    for _ in 0..10 {
        after(HEAD_TIME / 10).await;
        place.activity().received();
        assert!(!place.activity().is_overdue(STALL_TIME));
    }
    after(Duration::from_millis(1)).await;
    assert!(place.activity().is_overdue(STALL_TIME));

    // The time of the second begins with its first byte.
    place.activity().asked(Instant::now());
    after(HEAD_TIME * 2).await;
    place.activity().received();
    assert!(!place.activity().is_overdue(STALL_TIME));
    after(HEAD_TIME + Duration::from_millis(1)).await;
    assert!(place.activity().is_overdue(STALL_TIME));
}

#[tokio::test(start_paused = true)]
async fn a_connection_may_be_idle_for_long_but_not_for_ever() {
    let all = connections(9);
    let place = all.admit(HERE).await.unwrap();
    place.activity().asked(Instant::now());
    let answering = place.activity().answering();
    after(IDLE_TIME * 2).await;
    assert!(!place.activity().is_overdue(STALL_TIME), "we are at work");
    drop(answering);
    place.activity().asked(Instant::now());
    after(IDLE_TIME).await;
    assert!(!place.activity().is_overdue(STALL_TIME));
    after(Duration::from_millis(1)).await;
    assert!(place.activity().is_overdue(STALL_TIME));
}

#[tokio::test(start_paused = true)]
async fn who_reads_an_answer_too_slowly_or_not_at_all_is_overdue() {
    let all = connections(9);
    let place = all.admit(HERE).await.unwrap();
    place.activity().asked(Instant::now());
    place.activity().blocked();
    after(STALL_TIME).await;
    assert!(!place.activity().is_overdue(STALL_TIME));
    after(Duration::from_millis(1)).await;
    assert!(place.activity().is_overdue(STALL_TIME));

    let place = all.admit(HERE).await.unwrap();
    place.activity().asked(Instant::now());
    place.activity().blocked();
    for _ in 0..12 {
        assert!(!place.activity().is_overdue(STALL_TIME));
        after(SEND_TIME / 12).await;
        place.activity().sent();
        place.activity().blocked();
    }
    after(Duration::from_millis(1)).await;
    assert!(place.activity().is_overdue(STALL_TIME));
    place.activity().flushed();
    assert!(!place.activity().is_overdue(STALL_TIME));
}

#[tokio::test(start_paused = true)]
async fn the_sweep_cuts_who_is_overdue_and_gives_the_place_back() {
    let all = connections(1);
    let place = all.admit(HERE).await.unwrap();
    let sweeping = Arc::clone(&all);
    let sweeping = tokio::spawn(async move { sweeping.sweep(&AnswerLimits::new(1)).await });
    place.activity().until_cut().await;
    drop(place);
    assert_eq!(all.places.available_permits(), 1);
    let open = all.open();
    assert!(open.pulses.is_empty() && open.by_network.is_empty());
    sweeping.abort();
}

#[tokio::test(start_paused = true)]
async fn at_the_end_all_are_told_to_finish_and_waited_for() {
    let all = connections(9);
    let places = [
        all.admit(HERE).await.unwrap(),
        all.admit(HERE).await.unwrap(),
    ];
    let draining = Arc::clone(&all);
    let mut draining = tokio::spawn(async move { draining.drain().await });
    after(Duration::from_millis(1)).await;
    for place in places {
        assert!(place.activity().is_to_finish() && !place.activity().is_cut());
        let waited = tokio::time::timeout(Duration::from_secs(1), &mut draining);
        assert!(waited.await.is_err(), "one is still open");
    }
    draining.await.unwrap();
}
