//! Someone who answers by a timeline, or as told instead.

use std::sync::Arc;
use std::time::Duration;

use super::answer::{Answer, Fields};
use super::timeline::Timeline;

/// An account or a service, as its callers see it.
#[derive(Debug)]
pub(crate) struct ResponseScript {
    pub(crate) timeline: Arc<Timeline>,
    /// Played instead of the timeline.
    played: Option<Answer>,
    /// What its last request met with: a step of the timeline, or none of them.
    seen: Option<usize>,
}

impl ResponseScript {
    pub(crate) fn new(timeline: Arc<Timeline>) -> Self {
        Self {
            timeline,
            played: None,
            seen: Some(0),
        }
    }

    /// Plays `answer`, or the timeline again.
    pub(crate) fn play(&mut self, answer: Option<Answer>) {
        self.played = answer;
    }

    /// What is answered at a time; says so in the log, of `name`, when it has changed.
    pub(crate) fn answer(&mut self, name: &str, elapsed: Duration) -> (Answer, Arc<Fields>) {
        let (step, moment) = self.timeline.at(elapsed);
        let (step, answer) = match &self.played {
            Some(played) => (None, played.clone()),
            None => (Some(step), moment.answer.clone()),
        };
        let fields = Arc::clone(&moment.fields);
        if self.seen != step {
            let answer = answer.name();
            tracing::info!(
                account = name,
                step,
                answer,
                "the account's answers change now"
            );
        }
        self.seen = step;
        (answer, fields)
    }
}
