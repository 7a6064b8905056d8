//! The step that greets a server over TLS, trusting what the API client trusts.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::certificate::last_day;
use super::report::{Step, Subject};
use crate::cloud::http::ClientError;

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
const OTHER: &str = "check that the endpoint's port speaks TLS, and that no firewall cuts it off";

/// Greets servers over TLS.
pub(super) struct Tls {
    connector: TlsConnector,
    /// What to do about an authority that is not trusted.
    untrusted: &'static str,
}

impl Tls {
    /// Trusts the certificates of `ca_file` or else the system's.
    ///
    /// # Errors
    ///
    /// When a certificate cannot be used.
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, ClientError> {
        let refused = |error: rustls::Error| ClientError::Tls(error.to_string());
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(refused)?;
        let config = match ca_file {
            Some(path) => builder.with_root_certificates(certificates(path)?),
            None => {
                let verifier = Verifier::new(provider).map_err(refused)?;
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config.with_no_client_auth())),
            untrusted: if ca_file.is_some() {
                NOT_IN_CA_FILE
            } else {
                NOT_THE_SYSTEMS
            },
        })
    }

    /// Greets the server `name` at the other end of `stream`.
    pub(super) async fn greet(&self, name: ServerName<'static>, stream: TcpStream) -> Step {
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
                Step::ok(Subject::Tls, detail)
            }
            Err(error) => {
                let cause = error.get_ref();
                match cause.and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
                    Some(rustls::Error::InvalidCertificate(error)) => self.refused(error),
                    _ => Step::failed(Subject::Tls, error.to_string(), OTHER),
                }
            }
        }
    }

    fn refused(&self, error: &CertificateError) -> Step {
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
        Step::failed(Subject::Tls, what, remedy)
    }
}

fn certificates(path: &Path) -> Result<RootCertStore, ClientError> {
    let unusable = |why: String| ClientError::CaFile {
        path: path.display().to_string(),
        why,
    };
    let mut store = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        let added = store.add(certificate);
        added.map_err(|error| unusable(error.to_string()))?;
    }
    Ok(store)
}
