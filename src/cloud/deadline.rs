//! How long a collection may take, with everything in it, and what it waits for.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::cloud::{Error, Remedy};
use crate::metrics::reason::Reason;

tokio::task_local! {
    /// The deadline and the current step of this task's collection.
    static PROGRESS: Deadline;
}

#[derive(Clone)]
struct Deadline(Arc<Mutex<DeadlineState>>);

struct DeadlineState {
    ends: Instant,
    step: Option<WaitStep>,
}

/// A step that a collection waits for.
struct WaitStep {
    what: String,
    remedy: Option<Remedy>,
}

/// Does `work` within `allowed`.
///
/// # Errors
///
/// The work's own. [`Reason::Timeout`] with the current [`step`], if the work has not ended by
/// then.
pub async fn within<T>(
    allowed: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let started = Instant::now();
    let progress = Deadline(Arc::new(Mutex::new(DeadlineState {
        ends: started + allowed,
        step: None,
    })));
    let mut work = std::pin::pin!(PROGRESS.scope(progress.clone(), work));
    loop {
        let ends = progress.0.lock().ends;
        match tokio::time::timeout_at(ends, &mut work).await {
            Ok(outcome) => return outcome,
            Err(_) if progress.0.lock().ends > ends => {}
            Err(_) => return Err(progress.given_up(ends - started)),
        }
    }
}

/// Gives the work of this task at least `further` from now on, if it has a deadline.
pub fn extend(further: Duration) {
    // Work without a deadline needs no more time.
    let _ = PROGRESS.try_with(|progress| {
        let mut state = progress.0.lock();
        state.ends = state.ends.max(Instant::now() + further);
    });
}

/// Notes that `work` waits for `what`, and what to do if that takes too long.
pub async fn step<T>(
    what: impl Into<String>,
    remedy: Option<Remedy>,
    work: impl Future<Output = T>,
) -> T {
    let what = what.into();
    let outer = note(Some(WaitStep { what, remedy }));
    let outcome = work.await;
    note(outer);
    outcome
}

/// How long the work of this task has left, if it has a deadline.
#[must_use]
pub fn left() -> Option<Duration> {
    let ends = PROGRESS.try_with(|progress| progress.0.lock().ends).ok()?;
    Some(ends.saturating_duration_since(Instant::now()))
}

/// Replaces the step of this task, if its work has a deadline.
fn note(step: Option<WaitStep>) -> Option<WaitStep> {
    let replace = |progress: &Deadline| std::mem::replace(&mut progress.0.lock().step, step);
    PROGRESS.try_with(replace).ok().flatten()
}

impl Deadline {
    fn given_up(&self, after: Duration) -> Error {
        let after = Duration::from_millis(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        let state = self.0.lock();
        let step = state.step.as_ref();
        let what = step.map_or("the cloud", |step| &step.what);
        let error = Error::new(
            Reason::Timeout,
            format!("given up after {after:?} of waiting for {what}"),
        );
        match step.and_then(|step| step.remedy.clone()) {
            Some(remedy) => error.with_remedy(remedy),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_that_does_not_end_is_given_up_and_says_what_it_waited_for() {
        let started = Instant::now();
        let work = async {
            step("the first", None, async {}).await;
            step("the second", Some(Remedy::new("wait", "等待")), async {
                step("a part of the second", None, async {}).await;
                pending::<()>().await;
            })
            .await;
            Ok(())
        };
        let error = within(Duration::from_secs(60), work).await.unwrap_err();
        assert_eq!(started.elapsed(), Duration::from_secs(60));
        assert_eq!(error.reason, Reason::Timeout);
        assert_eq!(
            error.to_string(),
            "given up after 60s of waiting for the second"
        );
        assert_eq!(error.remedy(), "wait");
        assert_eq!(error.remedy_in_chinese(), Some("等待"));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_gets_on_is_given_more_time_and_given_up_once_it_stops() {
        let second = Duration::from_secs(1);
        let work = async {
            for _ in 0..10 {
                tokio::time::sleep(second * 2).await;
                extend(second * 3);
            }
            step("a page", None, pending::<()>()).await;
            Ok(())
        };
        let error = within(second * 3, work).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "given up after 23s of waiting for a page"
        );
        let shorter = async {
            extend(second);
            tokio::time::sleep(second * 2).await;
            Ok(())
        };
        assert!(within(second * 3, shorter).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_known_inside_only() {
        let work = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(left())
        };
        let left_inside = within(Duration::from_secs(3), work).await.unwrap();
        assert_eq!(left_inside, Some(Duration::from_secs(2)));
        assert_eq!(left(), None);
        assert_eq!(step("nothing", None, async { 7 }).await, 7);
    }
}
