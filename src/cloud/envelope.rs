//! What the API's answers look like: success, failure, and everything else that
//! an endpoint, a gateway or a proxy in between has been seen to send.

use http::StatusCode;
use serde::Deserialize;

use super::fields::Fields;
use super::foreign::Secrets;
use super::{Error, status_error};
use crate::metrics::reason::Reason;

/// A successful answer.
#[derive(Debug)]
pub struct ApiAnswer {
    /// The fields of `Response`, but for `RequestId`.
    pub fields: Fields,
    /// The handle by which the cloud's support finds the call.
    pub request_id: Option<String>,
}

/// `Response.Error`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ApiError {
    code: String,
    #[serde(default)]
    message: String,
}

/// The answer in `body`, which came with `status`. The answer may repeat the `secrets`, which
/// are removed.
///
/// The content decides, not `Content-Type`: gateways are careless with it.
pub(super) fn read(
    status: StatusCode,
    body: &[u8],
    secrets: &Secrets<'_>,
) -> Result<ApiAnswer, Error> {
    let outcome = read_body(body, secrets);
    match outcome {
        // Whatever the body is, the API answers with 200.
        Ok(_) if status != StatusCode::OK => Err(status_error(status)),
        Err(error) if status != StatusCode::OK && error.code.is_none() => Err(status_error(status)),
        outcome => outcome,
    }
}

fn read_body(body: &[u8], secrets: &Secrets<'_>) -> Result<ApiAnswer, Error> {
    if body.is_empty() {
        return Err(unreadable("the answer is empty"));
    }
    let text = std::str::from_utf8(body).map_err(|_| unreadable("the answer is not UTF-8"))?;
    let text = secrets.leave_out(text);
    let malformed = |error: serde_json::Error| {
        unreadable(format!(
            "the answer is not a JSON object that has an object `Response` ({})",
            position(&error)
        ))
    };
    let mut envelope: Fields = serde_json::from_str(&text).map_err(malformed)?;
    let Some(response) = envelope.take("Response") else {
        return Err(legacy_error(&mut envelope, secrets).unwrap_or_else(|| {
            unreadable("the answer has no Response, so it is not from the API")
        }));
    };
    let mut fields: Fields = serde_json::from_str(response.get()).map_err(malformed)?;
    let request_id = fields
        .take("RequestId")
        .and_then(|json| serde_json::from_str::<String>(json.get()).ok())
        .map(|id| secrets.show(&id));
    let Some(error) = fields.take("Error") else {
        return Ok(ApiAnswer { fields, request_id });
    };
    let error = match serde_json::from_str::<ApiError>(error.get()) {
        Ok(error) => named(&error.code, &error.message, secrets),
        Err(error) => unreadable(format!(
            "Response.Error is malformed ({})",
            position(&error)
        )),
    };
    Err(error.with_request_id(request_id))
}

/// The failure in the shape of the old gateway: `{"code":4000,"message":"…","codeDesc":"…"}`.
fn legacy_error(envelope: &mut Fields, secrets: &Secrets<'_>) -> Option<Error> {
    let code: i64 = serde_json::from_str(envelope.take("code")?.get()).ok()?;
    if code == 0 {
        return None;
    }
    let mut text =
        |name| -> Option<String> { serde_json::from_str(envelope.take(name)?.get()).ok() };
    let message = text("message").unwrap_or_default();
    let code = text("codeDesc").unwrap_or_else(|| code.to_string());
    Some(named(&code, &message, secrets))
}

/// A failure to which the API gave a code.
fn named(code: &str, message: &str, secrets: &Secrets<'_>) -> Error {
    let shown = secrets.show(code);
    Error {
        code: Some(shown.clone()),
        ..Error::new(
            Reason::from_code(code),
            format!("{shown}: {}", secrets.show(message)),
        )
    }
}

fn unreadable(message: impl Into<String>) -> Error {
    Error::new(Reason::Response, message)
}

