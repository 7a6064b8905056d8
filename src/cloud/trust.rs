//! Whose certificates are trusted, and the TLS settings that follow from it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::config::{CaFile, Config, Endpoint, Environment};
use crate::system::reading;

/// The variable that names a file of certificates to use as the system's.
const FILE_VARIABLE: &str = "SSL_CERT_FILE";

/// The variable that names folders of certificates to use as the system's.
const FOLDERS_VARIABLE: &str = "SSL_CERT_DIR";

/// TLS cannot be set up, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}; {}", self.what(), self.remedy())]
pub struct ClientError(pub(crate) String);

impl ClientError {
    /// What is wrong.
    #[must_use]
    pub fn what(&self) -> String {
        let Self(why) = self;
        format!("cannot set up TLS: {why}")
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        "install the system's CA certificates (Debian: ca-certificates) or set api.ca_file"
    }
}

/// Whose certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those of `api.ca_file`.
    File(CaFile),
    /// The certificates that the system trusts, or those that the usual variables name
    /// instead.
    System {
        /// The file of `SSL_CERT_FILE`.
        file: Option<PathBuf>,
        /// The folders of `SSL_CERT_DIR`.
        folders: Vec<PathBuf>,
    },
    /// Nobody's: no service that is asked is behind TLS.
    Nobody,
}

impl Trust {
    /// The certificates that the system trusts, or those that the variables of `environment`
    /// name instead.
    #[must_use]
    pub fn system(environment: &Environment) -> Self {
        let folders = environment.get(FOLDERS_VARIABLE).unwrap_or_default();
        let folders = std::env::split_paths(folders);
        Self::System {
            file: environment.get(FILE_VARIABLE).map(PathBuf::from),
            folders: folders
                .filter(|path| !path.as_os_str().is_empty())
                .collect(),
        }
    }

    /// Whom `config` trusts: the system's certificates are only read where a service that may
    /// be asked is behind TLS.
    #[must_use]
    pub fn of(config: &Config, environment: &Environment) -> Self {
        match &config.api.ca_file {
            None if !config.endpoints(environment).any(Endpoint::is_https) => Self::Nobody,
            None => Self::system(environment),
            Some(file) => Self::File(file.clone()),
        }
    }

    /// Reads the certificates; those of the system anew. May block for milliseconds.
    ///
    /// # Errors
    ///
    /// When the system has none that can be used.
    pub fn read(&self) -> Result<Roots, ClientError> {
        match self {
            Self::File(file) => Ok(Roots(file.certificates().to_vec())),
            Self::System { file, folders } => system(file.as_deref(), folders).map(Roots),
            Self::Nobody => Ok(Roots(Vec::new())),
        }
    }
}

/// The certificates of those who are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots(Vec<CertificateDer<'static>>);

impl Roots {
    /// The certificates themselves.
    #[must_use]
    pub fn into_certificates(self) -> Vec<CertificateDer<'static>> {
        self.0
    }

    /// The settings of a client that trusts them.
    ///
    /// # Errors
    ///
    /// When the TLS library refuses to start.
    pub fn client_config(&self) -> Result<ClientConfig, ClientError> {
        let Self(certificates) = self;
        let mut store = RootCertStore::empty();
        // As elsewhere on the system, one odd certificate does not spoil the others. A file
        // of the configuration has none.
        store.add_parsable_certificates(certificates.iter().cloned());
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| ClientError(error.to_string()))?;
        let builder = builder.with_root_certificates(store);
        Ok(builder.with_no_client_auth())
    }
}

fn system(
    file: Option<&Path>,
    folders: &[PathBuf],
) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let found = if file.is_none() && folders.is_empty() {
        let usual = openssl_probe::probe();
        let found = load(usual.cert_file.as_deref(), &[]);
        match found {
            // The folders have the same, each in a file of its own.
            (certificates, _) if certificates.is_empty() => load(None, &usual.cert_dir),
            found => found,
        }
    } else {
        load(file, folders)
    };
    match found {
        (certificates, _) if !certificates.is_empty() => Ok(certificates),
        (_, errors) => {
            let source = match (file, folders) {
                (None, []) => "the system has no CA certificates that can be read".to_owned(),
                (None, _) => format!("{FOLDERS_VARIABLE} names no CA certificates"),
                (Some(_), _) => format!("{FILE_VARIABLE} names no CA certificates"),
            };
            let first = errors.into_iter().next();
            let why = first.map(|why| format!(" ({why})")).unwrap_or_default();
            Err(ClientError(source + &why))
        }
    }
}

