//! A configuration as YAML, with every default written out and without a secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::ca_file::CaFile;
use super::endpoint::Endpoint;
use super::problem::Fault;
use super::proxy::ProxyUrl;
use super::serialize::absolute;
use super::{Account, Api, CollectorSettings, Config, Poll, yaml};

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

#[cfg(test)]
mod tests;
