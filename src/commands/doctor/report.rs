//! The diagnosis of a configuration and its accounts, in the shape that `--json` prints.

use std::fmt;

use serde::Serialize;

use super::policy::Policy;
use crate::cloud::trust::ClientError;
use crate::config::Problem;

/// The whole diagnosis.
#[derive(Debug, Serialize)]
pub struct Diagnosis {
    /// Whether no step failed.
    pub ok: bool,
    /// The step that concerns all accounts.
    pub configuration: Configuration,
    /// Requests that collecting all accounts costs a day, without retries.
    pub requests_per_day: u64,
    /// The accounts in the order of the configuration.
    pub accounts: Vec<AccountDiagnosis>,
    /// What to attach to the key's user or role, if some account lacks permission.
    pub policy: Option<Policy>,
}

/// Whether the configuration can be used.
#[derive(Debug, Serialize)]
pub struct Configuration {
    /// `ok` or `failed`.
    pub status: CheckStatus,
    /// All problems.
    pub problems: Vec<ConfigFinding>,
    /// Settings that are allowed but likely not meant.
    pub warnings: Vec<String>,
}

/// One problem of the configuration.
#[derive(Debug, Serialize)]
pub struct ConfigFinding {
    /// The file and line, or the variable; empty if neither is known.
    pub place: String,
    /// The key; empty if the problem is not of one key.
    pub key: String,
    /// The problem.
    pub detail: String,
    /// The remedy.
    pub remedy: String,
}

/// The diagnosis of one account.
#[derive(Debug, Clone, Serialize)]
pub struct AccountDiagnosis {
    /// Its name.
    pub account: String,
    /// Whether none of its steps failed.
    pub ok: bool,
    /// The URL of its API.
    pub endpoint: String,
    /// The region that its requests name.
    pub region: Option<String>,
    /// The proxy that its requests go through, without user name and password.
    pub proxy: Option<String>,
    /// Requests that collecting it costs a day, without retries.
    pub requests_per_day: u64,
    /// The steps in their order.
    pub steps: Vec<CheckResult>,
    /// The findings that the text shows where no step failed.
    #[serde(skip)]
    pub summary: Vec<String>,
}

/// One step of one account.
#[derive(Debug, Clone, Serialize)]
pub struct CheckResult {
    /// The check.
    pub step: Check,
    /// The collector of the request, if each collector has its own.
    pub collector: Option<&'static str>,
    /// The outcome.
    pub status: CheckStatus,
    /// The finding, or why the step was skipped.
    pub detail: String,
    /// The remedy. A step that is `ok` and has a remedy is a warning.
    pub remedy: Option<String>,
    /// The API's error code.
    pub code: Option<String>,
    /// The id by which the cloud's support finds the call.
    pub request_id: Option<String>,
}

/// The checks, in the order of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// Whether the key's source has a valid key.
    Credentials,
    /// Whether the name of the endpoint or its proxy resolves.
    Dns,
    /// Whether it takes connections.
    Tcp,
    /// Whether its certificate is trusted.
    Tls,
    /// Whether the local clock is the API's.
    Clock,
    /// Whether the key signs as the API expects.
    Signature,
    /// Whether the key may call the action.
    Permission,
    /// Whether the collector recognises the answer.
    Answer,
}

/// The outcome of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// The check passed.
    Ok,
    /// The check failed.
    Failed,
    /// There was nothing to check, or an earlier step failed.
    Skipped,
}

impl Diagnosis {
    /// The diagnosis of accounts whose configuration is good.
    pub(super) fn new(
        configuration: Configuration,
        accounts: Vec<AccountDiagnosis>,
        policy: &Policy,
    ) -> Self {
        // A collector that does not decide about `up` makes a warning of its refusal.
        let refused = |step: &CheckResult| step.step == Check::Permission && step.remedy.is_some();
        let mut steps = accounts.iter().flat_map(|account| &account.steps);
        Self {
            ok: accounts.iter().all(|account| account.ok),
            configuration,
            requests_per_day: accounts
                .iter()
                .map(|account| account.requests_per_day)
                .sum(),
            policy: steps.any(refused).then(|| policy.clone()),
            accounts,
        }
    }

    /// The diagnosis of a configuration that cannot be used.
    pub(super) fn unusable(problems: Vec<ConfigFinding>) -> Self {
        Self {
            ok: false,
            configuration: Configuration {
                status: CheckStatus::Failed,
                problems,
                warnings: Vec::new(),
            },
            requests_per_day: 0,
            accounts: Vec::new(),
            policy: None,
        }
    }
}

/// What is wrong with the settings of the network.
impl From<&ClientError> for ConfigFinding {
    fn from(error: &ClientError) -> Self {
        Self {
            place: String::new(),
            key: String::new(),
            detail: error.what(),
            remedy: error.remedy().to_owned(),
        }
    }
}

impl From<&Problem> for ConfigFinding {
    fn from(problem: &Problem) -> Self {
        Self {
            place: problem.location.to_string(),
            key: problem.key.clone(),
            detail: problem.fault.what.clone(),
            remedy: problem.fault.remedy.clone(),
        }
    }
}

impl CheckResult {
    pub(super) fn ok(step: Check, detail: impl Into<String>) -> Self {
        Self {
            step,
            collector: None,
            status: CheckStatus::Ok,
            detail: detail.into(),
            remedy: None,
            code: None,
            request_id: None,
        }
    }

    /// A passed check with a remedy.
    pub(super) fn warning(step: Check, detail: String, remedy: &str) -> Self {
        Self {
            remedy: Some(remedy.to_owned()),
            ..Self::ok(step, detail)
        }
    }

    pub(super) fn failed(step: Check, detail: impl Into<String>, remedy: &str) -> Self {
        Self {
            status: CheckStatus::Failed,
            remedy: Some(remedy.to_owned()),
            ..Self::ok(step, detail)
        }
    }

    pub(super) fn skipped(step: Check, why: impl Into<String>) -> Self {
        Self {
            status: CheckStatus::Skipped,
            ..Self::ok(step, why)
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.status == CheckStatus::Failed
    }
}

/// As in JSON.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// As in JSON.
impl fmt::Display for CheckStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
