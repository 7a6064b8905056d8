//! The credential files of the vendor's command line, `tccli`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::key::{Key, NoKey};
use super::other_identity;
use crate::config::environment::Environment;
use crate::config::path::shown_path;
use crate::config::problem::Fault;
use crate::config::regular_file::ReadText;

/// The variable by which `tccli` picks a profile.
const PROFILE_VARIABLE: &str = "TCCLI_PROFILE";

/// The profile that `tccli` uses by default.
const USUAL_PROFILE: &str = "default";

/// A profile of `tccli`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Tccli {
    /// The configured profile; otherwise that of `TCCLI_PROFILE`, else `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// A profile's key, and how it came there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TccliKey {
    /// The key.
    pub key: Key,
    /// When it stops being valid, if the profile says so.
    pub expires_at: Option<Timestamp>,
    /// The command that replaces the key, if the key comes from a login.
    pub login: Option<String>,
}

/// `~/.tccli/<profile>.credential`, as far as we read it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    secret_id: Option<String>,
    secret_key: Option<String>,
    token: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    expires_at: Option<i64>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

impl Tccli {
    /// The profile's name.
    #[must_use]
    pub fn name<'a>(&'a self, environment: &'a Environment) -> &'a str {
        let configured = self.profile.as_deref();
        configured
            .or_else(|| environment.get(PROFILE_VARIABLE))
            .unwrap_or(USUAL_PROFILE)
    }

    /// The file that has the profile, where its path is known.
    #[must_use]
    pub fn file(&self, environment: &Environment) -> Option<PathBuf> {
        let name = self.name(environment);
        is_profile(name).then(|| path(environment, name)).flatten()
    }

    /// Reads the profile's key, expired or not; the file's text is asked of `texts`.
    ///
    /// # Errors
    ///
    /// [`NoKey::Absent`] when there is no such file, [`NoKey::Broken`] when it holds
    /// no whole key. Nothing of its content is in the error.
    pub fn read(&self, environment: &Environment, texts: &ReadText<'_>) -> Result<TccliKey, NoKey> {
        let name = self.name(environment);
        if !is_profile(name) {
            return Err(NoKey::Broken(
                Fault::new(
                    format!("{PROFILE_VARIABLE} is not a profile's name"),
                    "write the name alone, without a path",
                )
                .in_chinese("只写名称，不带路径"),
            ));
        }
        let Some(path) = path(environment, name) else {
            return Err(NoKey::Absent(
                Fault::new(
                    "HOME is not set, so there is no ~/.tccli",
                    "set HOME to the directory that holds .tccli",
                )
                .in_chinese("把 HOME 设为 .tccli 所在的目录"),
            ));
        };
        let text = texts(&path).map_err(|no_text| {
            if no_text.is_absent {
                NoKey::Absent(
                    Fault::new(
                        format!("there is no {}", shown_path(&path)),
                        "create the file with `tccli configure`, or name another profile",
                    )
                    .in_chinese("用 `tccli configure` 创建，或指定其他配置档"),
                )
            } else {
                NoKey::Broken(no_text.fault)
            }
        })?;
        // tccli itself obeys them.
        other_identity::refuse_variables(environment).map_err(NoKey::Broken)?;
        parse(&text, name).map_err(|fault| NoKey::Broken(fault.within(&shown_path(&path))))
    }
}

