//! The Security Token Service, which issues the keys of roles.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::time::Instant;

use super::Context;
use super::temporary::Keys;
use crate::cloud::budget::Lane;
use crate::cloud::{ApiAnswer, Credential, Error, Fields, Remedy, Request, RequestTemplate};
use crate::metrics::ActionMetrics;
use crate::metrics::reason::Reason;

/// The most times that one request is sent.
const MAX_ATTEMPTS: u32 = 2;

/// The longest pause before the second attempt.
const BACKOFF: Duration = Duration::from_secs(1);

/// Asks the token service for one action.
pub(super) struct Sts {
    action: &'static str,
    context: Context,
    metrics: ActionMetrics,
}

/// What to ask.
pub(super) struct StsRequest<'a, B> {
    /// The value of `X-TC-Region`.
    pub(super) region: &'a str,
    /// Who asks; nobody for an action that takes no signature.
    pub(super) credential: Option<&'a Credential>,
    /// The role whose key is asked for.
    pub(super) role_arn: &'a str,
    /// The parameters.
    pub(super) body: &'a B,
    /// A secret among the parameters, which an answer could echo.
    pub(super) secret: Option<&'a str>,
}

impl Sts {
    pub(super) fn new(action: &'static str, context: &Context) -> Self {
        let rate_limit = context.sts_budgets.rate_limit().share();
        Self {
            action,
            context: context.clone(),
            metrics: context.metrics.action(action, rate_limit),
        }
    }

