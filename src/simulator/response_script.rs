//! The answers of an account or a service: those of its timeline, or a played one.

use std::sync::Arc;
use std::time::Duration;

use super::answer::{Answer, AnswerFields};
use super::timeline::Timeline;

/// The answers of an account or a service.
#[derive(Debug)]
pub(crate) struct ResponseScript {
    pub(crate) timeline: Arc<Timeline>,
    /// Answered instead of the timeline's answers.
    played: Option<Answer>,
    /// The step of the timeline that the last request met; none if it met a played answer.
    last_step: Option<usize>,
}

impl ResponseScript {
    pub(crate) fn new(timeline: Arc<Timeline>) -> Self {
        Self {
            timeline,
            played: None,
            last_step: Some(0),
        }
    }

    /// Answers `answer` from now on, or by the timeline again.
    pub(crate) fn play(&mut self, answer: Option<Answer>) {
        self.played = answer;
    }

    /// The answer at a scenario time, to the request of a `further_page` or another. The log
    /// of `name` shows when the answer changes.
    pub(crate) fn answer(
        &mut self,
        (name, action): (&str, Option<&str>),
        further_page: bool,
        elapsed: Duration,
    ) -> (Answer, Arc<AnswerFields>) {
        let (mut step, mut keyframe) = self.timeline.at(elapsed);
        while keyframe.between_pages && !further_page && self.last_step != Some(step) {
            step = step.saturating_sub(1);
            keyframe = self.timeline.after(step);
        }
        let (step, answer) = match &self.played {
            Some(played) => (None, played.clone()),
            None => (Some(step), keyframe.answer.clone()),
        };
        let fields = Arc::clone(&keyframe.fields);
        if self.last_step != step {
            let answer = answer.name();
            tracing::info!(
                account = name,
                action,
                step,
                answer,
                "the account's answers change now"
            );
        }
        self.last_step = step;
        (answer, fields)
    }
}
