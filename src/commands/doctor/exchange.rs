//! The steps that one real request of each collector settles: clock, signature,
//! permission and answer.

use super::report::{Check, CheckResult, CheckStatus};
use crate::cloud::Error;
use crate::collectors::Collected;
use crate::metrics::reason::Reason;

/// How far the clocks may differ before every request is refused, in seconds.
const REFUSED: f64 = 300.0;

/// How far they may differ before it is worth a word, in seconds.
const NOTED: f64 = 30.0;

const POLICY: &str = "attach the CAM policy of this report to the key's user or role, unless the \
                      message names another cause";

/// What came of the request of one collector.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    pub(super) collector: &'static str,
    /// Whether the collector decides whether the account is up; the failure of another is a
    /// warning.
    pub(super) decides: bool,
    /// The request's action as policies write it.
    pub(super) action: String,
    /// The local clock minus the API's, in seconds, if the API said what time it is.
    pub(super) skew: Option<f64>,
    /// What the answer meant and its RequestId.
    pub(super) outcome: Result<(Collected, Option<String>), Error>,
}

/// The steps and a summary in a few words, from the exchanges of all collectors.
pub(super) fn judge(exchanges: &[Exchange]) -> (Vec<CheckResult>, Vec<String>) {
    let skew = exchanges.iter().find_map(|exchange| exchange.skew);
    let mut steps = vec![clock(skew)];
    let mut values = 0;
    for exchange in exchanges {
        steps.extend(exchange.steps());
        values += exchange.values();
    }
    let mut summary = vec![counted(values)];
    summary.extend(skew.map(|skew| format!("clock {skew:+.1} s")));
    (steps, summary)
}

/// The same steps when nothing could be sent.
pub(super) fn skip(why: &str) -> Vec<CheckResult> {
    let subjects = [
        Check::Clock,
        Check::Signature,
        Check::Permission,
        Check::Answer,
    ];
    let steps = subjects.map(|subject| CheckResult::skipped(subject, why));
    steps.to_vec()
}

/// What the exchanges tell of a tunnel that could not be tried otherwise. It is there
/// if anything came through.
pub(super) fn tunnel(exchanges: &[Exchange]) -> Option<CheckResult> {
    let step = exchanges.iter().map(|exchange| match &exchange.outcome {
        Err(error) if error.reason == Reason::Network => {
            CheckResult::failed(Check::Tls, &error.message, Reason::Network.remedy())
        }
        Err(error) if error.reason == Reason::Timeout => {
            CheckResult::skipped(Check::Tls, "nothing came through the proxy's tunnel")
        }
        _ => CheckResult::ok(
            Check::Tls,
            "certificate trusted, through the proxy's tunnel",
        ),
    });
    step.reduce(
        |first, other| {
            if first.has_failed() { other } else { first }
        },
    )
}

fn clock(skew: Option<f64>) -> CheckResult {
    let Some(skew) = skew else {
        return CheckResult::skipped(Check::Clock, "no answer had a Date header");
    };
    let side = if skew < 0.0 { "behind" } else { "ahead of" };
    let detail = format!("this machine is {:.1} s {side} the API", skew.abs());
    match skew.abs() {
        off if off > REFUSED => CheckResult::failed(Check::Clock, detail, Reason::Clock.remedy()),
        off if off > NOTED => CheckResult::warning(Check::Clock, detail, Reason::Clock.remedy()),
        _ => CheckResult::ok(Check::Clock, detail),
    }
}

impl Exchange {
    fn values(&self) -> usize {
        let collected = self.outcome.as_ref();
        collected.map_or(0, |(collected, _)| {
            let rows = collected.rows.iter().map(Vec::len);
            collected.samples.len() + rows.sum::<usize>()
        })
    }

    fn steps(&self) -> [CheckResult; 3] {
        [self.signature(), self.permission(), self.answer()].map(|step| CheckResult {
            collector: Some(self.collector),
            status: match step.status {
                CheckStatus::Failed if !self.decides => CheckStatus::Ok,
                status => status,
            },
            ..step
        })
    }

    fn signature(&self) -> CheckResult {
        let subject = Check::Signature;
        match &self.outcome {
            Ok(_) => CheckResult::ok(subject, "the API accepts the signature"),
            Err(error) if is_about_the_key(error) => failed(subject, error, error.remedy()),
            Err(error) if error.code.is_some() => {
                CheckResult::ok(subject, "the API does not refuse the signature")
            }
            Err(_) => CheckResult::skipped(subject, "the API did not answer"),
        }
    }

    fn permission(&self) -> CheckResult {
        let subject = Check::Permission;
        match &self.outcome {
            Ok(_) => CheckResult::ok(subject, format!("{} is allowed", self.action)),
            Err(error) if error.reason == Reason::Permission => failed(subject, error, POLICY),
            Err(error) if is_about_the_key(error) => {
                CheckResult::skipped(subject, "the signature was refused")
            }
            Err(error) if error.code.is_some() => {
                CheckResult::ok(subject, "the API does not refuse the action")
            }
            Err(_) => CheckResult::skipped(subject, "the API did not answer"),
        }
    }

    fn answer(&self) -> CheckResult {
        let subject = Check::Answer;
        let (collected, request_id) = match &self.outcome {
            Ok((collected, request_id)) => (collected, request_id),
            Err(error) if is_about_the_key(error) || error.reason == Reason::Permission => {
                return CheckResult::skipped(subject, "the request was refused");
            }
            Err(error) => return failed(subject, error, error.remedy()),
        };
        let step = if collected.recognized {
            let drift = collected.drift.iter();
            let drift = drift.map(|drift| format!("{} {}", drift.field, drift.kind.as_str()));
            let drift: Vec<String> = drift.collect();
            let values = counted(self.values());
            let detail = match drift.as_slice() {
                [] => values,
                drift => format!("{values}; not as documented: {}", drift.join(", ")),
            };
            CheckResult::ok(subject, detail)
        } else {
            let detail = "the answer has no documented field with a valid value";
            CheckResult::failed(subject, detail, Reason::Response.remedy())
        };
        CheckResult {
            request_id: request_id.clone(),
            ..step
        }
    }
}

fn counted(values: usize) -> String {
    match values {
        1 => "1 value".to_owned(),
        values => format!("{values} values"),
    }
}

/// Whether the request was refused for who signed it, or when.
fn is_about_the_key(error: &Error) -> bool {
    matches!(error.reason, Reason::Credentials | Reason::Clock)
}

fn failed(subject: Check, error: &Error, remedy: &str) -> CheckResult {
    CheckResult {
        code: error.code.clone(),
        request_id: error.request_id.clone(),
        ..CheckResult::failed(subject, &error.message, remedy)
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
        let (steps, _) = judge(&[exchange]);
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
    fn a_clock_that_is_off_is_noted_before_it_is_refused() {
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
    fn a_tunnel_is_judged_by_what_came_through() {
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
