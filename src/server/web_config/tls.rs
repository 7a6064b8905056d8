//! Makes the configuration of the TLS library from the settings.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};

use super::client_certificate::ClientVerifier;
use crate::cloud::trust::{ClientError, Trust};
use crate::config::{ConfigError, Fault, Problem, SourceLocation};
use crate::system::reading;

/// The section `tls_server_config`.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    pub(super) certificate: Pem,
    pub(super) key: Pem,
    pub(super) client_auth: ClientAuth,
    /// The location of that setting, or else of its section.
    pub(super) client_auth_location: SourceLocation,
    pub(super) client_ca: Option<Pem>,
    pub(super) allowed_sans: Option<Vec<String>>,
    pub(super) versions: Vec<&'static SupportedProtocolVersion>,
    /// For TLS 1.2, in order of preference; without, the default suites of the library.
    pub(super) cipher_suites: Option<Vec<SupportedCipherSuite>>,
    /// In order of preference; if empty, the default curves of the library.
    pub(super) curves: Vec<&'static dyn SupportedKxGroup>,
    pub(super) prefer_own_order: bool,
}

/// Whether clients must send a certificate, and whether it is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientAuth {
    None,
    Request,
    RequireAny,
    VerifyIfGiven,
    RequireAndVerify,
}

/// An object in PEM, with the location of its setting.
#[derive(Clone)]
pub(super) struct Pem {
    pub(super) source: PemSource,
    pub(super) location: SourceLocation,
    pub(super) key: String,
}

#[derive(Clone)]
pub(super) enum PemSource {
    File(PathBuf),
    Inline(String),
}

impl Pem {
    fn read(&self) -> Result<Vec<u8>, ConfigError> {
        match &self.source {
            PemSource::Inline(text) => Ok(text.clone().into_bytes()),
            PemSource::File(path) => reading::at(path, || std::fs::read(path)).map_err(|error| {
                self.problem(
                    format!("cannot read {}: {error}", path.display()),
                    "check the path and that the exporter's user may read it",
                )
            }),
        }
    }

    fn problem(&self, what: impl Into<String>, remedy: &str) -> ConfigError {
        problem(&self.location, &self.key, Fault::new(what, remedy))
    }
}

/// A problem of the setting `key` as an error.
fn problem(location: &SourceLocation, key: &str, fault: Fault) -> ConfigError {
    let problem = Problem {
        location: location.clone(),
        key: key.to_owned(),
        fault,
    };
    let file = match location {
        SourceLocation::File { path, .. } => Some(&**path),
        _ => None,
    };
    ConfigError::new(file, vec![problem])
}

/// Why `pem` is not the `expected` object.
fn wrong_contents(pem: &[u8], expected: &str) -> String {
    match contents(pem) {
        Some(found) if found.strip_prefix("a ") == Some(expected) => {
            format!("the {expected} in PEM form is damaged")
        }
        Some(found) => format!("expected a {expected} in PEM form, found {found}"),
        None => format!("there is no {expected} in PEM form"),
    }
}

/// The kind of object in a file, by its first PEM label or byte.
fn contents(pem: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(pem);
    let is_encrypted = text.contains("ENCRYPTED");
    let label = text.split_once("-----BEGIN ").map(|(_, rest)| rest);
    let Some(label) = label.and_then(|rest| Some(rest.split_once("-----")?.0)) else {
        // Certificates and keys begin with a DER sequence.
        return (pem.first() == Some(&0x30)).then_some("DER, which is binary");
    };
    Some(match label {
        _ if label.ends_with("PRIVATE KEY") && is_encrypted => {
            "a private key that is encrypted by a passphrase"
        }
        _ if label.ends_with("PRIVATE KEY") => "a private key",
        _ if label.ends_with("CERTIFICATE REQUEST") => "a request for a certificate",
        "CERTIFICATE" => "a certificate",
        "PUBLIC KEY" => "a public key",
        _ => return None,
    })
}

/// Inline text may be a key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            PemSource::File(path) => path.fmt(f),
            PemSource::Inline(_) => f.write_str("<secret>"),
        }
    }
}

