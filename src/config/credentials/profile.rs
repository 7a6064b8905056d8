//! The credentials file that the vendor's SDKs share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::key::{Key, NoKey};
use super::other_identity;
use crate::config::environment::Environment;
use crate::config::path::shown_path;
use crate::config::problem::Fault;
use crate::config::regular_file::ReadText;
use crate::config::serialize;

/// The variable that names the credentials file.
pub const CREDENTIALS_FILE_VARIABLE: &str = "TENCENTCLOUD_CREDENTIALS_FILE";

/// Where the file is below the home directory.
const BELOW_HOME: &str = ".tencentcloud/credentials";

/// Where the file is for the whole machine.
const MACHINE_WIDE: &str = "/etc/tencentcloud/credentials";

/// The keys of a section.
const NAMES: [&str; 3] = ["secret_id", "secret_key", "token"];

/// A profile in the SDKs' credentials file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Profile {
    /// The section's name.
    #[serde(rename = "profile")]
    pub name: String,
    /// The configured file. Otherwise the file that [`CREDENTIALS_FILE_VARIABLE`] names; else
    /// `~/.tencentcloud/credentials` or `/etc/tencentcloud/credentials`, whichever exists
    /// first.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "serialize::some_path"
    )]
    pub file: Option<PathBuf>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            file: None,
        }
    }
}

impl Profile {
    /// The files to look in; the first file that exists has the profile.
    #[must_use]
    pub fn files(&self, environment: &Environment) -> Vec<PathBuf> {
        if let Some(path) = &self.file {
            return vec![path.clone()];
        }
        if let Some(path) = environment.get(CREDENTIALS_FILE_VARIABLE) {
            return vec![path.into()];
        }
        let home = environment.get("HOME");
        let home = home.map(|home| Path::new(home).join(BELOW_HOME));
        home.into_iter().chain([MACHINE_WIDE.into()]).collect()
    }

    /// Reads the profile's key; the files' texts are asked of `texts`.
    ///
    /// # Errors
    ///
    /// [`NoKey::Absent`] when no file was named and none is at the usual places;
    /// otherwise [`NoKey::Broken`] when there is no whole key. Nothing of the file's
    /// content is in the error.
    pub fn read(&self, environment: &Environment, texts: &ReadText<'_>) -> Result<Key, NoKey> {
        let files = self.files(environment);
        let by_variable =
            self.file.is_none() && environment.get(CREDENTIALS_FILE_VARIABLE).is_some();
        let is_named = self.file.is_some() || by_variable;
        let named = |fault: Fault| {
            NoKey::Broken(if by_variable {
                fault.within(CREDENTIALS_FILE_VARIABLE)
            } else {
                fault
            })
        };
        for path in &files {
            let text = match texts(path) {
                Err(no_text) if no_text.is_absent && !is_named => continue,
                text => text.map_err(|no_text| named(no_text.fault))?,
            };
            return section(&text, &self.name)
                .map_err(|fault| named(fault.within(&shown_path(path))));
        }
        let places: Vec<String> = files.iter().map(|path| shown_path(path)).collect();
        Err(NoKey::Absent(
            Fault::new(
                format!("there is no {}", places.join(" and no ")),
                "create one of these files, or name a file",
            )
            .in_chinese("创建其中一个文件，或指定文件"),
        ))
    }
}

