//! The step of the TLS handshake, with the API client's trust anchors.

use std::sync::Arc;

use rustls::CertificateError;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::certificate::last_day;
use super::report::{Check, CheckResult};
use crate::cloud::trust::{ClientError, Trust};

/// The remedy where the system's certificates are trusted.
const SYSTEM_REMEDY: &str = "install the system's CA certificates (Debian: ca-certificates); if a \
                               proxy or firewall of yours decrypts the connection, set api.ca_file \
                               to the certificate of its authority";
/// The remedy where only the certificates of `api.ca_file` are trusted.
const CA_FILE_REMEDY: &str = "add the certificate of the endpoint's authority to the file of \
                              api.ca_file, which replaces the system's CA certificates, or remove \
                              api.ca_file";
const VALIDITY_REMEDY: &str = "check this machine's clock first, then which server answers at the endpoint with this certificate";
const NAME_REMEDY: &str =
    "check the account's endpoint, and that its name leads to the API: DNS, /etc/hosts";
const HANDSHAKE_REMEDY: &str =
    "check that the endpoint's port takes TLS, and that no firewall closes the connection";

/// Makes TLS handshakes with endpoints.
pub(super) struct TlsProbe {
    connector: TlsConnector,
    /// The remedy for an issuer that is not trusted.
    issuer_remedy: &'static str,
}

impl TlsProbe {
    /// A probe with the API client's `trust`.
    ///
    /// # Errors
    ///
    /// When the certificates cannot be used.
    pub(super) fn new(trust: &Trust) -> Result<Self, ClientError> {
        let config = trust.read()?.client_config()?;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            issuer_remedy: match trust {
                Trust::File(_) => CA_FILE_REMEDY,
                Trust::System { .. } | Trust::Nobody => SYSTEM_REMEDY,
            },
        })
    }

    /// Makes a handshake with the server `name` over `stream`.
    pub(super) async fn handshake(
        &self,
        name: ServerName<'static>,
        stream: TcpStream,
    ) -> CheckResult {
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
                let until = last_day.map_or_else(String::new, |day| format!(", valid until {day}"));
                let detail = format!("{version}, certificate trusted{until}");
                CheckResult::ok(Check::Tls, detail)
            }
            Err(error) => {
                let cause = error.get_ref();
                match cause.and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
                    Some(rustls::Error::InvalidCertificate(error)) => self.refused(error),
                    _ => CheckResult::failed(Check::Tls, error.to_string(), HANDSHAKE_REMEDY),
                }
            }
        }
    }

    fn refused(&self, error: &CertificateError) -> CheckResult {
        use CertificateError as E;
        let (problem, remedy) = match error {
            E::UnknownIssuer => {
                let problem = "the certificate's issuer is not trusted on this machine";
                return CheckResult::failed(Check::Tls, problem, self.issuer_remedy);
            }
            E::Expired | E::ExpiredContext { .. } => ("has expired", VALIDITY_REMEDY),
            E::NotValidYet | E::NotValidYetContext { .. } => ("is not valid yet", VALIDITY_REMEDY),
            E::NotValidForName | E::NotValidForNameContext { .. } => {
                ("is for another name", NAME_REMEDY)
            }
            _ => ("is refused", self.issuer_remedy),
        };
        let detail = format!("the certificate {problem}: {error}");
        CheckResult::failed(Check::Tls, detail, remedy)
    }
}
