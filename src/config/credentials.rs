//! Where an account's credentials come from.

mod env_key;
mod form;
mod key;
mod other_identity;
mod profile;
mod secret;
mod static_key;
mod tccli;
mod tke_oidc;

use std::time::Duration;

use serde::{Serialize, Serializer};

pub use self::env_key::EnvKey;
pub use self::form::is_usual_id;
pub(super) use self::form::literal_id;
pub use self::key::{Key, NoKey};
pub use self::profile::{CREDENTIALS_FILE_VARIABLE, Profile};
pub use self::secret::{IdSource, SecretSource};
pub use self::static_key::StaticKey;
pub(super) use self::tccli::is_profile;
pub use self::tccli::{Tccli, TccliKey};
pub use self::tke_oidc::{TKE_VARIABLES, TkeOidc};

use super::environment::Environment;
use super::serialize;

/// The variable that holds the secret id of [`Credentials::Env`].
pub const SECRET_ID_VARIABLE: &str = "TENCENTCLOUD_SECRET_ID";

/// The variable that holds the secret key of [`Credentials::Env`].
pub const SECRET_KEY_VARIABLE: &str = "TENCENTCLOUD_SECRET_KEY";

/// The variables that may hold the token of [`Credentials::Env`]; the first that
/// is set and not empty counts.
pub const TOKEN_VARIABLES: [&str; 2] = ["TENCENTCLOUD_TOKEN", "TENCENTCLOUD_SECURITY_TOKEN"];

/// How an account signs its requests. Equal ones share their keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Credentials {
    /// Keys from files, named environment variables or, for the id, the file itself.
    Static(StaticKey),
    /// The usual environment variables: [`SECRET_ID_VARIABLE`],
    /// [`SECRET_KEY_VARIABLE`] and maybe one of [`TOKEN_VARIABLES`].
    Env,
    /// A profile of the SDKs' credentials file.
    Profile(Profile),
    /// A profile of the vendor's command line.
    Tccli(Tccli),
    /// The role of the CVM instance that this process runs on.
    CvmRole {
        /// The role's name; the metadata service is asked for it when absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        role: Option<String>,
    },
    /// The role of the TKE service account that this process runs as.
    TkeOidc,
    /// A role that another credential assumes.
    AssumeRole(Box<AssumeRole>),
    /// The first source of the SDKs' chain that has credentials.
    Default,
}

/// A role to assume.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct AssumeRole {
    /// The role: `qcs::cam::uin/<uin>:roleName/<name>` or `…:role/<id>`.
    pub role_arn: String,
    /// What the role's audit log calls this process.
    pub session_name: String,
    /// How long each key lives; from a minute to 12 hours, in whole seconds.
    #[serde(serialize_with = "serialize::duration")]
    pub duration: Duration,
    /// Where the secret agreed with the role's owner comes from.
    #[serde(flatten, serialize_with = "external_id")]
    pub external_id: Option<SecretSource>,
    /// What signs the request for the role's key.
    pub source: Credentials,
}

fn external_id<S: Serializer>(source: &Option<SecretSource>, to: S) -> Result<S::Ok, S::Error> {
    let entry = |source: &SecretSource| source.entry(["external_id_file", "external_id_env"]);
    to.collect_map(source.as_ref().map(entry))
}

impl Credentials {
    /// Whether keys come, or may come, from the Security Token Service.
    #[must_use]
    pub fn ask_sts(&self, environment: &Environment) -> bool {
        match self {
            Self::TkeOidc | Self::AssumeRole(_) => true,
            Self::Default => TkeOidc::is_set(environment),
            _ => false,
        }
    }

    /// Whether keys come, or may come, from the metadata service.
    #[must_use]
    pub fn ask_metadata(&self) -> bool {
        match self {
            Self::CvmRole { .. } | Self::Default => true,
            Self::AssumeRole(role) => role.source.ask_metadata(),
            _ => false,
        }
    }
}

/// Whether `name` can be a role's: it becomes part of a URL.
#[must_use]
pub fn is_role_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    (1..=128).contains(&name.len()) && name.chars().all(allowed) && !name.starts_with('.')
}
