//! The answers of an account over scenario time.

use std::sync::Arc;
use std::time::Duration;

use super::answer::{Answer, AnswerFields};

/// Answers over time. 10,000 accounts may share one timeline.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    first: Keyframe,
    /// In the order of their times.
    rest: Vec<Keyframe>,
    /// When temporary keys are revoked, in order.
    revocations: Vec<Duration>,
    /// The time after which the timeline repeats; later than every keyframe.
    repeat: Option<Duration>,
}

/// One change, in force until the next change.
#[derive(Debug, Clone)]
pub(crate) struct TimelineStep {
    /// Scenario time.
    pub(crate) at: Duration,
    /// Merged over the fields that hold.
    pub(crate) set: AnswerFields,
    /// The fields that are removed.
    pub(crate) unset: Vec<String>,
    /// Whether the change waits for a request of a further page.
    pub(crate) between_pages: bool,
    /// Whether earlier temporary keys are refused from now on.
    pub(crate) revoke: bool,
    /// How requests are answered from now on.
    pub(crate) answer: Answer,
}

/// The answer and the fields from a time on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Keyframe {
    pub(crate) at: Duration,
    /// Whether it waits for a request of a further page.
    pub(crate) between_pages: bool,
    pub(crate) answer: Answer,
    pub(crate) fields: Arc<AnswerFields>,
}

impl Timeline {
    /// A timeline that begins with `fields` and good answers; `steps` are in order.
    pub(crate) fn new(
        fields: AnswerFields,
        steps: Vec<TimelineStep>,
        repeat: Option<Duration>,
    ) -> Self {
        let revocations = steps.iter().filter(|step| step.revoke);
        let revocations = revocations.map(|step| step.at).collect();
        let mut fields = Arc::new(fields);
        let first = Keyframe {
            at: Duration::ZERO,
            between_pages: false,
            answer: Answer::Ok,
            fields: Arc::clone(&fields),
        };
        let rest = steps.into_iter().map(|step| {
            if !(step.set.is_empty() && step.unset.is_empty()) {
                let fields = Arc::make_mut(&mut fields);
                for name in &step.unset {
                    fields.remove(name);
                }
                fields.extend(step.set);
            }
            Keyframe {
                at: step.at,
                between_pages: step.between_pages,
                answer: step.answer,
                fields: Arc::clone(&fields),
            }
        });
        let rest = rest.collect();
        Self {
            first,
            rest,
            revocations,
            repeat,
        }
    }

    /// The keyframe `elapsed` after the scenario's beginning, and the number of steps until then.
    pub(crate) fn at(&self, elapsed: Duration) -> (usize, &Keyframe) {
        let time = self.time(elapsed);
        let step = self.rest.partition_point(|keyframe| keyframe.at <= time);
        (step, self.after(step))
    }

    /// The keyframe after so many steps.
    pub(crate) fn after(&self, steps: usize) -> &Keyframe {
        let keyframe = steps.checked_sub(1).and_then(|last| self.rest.get(last));
        keyframe.unwrap_or(&self.first)
    }

    /// The time of the scenario `elapsed` after its beginning: less, if it repeats.
    pub(crate) fn time(&self, elapsed: Duration) -> Duration {
        match self.repeat {
            Some(repeat) => remainder(elapsed, repeat),
            None => elapsed,
        }
    }

    /// How long after the scenario's beginning keys were last revoked, as of `elapsed`.
    pub(crate) fn revoked(&self, elapsed: Duration) -> Option<Duration> {
        let time = self.time(elapsed);
        let start = elapsed.saturating_sub(time);
        let this_time = self.revocations.iter().rev().find(|at| **at <= time);
        if let Some(at) = this_time {
            return Some(start.saturating_add(*at));
        }
        let last_start = start.checked_sub(self.repeat?)?;
        Some(last_start.saturating_add(*self.revocations.last()?))
    }

    /// The fields at first.
    #[cfg(test)]
    pub(crate) fn fields(&self) -> &AnswerFields {
        &self.first.fields
    }

    /// The changes in order.
    #[cfg(test)]
    pub(crate) fn steps(&self) -> &[Keyframe] {
        &self.rest
    }
}

