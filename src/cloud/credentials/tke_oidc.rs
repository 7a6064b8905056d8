//! The key of the role that a TKE service account is bound to.
//!
//! It is present when any of the `TKE_*` variables is set.

use futures_util::future::BoxFuture;
use serde::Serialize;

use super::sts::{Sts, StsRequest};
use super::temporary::Issuer;
use super::{Context, Unavailable, of_key};
use crate::cloud::{Credential, Error};
use crate::config::TkeOidc;
use crate::metrics::reason::Reason;

/// How long each key lives, in seconds: what the SDKs ask for.
const LIFE: u64 = 7200;

/// Asks the token service, unsigned: the pod's token says who asks.
pub(super) struct WebIdentity {
    context: Context,
    /// None where the variables are not set: a chain that ends before us has no use
    /// for the service.
    sts: Option<Sts>,
}

/// The parameters of `AssumeRoleWithWebIdentity`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WebIdentityParameters<'a> {
    provider_id: &'a str,
    web_identity_token: &'a str,
    role_arn: &'a str,
    role_session_name: &'a str,
    duration_seconds: u64,
}

impl WebIdentity {
    pub(super) fn new(context: &Context) -> Self {
        Self {
            context: context.clone(),
            sts: TkeOidc::is_set(&context.environment)
                .then(|| Sts::new("AssumeRoleWithWebIdentity", context)),
        }
    }

    async fn assume(&self) -> Result<Credential, Unavailable> {
        let pod = TkeOidc::from_environment(&self.context.environment)?;
        let Some(sts) = &self.sts else {
            return Err(Unavailable::Absent(Error::new(
                Reason::Credentials,
                "not in a TKE pod",
            )));
        };
        // The token's file is replaced long before the token expires.
        let files = self.context.files.read([pod.token_file.clone()]).await;
        let token = pod.token(&|path| files.text(path));
        let token = token.map_err(|fault| Unavailable::Broken(of_key(fault)))?;
        let request = StsRequest {
            region: &pod.region,
            credential: None,
            role_arn: &pod.role_arn,
            body: &WebIdentityParameters {
                provider_id: &pod.provider_id,
                web_identity_token: &token,
                role_arn: &pod.role_arn,
                role_session_name: "cwp-exporter",
                duration_seconds: LIFE,
            },
            secret: Some(&token),
        };
        sts.ask(&request).await.map_err(Unavailable::Broken)
    }
}

impl Issuer for WebIdentity {
    fn issue(&self) -> BoxFuture<'_, Result<Credential, Unavailable>> {
        Box::pin(self.assume())
    }

    fn source(&self) -> String {
        match TkeOidc::from_environment(&self.context.environment) {
            Ok(pod) => format!("role {} of the TKE service account", pod.role_arn),
            Err(_) => "the role of the TKE service account".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::super::fixture::{self, answer, issued};
    use super::super::{Provider as _, temporary::Temporary};
    use super::*;
    use crate::cloud::scripted::Scripted;

    const ARN: &str = "qcs::cam::uin/100000000001:roleName/Pod";

    fn variables(token_file: &str) -> [(&str, &str); 4] {
        [
            ("TKE_REGION", "ap-beijing"),
            ("TKE_PROVIDER_ID", "cls-1"),
            ("TKE_WEB_IDENTITY_TOKEN_FILE", token_file),
            ("TKE_ROLE_ARN", ARN),
        ]
    }

    #[tokio::test(start_paused = true)]
    async fn the_token_is_read_again_for_each_key_and_nothing_is_signed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "first\n").unwrap();
        let http =
            Scripted::new(|earlier| issued(&format!("AKID{earlier}"), 7200 * (1 + earlier as i64)));
        let context = fixture::context(http.clone(), variables(file.path().to_str().unwrap()));
        let provider = Temporary::new(WebIdentity::new(&context), &context);
        let key = provider.credential().await.unwrap();
        assert_eq!(key.quota_key(), ARN);

        std::fs::write(file.path(), "second\n").unwrap();
        tokio::time::sleep(Duration::from_secs(7000)).await;
        assert_eq!(provider.credential().await.unwrap().secret_id(), "AKID0");
        while provider.current().unwrap().secret_id() == "AKID0" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }

        let sent = http.sent();
        let tokens = sent.iter().map(|sent| {
            let headers = sent.request.headers();
            assert_eq!(headers.get("authorization").unwrap(), "SKIP");
            assert_eq!(
                headers.get("x-tc-action").unwrap(),
                "AssumeRoleWithWebIdentity"
            );
            assert_eq!(headers.get("x-tc-version").unwrap(), "2018-08-13");
            assert_eq!(headers.get("x-tc-region").unwrap(), "ap-beijing");
            assert!(headers.get("x-tc-token").is_none());
            let body: Value = serde_json::from_slice(sent.request.body()).unwrap();
            assert_eq!(body["ProviderId"], "cls-1");
            assert_eq!(body["RoleArn"], ARN);
            assert_eq!(body["RoleSessionName"], "cwp-exporter");
            assert_eq!(body["DurationSeconds"], 7200);
            body["WebIdentityToken"].as_str().unwrap().to_owned()
        });
        assert_eq!(tokens.collect::<Vec<_>>(), ["first", "second"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_an_endpoint_echoes_is_blotted_out_even_when_cut_off() {
        let token = "hunter2.".repeat(200);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &token).unwrap();
        let http = Scripted::with(move |_, _| {
            let code = "InvalidParameter.WebIdentityTokenError";
            answer(&format!(
                r#"{{"Response":{{"Error":{{"Code":"{code}","Message":"bad token {token}"}},"RequestId":"r"}}}}"#
            ))
        });
        let context = fixture::context(http, variables(file.path().to_str().unwrap()));
        let provider = Temporary::new(WebIdentity::new(&context), &context);
        let error = provider.credential().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "STS AssumeRoleWithWebIdentity: InvalidParameter.WebIdentityTokenError: bad token <secret>"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn without_variables_it_is_absent_and_without_a_token_broken() {
        let context = fixture::context(Scripted::hanging(), []);
        let provider = Temporary::new(WebIdentity::new(&context), &context);
        let error = provider.credential().await.unwrap_err();
        assert!(matches!(error, Unavailable::Absent(_)), "{error}");

        let context = fixture::context(Scripted::hanging(), variables("/nowhere"));
        let provider = Temporary::new(WebIdentity::new(&context), &context);
        let error = provider.credential().await.unwrap_err();
        assert!(matches!(error, Unavailable::Broken(_)), "{error}");
        assert!(
            error
                .to_string()
                .starts_with("TKE_WEB_IDENTITY_TOKEN_FILE: ")
        );
    }
}