/// Where JSON is not as expected. The parser's own words could quote a key.
fn position(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, body: &str) -> Error {
        let status = StatusCode::from_u16(status).unwrap();
        read(status, body.as_bytes(), &Secrets::default()).unwrap_err()
    }

    #[test]
    fn a_success_keeps_its_fields_and_its_request_id() {
        let body = r#"{"Response":{"LicenseCnt":7,"Error":null,"RequestId":"r-1"}}"#;
        let answer = read(StatusCode::OK, body.as_bytes(), &Secrets::default()).unwrap();
        assert_eq!(answer.request_id.as_deref(), Some("r-1"));
        assert_eq!(answer.fields.names().collect::<Vec<_>>(), ["LicenseCnt"]);
        assert_eq!(answer.fields.get("LicenseCnt"), Some("7"));
    }

    #[test]
    fn an_api_error_keeps_code_message_and_request_id() {
        let error = failure(
            200,
            r#"{"Response":{"Error":{"Code":"AuthFailure.SecretIdNotFound","Message":"The\nSecretId is not found"},"RequestId":"r-2"}}"#,
        );
        assert_eq!(error.reason, Reason::Credentials);
        assert_eq!(error.code.as_deref(), Some("AuthFailure.SecretIdNotFound"));
        assert_eq!(error.request_id.as_deref(), Some("r-2"));
        assert_eq!(
            error.to_string(),
            "AuthFailure.SecretIdNotFound: The SecretId is not found"
        );
    }

    #[test]
    fn the_old_gateways_error_is_understood() {
        let error = failure(
            200,
            r#"{"code":4000,"message":"no such","codeDesc":"InvalidParameter.Thing"}"#,
        );
        assert_eq!(error.reason, Reason::Request);
        assert_eq!(error.code.as_deref(), Some("InvalidParameter.Thing"));
        let error = failure(200, r#"{"code":4000,"message":"no such"}"#);
        assert_eq!(error.reason, Reason::Server);
        assert_eq!(error.code.as_deref(), Some("4000"));
    }

    #[test]
    fn anything_unreadable_is_a_response_failure() {
        let nested = "[".repeat(20_000);
        let nested_response = format!("{{\"Response\":{nested}");
        for body in [
            "",
            "not json",
            "<html><body>502</body></html>",
            "null",
            "[]",
            "7",
            "\"Response\"",
            "{}",
            r#"{"Response":null}"#,
            r#"{"Response":[]}"#,
            r#"{"Response":"x"}"#,
            r#"{"Response":{"LicenseCnt":7"#,
            r#"{"Response":{}} trailing"#,
            r#"{"Response":{"LicenseCnt":7,"LicenseCnt":8}}"#,
            r#"{"Response":{"LicenseCnt":7},"Response":{"LicenseCnt":8}}"#,
            r#"{"Response":{"Error":"denied"}}"#,
            r#"{"Response":{"Error":{"Message":"no code"}}}"#,
            r#"{"code":0,"message":"","codeDesc":"Success"}"#,
            r#"{"code":"x"}"#,
            &nested,
            &nested_response,
        ] {
            assert_eq!(failure(200, body).reason, Reason::Response, "{body:.60}");
        }
        let body = b"{\"Response\":{\"A\":\"\xff\"}}";
        let error = read(StatusCode::OK, body, &Secrets::default()).unwrap_err();
        assert_eq!(error.reason, Reason::Response);
    }

    #[test]
    fn a_status_other_than_200_is_a_failure_whatever_the_body() {
        let success = r#"{"Response":{"LicenseCnt":7,"RequestId":"r"}}"#;
        assert_eq!(failure(502, success).reason, Reason::Server);
        assert_eq!(failure(502, "<html>").reason, Reason::Server);
        assert_eq!(failure(302, "").reason, Reason::Request);
        assert_eq!(failure(429, "slow down").reason, Reason::Throttled);
        assert_eq!(failure(204, "").reason, Reason::Response);
    }

    #[test]
    fn a_body_that_names_the_error_beats_the_status() {
        let body = r#"{"Response":{"Error":{"Code":"AuthFailure.SignatureExpire","Message":""},"RequestId":"r"}}"#;
        assert_eq!(failure(401, body).reason, Reason::Clock);
    }

    #[test]
    fn an_answer_that_is_not_understood_is_not_quoted() {
        for body in [
            r#""hunter2""#,
            r#"{"Response":"hunter2"}"#,
            r#"{"Response":{"Error":"hunter2"}}"#,
            r#"{"Response":{"Error":{"Code":{"hunter2":1}}}}"#,
        ] {
            let error = failure(200, body);
            assert_eq!(error.reason, Reason::Response);
            assert!(!error.message.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn no_length_of_a_code_or_message_lets_a_part_of_an_echoed_secret_through() {
        let secrets = Secrets::new(None, Some("0123456789abcdef"));
        for letters in [0, 260, 280, 290, 299, 300, 400] {
            let long = "x".repeat(letters);
            let echo = format!("{long}0123456789abcdef");
            for body in [
                format!(
                    r#"{{"Response":{{"Error":{{"Code":"{echo}","Message":"{echo}"}},"RequestId":"{echo}"}}}}"#
                ),
                format!(r#"{{"code":1,"codeDesc":"{echo}","message":"{echo}"}}"#),
            ] {
                let error = read(StatusCode::OK, body.as_bytes(), &secrets).unwrap_err();
                let shown = format!("{error} {error:?}");
                assert!(!shown.contains("01"), "{shown}");
            }
            let body = format!(r#"{{"Response":{{"RequestId":"{echo}"}}}}"#);
            let answer = read(StatusCode::OK, body.as_bytes(), &secrets).unwrap();
            assert!(!answer.request_id.unwrap().contains("01"));
        }
    }

    #[test]
    fn a_secret_that_a_good_answer_echoes_is_in_no_value_and_no_name() {
        let secrets = Secrets::new(None, Some("0123456789abcdef"));
        let body = r#"{"Response":{"LicenseCnt":7,"ProtectType":"x0123456789abcdef","0123456789abcdef":1,"RequestId":"r"}}"#;
        let answer = read(StatusCode::OK, body.as_bytes(), &secrets).unwrap();
        assert_eq!(answer.fields.get("LicenseCnt"), Some("7"));
        assert_eq!(answer.fields.get("ProtectType"), Some(r#""x<secret>""#));
        assert_eq!(answer.fields.get("0123456789abcdef"), None);
        assert_eq!(answer.fields.get("<secret>"), Some("1"));
        let short = Secrets::new(None, Some("License"));
        let answer = read(StatusCode::OK, body.as_bytes(), &short).unwrap();
        assert_eq!(answer.fields.get("LicenseCnt"), Some("7"));
    }

    #[test]
    fn foreign_messages_stay_on_one_line_and_bounded() {
        let body = format!(
            r#"{{"Response":{{"Error":{{"Code":"InternalError","Message":"a\r\nb{}"}}}}}}"#,
            "x".repeat(10_000)
        );
        let message = failure(200, &body).message;
        assert!(message.starts_with("InternalError: a  bx"));
        assert!(message.len() < 400);
    }
}
