//! The steps that depend on one real request of each collector: clock, signature, permission
//! and answer.

use super::report::{Check, CheckResult, CheckStatus};
use crate::cloud::Error;
use crate::collectors::{Collected, switch_off};
use crate::metrics::reason::Reason;
use crate::system::words::counted;

/// The clock skew from which on the API refuses every request, in seconds.
const MAX_SKEW: f64 = 300.0;

/// The clock skew from which on the step is a warning, in seconds.
const SKEW_WARNING: f64 = 30.0;

const POLICY: &str = "attach the CAM policy of this report to the key's user or role, unless the \
                      message names another cause";

/// The request of one collector, and its outcome.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    pub(super) collector: &'static str,
    /// Whether the collector decides whether the account is up; the failure of another is a
    /// warning.
    pub(super) decides: bool,
    /// The request's action as policies write it.
    pub(super) action: String,
    /// The local clock minus the API's, in seconds, if an answer had a Date header.
    pub(super) skew: Option<f64>,
    /// The answer's content and RequestId.
    pub(super) outcome: Result<(Collected, Option<String>), Error>,
}

/// The steps and the summary of the exchanges of all collectors.
pub(super) fn steps(exchanges: &[Exchange]) -> (Vec<CheckResult>, Vec<String>) {
    let skew = exchanges.iter().find_map(|exchange| exchange.skew);
    let mut steps = vec![clock(skew)];
    let mut values = 0;
    for exchange in exchanges {
        steps.extend(exchange.steps());
        values += exchange.values();
    }
    let mut summary = vec![counted(values, "value")];
    summary.extend(skew.map(|skew| format!("clock {skew:+.1} s")));
    (steps, summary)
}

/// The same steps where no request could be sent.
pub(super) fn skip(why: &str) -> Vec<CheckResult> {
    use Check::{Answer, Clock, Permission, Signature};
    [Clock, Signature, Permission, Answer]
        .map(|check| CheckResult::skipped(check, why))
        .to_vec()
}

/// The TLS step of a route through a proxy, which only requests can check. The tunnel works if
/// one request got an answer through it.
pub(super) fn tunnel(exchanges: &[Exchange]) -> Option<CheckResult> {
    let step = exchanges.iter().map(|exchange| match &exchange.outcome {
        Err(error) if error.reason == Reason::Network => {
            CheckResult::failed(Check::Tls, &error.message, Reason::Network.remedy())
        }
        Err(error) if error.reason == Reason::Timeout => {
            CheckResult::skipped(Check::Tls, "nothing came through the proxy's tunnel")
        }
        _ => {
            let detail = "certificate trusted, through the proxy's tunnel";
            CheckResult::ok(Check::Tls, detail)
        }
    });
    step.reduce(|first, other| match first.has_failed() {
        true => other,
        false => first,
    })
}

fn clock(skew: Option<f64>) -> CheckResult {
    let Some(skew) = skew else {
        return CheckResult::skipped(Check::Clock, "no answer had a Date header");
    };
    let side = if skew < 0.0 { "behind" } else { "ahead of" };
    let detail = format!("this machine is {:.1} s {side} the API", skew.abs());
    match skew.abs() {
        off if off > MAX_SKEW => CheckResult::failed(Check::Clock, detail, Reason::Clock.remedy()),
        off if off > SKEW_WARNING => {
            CheckResult::warning(Check::Clock, detail, Reason::Clock.remedy())
        }
        _ => CheckResult::ok(Check::Clock, detail),
    }
}

impl Exchange {
    /// How many requests a collection takes, as far as is known.
    pub(super) fn requests(&self) -> u32 {
        let collected = self.outcome.as_ref();
        collected.map_or(1, |(collected, _)| collected.requests)
    }

    fn values(&self) -> usize {
        let collected = self.outcome.as_ref();
        collected.map_or(0, |(collected, _)| {
            let rows = collected.rows.iter().map(Vec::len);
            collected.samples.len() + rows.sum::<usize>()
        })
    }

    fn steps(&self) -> [CheckResult; 3] {
        [Check::Signature, Check::Permission, Check::Answer].map(|check| {
            let step = match &self.outcome {
                Ok(answer) => self.answered(check, answer),
                Err(error) => unanswered(check, error),
            };
            let remedy = step.remedy.map(|remedy| match step.step {
                Check::Permission if !self.decides => {
                    format!("{remedy}; or {}", switch_off(self.collector).english)
                }
                _ => remedy,
            });
            CheckResult {
                collector: Some(self.collector),
                status: match step.status {
                    CheckStatus::Failed if !self.decides => CheckStatus::Ok,
                    status => status,
                },
                remedy,
                ..step
            }
        })
    }