    /// The role's key, after a retry where the failure is transient.
    pub(super) async fn ask<B: Serialize>(
        &self,
        asked: &StsRequest<'_, B>,
    ) -> Result<Credential, Error> {
        let body = serde_json::to_vec(asked.body).map_err(|_| {
            // Its words could quote a parameter.
            let why = "the parameters cannot be written as JSON";
            self.named(Error::new(Reason::Request, why))
        })?;
        let request = Request {
            service: "sts",
            action: self.action,
            version: "2018-08-13",
            body: Bytes::from(body),
            secret: asked.secret.map(Into::into),
        };
        let request = RequestTemplate::new(&self.context.sts_endpoint, Some(asked.region), request);
        let budget = asked
            .credential
            .map_or(asked.role_arn, Credential::quota_key);
        let mut attempt = 1;
        let answer = loop {
            match self.attempt(&request, asked.credential, budget).await {
                Err(error) if attempt < MAX_ATTEMPTS && is_worth_a_retry(&error) => {
                    tokio::time::sleep(BACKOFF.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
                    attempt += 1;
                }
                Err(error) => return Err(self.named(error)),
                Ok(answer) => break answer,
            }
        };
        issued(&answer.fields, asked.role_arn).ok_or_else(|| {
            let error = Error::new(Reason::Response, "the answer has an incomplete key");
            self.named(error.with_request_id(answer.request_id))
        })
    }

    async fn attempt(
        &self,
        request: &RequestTemplate,
        credential: Option<&Credential>,
        budget: &str,
    ) -> Result<ApiAnswer, Error> {
        let Context {
            http,
            clock,
            timeout,
            sts_budgets,
            ..
        } = &self.context;
        let permit = sts_budgets.permit(budget, self.action, Lane::Prompt).await;
        let sent = Instant::now();
        let reply = request
            .send(&**http, credential, clock.now(), *timeout)
            .await;
        self.metrics.wait.inc_by(permit.waited.as_secs_f64());
        self.metrics.requests.inc();
        self.metrics.duration.observe(sent.elapsed().as_secs_f64());
        if let Err(error) = &reply.outcome {
            self.metrics.count_failure(error.reason);
        }
        reply.outcome
    }

    /// `error` with the service's name, and with what to do about it there.
    fn named(&self, error: Error) -> Error {
        Error {
            message: format!("STS {}: {}", self.action, error.message),
            remedy: remedy(&error).map(Box::new).or(error.remedy),
            ..error
        }
    }
}

/// The remedy for a failure of this service, if it differs from the remedy for the same
/// failure of the API.
fn remedy(error: &Error) -> Option<Remedy> {
    let (english, chinese) = match error.reason {
        Reason::Network | Reason::Timeout => (
            "check name resolution, routes, firewall and proxy between this machine and \
             api.sts_endpoint",
            "检查本机到 api.sts_endpoint 的域名解析、路由、防火墙和代理",
        ),
        Reason::Permission => (
            "allow the source to call sts:AssumeRole on the role, and let the role trust the \
             source's account",
            "允许 `source` 对该角色调用 sts:AssumeRole，并让该角色信任 `source` 的账号",
        ),
        Reason::Request => (
            "check the role's ARN, `duration` and `session_name`, and that api.sts_endpoint is \
             the Security Token Service",
            "检查角色的 ARN、`duration` 和 `session_name`，并确认 api.sts_endpoint 是安全凭证服务（STS）",
        ),
        Reason::Response => (
            "check that api.sts_endpoint is the Security Token Service and that no proxy \
             rewrites its answers",
            "确认 api.sts_endpoint 是安全凭证服务（STS），且没有代理改写应答",
        ),
        Reason::Throttled => (
            "raise `duration`, so that keys are renewed less often; other callers of the same \
             account count too",
            "调大 `duration`，使密钥更换得更少；同一账号的其他调用也计入配额",
        ),
        // The key that signs is at fault, not the role.
        Reason::Credentials if is_about_the_signature(error) => return None,
        Reason::Credentials => (
            "check the role's ARN, and check in the CAM console that the role exists and trusts \
             the source",
            "检查角色的 ARN，并在“访问管理”控制台确认角色存在且信任 `source`",
        ),
        Reason::Clock | Reason::Server => return None,
    };
    Some(Remedy::new(english, chinese))
}

fn is_about_the_signature(error: &Error) -> bool {
    let code = error.code.as_deref();
    code.is_none_or(|code| code.starts_with("AuthFailure"))
}

/// Whether the same request may succeed in a moment. After a timeout there is no retry:
/// collections have waited for the whole time allowed.
fn is_worth_a_retry(error: &Error) -> bool {
    error.reason.is_transient() && error.reason != Reason::Timeout
}

fn issued(fields: &Fields, role_arn: &str) -> Option<Credential> {
    let keys: Keys = serde_json::from_str(fields.get("Credentials")?).ok()?;
    let expires_at: i64 = serde_json::from_str(fields.get("ExpiredTime")?).ok()?;
    keys.credential(role_arn, expires_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_depends_on_whether_the_role_or_the_key_that_signs_is_at_fault() {
        let refused = |reason: Reason, code: &str| {
            let code = Some(code.to_owned()).filter(|code| !code.is_empty());
            remedy(&Error {
                code,
                ..Error::new(reason, "refused")
            })
        };
        for (reason, code, words) in [
            (Reason::Network, "", "api.sts_endpoint"),
            (Reason::Timeout, "", "api.sts_endpoint"),
            (
                Reason::Permission,
                "UnauthorizedOperation",
                "sts:AssumeRole",
            ),
            (Reason::Request, "InvalidParameter", "session_name"),
            (Reason::Response, "", "proxy rewrites"),
            (Reason::Throttled, "RequestLimitExceeded", "less often"),
            (
                Reason::Credentials,
                "ResourceNotFound.RoleNotFound",
                "the role exists",
            ),
        ] {
            let remedy = refused(reason, code).unwrap().english;
            assert!(remedy.contains(words), "{remedy}");
        }
        for (reason, code) in [
            (Reason::Credentials, "AuthFailure.SignatureFailure"),
            (Reason::Credentials, ""),
            (Reason::Clock, "AuthFailure.SignatureExpire"),
            (Reason::Server, "InternalError"),
        ] {
            assert_eq!(refused(reason, code), None, "{code}");
        }
    }

    #[test]
    fn only_what_may_pass_in_a_moment_is_asked_again() {
        for (reason, is_asked_again) in [
            (Reason::Network, true),
            (Reason::Server, true),
            (Reason::Throttled, true),
            (Reason::Timeout, false),
            (Reason::Credentials, false),
            (Reason::Permission, false),
        ] {
            assert_eq!(
                is_worth_a_retry(&Error::new(reason, "")),
                is_asked_again,
                "{reason}"
            );
        }
    }
}
