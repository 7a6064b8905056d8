//! The actions that the simulated API knows.

use super::refusal::Refusal;

/// An action of one of the services behind the one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    DescribeLicenseGeneral,
    AssumeRole,
    AssumeRoleWithWebIdentity,
}

impl Action {
    const ALL: [Self; 3] = [
        Self::DescribeLicenseGeneral,
        Self::AssumeRole,
        Self::AssumeRoleWithWebIdentity,
    ];

    /// The action of a name and version.
    ///
    /// # Errors
    ///
    /// The refusal of a name or version that does not exist.
    pub(crate) fn choose(name: &str, version: &str) -> Result<Self, Refusal> {
        let action = Self::named(name);
        let known = match action {
            Some(action) => action.version() == version,
            None => Self::ALL.iter().any(|other| other.version() == version),
        };
        if !known {
            let action = action.unwrap_or(Self::DescribeLicenseGeneral);
            let (service, right) = (action.service(), action.version());
            let message =
                format!("The version `{version}` does not exist; {service} has `{right}`.");
            return Err(Refusal::new("NoSuchVersion", message));
        }
        action.ok_or_else(|| {
            let message = format!(
                "The request action=`{name}` is invalid or does not match version=`{version}`."
            );
            Refusal::new("InvalidAction", message)
        })
    }

    /// The action of a name, whatever its version.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DescribeLicenseGeneral => "DescribeLicenseGeneral",
            Self::AssumeRole => "AssumeRole",
            Self::AssumeRoleWithWebIdentity => "AssumeRoleWithWebIdentity",
        }
    }

    /// The first label of the product's host name.
    pub(crate) fn service(self) -> &'static str {
        match self {
            Self::DescribeLicenseGeneral => "cwp",
            Self::AssumeRole | Self::AssumeRoleWithWebIdentity => "sts",
        }
    }

    /// The version of the product's API.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::DescribeLicenseGeneral => "2018-02-28",
            Self::AssumeRole | Self::AssumeRoleWithWebIdentity => "2018-08-13",
        }
    }

    /// Whether requests must name a region.
    pub(crate) fn needs_region(self) -> bool {
        self.service() == "sts"
    }

    /// Whether requests are signed; else they say so with `Authorization: SKIP`.
    pub(crate) fn is_signed(self) -> bool {
        self != Self::AssumeRoleWithWebIdentity
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
            ("DescribeLicenseList", "2018-02-28", "InvalidAction"),
            ("AssumeRole", "", "NoSuchVersion"),
            ("Sing", "2017-03-12", "NoSuchVersion"),
        ] {
            let verdict = Action::choose(name, version).map_or_else(|r| r.code, |_| "ok");
            assert_eq!(verdict, expected, "{name} {version}");
        }
    }
}
