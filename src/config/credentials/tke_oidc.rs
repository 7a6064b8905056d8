//! The variables by which TKE gives a pod the role of its service account.

use std::path::PathBuf;

use super::key::NoKey;
use super::secret::read_file;
use crate::config::environment::Environment;
use crate::config::problem::Fault;
use crate::config::regular_file::ReadText;

/// The variables that TKE sets, all of them compulsory: the region, the identity
/// provider, the token's file and the role.
pub const TKE_VARIABLES: [&str; 4] = [
    "TKE_REGION",
    "TKE_PROVIDER_ID",
    "TKE_WEB_IDENTITY_TOKEN_FILE",
    "TKE_ROLE_ARN",
];

/// Who this pod is to the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TkeOidc {
    /// The region whose token service is asked.
    pub region: String,
    /// The identity provider that signed the token.
    pub provider_id: String,
    /// The file of the token, which is replaced before the token expires.
    pub token_file: PathBuf,
    /// The role.
    pub role_arn: String,
}

impl TkeOidc {
    /// Whether any of [`TKE_VARIABLES`] is set; an empty one counts as not set.
    #[must_use]
    pub fn is_set(environment: &Environment) -> bool {
        let mut names = TKE_VARIABLES.into_iter();
        names.any(|name| environment.get(name).is_some())
    }

    /// What the variables say.
    ///
    /// # Errors
    ///
    /// [`NoKey::Absent`] when none is set, [`NoKey::Broken`] when some are missing.
    pub fn from_environment(environment: &Environment) -> Result<Self, NoKey> {
        let values = TKE_VARIABLES.map(|name| environment.get(name));
        let missing = TKE_VARIABLES.into_iter().zip(values);
        let missing = missing.filter(|(_, value)| value.is_none());
        let missing: Vec<&str> = missing.map(|(name, _)| name).collect();
        let verb = if missing.len() == 1 { "is" } else { "are" };
        let fault = Fault::new(
            format!("{} {verb} not set", missing.join(", ")),
            "let the pod run as a service account that is bound to a CAM role",
        )
        .in_chinese("让 Pod 使用绑定了 CAM 角色的 ServiceAccount");
        if missing.len() == TKE_VARIABLES.len() {
            return Err(NoKey::Absent(fault));
        }
        if !missing.is_empty() {
            return Err(NoKey::Broken(fault));
        }
        let [region, provider_id, token_file, role_arn] =
            values.map(|value| value.unwrap_or_default().to_owned());
        Ok(Self {
            region,
            provider_id,
            token_file: token_file.into(),
            role_arn,
        })
    }

    /// Reads the token; the file's text is asked of `texts`.
    ///
    /// # Errors
    ///
    /// When there is no token in the file.
    pub fn token(&self, texts: &ReadText<'_>) -> Result<String, Fault> {
        let token = read_file(&self.token_file, texts);
        token.map_err(|fault| fault.within("TKE_WEB_IDENTITY_TOKEN_FILE"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_variables_are_compulsory_and_none_is_absence() {
        let none = TkeOidc::from_environment(&Environment::default());
        let Err(NoKey::Absent(fault)) = none else {
            panic!("{none:?}");
        };
        assert!(fault.what.ends_with("TKE_ROLE_ARN are not set"), "{fault}");

        let some = Environment::from([
            ("TKE_REGION", "ap-beijing"),
            ("TKE_PROVIDER_ID", "cls-1"),
            ("TKE_WEB_IDENTITY_TOKEN_FILE", "/nowhere"),
        ]);
        let some = TkeOidc::from_environment(&some).unwrap_err();
        assert!(matches!(&some, NoKey::Broken(_)));
        assert_eq!(Fault::from(some).what, "TKE_ROLE_ARN is not set");
    }
}
