//! A configuration as YAML, with every default written out and without a secret.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::reader::show;
use super::yaml;
use super::{
    Account, AssumeRole, Config, Credentials, Fault, IdSource, Profile, SecretSource, Tccli,
};

/// What stands for a value that is not shown.
pub(super) const SECRET: &str = "<secret>";

impl Config {
    /// The configuration as YAML that loads again, with every default written out. A
    /// secret id, and who logs in at a proxy, are shown as `<secret>`; paths are absolute.
    ///
    /// # Errors
    ///
    /// None in practice: whatever can be configured can be written.
    pub fn to_yaml(&self) -> Result<String, Fault> {
        let shown = Shown {
            poll: Poll {
                interval: show(self.poll.interval),
                timeout: show(self.poll.timeout),
                max_age: show(self.poll.max_age),
            },
            api: Api {
                endpoint: self.endpoint.url().to_owned(),
                rate_limit: self.api.rate_limit.get(),
                max_in_flight: self.api.max_in_flight.get(),
                sts_endpoint: self.api.sts_endpoint.url().to_owned(),
                metadata_endpoint: self.api.metadata_endpoint.url().to_owned(),
                proxy_url: self.api.proxy_url.as_ref().map(ToString::to_string),
                ca_file: self.api.ca_file.as_ref().map(|file| absolute(file.path())),
            },
            accounts: self.accounts.iter().map(|each| each.shown()).collect(),
            // All are above. Without any, the list alone would not load.
            accounts_files: self.accounts.is_empty().then_some([]),
        };
        let mut origins = String::new();
        for path in self.accounts_files.iter().flatten() {
            origins += &format!("# Accounts are also from {:?}\n", absolute(path));
        }
        yaml::write(&shown)
            .map(|yaml| origins + &yaml)
            .ok_or_else(|| Fault::new("the configuration cannot be written", "please report this"))
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    poll: Poll,
    api: Api,
    accounts: Vec<ShownAccount<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accounts_files: Option<[(); 0]>,
}

#[derive(Serialize)]
struct Poll {
    interval: String,
    timeout: String,
    max_age: String,
}

#[derive(Serialize)]
struct Api {
    endpoint: String,
    rate_limit: u32,
    max_in_flight: usize,
    sts_endpoint: String,
    metadata_endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<String>,
}

#[derive(Serialize)]
struct ShownAccount<'a> {
    name: &'a str,
    endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    credentials: ShownCredentials<'a>,
}

/// The keys of all types; each type has some of them.
#[derive(Serialize, Default)]
struct ShownCredentials<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    keys: BTreeMap<&'static str, Shape<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Shape<'a> {
    Text(&'a str),
    Owned(String),
    Source(Box<ShownCredentials<'a>>),
}

impl Account {
    fn shown(&self) -> ShownAccount<'_> {
        ShownAccount {
            name: &self.name,
            endpoint: self.endpoint.url().to_owned(),
            region: self.region.as_deref(),
            labels: &self.labels,
            credentials: self.credentials.shown(),
        }
    }
}

impl Credentials {
    fn shown(&self) -> ShownCredentials<'_> {
        let mut keys = BTreeMap::new();
        let r#type = match self {
            Self::Static {
                secret_id,
                secret_key,
                token,
            } => {
                let (name, shape) = match secret_id {
                    // Somebody may have put the key in its place.
                    IdSource::Literal(_) => ("secret_id", Shape::Text(SECRET)),
                    IdSource::File(path) => ("secret_id_file", Shape::Owned(absolute(path))),
                    IdSource::Env(name) => ("secret_id_env", Shape::Text(name)),
                };
                keys.insert(name, shape);
                keys.extend([place(["secret_key_file", "secret_key_env"], secret_key)]);
                let token = token.as_ref();
                keys.extend(token.map(|token| place(["token_file", "token_env"], token)));
                "static"
            }
            Self::Env => "env",
            Self::Profile(Profile { name, file }) => {
                keys.insert("profile", Shape::Text(name));
                let file = file.as_deref();
                keys.extend(file.map(|path| ("file", Shape::Owned(absolute(path)))));
                "profile"
            }
            Self::Tccli(Tccli { profile }) => {
                let profile = profile.as_deref();
                keys.extend(profile.map(|name| ("profile", Shape::Text(name))));
                "tccli"
            }
            Self::CvmRole { role } => {
                let role = role.as_deref();
                keys.extend(role.map(|name| ("role", Shape::Text(name))));
                "cvm_role"
            }
            Self::TkeOidc => "tke_oidc",
            Self::AssumeRole(role) => {
                let AssumeRole {
                    role_arn,
                    session_name,
                    duration,
                    external_id,
                    source,
                } = &**role;
                keys.insert("role_arn", Shape::Text(role_arn));
                keys.insert("session_name", Shape::Text(session_name));
                keys.insert("duration", Shape::Owned(show(*duration)));
                let names = ["external_id_file", "external_id_env"];
                keys.extend(external_id.as_ref().map(|id| place(names, id)));
                keys.insert("source", Shape::Source(Box::new(source.shown())));
                "assume_role"
            }
            Self::Default => "default",
        };
        ShownCredentials { r#type, keys }
    }
}

/// Where a secret is, under the first name if that is a file, else under the second.
fn place<'a>(names: [&'static str; 2], source: &'a SecretSource) -> (&'static str, Shape<'a>) {
    let [file, variable] = names;
    match source {
        SecretSource::File(path) => (file, Shape::Owned(absolute(path))),
        SecretSource::Env(name) => (variable, Shape::Text(name)),
    }
}

/// `path` as it is found from any working directory.
fn absolute(path: &Path) -> String {
    let absolute = std::path::absolute(path);
    absolute.as_deref().unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests;
