//! Settings of other programs that give a key another identity than its owner's.
//!
//! They are refused rather than ignored: the values of another account under this name
//! would look right.

use crate::config::environment::Environment;
use crate::config::problem::Fault;

/// Whether the setting `name` gives a key another identity: a role that the key assumes, or
/// another source of the key. The SDKs, `tccli` and Terraform spell these settings with `_`,
/// with `-` or in camel case.
fn changes_identity(name: &str) -> bool {
    const OTHERS: [&str; 5] = [
        "credentialprocess",
        "credentialsource",
        "providerid",
        "sourceprofile",
        "webidentitytokenfile",
    ];
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    // A session's name alone does nothing. An ARN names somebody: a role, a principal.
    (plain.contains("role") && !plain.contains("session"))
        || plain.ends_with("arn")
        || OTHERS.contains(&plain.as_str())
}

/// Refuses a key if one of `settings`, the names of the settings beside the key, gives the key
/// another identity.
pub(super) fn refuse<'n>(settings: impl IntoIterator<Item = &'n str>) -> Result<(), Fault> {
    let mut settings = settings.into_iter();
    match settings.find(|name| changes_identity(name)) {
        None => Ok(()),
        Some(name) => Err(Fault::new(
            format!("`{name}` beside the key says that the key works as another identity"),
            "keep the key in a profile without this setting; if a role is meant, write \
             `type: assume_role` with its `role_arn` and that profile as `source`",
        )
        .in_chinese(
            "把密钥放在没有这项设置的配置档中；如果要用角色，请写 `type: assume_role` \
             及其 `role_arn`，并以该配置档为 `source`",
        )),
    }
}

/// Refuses a key of the environment, or of a program that reads the environment, if a variable
/// says that the key assumes a role, or that the key of a role is used.
pub(super) fn refuse_variables(environment: &Environment) -> Result<(), Fault> {
    let set = environment
        .with_prefix("TENCENTCLOUD_")
        .filter(|(_, value)| !value.trim().is_empty());
    for (name, _) in set {
        let (says, kind, key) = if name.ends_with("ROLE_ARN") {
            ("the key assumes a role", "assume_role", "role_arn")
        } else if name.ends_with("ROLE_NAME") {
            (
                "the key of the instance's role is used in place of this one",
                "cvm_role",
                "role",
            )
        } else {
            continue;
        };
        return Err(Fault::new(
            format!("{name} is set, which says that {says}"),
            format!("unset {name}; if this role is meant, write `type: {kind}` with its `{key}`"),
        )
        .in_chinese(format!(
            "取消设置 {name}；如果要用这个角色，请写 `type: {kind}` 及其 `{key}`"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_change_whose_key_it_is_are_refused_in_any_spelling() {
        for name in [
            "role-arn",
            "role_arn",
            "roleArn",
            "use-cvm-role",
            "assume_role",
            "source_profile",
            "credential_process",
            "cam-role-name",
            "web_identity_token_file",
            "arn",
            "principalArn",
        ] {
            let fault = refuse(["region", name]).unwrap_err();
            assert!(fault.what.contains(name), "{fault}");
        }
        for name in [
            "region",
            "role-session-name",
            "language",
            "token",
            "expiresAt",
            "learned",
        ] {
            assert_eq!(refuse([name]), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_role_in_the_environment_is_refused_unless_it_is_empty() {
        for (name, kind) in [
            ("TENCENTCLOUD_ROLE_ARN", "assume_role"),
            ("TENCENTCLOUD_ASSUME_ROLE_ARN", "assume_role"),
            ("TENCENTCLOUD_CAM_ROLE_NAME", "cvm_role"),
        ] {
            let refused = |value| refuse_variables(&Environment::from([(name, value)]));
            let fault = refused("qcs::cam::uin/1:role/1").unwrap_err();
            assert!(fault.what.starts_with(name), "{fault}");
            assert!(fault.remedy.contains(kind), "{fault}");
            assert!(fault.chinese_remedy.unwrap().contains(kind), "{name}");
            assert_eq!(refused(" "), Ok(()));
        }
        for name in ["TKE_ROLE_ARN", "TENCENTCLOUD_ROLE_SESSION_NAME"] {
            let other = Environment::from([(name, "qcs::cam::uin/1:role/1")]);
            assert_eq!(refuse_variables(&other), Ok(()), "{name}");
        }
    }
}
