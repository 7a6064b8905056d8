//! What holds for an account at a moment of the scenario.

use std::time::Duration;

use super::answer::{Answer, Fields};

/// The answers of one account over time.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    /// The fields at time 0.
    pub(crate) fields: Fields,
    /// In the order of their times.
    pub(crate) steps: Vec<Step>,
    /// When time begins anew; later than every step.
    pub(crate) repeat: Option<Duration>,
}

/// One change of an account, in force until the next one.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Scenario time.
    pub(crate) at: Duration,
    /// Merged over the fields that hold.
    pub(crate) set: Fields,
    /// Fields that are removed.
    pub(crate) unset: Vec<String>,
    /// How requests are answered from now on.
    pub(crate) answer: Answer,
}

/// What holds at one time.
#[derive(Debug, PartialEq)]
pub(crate) struct Moment<'a> {
    /// How many steps have been taken.
    pub(crate) step: usize,
    pub(crate) answer: &'a Answer,
    pub(crate) fields: Fields,
}

impl Timeline {
    /// What holds `elapsed` after the scenario's beginning.
    pub(crate) fn at(&self, elapsed: Duration) -> Moment<'_> {
        let time = match self.repeat {
            Some(repeat) => remainder(elapsed, repeat),
            None => elapsed,
        };
        let mut moment = Moment {
            step: 0,
            answer: &Answer::Ok,
            fields: self.fields.clone(),
        };
        for step in self.steps.iter().take_while(|step| step.at <= time) {
            moment.step += 1;
            moment.answer = &step.answer;
            for name in &step.unset {
                moment.fields.remove(name);
            }
            moment.fields.extend(step.set.clone());
        }
        moment
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

    fn fields(value: Value) -> Fields {
        match value {
            Value::Object(fields) => fields,
            other => panic!("not an object: {other}"),
        }
    }

    fn step(at: u64, set: Value, unset: &[&str], answer: Answer) -> Step {
        Step {
            at: Duration::from_secs(at),
            set: fields(set),
            unset: unset.iter().map(|&name| name.to_owned()).collect(),
            answer,
        }
    }

    fn timeline(repeat: Option<u64>) -> Timeline {
        Timeline {
            fields: fields(json!({"LicenseCnt": 5, "AutoOpenStatus": true})),
            steps: vec![
                step(10, json!({"LicenseCnt": null}), &[], Answer::Ok),
                step(20, json!({}), &[], Answer::Hang),
                step(30, json!({}), &["AutoOpenStatus"], Answer::Ok),
            ],
            repeat: repeat.map(Duration::from_secs),
        }
    }

    fn check(timeline: &Timeline, at_ms: u64, step: usize, answer: &Answer, expected: Value) {
        let moment = timeline.at(Duration::from_millis(at_ms));
        let expected = Moment {
            step,
            answer,
            fields: fields(expected),
        };
        assert_eq!(moment, expected, "at {at_ms} ms");
    }

    #[test]
    fn step_holds_from_its_very_moment_until_the_next() {
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
}
