//! Which connection is ended, and when.

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
async fn a_new_connection_evicts_the_connection_that_was_useless_for_longest() {
    let all = connections(2);
    let asks = all.acquire(HERE).await.unwrap();
    after(Duration::from_millis(5)).await;
    let idle = all.acquire(HERE).await.unwrap();
    after(Duration::from_millis(5)).await;
    asks.activity.requested(Instant::now());

    let newcomer = tokio::spawn({
        let all = Arc::clone(&all);
        async move { all.acquire(HERE).await.unwrap() }
    });
    idle.activity.abort.cancelled().await;
    assert!(!asks.activity.abort.is_cancelled());
    assert!(!newcomer.is_finished(), "the limit holds");
    drop(idle);
    newcomer.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_network_with_the_most_connections_is_evicted_first() {
    let all = connections(9);
    let alone = all.acquire(HERE).await.unwrap();
    let mut many = Vec::new();
    for host in 1..4_u128 {
        after(Duration::from_millis(5)).await;
        let address = Ipv6Addr::from_bits((0x2001_0db8 << 96) + host);
        many.push(all.acquire(address.into()).await.unwrap());
    }
    all.evict(2);
    let evicted = |permit: &ConnectionPermit| permit.activity.abort.is_cancelled();
    assert!(!evicted(&alone), "although it is the oldest");
    assert_eq!(
        many.iter().map(evicted).collect::<Vec<_>>(),
        [true, true, false]
    );
    let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    assert_eq!(
        ClientNetwork::from(IpAddr::from(mapped)),
        ClientNetwork::from(HERE)
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_waits_for_an_answer_is_evicted_last() {
    let all = connections(2);
    let waits = all.acquire(HERE).await.unwrap();
    let _answering = waits.activity.answering();
    after(Duration::from_millis(5)).await;
    let idle = all.acquire(HERE).await.unwrap();
    all.evict(1);
    assert!(idle.activity.abort.is_cancelled());
    assert!(!waits.activity.abort.is_cancelled());
    all.evict_quarter();
    assert!(waits.activity.abort.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_head_must_be_whole_in_time_however_steadily_its_bytes_come() {
    let all = connections(9);
    let permit = all.acquire(HERE).await.unwrap();
    for _ in 0..10 {
        after(HEAD_TIME / 10).await;
        permit.activity.received();
        assert!(!permit.activity.is_overdue(STALL_TIME));
    }
    after(Duration::from_millis(1)).await;
    assert!(permit.activity.is_overdue(STALL_TIME));

    // The time of the second begins with its first byte.
    permit.activity.requested(Instant::now());
    after(HEAD_TIME * 2).await;
    permit.activity.received();
    assert!(!permit.activity.is_overdue(STALL_TIME));
    after(HEAD_TIME + Duration::from_millis(1)).await;
    assert!(permit.activity.is_overdue(STALL_TIME));
}

#[tokio::test(start_paused = true)]
async fn a_connection_may_be_idle_for_long_but_not_for_ever() {
    let all = connections(9);
    let permit = all.acquire(HERE).await.unwrap();
    permit.activity.requested(Instant::now());
    let answering = permit.activity.answering();
    after(IDLE_TIME * 2).await;
    assert!(!permit.activity.is_overdue(STALL_TIME), "we are at work");
    drop(answering);
    permit.activity.requested(Instant::now());
    after(IDLE_TIME).await;
    assert!(!permit.activity.is_overdue(STALL_TIME));
    after(Duration::from_millis(1)).await;
    assert!(permit.activity.is_overdue(STALL_TIME));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_an_answer_too_slowly_or_not_at_all_is_overdue() {
    let all = connections(9);
    let permit = all.acquire(HERE).await.unwrap();
    permit.activity.requested(Instant::now());
    permit.activity.blocked();
    after(STALL_TIME).await;
    assert!(!permit.activity.is_overdue(STALL_TIME));
    after(Duration::from_millis(1)).await;
    assert!(permit.activity.is_overdue(STALL_TIME));

    let permit = all.acquire(HERE).await.unwrap();
    permit.activity.requested(Instant::now());
    permit.activity.blocked();
    for _ in 0..12 {
        assert!(!permit.activity.is_overdue(STALL_TIME));
        after(SEND_TIME / 12).await;
        permit.activity.sent();
        permit.activity.blocked();
    }
    after(Duration::from_millis(1)).await;
    assert!(permit.activity.is_overdue(STALL_TIME));
    permit.activity.flushed();
    assert!(!permit.activity.is_overdue(STALL_TIME));
}

#[tokio::test(start_paused = true)]
async fn the_sweep_ends_an_overdue_connection_and_gives_the_permit_back() {
    let all = connections(1);
    let permit = all.acquire(HERE).await.unwrap();
    let sweeping = Arc::clone(&all);
    let sweeping = tokio::spawn(async move { sweeping.sweep(&AnswerLimits::new(1)).await });
    permit.activity.abort.cancelled().await;
    drop(permit);
    assert_eq!(all.permits.available_permits(), 1);
    assert!(all.open.lock().is_empty());
    sweeping.abort();
}

#[tokio::test(start_paused = true)]
async fn a_drain_shuts_all_connections_down_and_waits_for_them() {
    let all = connections(9);
    let permits = [
        all.acquire(HERE).await.unwrap(),
        all.acquire(HERE).await.unwrap(),
    ];
    let draining = Arc::clone(&all);
    let mut draining = tokio::spawn(async move { draining.drain().await });
    after(Duration::from_millis(1)).await;
    for permit in permits {
        assert!(permit.activity.shutdown.is_cancelled() && !permit.activity.abort.is_cancelled());
        let waited = tokio::time::timeout(Duration::from_secs(1), &mut draining);
        assert!(waited.await.is_err(), "one is still open");
    }
    draining.await.unwrap();
}