/// `elapsed` modulo `period`, to the nanosecond; `elapsed` itself for a period of zero.
fn remainder(elapsed: Duration, period: Duration) -> Duration {
    elapsed
        .as_nanos()
        .checked_rem(period.as_nanos())
        .and_then(|nanos| u64::try_from(nanos).ok())
        .map_or(elapsed, Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn fields(value: Value) -> AnswerFields {
        match value {
            Value::Object(fields) => fields,
            other => panic!("not an object: {other}"),
        }
    }

    fn step(at: u64, set: Value, unset: &[&str], answer: Answer) -> TimelineStep {
        TimelineStep {
            at: Duration::from_secs(at),
            set: fields(set),
            unset: unset.iter().map(|&name| name.to_owned()).collect(),
            between_pages: false,
            revoke: false,
            answer,
        }
    }

    fn timeline(repeat: Option<u64>) -> Timeline {
        Timeline::new(
            fields(json!({"LicenseCnt": 5, "AutoOpenStatus": true})),
            vec![
                step(10, json!({"LicenseCnt": null}), &[], Answer::Ok),
                step(20, json!({}), &[], Answer::Hang),
                step(30, json!({}), &["AutoOpenStatus"], Answer::Ok),
            ],
            repeat.map(Duration::from_secs),
        )
    }

    fn check(timeline: &Timeline, at_ms: u64, step: usize, answer: &Answer, expected: Value) {
        let (taken, keyframe) = timeline.at(Duration::from_millis(at_ms));
        assert_eq!(
            (taken, &keyframe.answer, keyframe.fields.as_ref()),
            (step, answer, &fields(expected)),
            "at {at_ms} ms"
        );
    }

    #[test]
    fn step_holds_from_its_time_until_the_next() {
        let timeline = timeline(None);
        let base = json!({"LicenseCnt": 5, "AutoOpenStatus": true});
        check(&timeline, 0, 0, &Answer::Ok, base.clone());
        check(&timeline, 9_999, 0, &Answer::Ok, base);
        let set = json!({"LicenseCnt": null, "AutoOpenStatus": true});
        check(&timeline, 10_000, 1, &Answer::Ok, set.clone());
        check(&timeline, 20_000, 2, &Answer::Hang, set);
        let unset = json!({"LicenseCnt": null});
        check(&timeline, 30_000, 3, &Answer::Ok, unset.clone());
        check(&timeline, u64::MAX, 3, &Answer::Ok, unset);
    }

    #[test]
    fn repeated_scenario_begins_with_its_first_fields_again() {
        let timeline = timeline(Some(60));
        check(
            &timeline,
            59_999,
            3,
            &Answer::Ok,
            json!({"LicenseCnt": null}),
        );
        let base = json!({"LicenseCnt": 5, "AutoOpenStatus": true});
        check(&timeline, 60_000, 0, &Answer::Ok, base);
        let set = json!({"LicenseCnt": null, "AutoOpenStatus": true});
        check(&timeline, 60_000 * 1_000 + 20_000, 2, &Answer::Hang, set);
    }

    #[test]
    fn period_of_zero_does_not_divide() {
        assert_eq!(
            remainder(Duration::from_secs(3), Duration::ZERO),
            Duration::from_secs(3)
        );
    }

    #[test]
    fn last_revocation_is_found_in_every_round() {
        let second = Duration::from_secs;
        let revoke = |at| TimelineStep {
            revoke: true,
            ..step(at, json!({}), &[], Answer::Ok)
        };
        for (repeat, elapsed, expected) in [
            (None, 9, None),
            (None, 10, Some(10)),
            (None, 1_000, Some(20)),
            (Some(60), 9, None),
            (Some(60), 59, Some(20)),
            (Some(60), 69, Some(20)),
            (Some(60), 70, Some(70)),
            (Some(60), 600, Some(560)),
        ] {
            let steps = vec![revoke(10), revoke(20)];
            let timeline = Timeline::new(AnswerFields::new(), steps, repeat.map(second));
            let revoked = timeline.revoked(second(elapsed));
            assert_eq!(revoked, expected.map(second), "{repeat:?} at {elapsed} s");
        }
        assert_eq!(timeline(Some(60)).revoked(second(100)), None);
    }
}
