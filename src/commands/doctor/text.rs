//! The diagnosis as text: a line for each account, and the steps where a step has failed or
//! has a remedy.

use std::fmt;

use super::Finding;
use super::report::{AccountDiagnosis, CheckResult, CheckStatus, Configuration, Diagnosis};
use crate::system::words::counted;

/// The indentation of remedies, which are below the details.
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
    /// The last lines: the policy, if an account needs it, and the numbers. Empty if the
    /// configuration cannot be used.
    #[must_use]
    pub fn summary(&self) -> String {
        if self.configuration.status != CheckStatus::Ok {
            return String::new();
        }
        let policy = self.policy.as_ref();
        let policy = policy.map(|policy| format!("the CAM policy to attach:\n{policy}\n"));
        let failed = self.accounts.iter().filter(|account| !account.ok).count();
        let (policy, requests) = (policy.unwrap_or_default(), self.requests_per_day);
        let accounts = counted(self.accounts.len(), "account");
        format!("{policy}{accounts}, {failed} failed, {requests} requests a day\n")
    }
}

impl fmt::Display for AccountDiagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = plain(&self.account);
        let mut route = vec![self.endpoint.clone()];
        let (region, proxy) = (self.region.iter(), self.proxy.iter());
        route.extend(region.map(|region| format!("region {region}")));
        route.extend(proxy.map(|proxy| format!("proxy {proxy}")));
        if self.ok {
            let summary = [route, self.summary.clone()].concat();
            writeln!(f, "{name}: ok ({})", plain(&summary.join(", ")))?;
        } else {
            route.push(format!("{} requests a day", self.requests_per_day));
            writeln!(f, "{name}: FAILED ({})", plain(&route.join(", ")))?;
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
        let collector = self.collector.filter(|_| self.remedy.is_some());
        let collector = collector.map(str::to_owned).into_iter();
        let request_id = self.request_id.iter().map(|id| format!("RequestId {id}"));
        let ids: Vec<String> = collector.chain(request_id).collect();
        let line = match ids.as_slice() {
            [] => self.detail.clone(),
            ids => format!("{} ({})", self.detail, ids.join(", ")),
        };
        let status = match (self.status, &self.remedy) {
            (CheckStatus::Ok, Some(_)) => "warning".to_owned(),
            (status, _) => status.to_string(),
        };
        writeln!(f, "  {:<13} {status:<8} {}", self.step, plain(&line))?;
        match &self.remedy {
            Some(remedy) => writeln!(f, "{INDENT}{}", sentence(remedy)),
            None => Ok(()),
        }
    }
}

/// The text on one line, without control characters: parts of it are the API's, and must not
/// control a terminal.
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
    fn texts_of_the_api_cannot_control_a_terminal() {
        assert_eq!(
            plain("not\n authorized \u{1b}[31m!"),
            "not authorized [31m!"
        );
        assert_eq!(sentence("set the clock"), "Set the clock.");
    }
}