    /// The step of a request that was answered.
    fn answered(&self, check: Check, answer: &(Collected, Option<String>)) -> CheckResult {
        let (collected, request_id) = answer;
        let step = match check {
            Check::Signature => CheckResult::ok(check, "the API accepts the signature"),
            Check::Permission => CheckResult::ok(check, format!("{} is allowed", self.action)),
            _ if !collected.recognized => {
                let detail = "the answer has no documented field with a valid value";
                CheckResult::failed(check, detail, Reason::Response.remedy())
            }
            _ => {
                let drift = collected.drift.iter();
                let drift = drift.map(|drift| format!("{} {}", drift.field, drift.kind.as_str()));
                let drift: Vec<String> = drift.collect();
                let values = counted(self.values(), "value");
                CheckResult::ok(
                    check,
                    match drift.as_slice() {
                        [] => values,
                        drift => format!("{values}; not as documented: {}", drift.join(", ")),
                    },
                )
            }
        };
        CheckResult {
            request_id: request_id.clone().filter(|_| check == Check::Answer),
            ..step
        }
    }
}

/// The step of a request that failed. An error code proves the steps before the failed step;
/// the steps after the failed step are skipped.
fn unanswered(check: Check, error: &Error) -> CheckResult {
    let is_key = matches!(error.reason, Reason::Credentials | Reason::Clock);
    let is_permission = error.reason == Reason::Permission;
    match check {
        Check::Signature if is_key => failed(check, error, error.remedy()),
        Check::Permission if is_key => CheckResult::skipped(check, "the signature was refused"),
        Check::Permission if is_permission => failed(check, error, POLICY),
        Check::Answer if is_key || is_permission => {
            CheckResult::skipped(check, "the request was refused")
        }
        Check::Answer => failed(check, error, error.remedy()),
        _ if error.code.is_none() => CheckResult::skipped(check, "the API did not answer"),
        Check::Permission => CheckResult::ok(check, "the API does not refuse the action"),
        _ => CheckResult::ok(check, "the API does not refuse the signature"),
    }
}

fn failed(check: Check, error: &Error, remedy: &str) -> CheckResult {
    CheckResult {
        code: error.code.clone(),
        request_id: error.request_id.clone(),
        ..CheckResult::failed(check, &error.message, remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(outcome: Result<(Collected, Option<String>), Error>) -> Exchange {
        Exchange {
            collector: "license_general",
            decides: true,
            action: "cwp:DescribeLicenseGeneral".to_owned(),
            skew: Some(0.0),
            outcome,
        }
    }

    fn refused(reason: Reason, code: Option<&str>) -> Exchange {
        exchange(Err(Error {
            code: code.map(str::to_owned),
            ..Error::new(reason, "no")
        }))
    }

    fn statuses(exchange: Exchange) -> Vec<CheckStatus> {
        let (steps, _) = steps(&[exchange]);
        steps.into_iter().map(|step| step.status).collect()
    }

    #[test]
    fn each_reason_is_the_failure_of_one_step() {
        use CheckStatus::{Failed, Ok, Skipped};
        for (reason, code, expected) in [
            (
                Reason::Credentials,
                Some("A"),
                [Ok, Failed, Skipped, Skipped],
            ),
            (Reason::Clock, Some("A"), [Ok, Failed, Skipped, Skipped]),
            (Reason::Permission, Some("A"), [Ok, Ok, Failed, Skipped]),
            (Reason::Server, Some("A"), [Ok, Ok, Ok, Failed]),
            (Reason::Server, None, [Ok, Skipped, Skipped, Failed]),
            (Reason::Timeout, None, [Ok, Skipped, Skipped, Failed]),
        ] {
            assert_eq!(
                statuses(refused(reason, code)),
                expected,
                "{reason} {code:?}"
            );
        }
    }

    #[test]
    fn a_clock_that_is_off_is_a_warning_before_it_is_a_failure() {
        for (skew, status, has_remedy) in [
            (Some(29.0), CheckStatus::Ok, false),
            (Some(-31.0), CheckStatus::Ok, true),
            (Some(299.0), CheckStatus::Ok, true),
            (Some(-301.0), CheckStatus::Failed, true),
            (None, CheckStatus::Skipped, false),
        ] {
            let step = clock(skew);
            assert_eq!(step.status, status, "{skew:?}");
            assert_eq!(step.remedy.is_some(), has_remedy, "{skew:?}");
        }
        let detail = "this machine is 31.0 s behind the API";
        assert_eq!(clock(Some(-31.0)).detail, detail);
    }

    #[test]
    fn a_tunnel_works_if_an_answer_came_through() {
        let status = |exchange| tunnel(&[exchange]).map(|step| step.status);
        let broken = refused(Reason::Network, None);
        assert_eq!(status(broken), Some(CheckStatus::Failed));
        let silent = refused(Reason::Timeout, None);
        assert_eq!(status(silent), Some(CheckStatus::Skipped));
        let refusing = refused(Reason::Permission, Some("A"));
        assert_eq!(status(refusing.clone()), Some(CheckStatus::Ok));
        let broken = refused(Reason::Network, None);
        for both in [[broken.clone(), refusing.clone()], [refusing, broken]] {
            let step = tunnel(&both).unwrap();
            assert_eq!(step.status, CheckStatus::Ok, "something came through");
        }
    }
}
