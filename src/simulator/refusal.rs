//! The API's refusals, with its codes and, where known, its texts.

use serde_json::{Map, Value};

/// The language of messages that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    Chinese,
}

/// An API error that refuses a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The API error code.
    pub(crate) code: &'static str,
    english: String,
    chinese: Option<String>,
}

impl Refusal {
    /// A refusal whose message is not the API's.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            english: message.into(),
            chinese: None,
        }
    }

    pub(crate) fn missing(parameter: &str) -> Self {
        let message = format!("The request is missing a required parameter `{parameter}`.");
        Self::new("MissingParameter", message)
    }

    /// Checks that each of the `parameters` is `known`.
    ///
    /// # Errors
    ///
    /// The refusal of the first other parameter.
    pub(crate) fn check_names(parameters: &Map<String, Value>, known: &[&str]) -> Result<(), Self> {
        let mut names = parameters.keys().map(String::as_str);
        let unknown = names.find(|name| !known.contains(name));
        unknown.map_or(Ok(()), |name| {
            let message = format!("The parameter `{name}` is not recognized.");
            Err(Self::new("UnknownParameter", message))
        })
    }

    pub(crate) fn invalid_value(name: &str, value: &Value) -> Self {
        let message = format!("The value `{value}` of the parameter `{name}` is not valid.");
        Self::new("InvalidParameterValue", message)
    }

    /// Only other accounts have answers to `action`.
    pub(crate) fn no_such_action(action: &str) -> Self {
        let message = format!("The scenario has no answer to `{action}` here.");
        Self::new("ResourceNotFound", message)
    }

    pub(crate) fn role_not_found() -> Self {
        Self::new("ResourceNotFound.RoleNotFound", "The role does not exist.")
    }

    pub(crate) fn web_identity() -> Self {
        Self::new(
            "InvalidParameter.WebIdentityTokenError",
            "The identity provider's token is not valid for the role.",
        )
    }

    pub(crate) fn invalid_authorization(message: &str) -> Self {
        Self::new("AuthFailure.InvalidAuthorization", message)
    }

    pub(crate) fn secret_id_not_found() -> Self {
        Self {
            chinese: Some("SecretId不存在，请输入正确的密钥。".to_owned()),
            ..Self::new(
                "AuthFailure.SecretIdNotFound",
                "The SecretId is not found, please ensure that your SecretId is correct.",
            )
        }
    }

    pub(crate) fn signature() -> Self {
        Self::new(
            "AuthFailure.SignatureFailure",
            "The provided credentials could not be validated. Please check your signature is correct.",
        )
    }

    /// The real API's message lacks `why`.
    pub(crate) fn token(why: &str) -> Self {
        let message =
            format!("Token verification failed. Please check your Token is correct. ({why})");
        Self::new("AuthFailure.TokenFailure", message)
    }

    pub(crate) fn unauthorized(service: &str, action: &str, resource: &str) -> Self {
        Self::new(
            "AuthFailure.UnauthorizedOperation",
            format!(
                "you are not authorized to perform operation ({service}:{action})\n\
                 resource ({resource}) has no permission"
            ),
        )
    }

    pub(crate) fn rate(count: usize, limit: u32) -> Self {
        Self {
            chinese: Some(format!(
                "您当前每秒请求 `{count}` 次，超过了每秒频率上限 `{limit}`，请稍后重试。"
            )),
            ..Self::new(
                "RequestLimitExceeded",
                format!(
                    "Your current request times equals to `{count}` in a second, which exceeds \
                     the frequency limit `{limit}` for a second. Please reduce the frequency of calls."
                ),
            )
        }
    }

    /// The message; English where no Chinese text is known.
    pub(crate) fn message(&self, language: Language) -> &str {
        match (language, &self.chinese) {
            (Language::Chinese, Some(chinese)) => chinese,
            _ => &self.english,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_refusal_has_the_real_text() {
        let refusal = Refusal::rate(7, 5);
        assert_eq!(
            refusal.message(Language::English),
            "Your current request times equals to `7` in a second, which exceeds the frequency \
             limit `5` for a second. Please reduce the frequency of calls."
        );
        assert_eq!(
            refusal.message(Language::Chinese),
            "您当前每秒请求 `7` 次，超过了每秒频率上限 `5`，请稍后重试。"
        );
    }

    #[test]
    fn refusal_without_translation_is_english() {
        let refusal = Refusal::signature();
        assert_eq!(
            refusal.message(Language::Chinese),
            refusal.message(Language::English)
        );
    }

    #[test]
    fn missing_permission_names_action_and_resource() {
        assert!(
            Refusal::unauthorized("cwp", "DescribeLicenseGeneral", "*")
                .message(Language::English)
                .ends_with(
                    "you are not authorized to perform operation (cwp:DescribeLicenseGeneral)\n\
             resource (*) has no permission"
                )
        );
    }
}
