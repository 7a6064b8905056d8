//! The step that greets a server over TLS, trusting what the API client trusts.

use std::sync::Arc;

use rustls::CertificateError;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::certificate::last_day;
use super::report::{Check, CheckResult};
use crate::cloud::http::ClientError;
use crate::cloud::trust::Trust;

/// Where the system's certificates are trusted.
const NOT_THE_SYSTEMS: &str = "install the system's CA certificates (Debian: ca-certificates); if a \
                               proxy or firewall of yours decrypts the connection, set api.ca_file \
                               to the certificate of its authority";
/// Where those of `api.ca_file` are trusted, and only those.
const NOT_IN_CA_FILE: &str = "add the certificate of the endpoint's authority to the file of \
                              api.ca_file, which replaces the system's CA certificates, or remove \
                              api.ca_file";
const OUT_OF_DATE: &str = "check this machine's clock first, then which server answers at the endpoint with this certificate";
const OTHER_NAME: &str =
    "check the account's endpoint, and that its name leads to the API: DNS, /etc/hosts";
const OTHER: &str =
    "check that the endpoint's port takes TLS, and that no firewall closes the connection";

/// Greets servers over TLS.
pub(super) struct TlsProbe {
    connector: TlsConnector,
    /// What to do about an authority that is not trusted.
    untrusted: &'static str,
}

impl TlsProbe {
    /// Trusts as `trust` says, which the API client does as well.
    ///
    /// # Errors
    ///
    /// When the certificates cannot be used.
    pub(super) fn new(trust: &Trust) -> Result<Self, ClientError> {
        let config = trust.read()?.client_config()?;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            untrusted: match trust {
                Trust::File(_) => NOT_IN_CA_FILE,
                Trust::System { .. } | Trust::Nobody => NOT_THE_SYSTEMS,
            },
        })
    }

    /// Greets the server `name` at the other end of `stream`.
    pub(super) async fn greet(&self, name: ServerName<'static>, stream: TcpStream) -> CheckResult {
        match self.connector.connect(name, stream).await {
            Ok(stream) => {
                let (_, connection) = stream.get_ref();
                let version = match connection.protocol_version() {
                    Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
                    Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
                    _ => "TLS",
                };
                let certificates = connection.peer_certificates().unwrap_or_default();
                let last_day = certificates.first().and_then(|own| last_day(own));
                let until = last_day.map(|day| format!(", valid until {day}"));
                let until = until.unwrap_or_default();
                let detail = format!("{version}, certificate trusted{until}");
                CheckResult::ok(Check::Tls, detail)
            }
            Err(error) => {
                let cause = error.get_ref();
                match cause.and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
                    Some(rustls::Error::InvalidCertificate(error)) => self.refused(error),
                    _ => CheckResult::failed(Check::Tls, error.to_string(), OTHER),
                }
            }
        }
    }

    fn refused(&self, error: &CertificateError) -> CheckResult {
        let (what, remedy) = match error {
            CertificateError::UnknownIssuer => (
                "the certificate's issuer is not trusted on this machine".to_owned(),
                self.untrusted,
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                (format!("the certificate has expired: {error}"), OUT_OF_DATE)
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
                format!("the certificate is not valid yet: {error}"),
                OUT_OF_DATE,
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                (
                    format!("the certificate is for another name: {error}"),
                    OTHER_NAME,
                )
            }
            error => (
                format!("the certificate is refused: {error}"),
                self.untrusted,
            ),
        };
        CheckResult::failed(Check::Tls, what, remedy)
    }
}
