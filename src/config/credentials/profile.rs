//! The credentials file that the vendor's SDKs share.

use std::path::{Path, PathBuf};

use super::key::{Key, NoKey};
use super::secret::read_text;
use crate::config::environment::Environment;
use crate::config::problem::Fault;

/// The variable that names the credentials file.
pub const CREDENTIALS_FILE_VARIABLE: &str = "TENCENTCLOUD_CREDENTIALS_FILE";

/// Where the file is below the home directory.
const BELOW_HOME: &str = ".tencentcloud/credentials";

/// Where the file is for the whole machine.
const MACHINE_WIDE: &str = "/etc/tencentcloud/credentials";

/// The keys of a section.
const NAMES: [&str; 3] = ["secret_id", "secret_key", "token"];

/// A profile in the SDKs' credentials file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Profile {
    /// The section's name.
    pub name: String,
    /// The configured file. Otherwise the one that [`CREDENTIALS_FILE_VARIABLE`]
    /// names, else the first that exists of `~/.tencentcloud/credentials` and
    /// `/etc/tencentcloud/credentials`.
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
    /// Reads the profile's key; the file is read anew. May block.
    ///
    /// # Errors
    ///
    /// [`NoKey::Absent`] when no file was named and none is at the usual places;
    /// otherwise [`NoKey::Broken`] when there is no whole key. Neither the file's
    /// content nor a configured path is in the error.
    pub fn read(&self, environment: &Environment) -> Result<Key, NoKey> {
        let path = self.path(environment)?;
        let named = |fault: Fault| {
            let what = match &self.file {
                Some(_) => fault.what,
                None => format!("{}: {}", place(environment, &path), fault.what),
            };
            NoKey::Broken(Fault::new(what, fault.remedy))
        };
        let text = read_text(&path).map_err(named)?;
        section(&text, &self.name).map_err(named)
    }

    fn path(&self, environment: &Environment) -> Result<PathBuf, NoKey> {
        if let Some(path) = &self.file {
            return Ok(path.clone());
        }
        if let Some(path) = environment.get(CREDENTIALS_FILE_VARIABLE) {
            return Ok(path.into());
        }
        let home = environment
            .get("HOME")
            .map(|home| Path::new(home).join(BELOW_HOME));
        let places: Vec<PathBuf> = home.into_iter().chain([MACHINE_WIDE.into()]).collect();
        // A dangling link is something that somebody put there.
        let found = places.iter().find(|path| path.symlink_metadata().is_ok());
        found.cloned().ok_or_else(|| {
            let places: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
            NoKey::Absent(Fault::new(
                format!("there is no {}", places.join(" and no ")),
                "create one of them, or name a file",
            ))
        })
    }
}

/// The file in words, by the name that an operator knows it by.
fn place(environment: &Environment, path: &Path) -> String {
    if environment.get(CREDENTIALS_FILE_VARIABLE).is_some() {
        CREDENTIALS_FILE_VARIABLE.to_owned()
    } else {
        path.display().to_string()
    }
}

/// The key in the section `name` of an INI file.
fn section(text: &str, name: &str) -> Result<Key, Fault> {
    let mut parts = [None; 3];
    let mut inside = false;
    let mut found = false;
    for line in text.trim_start_matches('\u{feff}').lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            inside = header.strip_suffix(']').map(str::trim) == Some(name);
            found |= inside;
        } else if inside && let Some((key, value)) = line.split_once('=') {
            for (part, known) in parts.iter_mut().zip(NAMES) {
                if key.trim() == known {
                    *part = Some(value.trim());
                }
            }
        }
    }
    if !found {
        return Err(Fault::new(
            "the file has no profile of this name",
            "add `[<profile>]` with secret_id and secret_key, or name another profile",
        ));
    }
    Key::of(NAMES, parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\u{feff}# comment\n; comment\nsecret_id = outside\n[other]\r\nsecret_id=AKIDother\n\
        secret_key = other\n[ default ]\n  secret_id = AKIDdefault  \nsecret_key=hunter2=\n#secret_key = no\n\
        role_arn = ignored\n[half]\nsecret_id = AKIDhalf\nsecret_key =\n[words]\nsecret_id=a\nsecret_key=hunter2 hunter2";

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
        ] {
            assert_eq!(section(FILE, name).unwrap_err().what, what);
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
            Profile::default().read(&environment)
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
            "TENCENTCLOUD_CREDENTIALS_FILE: the file it names cannot be read: No such file or directory (os error 2)"
        );
    }
}