/// The key in the section `name` of an INI file.
fn section(text: &str, name: &str) -> Result<Key, Fault> {
    let mut settings = BTreeMap::new();
    let mut inside = false;
    let mut found = false;
    for line in text.trim_start_matches('\u{feff}').lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            inside = header.strip_suffix(']').map(str::trim) == Some(name);
            if inside && found {
                return Err(Fault::new(
                    "the file has two profiles of this name",
                    "keep one of the two: the halves of two keys do not fit together",
                )
                .in_chinese("只保留其中一个：两个密钥的两半不能混用"));
            }
            found |= inside;
        } else if inside && let Some((key, value)) = line.split_once('=') {
            let (key, value) = (key.trim(), value.trim());
            if settings.insert(key, value).is_some() && NAMES.contains(&key) {
                return Err(Fault::new(
                    format!("the profile has {key} twice"),
                    "keep one of the two",
                )
                .in_chinese("只保留其中一个"));
            }
        }
    }
    if !found {
        return Err(Fault::new(
            "the file has no profile of this name",
            "add `[<profile>]` with secret_id and secret_key, or name another profile",
        )
        .in_chinese("添加含有 secret_id 和 secret_key 的 `[<profile>]`，或指定其他配置档"));
    }
    let set = settings.iter().filter(|(_, value)| !value.is_empty());
    other_identity::refuse(set.map(|(name, _)| *name))?;
    Key::of(NAMES, NAMES.map(|name| settings.get(name).copied()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::regular_file::read_text;

    const FILE: &str = "\u{feff}# comment\n; comment\nsecret_id = outside\n[other]\r\nsecret_id=AKIDother\n\
        secret_key = other\n[ default ]\n  secret_id = AKIDdefault  \nsecret_key=hunter2=\n#secret_key = no\n\
        role_arn =\n[role]\nsecret_id=AKIDrole\nsecret_key=a\nrole_arn = qcs::cam::uin/1:role/1\n[half]\nsecret_id = AKIDhalf\nsecret_key =\n[words]\nsecret_id=a\nsecret_key=hunter2 hunter2\n\
        [twice]\nsecret_id=AKIDa\nsecret_key=a\n[last]\nsecret_id=a\nsecret_id=b\n[quotes]\nsecret_id='AKIDa'\nsecret_key=a\n\
        [twice]\nsecret_key=b\n";

    #[test]
    fn a_section_is_read_as_the_sdks_read_it() {
        let key = section(FILE, "default").unwrap();
        assert_eq!(key.secret_id, "AKIDdefault");
        assert_eq!(key.secret_key, "hunter2=");
        assert_eq!(key.token, None);
        assert_eq!(section(FILE, "other").unwrap().secret_key, "other");
        assert!(!format!("{key:?}").contains("hunter2"));
    }

    #[test]
    fn a_section_without_a_whole_key_is_a_fault() {
        for (name, what) in [
            ("half", "secret_key is missing or empty"),
            (
                "words",
                "secret_key: the value has white space, control or non-ASCII characters inside",
            ),
            ("absent", "the file has no profile of this name"),
            ("twice", "the file has two profiles of this name"),
            ("last", "the profile has secret_id twice"),
            ("quotes", "secret_id: the value has quotes around it"),
            (
                "role",
                "`role_arn` beside the key says that the key works as another identity",
            ),
        ] {
            let fault = section(FILE, name).unwrap_err();
            assert_eq!(fault.what, what);
            assert!(fault.chinese_remedy.is_some(), "{what}");
        }
    }

    #[test]
    fn the_variable_wins_over_home_and_must_name_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        std::fs::create_dir(folder.path().join(".tencentcloud")).unwrap();
        let at_home = folder.path().join(BELOW_HOME);
        let elsewhere = folder.path().join("elsewhere");
        std::fs::write(&elsewhere, "[default]\nsecret_id=AKIDb\nsecret_key=b").unwrap();
        let read = |variable: Option<&str>| {
            let variable = variable.map(|value| (CREDENTIALS_FILE_VARIABLE, value));
            let environment: Environment = [("HOME", home)].into_iter().chain(variable).collect();
            Profile::default().read(&environment, &read_text)
        };
        assert!(matches!(read(None), Err(NoKey::Absent(_))));
        std::fs::write(&at_home, "[default]\nsecret_id=AKIDa\nsecret_key=a").unwrap();
        assert_eq!(read(None).unwrap().secret_id, "AKIDa");
        assert_eq!(read(elsewhere.to_str()).unwrap().secret_id, "AKIDb");
        assert_eq!(
            read(Some(" ")).unwrap().secret_id,
            "AKIDa",
            "empty is not set"
        );
        let Err(NoKey::Broken(fault)) = read(Some("/nowhere")) else {
            panic!("a file that was named is present");
        };
        assert_eq!(
            fault.what,
            "TENCENTCLOUD_CREDENTIALS_FILE: the file /nowhere cannot be read: No such file or directory (os error 2)"
        );
    }
}
