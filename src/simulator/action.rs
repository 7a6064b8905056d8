//! The actions that the simulated API knows.

use std::collections::HashSet;
use std::sync::Arc;

use super::refusal::Refusal;

/// An action of CWP or of the security token service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    DescribeLicenseGeneral,
    AssumeRole,
    AssumeRoleWithWebIdentity,
    /// A further action of CWP with answers in the scenario.
    Scripted(Arc<str>),
}

impl Action {
    const BUILT_IN: [Self; 3] = [
        Self::DescribeLicenseGeneral,
        Self::AssumeRole,
        Self::AssumeRoleWithWebIdentity,
    ];

    /// The action of a name and version, built in or `scripted`.
    ///
    /// # Errors
    ///
    /// The refusal of a name or version that does not exist.
    pub(crate) fn choose(
        name: &str,
        version: &str,
        scripted: &HashSet<Arc<str>>,
    ) -> Result<Self, Refusal> {
        let of_scenario = || scripted.get(name).cloned().map(Self::Scripted);
        let wrong_version = |action: &Self| {
            let (service, right) = (action.service(), action.version());
            let message =
                format!("The version `{version}` does not exist; {service} has `{right}`.");
            Err(Refusal::new("NoSuchVersion", message))
        };
        let mut built_in = Self::BUILT_IN.iter();
        match Self::built_in(name).or_else(of_scenario) {
            Some(action) if action.version() == version => Ok(action),
            Some(action) => wrong_version(&action),
            None if built_in.any(|action| action.version() == version) => {
                let message = format!(
                    "The request action=`{name}` is invalid or does not match version=`{version}`."
                );
                Err(Refusal::new("InvalidAction", message))
            }
            None => wrong_version(&Self::DescribeLicenseGeneral),
        }
    }

    /// The action of a name that every scenario has, whatever its version.
    pub(crate) fn built_in(name: &str) -> Option<Self> {
        let mut all = Self::BUILT_IN.into_iter();
        all.find(|action| action.name() == name)
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Scripted(name) => name,
            Self::DescribeLicenseGeneral => "DescribeLicenseGeneral",
            Self::AssumeRole => "AssumeRole",
            Self::AssumeRoleWithWebIdentity => "AssumeRoleWithWebIdentity",
        }
    }

    /// The first label of the product's host name.
    pub(crate) fn service(&self) -> &'static str {
        match self {
            Self::DescribeLicenseGeneral | Self::Scripted(_) => "cwp",
            Self::AssumeRole | Self::AssumeRoleWithWebIdentity => "sts",
        }
    }

    /// The version of the product's API.
    pub(crate) fn version(&self) -> &'static str {
        match self {
            Self::DescribeLicenseGeneral | Self::Scripted(_) => "2018-02-28",
            Self::AssumeRole | Self::AssumeRoleWithWebIdentity => "2018-08-13",
        }
    }

    /// Whether requests must name a region.
    pub(crate) fn needs_region(&self) -> bool {
        self.service() == "sts"
    }

    /// Whether requests are signed; others have `Authorization: SKIP`.
    pub(crate) fn is_signed(&self) -> bool {
        *self != Self::AssumeRoleWithWebIdentity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_version_must_belong_together() {
        for (name, version, expected) in [
            ("DescribeLicenseGeneral", "2018-02-28", "ok"),
            ("AssumeRole", "2018-08-13", "ok"),
            ("AssumeRoleWithWebIdentity", "2018-08-13", "ok"),
            ("AssumeRole", "2018-02-28", "NoSuchVersion"),
            ("DescribeLicenseGeneral", "2018-08-13", "NoSuchVersion"),
            ("GetFederationToken", "2018-08-13", "InvalidAction"),
            ("DescribeMachines", "2018-02-28", "InvalidAction"),
            ("DescribeScripted", "2018-02-28", "ok"),
            ("DescribeScripted", "2018-08-13", "NoSuchVersion"),
            ("AssumeRole", "", "NoSuchVersion"),
            ("Sing", "2017-03-12", "NoSuchVersion"),
        ] {
            let scripted = HashSet::from(["DescribeScripted".into()]);
            let verdict =
                Action::choose(name, version, &scripted).map_or_else(|r| r.code, |_| "ok");
            assert_eq!(verdict, expected, "{name} {version}");
        }
    }
}
