//! Budgets on paused time.

use std::num::NonZeroU32;

use futures_util::future::join_all;
use proptest::prelude::*;

use super::*;

fn budgets(rate_limit: u32, max_in_flight: usize) -> Arc<Budgets> {
    let rate_limit = RateLimit {
        requests: NonZeroU32::new(rate_limit).unwrap(),
        replicas: NonZeroU32::MIN,
    };
    Arc::new(Budgets::new(
        rate_limit,
        NonZeroUsize::new(max_in_flight).unwrap(),
    ))
}

/// The moments at which `count` permits for `credential` are granted.
async fn grants(budgets: &Arc<Budgets>, credential: &'static str, count: usize) -> Vec<f64> {
    let start = Instant::now();
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let budgets = Arc::clone(budgets);
            tokio::spawn(async move {
                budgets
                    .permit(credential, "DescribeLicenseGeneral", Lane::Prompt)
                    .await;
                start.elapsed().as_secs_f64()
            })
        })
        .collect();
    let mut moments = Vec::new();
    for task in tasks {
        moments.push(task.await.unwrap());
    }
    moments.sort_by(f64::total_cmp);
    moments
}

#[tokio::test(start_paused = true)]
async fn no_second_ever_holds_more_requests_than_the_rate_limit() {
    let moments = grants(&budgets(20, 64), "AKIDa", 100).await;
    let most = moments
        .iter()
        .map(|start| {
            let second = *start..=*start + 1.0;
            moments
                .iter()
                .filter(|moment| second.contains(moment))
                .count()
        })
        .max();
    assert!(most <= Some(20), "{most:?} in one second: {moments:?}");
    let whole = moments.last().unwrap();
    assert!((5.0..6.0).contains(whole), "100 took {whole} s");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_key_ever_has_more_than_its_rate_in_a_second_or_waits_without_need(
        rate in 1_u32..=20,
        asks in prop::collection::vec((0_u64..4000, 0_usize..3, any::<bool>()), 1..80),
    ) {
        let mut granted = block_on_paused(async {
            let budgets = budgets(rate, 64);
            let start = Instant::now();
            let tasks = asks.iter().map(|&(millis, key, is_slow)| {
                let budgets = Arc::clone(&budgets);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    let lane = if is_slow { Lane::Slow } else { Lane::Prompt };
                    let key_name = ["AKIDa", "AKIDb", "AKIDc"][key];
                    budgets.permit(key_name, "DescribeLicenseGeneral", lane).await;
                    (key, start.elapsed().as_secs_f64())
                })
            });
            join_all(tasks.collect::<Vec<_>>()).await
        });
        granted.sort_by(|a, b| a.partial_cmp(b).unwrap());
        for of_key in granted.chunk_by(|a, b| a.0 == b.0) {
            for (at, (_, first)) in of_key.iter().enumerate() {
                let second = of_key[at..].iter().take_while(|(_, other)| other - first <= 1.0);
                prop_assert!(second.count() <= rate as usize, "{of_key:?}");
            }
            let spacing = 1.125 / f64::from(rate);
            let latest = 4.0 + spacing * of_key.len() as f64;
            prop_assert!(of_key.last().unwrap().1 <= latest + 0.01, "{of_key:?}");
        }
    }
}

