//! The key of a role that another credential assumes.

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Serialize;

use super::sts::{Sts, StsRequest};
use super::temporary::Issuer;
use super::{Context, Provider, Unavailable, of_key};
use crate::cloud::Credential;
use crate::config::AssumeRole;

/// Where the SDKs ask for keys, whatever region the role will work in.
const REGION: &str = "ap-guangzhou";

/// Asks the token service, signed by `source`.
pub(super) struct AssumedRole {
    role: AssumeRole,
    source: Arc<dyn Provider>,
    context: Context,
    sts: Sts,
}

/// The parameters of `AssumeRole`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleParameters<'a> {
    role_arn: &'a str,
    role_session_name: &'a str,
    duration_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<&'a str>,
}

impl AssumedRole {
    pub(super) fn new(role: AssumeRole, source: Arc<dyn Provider>, context: &Context) -> Self {
        Self {
            role,
            source,
            context: context.clone(),
            sts: Sts::new("AssumeRole", context),
        }
    }

    async fn assume(&self) -> Result<Credential, Unavailable> {
        let external_id = self.external_id().await?;
        let body = AssumeRoleParameters {
            role_arn: &self.role.role_arn,
            role_session_name: &self.role.session_name,
            duration_seconds: self.role.duration.as_secs(),
            external_id: external_id.as_deref(),
        };
        let mut renewed = false;
        loop {
            let source = self.source.credential().await?;
            let request = StsRequest {
                region: REGION,
                credential: Some(&source),
                role_arn: &self.role.role_arn,
                body: &body,
                secret: external_id.as_deref(),
            };
            match self.sts.ask(&request).await {
                Ok(credential) => return Ok(credential),
                Err(error) if error.wants_another_key() && !renewed => {
                    self.source.renew(&source).await;
                    if self.source.current() == Some(source) {
                        return Err(Unavailable::Broken(error));
                    }
                    renewed = true;
                }
                Err(error) => return Err(Unavailable::Broken(error)),
            }
        }
    }

    async fn external_id(&self) -> Result<Option<String>, Unavailable> {
        let Some(source) = &self.role.external_id else {
            return Ok(None);
        };
        let files = self
            .context
            .files
            .read(source.file().map(Path::to_owned))
            .await;
        let id = source.read(&self.context.environment, &|path| files.text(path));
        let id = id.map_err(|fault| of_key(fault.within("external id")));
        id.map(Some).map_err(Unavailable::Broken)
    }
}

impl Issuer for AssumedRole {
    fn issue(&self) -> BoxFuture<'_, Result<Credential, Unavailable>> {
        Box::pin(self.assume())
    }

    fn source(&self) -> String {
        let source = self.source.source();
        format!("role {} assumed by {source}", self.role.role_arn)
    }
}

#[cfg(test)]
mod tests;
