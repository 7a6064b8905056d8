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

use super::report::{Step, Subject};

const INTERCEPTED: &str = "set api.ca_file to the certificates of whoever issued it, if you trust \
                           them: a proxy or firewall may be reading along; otherwise install the \
                           system's CA certificates (Debian: ca-certificates)";
const OUT_OF_DATE: &str =
    "check this machine's clock first, then who answers at the endpoint with that certificate";
const OTHER_NAME: &str =
    "check the account's endpoint, and that its name leads to the API: DNS, /etc/hosts";
const OTHER: &str = "check that the endpoint's port speaks TLS, and that no firewall cuts it off";

/// Greets servers over TLS.
pub(super) struct Tls(TlsConnector);

impl Tls {
    /// Trusts the certificates of `ca_file` or else the system's.
    ///
    /// # Errors
    ///
    /// Why the certificates cannot be used, in words.
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let config = match ca_file {
            Some(path) => builder.with_root_certificates(certificates(path)?),
            None => {
                let verifier = Verifier::new(provider).map_err(|error| error.to_string())?;
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        Ok(Self(TlsConnector::from(Arc::new(
            config.with_no_client_auth(),
        ))))
    }

    /// Greets the server `name` at the other end of `stream`.
    pub(super) async fn greet(&self, name: ServerName<'static>, stream: TcpStream) -> Step {
        let Self(connector) = self;
        match connector.connect(name, stream).await {
            Ok(stream) => {
                let (_, connection) = stream.get_ref();
                let version = match connection.protocol_version() {
                    Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
                    Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
                    _ => "TLS",
                };
                Step::ok(Subject::Tls, format!("{version}, certificate trusted"))
            }
            Err(error) => {
                let cause = error.get_ref();
                match cause.and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
                    Some(rustls::Error::InvalidCertificate(error)) => refused(error),
                    Some(error) => Step::failed(Subject::Tls, error.to_string(), OTHER),
                    None => Step::failed(Subject::Tls, error.to_string(), OTHER),
                }
            }
        }
    }
}

fn refused(error: &CertificateError) -> Step {
    let (what, remedy) = match error {
        CertificateError::UnknownIssuer => (
            "the certificate's issuer is not trusted on this machine".to_owned(),
            INTERCEPTED,
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            (format!("the certificate has expired: {error}"), OUT_OF_DATE)
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            format!("the certificate is not valid yet: {error}"),
            OUT_OF_DATE,
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            format!("the certificate is for another name: {error}"),
            OTHER_NAME,
        ),
        error => (format!("the certificate is refused: {error}"), INTERCEPTED),
    };
    Step::failed(Subject::Tls, what, remedy)
}

fn certificates(path: &Path) -> Result<RootCertStore, String> {
    let unusable = |why: String| {
        let path = path.display();
        format!("api.ca_file: cannot use {path}: {why}; name a file of PEM certificates")
    };
    let mut store = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        store
            .add(certificate)
            .map_err(|error| unusable(error.to_string()))?;
    }
    Ok(store)
}
