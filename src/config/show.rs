//! A configuration as YAML, with every default written out and without a secret.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::ca_file::CaFile;
use super::endpoint::Endpoint;
use super::problem::Fault;
use super::proxy::ProxyUrl;
use super::reader::show;
use super::{Account, Api, CollectorSettings, Config, IdSource, Poll, SecretSource, yaml};

/// What is shown in place of a secret.
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
            poll: &self.poll,
            api: &self.api,
            collectors: &self.collectors,
            accounts: self.accounts.iter().map(Arc::as_ref).collect(),
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
    poll: &'a Poll,
    api: &'a Api,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    collectors: &'a BTreeMap<&'static str, CollectorSettings>,
    accounts: Vec<&'a Account>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accounts_files: Option<[(); 0]>,
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.url())
    }
}

impl Serialize for ProxyUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for CaFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&absolute(self.path()))
    }
}

/// The key of the id's source.
impl Serialize for IdSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = match self {
            // Somebody may have put the key in its place.
            Self::Literal(_) => ("secret_id", SECRET.to_owned()),
            Self::File(path) => ("secret_id_file", absolute(path)),
            Self::Env(name) => ("secret_id_env", name.clone()),
        };
        serializer.collect_map([entry])
    }
}

/// The one key of a secret: the first of `names` if the secret is in a file, else the
/// second.
fn secret<S: Serializer>(
    names: [&str; 2],
    source: Option<&SecretSource>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let [file, variable] = names;
    serializer.collect_map(source.map(|source| match source {
        SecretSource::File(path) => (file, absolute(path)),
        SecretSource::Env(name) => (variable, name.clone()),
    }))
}

/// Functions that write a secret under the key of a file or that of a variable.
macro_rules! write_secrets {
    ($($name:ident: $source:ty = $file:literal, $variable:literal;)*) => {
        $(
            pub(super) fn $name<S: Serializer>(source: &$source, to: S) -> Result<S::Ok, S::Error> {
                secret([$file, $variable], source.into(), to)
            }
        )*
    };
}

write_secrets! {
    secret_key: SecretSource = "secret_key_file", "secret_key_env";
    token: Option<SecretSource> = "token_file", "token_env";
    external_id: Option<SecretSource> = "external_id_file", "external_id_env";
}

pub(super) fn duration<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&show(*duration))
}

pub(super) fn some_path<S: Serializer>(
    path: &Option<impl AsRef<Path>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let path = path.as_ref().map(|path| absolute(path.as_ref()));
    path.serialize(serializer)
}

/// `path` as it is found from any working directory.
fn absolute(path: &Path) -> String {
    let absolute = std::path::absolute(path);
    absolute.as_deref().unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests;