fn load(file: Option<&Path>, folders: &[PathBuf]) -> (Vec<CertificateDer<'static>>, Vec<String>) {
    let mut certificates = Vec::new();
    let mut errors = Vec::new();
    let sources = file.map(|file| (Some(file), None)).into_iter();
    let sources = sources.chain(folders.iter().map(|folder| (None, Some(folder.as_path()))));
    for (file, folder) in sources {
        let read = || rustls_native_certs::load_certs_from_paths(file, folder);
        let found = file
            .or(folder)
            .map_or_else(read, |path| reading::at(path, read));
        certificates.extend(found.certs);
        errors.extend(found.errors.iter().map(ToString::to_string));
    }
    // Folders may have what the file has.
    certificates.sort_unstable_by(|a, b| a.cmp(b));
    certificates.dedup();
    (certificates, errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> String {
        let names = ["localhost".to_owned()];
        rcgen::generate_simple_self_signed(names)
            .unwrap()
            .cert
            .pem()
    }

    fn trust(variables: &[(&str, &str)]) -> Trust {
        let variables = variables.iter();
        let variables = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Trust::system(&Environment::from_iter(variables))
    }

    #[test]
    fn variables_name_the_systems_certificates_and_empty_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("a.pem"), tempfile::tempdir().unwrap());
        std::fs::write(&file, certificate()).unwrap();
        std::fs::write(other.path().join("b.pem"), certificate()).unwrap();
        let (file, folder) = (file.to_str().unwrap(), folder.path().to_str().unwrap());
        let both = format!("{folder}:{}", other.path().display());
        let count = |variables: &[(&str, &str)]| trust(variables).read().unwrap().0.len();
        assert_eq!(count(&[("SSL_CERT_FILE", file)]), 1);
        assert_eq!(count(&[("SSL_CERT_DIR", folder), ("SSL_CERT_FILE", "")]), 1);
        assert_eq!(count(&[("SSL_CERT_DIR", &both)]), 2);
        let twice = [("SSL_CERT_DIR", folder), ("SSL_CERT_FILE", file)];
        assert_eq!(count(&twice), 1, "the same certificate");
        let empty = trust(&[("SSL_CERT_FILE", ""), ("SSL_CERT_DIR", " ")]);
        assert_eq!(empty, trust(&[]));
    }

    #[test]
    fn the_systems_certificates_are_trusted_only_where_a_service_is_behind_tls() {
        let environment = Environment::from([("KEY", "k")]);
        let of = |endpoints: [&str; 2]| {
            let file = tempfile::NamedTempFile::new().unwrap();
            let key = "{type: static, secret_id: AKIDa, secret_key_env: KEY}";
            let mut text = "accounts:\n".to_owned();
            for (number, endpoint) in endpoints.iter().enumerate() {
                let names = format!("name: a{number}, endpoint: '{endpoint}'");
                text += &format!("- {{{names}, credentials: {key}}}\n");
            }
            std::fs::write(file.path(), text).unwrap();
            let config = Config::load(Some(file.path()), &environment, &[]).unwrap();
            Trust::of(&config, &environment)
        };
        let (plain, tls) = ("http://127.0.0.1:1", "https://cwp.example");
        assert_eq!(of([plain, plain]), Trust::Nobody);
        for endpoints in [[plain, tls], [tls, tls]] {
            assert_eq!(of(endpoints), Trust::system(&environment));
        }
    }

    #[test]
    fn a_variable_that_names_no_certificates_is_told_by_its_name() {
        for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
            let error = trust(&[(name, "/nowhere")]).read().unwrap_err().to_string();
            assert!(
                error.contains(&format!("{name} names no CA certificates")),
                "{error}"
            );
            assert!(error.contains("/nowhere"), "{error}");
        }
    }

    #[test]
    fn the_systems_certificates_are_read_anew() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), certificate()).unwrap();
        let trust = trust(&[("SSL_CERT_FILE", file.path().to_str().unwrap())]);
        let before = trust.read().unwrap();
        assert_eq!(before, trust.read().unwrap());
        std::fs::write(file.path(), certificate()).unwrap();
        assert_ne!(before, trust.read().unwrap());
    }
}