/// What comes of `work`, where time passes as soon as all tasks wait.
fn block_on_paused<T>(
    work: impl Future<Output = Vec<Result<T, tokio::task::JoinError>>>,
) -> Vec<T> {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime
        .block_on(work)
        .into_iter()
        .map(Result::unwrap)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn credentials_have_budgets_of_their_own() {
    let budgets = budgets(1, 64);
    let (a, b) = tokio::join!(grants(&budgets, "AKIDa", 3), grants(&budgets, "AKIDb", 3));
    assert!(a.last().unwrap() < &3.0 && b.last().unwrap() < &3.0);
}

#[tokio::test(start_paused = true)]
async fn replicas_share_the_rate_limit() {
    let rate_limit = RateLimit {
        requests: NonZeroU32::new(10).unwrap(),
        replicas: NonZeroU32::new(4).unwrap(),
    };
    let budgets = Arc::new(Budgets::new(rate_limit, NonZeroUsize::MIN));
    let moments = grants(&budgets, "AKIDa", 5).await;
    assert!((1.8..1.9).contains(moments.last().unwrap()), "{moments:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_are_in_flight_than_allowed() {
    for places in [1, 2, 3, 4, 5, 64] {
        let budgets = budgets(1000, places);
        let mut permits = Vec::new();
        for pace in [Lane::Prompt, Lane::Slow] {
            for key in 0..100 {
                let key = format!("AKID{pace:?}{key}");
                let permit = budgets.permit(&key, "A", pace);
                if let Ok(permit) = tokio::time::timeout(PROMPT / 2, permit).await {
                    permits.push(permit);
                }
            }
        }
        assert_eq!(permits.len(), places);
    }
}

#[tokio::test(start_paused = true)]
async fn the_slow_never_take_the_places_of_the_prompt() {
    let budgets = budgets(1000, 8);
    let mut slow = Vec::new();
    for key in ["AKIDa", "AKIDb"] {
        slow.push(budgets.permit(key, "A", Lane::Slow).await);
    }
    let third = budgets.permit("AKIDc", "A", Lane::Slow);
    assert!(tokio::time::timeout(PROMPT, third).await.is_err());
    assert_eq!(
        budgets.permit("AKIDd", "A", Lane::Prompt).await.waited,
        Duration::ZERO
    );
}

#[tokio::test(start_paused = true)]
async fn an_overdue_request_moves_to_the_slow_lane_and_makes_room() {
    let budgets = budgets(1000, 4);
    let mut hung = budgets.permit("AKIDa", "A", Lane::Prompt).await;
    let _second = budgets.permit("AKIDb", "A", Lane::Prompt).await;
    let _third = budgets.permit("AKIDc", "A", Lane::Prompt).await;
    tokio::spawn(async move { hung.overdue().await });
    let fourth = budgets.permit("AKIDd", "A", Lane::Prompt).await;
    assert!(
        fourth.waited <= PROMPT + OVERDUE_POLL,
        "{:?}",
        fourth.waited
    );
}

#[tokio::test(start_paused = true)]
async fn an_overdue_request_is_given_up_only_when_others_wait() {
    let budgets = budgets(1000, 4);
    let _slow = budgets.permit("AKIDa", "A", Lane::Slow).await;
    let mut hung = Vec::new();
    for key in ["AKIDb", "AKIDc", "AKIDd"] {
        hung.push(budgets.permit(key, "A", Lane::Prompt).await);
    }
    let mut first = hung.remove(0);
    let alone = tokio::time::timeout(PROMPT * 60, first.overdue()).await;
    assert!(alone.is_err(), "nobody waits");
    let waiting = Arc::clone(&budgets);
    let waiting =
        tokio::spawn(async move { waiting.permit("AKIDe", "A", Lane::Prompt).await.waited });
    first.overdue().await;
    drop(first);
    assert!(waiting.await.unwrap() <= OVERDUE_POLL * 2);
}

#[tokio::test(start_paused = true)]
async fn an_api_that_is_slow_for_everybody_is_given_the_time_it_takes() {
    let budgets = budgets(1000, 1);
    let mut given_up = 0;
    for _ in 0..50 {
        let mut permit = budgets.permit("AKIDa", "A", Lane::Prompt).await;
        let other = Arc::clone(&budgets);
        let waiting = tokio::spawn(async move { other.permit("AKIDb", "A", Lane::Prompt).await });
        tokio::select! {
            () = permit.overdue() => given_up += 1,
            () = tokio::time::sleep(PROMPT * 3) => {}
        }
        drop(permit);
        waiting.await.unwrap();
    }
    assert!((1..10).contains(&given_up), "{given_up} of 50");
}

#[tokio::test(start_paused = true)]
async fn a_request_is_overdue_after_four_times_what_requests_take_and_never_before_a_second() {
    let budgets = budgets(1000, 4);
    let patience_after = async |took: Duration, lane: Lane| {
        for _ in 0..50 {
            let _permit = budgets.permit("AKIDa", "A", lane).await;
            tokio::time::sleep(took).await;
        }
        budgets.lanes.patience()
    };
    let (quick, long) = (Duration::from_millis(10), Duration::from_secs(3));
    assert_eq!(patience_after(quick, Lane::Prompt).await, PROMPT);
    assert_eq!(patience_after(long, Lane::Slow).await, PROMPT);
    let patience = patience_after(long, Lane::Prompt).await;
    assert!((long * 4 - quick * 10..=long * 4).contains(&patience));
    assert_eq!(patience_after(quick, Lane::Prompt).await, PROMPT);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_makes_the_next_ones_more_patient() {
    let budgets = budgets(1000, 4);
    let _slow = budgets.permit("AKIDa", "A", Lane::Slow).await;
    let mut hung = Vec::new();
    for key in ["AKIDb", "AKIDc", "AKIDd"] {
        hung.push(budgets.permit(key, "A", Lane::Prompt).await);
    }
    let other = Arc::clone(&budgets);
    let waiting = tokio::spawn(async move { other.permit("AKIDe", "A", Lane::Prompt).await });
    let before = budgets.lanes.patience();
    for permit in &mut hung {
        permit.overdue().await;
    }
    // Each counts as if it had taken twice as long as it was given.
    let patience = budgets.lanes.patience();
    assert!((before * 3..before * 4).contains(&patience), "{patience:?}");
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn buckets_that_are_all_in_use_are_looked_through_when_there_are_twice_as_many() {
    let budgets = budgets(10, 64);
    for key in 0..=128 {
        let name = format!("AKID{key}");
        drop(budgets.permit(&name, "A", Lane::Prompt).await);
        tokio::time::advance(Duration::from_millis(200)).await;
        let buckets = budgets.buckets.lock();
        assert_eq!(buckets.by_key.len(), key + 1);
        let expected = [0, 128, 256][key / SWEEP_FROM];
        assert_eq!(buckets.sweep_at, expected, "{key}");
    }
}

#[test]
fn a_quarter_of_the_permits_is_for_the_slow_and_each_lane_has_one_at_least() {
    for (all, prompt, slow) in [
        (1, 1, 1),
        (2, 1, 1),
        (4, 3, 1),
        (7, 6, 1),
        (8, 6, 2),
        (64, 48, 16),
    ] {
        let lanes = Lanes::new(NonZeroUsize::new(all).unwrap());
        assert_eq!(lanes.prompt.available_permits(), prompt, "{all}");
        assert_eq!(lanes.slow.available_permits(), slow, "{all}");
        assert_eq!(Arc::ptr_eq(&lanes.prompt, &lanes.slow), all == 1);
    }
}

#[test]
fn what_requests_take_counts_for_an_eighth_each() {
    let lanes = Lanes::new(NonZeroUsize::MIN);
    for (took, patience) in [(16, 8000), (0, 7000), (0, 6125), (80, 45_359)] {
        lanes.note(Duration::from_secs(took));
        assert_eq!(lanes.patience().as_millis(), patience);
    }
}

#[tokio::test(start_paused = true)]
async fn a_permit_says_how_long_it_waited() {
    let budgets = budgets(2, 64);
    assert_eq!(
        budgets.permit("AKIDa", "A", Lane::Prompt).await.waited,
        Duration::ZERO
    );
    let waited = budgets.permit("AKIDa", "A", Lane::Prompt).await.waited;
    assert!((0.5..0.6).contains(&waited.as_secs_f64()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn buckets_of_rotated_keys_do_not_pile_up() {
    let budgets = budgets(10, 64);
    for key in 0..1000 {
        budgets
            .permit(&format!("AKID{key}"), "A", Lane::Prompt)
            .await;
        tokio::time::advance(Duration::from_secs(60)).await;
        let known = budgets.buckets.lock().by_key.len();
        assert_eq!(known, key % SWEEP_FROM + 1);
    }
}
