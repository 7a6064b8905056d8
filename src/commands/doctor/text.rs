//! The report for people: a line for each account where all is well, the steps where
//! something is not.

use std::fmt;

use super::Finding;
use super::report::{AccountDiagnosis, CheckResult, CheckStatus, Configuration, Diagnosis};

/// Where the remedies are written below the details.
const INDENT: &str = "                         ";

impl fmt::Display for Finding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(configuration, _) => configuration.fmt(f),
            Self::Account(account) => account.fmt(f),
        }
    }
}

/// The problems, or the warnings of a configuration that can be used.
impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.status != CheckStatus::Ok {
            writeln!(f, "configuration: FAILED")?;
        }
        for problem in &self.problems {
            let parts = [&problem.place, &problem.key, &problem.detail];
            let parts = parts.into_iter().filter(|part| !part.is_empty());
            let parts: Vec<String> = parts.map(|part| plain(part)).collect();
            writeln!(f, "  {}", parts.join(": "))?;
            writeln!(f, "    {}", sentence(&problem.remedy))?;
        }
        for warning in &self.warnings {
            writeln!(f, "configuration: {}", plain(warning))?;
        }
        Ok(())
    }
}

impl Diagnosis {
    /// What is printed below the findings: the policy, if it is needed, and the numbers.
    /// Nothing if the configuration cannot be used.
    #[must_use]
    pub fn summary(&self) -> String {
        if self.configuration.status != CheckStatus::Ok {
            return String::new();
        }
        let policy = self.policy.as_ref();
        let policy = policy.map(|policy| format!("the CAM policy to attach:\n{policy}\n"));
        let failed = self.accounts.iter().filter(|account| !account.ok).count();
        let accounts = match self.accounts.len() {
            1 => "1 account".to_owned(),
            count => format!("{count} accounts"),
        };
        let requests = self.requests_per_day;
        format!(
            "{}{accounts}, {failed} failed, {requests} requests a day\n",
            policy.unwrap_or_default()
        )
    }
}

impl fmt::Display for AccountDiagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = plain(&self.account);
        let mut way = vec![self.endpoint.clone()];
        way.extend(
            self.region
                .as_ref()
                .map(|region| format!("region {region}")),
        );
        way.extend(self.proxy.as_ref().map(|proxy| format!("proxy {proxy}")));
        if self.ok {
            let summary = [way, self.summary.clone()].concat();
            writeln!(f, "{name}: ok ({})", plain(&summary.join(", ")))?;
        } else {
            way.push(format!("{} requests a day", self.requests_per_day));
            writeln!(f, "{name}: FAILED ({})", plain(&way.join(", ")))?;
        }
        let is_shown = |step: &&CheckResult| !self.ok || step.remedy.is_some();
        for step in self.steps.iter().filter(is_shown) {
            step.write(f)?;
        }
        Ok(())
    }
}

impl CheckResult {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let collector = self
            .collector
            .filter(|_| self.status == CheckStatus::Failed);
        let request_id = self.request_id.as_ref();
        let handles = [
            collector.map(str::to_owned),
            request_id.map(|request_id| format!("RequestId {request_id}")),
        ];
        let handles: Vec<String> = handles.into_iter().flatten().collect();
        let line = match handles.as_slice() {
            [] => self.detail.clone(),
            handles => format!("{} ({})", self.detail, handles.join(", ")),
        };
        let (step, status) = (self.step.as_str(), self.status.as_str());
        writeln!(f, "  {step:<13} {status:<8} {}", plain(&line))?;
        match &self.remedy {
            Some(remedy) => writeln!(f, "{INDENT}{}", sentence(remedy)),
            None => Ok(()),
        }
    }
}

/// On one line and without what could steer a terminal: some of it is the API's.
fn plain(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// An instruction as a sentence.
fn sentence(text: &str) -> String {
    let text = plain(text);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_says_cannot_steer_a_terminal() {
        assert_eq!(
            plain("not\n authorized \u{1b}[31m!"),
            "not authorized [31m!"
        );
        assert_eq!(sentence("set the clock"), "Set the clock.");
    }
}
