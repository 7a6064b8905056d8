//! What distinguishes an account from another of the same name, in any process and version.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Account, AssumeRole, Credentials, IdSource, Profile, SecretSource, Tccli};

/// How many bytes of the digest are kept: enough that no two are ever the same.
const LENGTH: usize = 16;

impl Account {
    /// Distinguishes the account from another of its name: hexadecimal digits that depend on the
    /// endpoint, the region and the credentials, and give nothing of them away.
    ///
    /// State files have these digits, so the digits must never change: they are a digest of
    /// the JSON list below.
    #[must_use]
    pub fn identity(&self) -> String {
        let written = json!([
            self.endpoint.url(),
            self.region,
            credentials(&self.credentials),
        ]);
        let digest = Sha256::digest(written.to_string());
        base16ct::lower::encode_string(digest.get(..LENGTH).unwrap_or_default())
    }
}

fn credentials(credentials: &Credentials) -> Value {
    match credentials {
        Credentials::Static(key) => {
            let id = match &key.secret_id {
                IdSource::Literal(id) => json!(["literal", id]),
                IdSource::Stored(source) => secret(source),
            };
            let token = key.token.as_ref().map(secret);
            json!(["static", id, secret(&key.secret_key), token])
        }
        Credentials::Env => json!(["env"]),
        Credentials::Profile(Profile { name, file }) => {
            let file = file.as_ref().map(|file| file.to_string_lossy());
            json!(["profile", name, file])
        }
        Credentials::Tccli(Tccli { profile }) => json!(["tccli", profile]),
        Credentials::CvmRole { role } => json!(["cvm_role", role]),
        Credentials::TkeOidc => json!(["tke_oidc"]),
        Credentials::AssumeRole(role) => {
            let AssumeRole {
                role_arn,
                session_name,
                duration,
                external_id,
                source,
            } = &**role;
            json!([
                "assume_role",
                role_arn,
                session_name,
                duration.as_secs(),
                external_id.as_ref().map(secret),
                self::credentials(source),
            ])
        }
        Credentials::Default => json!(["default"]),
    }
}

fn secret(source: &SecretSource) -> Value {
    match source {
        SecretSource::File(path) => json!(["file", path.to_string_lossy()]),
        SecretSource::Env(name) => json!(["env", name]),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use super::*;
    use crate::config::StaticKey;

    fn account(region: Option<&str>, credentials: Credentials) -> Account {
        Account {
            name: "a".to_owned(),
            endpoint: "https://cwp.tencentcloudapi.com".parse().unwrap(),
            region: region.map(str::to_owned),
            labels: BTreeMap::new(),
            credentials,
        }
    }

    fn of_static(id: IdSource, key: &str, token: Option<SecretSource>) -> Credentials {
        Credentials::Static(StaticKey {
            secret_id: id,
            secret_key: SecretSource::File(key.into()),
            token,
        })
    }

    /// One of each kind, with what its identity has been since the form of the state file
    /// has the number 2. A change here loses every user's values at the next start.
    fn pinned() -> Vec<(Account, &'static str)> {
        let literal = |id: &str| IdSource::Literal(id.to_owned());
        let role = |source| {
            Credentials::AssumeRole(Box::new(AssumeRole {
                role_arn: "qcs::cam::uin/1:roleName/r".to_owned(),
                session_name: "cwp-exporter".to_owned(),
                duration: Duration::from_secs(7200),
                external_id: Some(SecretSource::Env("EXTERNAL".to_owned())),
                source,
            }))
        };
        let profile = Profile {
            name: "ops".to_owned(),
            file: Some("/p".into()),
        };
        vec![
            (
                account(None, of_static(literal("AKIDa"), "/k", None)),
                "97ed92608d970605255e4e2000b3c465",
            ),
            (
                account(
                    Some("ap-guangzhou"),
                    of_static(literal("AKIDa"), "/k", None),
                ),
                "b2ca9dd70a0825c44fe2edfc9a90ede5",
            ),
            (
                account(
                    None,
                    of_static(
                        IdSource::Stored(SecretSource::File("AKIDa".into())),
                        "/k",
                        Some(SecretSource::File("/t".into())),
                    ),
                ),
                "730089225ad950a95d89ac93f0d3f2de",
            ),
            (
                account(
                    None,
                    of_static(
                        IdSource::Stored(SecretSource::Env("AKIDa".to_owned())),
                        "/k",
                        None,
                    ),
                ),
                "6e8c5bb3abd1d7f58a79b0d89b6b87c2",
            ),
            (
                account(None, Credentials::Env),
                "5c4df8b848180f19b4b4042298e48c0d",
            ),
            (
                account(None, Credentials::Profile(Profile::default())),
                "5687c2edfc3f706de438539b168b8995",
            ),
            (
                account(None, Credentials::Profile(profile)),
                "606e385aecf5d2dd18c77f66f005f2d6",
            ),
            (
                account(None, Credentials::Tccli(Tccli::default())),
                "ebac74d43a9cd388de7b00fe12278b43",
            ),
            (
                account(None, Credentials::CvmRole { role: None }),
                "458c063deee4c033820b75f689900999",
            ),
            (
                account(None, Credentials::TkeOidc),
                "5f7eb19739fedcf970ad7cfd59f9d2ba",
            ),
            (
                account(None, role(Credentials::Env)),
                "3a931bd071f2ed1cef48be98ed0e2e67",
            ),
            (
                account(None, role(Credentials::TkeOidc)),
                "84c9580fd185aead7b9fadc10602fed4",
            ),
            (
                account(None, Credentials::Default),
                "ea6e29b48c5a29513d61f7e900bbd3b8",
            ),
        ]
    }

    #[test]
    fn identities_are_the_same_in_every_version() {
        for (account, identity) in pinned() {
            assert_eq!(account.identity(), identity, "{:?}", account.credentials);
        }
    }

    #[test]
    fn identities_tell_different_accounts_apart_whatever_their_labels() {
        let all: BTreeSet<String> = pinned().iter().map(|(each, _)| each.identity()).collect();
        assert_eq!(all.len(), pinned().len());
        let mut other = account(None, Credentials::Env);
        let identity = other.identity();
        other.labels = [("team".to_owned(), "x".to_owned())].into();
        other.name = "b".to_owned();
        assert_eq!(other.identity(), identity);
        other.endpoint = "https://cwp.intl.tencentcloudapi.com".parse().unwrap();
        assert_ne!(other.identity(), identity);
    }
}