/// Whether `name` can be a profile's: it becomes part of a path.
pub(in crate::config) fn is_profile(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

fn path(environment: &Environment, name: &str) -> Option<PathBuf> {
    let home = environment.get("HOME")?;
    Some(Path::new(home).join(format!(".tccli/{name}.credential")))
}

fn parse(text: &str, profile: &str) -> Result<TccliKey, Fault> {
    // The parser's own words could quote the file.
    let file: File = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let what = format!("not the JSON that tccli writes (line {line}, column {column})");
        Fault::new(what, "write the file again with `tccli configure`")
            .in_chinese("用 `tccli configure` 重新写入")
    })?;
    let option = match profile {
        USUAL_PROFILE => String::new(),
        other => format!(" --profile {other}"),
    };
    let login = match file.kind.as_deref() {
        Some("oauth") => Some(format!("tccli auth login{option}")),
        Some("sso") => Some(format!("tccli sso login{option}")),
        Some("cvm-role") => {
            return Err(Fault::new(
                "the profile holds no key but refers to the instance's role",
                "use `type: cvm_role`",
            )
            .in_chinese("使用 `type: cvm_role`"));
        }
        None | Some("") => None,
        Some(_) => {
            return Err(Fault::new(
                "the profile has an unknown `type`, so the identity of its key is unknown",
                "use a profile that `tccli configure` has made",
            )
            .in_chinese("使用 `tccli configure` 创建的配置档"));
        }
    };
    let is_set = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.trim().is_empty(),
        _ => true,
    };
    let set = file.others.iter().filter(|(_, value)| is_set(value));
    other_identity::refuse(set.map(|(name, _)| name.as_str()))?;
    let expires_at = file.expires_at.map(Timestamp::from_second).transpose();
    let no_time = |_| {
        Fault::new("expiresAt is not a time", "write the file again with tccli")
            .in_chinese("用 tccli 重新写入该文件")
    };
    let names = ["secretId", "secretKey", "token"];
    let parts = [&file.secret_id, &file.secret_key, &file.token];
    Ok(TccliKey {
        expires_at: expires_at.map_err(no_time)?,
        key: Key::of(names, parts.map(Option::as_deref))?,
        login,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::regular_file::read_text;

    #[test]
    fn a_plain_key_and_a_login_are_read() {
        let text =
            r#"{"secretId":"AKIDa","secretKey":"hunter2","role-arn":null,"role-session-name":"x"}"#;
        let plain = parse(text, "default").unwrap();
        assert_eq!(plain.key.secret_id, "AKIDa");
        assert_eq!((plain.expires_at, plain.login), (None, None));

        let text = r#"{"type":"oauth","secretId":"AKIDb","secretKey":"hunter2","token":"t0ken",
            "expiresAt":1717200000,"oauth":{"accessToken":"hunter2"}}"#;
        let login = parse(text, "default").unwrap();
        assert_eq!(login.key.token.as_deref(), Some("t0ken"));
        assert_eq!(login.expires_at.unwrap().as_second(), 1_717_200_000);
        assert_eq!(login.login.as_deref(), Some("tccli auth login"));
        assert!(!format!("{login:?}").contains("hunter2"));
        let sso = parse(&text.replace("oauth", "sso"), "ops").unwrap();
        assert_eq!(sso.login.as_deref(), Some("tccli sso login --profile ops"));
    }

    #[test]
    fn a_file_without_a_whole_key_is_a_fault_that_quotes_nothing() {
        for (text, what) in [
            (
                r#"{"secretId":"AKIDa","secretKey":""}"#,
                "secretKey is missing or empty",
            ),
            (
                r#"{"secretId":"AKIDa","secretKey":"hunter2","role-arn":"qcs::cam::uin/1:role/1"}"#,
                "`role-arn` beside the key says that the key works as another identity",
            ),
            (
                r#"{"secretId":"AKIDa","secretKey":"hunter2","use-cvm-role":true}"#,
                "`use-cvm-role` beside the key says that the key works as another identity",
            ),
            (
                r#"{"type":"hunter2","secretId":"AKIDa","secretKey":"hunter2"}"#,
                "the profile has an unknown `type`, so the identity of its key is unknown",
            ),
            (
                r#"{"type":"cvm-role"}"#,
                "the profile holds no key but refers to the instance's role",
            ),
            (
                r#"{"secretId":"hunter2""#,
                "not the JSON that tccli writes (line 1, column 21)",
            ),
            (
                r#"{"secretId":{"hunter2":1}}"#,
                "not the JSON that tccli writes (line 1, column 12)",
            ),
            (r#"{"expiresAt":99999999999999}"#, "expiresAt is not a time"),
        ] {
            let fault = parse(text, "default").unwrap_err();
            assert_eq!(fault.what, what);
            assert!(fault.chinese_remedy.is_some(), "{what}");
            assert!(!fault.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn the_profile_is_configured_or_tcclis_own() {
        let environment = Environment::from([(PROFILE_VARIABLE, "ops")]);
        let configured = Tccli {
            profile: Some("mine".to_owned()),
        };
        assert_eq!(configured.name(&environment), "mine");
        assert_eq!(Tccli::default().name(&environment), "ops");
        assert_eq!(Tccli::default().name(&Environment::default()), "default");
        let escaping = Environment::from([(PROFILE_VARIABLE, "../x"), ("HOME", "/")]);
        assert!(matches!(
            Tccli::default().read(&escaping, &read_text),
            Err(NoKey::Broken(_))
        ));
    }
}