impl TlsSettings {
    /// The files that the settings name.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let pems = [&self.certificate, &self.key]
            .into_iter()
            .chain(&self.client_ca);
        pems.filter_map(|pem| match &pem.source {
            PemSource::File(path) => Some(&**path),
            PemSource::Inline(_) => None,
        })
    }

    /// Reads the server's certificate and key.
    ///
    /// # Errors
    ///
    /// When one cannot be read or used, or they do not belong together.
    pub(super) fn identity(&self) -> Result<Arc<CertifiedKey>, ConfigError> {
        let pem = self.certificate.read()?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| {
            let what = wrong_contents(&pem, "certificate");
            let remedy = "put the server's certificate in PEM form here, followed by the intermediate certificates";
            self.certificate.problem(what, remedy)
        })?;
        let pem = self.key.read()?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
            let what = wrong_contents(&pem, "private key");
            let remedy = "put the certificate's private key in PEM form here, without a passphrase";
            self.key.problem(what, remedy)
        })?;
        let provider = rustls::crypto::ring::default_provider();
        let key = provider.key_provider.load_private_key(key).map_err(|_| {
            let remedy = "use RSA of 2048 to 8192 bits, ECDSA with P-256 or P-384, or Ed25519";
            self.key
                .problem("this kind of private key is not supported", remedy)
        })?;
        let identity = CertifiedKey::new(chain, key);
        match identity.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Arc::new(identity))
            }
            Err(rustls::Error::InconsistentKeys(_)) => Err(self.key.problem(
                "the private key does not belong to the certificate",
                "name the certificate's own private key",
            )),
            Err(_) => Err(self
                .certificate
                .problem("the certificate is damaged", "create a new certificate")),
        }
    }

    /// The configuration of the TLS library, with `identity` as the server's certificate.
    /// Without configured authorities of clients, the authorities of `system` are trusted.
    ///
    /// # Errors
    ///
    /// When the clients' authorities cannot be read.
    pub(super) fn server_config(
        &self,
        identity: Arc<CertifiedKey>,
        http2: bool,
        system: &Trust,
    ) -> Result<ServerConfig, ConfigError> {
        let provider = Arc::new(self.provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions)
            .map_err(|error| {
                let remedy = "allow more in `min_version`, `max_version`, `cipher_suites` or `curve_preferences`";
                self.certificate
                    .problem(format!("TLS cannot be set up with these settings: {error}"), remedy)
            })?;
        let builder = match self.client_verifier(&provider, system)? {
            Some(verifier) => builder.with_client_cert_verifier(Arc::new(verifier)),
            None => builder.with_no_client_auth(),
        };
        let identity = SingleCertAndKey::from(identity);
        let mut config = builder.with_cert_resolver(Arc::new(identity));
        config.ignore_client_order = self.prefer_own_order && self.cipher_suites.is_some();
        let protocols: &[&[u8]] = if http2 {
            &[b"h2", b"http/1.1"]
        } else {
            &[b"http/1.1"]
        };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }

    fn provider(&self) -> CryptoProvider {
        let mut provider = rustls::crypto::ring::default_provider();
        if let Some(suites) = &self.cipher_suites {
            // The list holds suites of TLS 1.2; the suites of TLS 1.3 are all secure.
            provider
                .cipher_suites
                .retain(|suite| suite.tls13().is_some());
            provider.cipher_suites.extend(suites);
        }
        if !self.curves.is_empty() {
            provider.kx_groups.clone_from(&self.curves);
        }
        provider
    }

    fn client_verifier(
        &self,
        provider: &Arc<CryptoProvider>,
        system: &Trust,
    ) -> Result<Option<ClientVerifier>, ConfigError> {
        let (mandatory, verify) = match self.client_auth {
            ClientAuth::None => return Ok(None),
            ClientAuth::Request => (false, false),
            ClientAuth::RequireAny => (true, false),
            ClientAuth::VerifyIfGiven => (false, true),
            ClientAuth::RequireAndVerify => (true, true),
        };
        let trusted = match &self.client_ca {
            _ if !verify => None,
            // As with Go, the authorities of the system are the default.
            None => Some(self.system_authorities(system)?),
            Some(pem) => {
                let text = pem.read()?;
                let certificates = CertificateDer::pem_slice_iter(&text);
                // As with Go, entries that are no certificates are ignored.
                Some(certificates.filter_map(Result::ok).collect())
            }
        };
        let sans = self.allowed_sans.clone();
        Ok(Some(ClientVerifier::new(
            provider, mandatory, trusted, sans,
        )))
    }

    fn system_authorities(
        &self,
        system: &Trust,
    ) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
        let roots = system.read().map_err(|ClientError(why)| {
            let what = format!("no authority of clients can be read: {why}");
            let remedy = "name the clients' authorities with `client_ca_file`, or install the system's (Debian: ca-certificates)";
            let key = "tls_server_config.client_auth_type";
            problem(&self.client_auth_location, key, Fault::new(what, remedy))
        })?;
        Ok(roots.into_certificates())
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::super::WebConfigFile;
    use crate::config::Environment;

    #[test]
    fn a_wrong_file_is_reported_with_the_kind_of_its_contents() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        };
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let request = certificate.serialize_request(&key).unwrap();
        let certificate = certificate.self_signed(&key).unwrap();
        write("crt", certificate.pem().as_bytes());
        write("key", key.serialize_pem().as_bytes());
        write("csr", request.pem().unwrap().as_bytes());
        write("pub", key.public_key_pem().as_bytes());
        write("crt.der", certificate.der());
        write("key.der", key.serialized_der());
        let relabeled = key
            .serialize_pem()
            .replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        write("pkcs8", relabeled.as_bytes());
        let begin = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n";
        write(
            "sec1",
            format!("{begin}-----END EC PRIVATE KEY-----\n").as_bytes(),
        );
        let damaged = certificate.pem().replace("-----END", "?-----END");
        write("crt.damaged", damaged.as_bytes());
        write("text", b"nothing of the kind");
        for (cert_file, key_file, expected) in [
            (
                "key",
                "crt",
                "cert_file: expected a certificate in PEM form, found a private key; ",
            ),
            ("csr", "key", "found a request for a certificate; "),
            ("crt.der", "key", "found DER, which is binary; "),
            (
                "crt.damaged",
                "key",
                "cert_file: the certificate in PEM form is damaged; ",
            ),
            (
                "text",
                "key",
                "cert_file: there is no certificate in PEM form; ",
            ),
            (
                "crt",
                "crt",
                "key_file: expected a private key in PEM form, found a certificate; ",
            ),
            ("crt", "pub", "found a public key; "),
            ("crt", "key.der", "found DER, which is binary; "),
            (
                "crt",
                "pkcs8",
                "found a private key that is encrypted by a passphrase; ",
            ),
            (
                "crt",
                "sec1",
                "found a private key that is encrypted by a passphrase; ",
            ),
            (
                "crt",
                "text",
                "key_file: there is no private key in PEM form; ",
            ),
        ] {
            let settings =
                format!("tls_server_config: {{cert_file: {cert_file}, key_file: {key_file}}}");
            write("web.yml", settings.as_bytes());
            let file = folder.path().join("web.yml");
            let error = WebConfigFile::open(&file, &Environment::default()).unwrap_err();
            let error = error.to_string();
            assert!(error.contains(expected), "{settings}: {error}");
        }
    }
}
