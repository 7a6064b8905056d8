//! What the examination found, in the shape that `--json` prints.

use serde::Serialize;

use super::policy::Policy;
use crate::cloud::http::ClientError;
use crate::config::{ConfigError, Problem};

/// Everything that was found.
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

/// Whether the configuration can be put to work.
#[derive(Debug, Serialize)]
pub struct Configuration {
    /// `ok` or `failed`.
    pub status: CheckStatus,
    /// Everything that is wrong with it.
    pub problems: Vec<ConfigFinding>,
    /// What is allowed but likely not meant.
    pub warnings: Vec<String>,
}

/// One thing that is wrong with the configuration.
#[derive(Debug, Serialize)]
pub struct ConfigFinding {
    /// The file and line or the variable, empty if there is none to name.
    pub place: String,
    /// The key, empty if it is none in particular.
    pub key: String,
    /// What is wrong.
    pub detail: String,
    /// What to do about it.
    pub remedy: String,
}

/// One account.
#[derive(Debug, Clone, Serialize)]
pub struct AccountDiagnosis {
    /// Its name.
    pub account: String,
    /// Whether none of its steps failed.
    pub ok: bool,
    /// Where its API is.
    pub endpoint: String,
    /// The region that its requests name.
    pub region: Option<String>,
    /// The proxy that its requests go through, without user name and password.
    pub proxy: Option<String>,
    /// Requests that collecting it costs a day, without retries.
    pub requests_per_day: u64,
    /// The steps, each in its turn.
    pub steps: Vec<CheckResult>,
    /// The findings that matter when all is well.
    #[serde(skip)]
    pub summary: Vec<String>,
}

/// One step of one account.
#[derive(Debug, Clone, Serialize)]
pub struct CheckResult {
    /// What was checked.
    pub step: Check,
    /// Whose request it was, if each collector has its own.
    pub collector: Option<&'static str>,
    /// What came of it.
    pub status: CheckStatus,
    /// What was found, or why the step was skipped.
    pub detail: String,
    /// What to do. A step that is `ok` and has one is a warning.
    pub remedy: Option<String>,
    /// The API's error code.
    pub code: Option<String>,
    /// The handle by which the cloud's support finds the call.
    pub request_id: Option<String>,
}

/// What a step checks, in the order of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// Whether the source of the key gives one that is valid.
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
    /// Whether the answer is one that the collector knows.
    Answer,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// It is as it should be.
    Ok,
    /// It is not.
    Failed,
    /// There was nothing to check, or an earlier step failed.
    Skipped,
}

impl Diagnosis {
    /// A report of accounts whose configuration is good.
    pub(super) fn new(
        configuration: Configuration,
        accounts: Vec<AccountDiagnosis>,
        policy: &Policy,
    ) -> Self {
        // Of whichever collector: another one's refusal is a warning.
        let refused = |step: &CheckResult| step.step == Check::Permission && step.remedy.is_some();
        let mut steps = accounts.iter().flat_map(|account| &account.steps);
        Self {
            ok: accounts.iter().all(|account| account.ok),
            configuration,
            requests_per_day: accounts.iter().map(|one| one.requests_per_day).sum(),
            policy: steps.any(refused).then(|| policy.clone()),
            accounts,
        }
    }

    /// A report of a configuration that cannot be put to work.
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

impl ConfigFinding {
    /// All that is wrong with a configuration.
    pub(super) fn all(error: &ConfigError) -> Vec<Self> {
        error.problems().iter().map(Self::from).collect()
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

impl Configuration {
    /// A configuration that can be used.
    pub(super) fn usable(warnings: Vec<String>) -> Self {
        Self {
            status: CheckStatus::Ok,
            problems: Vec::new(),
            warnings,
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

    /// Good enough, but something is to be done about it.
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

impl Check {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Clock => "clock",
            Self::Signature => "signature",
            Self::Permission => "permission",
            Self::Answer => "answer",
        }
    }
}

impl CheckStatus {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}
