//! TLS, users, headers and rate limit: the file of `--web.config.file`, with the schema of
//! Prometheus' exporter-toolkit.
//!
//! A file that the toolkit accepts or refuses is accepted or refused here, too. A setting
//! that our TLS library does not support is refused, and never ignored.

mod calendar_token;
mod client_certificate;
mod password_hash;
mod read;
mod tls;
mod watched;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Response};

pub use self::password_hash::PasswordHash;
pub use self::tls::TlsSettings;
pub use self::watched::WebConfigFile;

use crate::config::{ConfigError, Environment, Reader, Settings};

/// The settings of the file.
#[derive(Debug, Clone, Default)]
pub struct WebConfig {
    /// The TLS settings; plain HTTP without.
    pub tls: Option<TlsSettings>,
    /// Whether HTTP/2 may be spoken, over TLS.
    pub http2: bool,
    /// Headers of every answer that does not have them already.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The users by name; without users there is no authentication.
    pub users: BTreeMap<String, PasswordHash>,
    /// The limit of requests, if there is one.
    pub rate_limit: Option<RequestLimit>,
}

/// A token bucket of requests, which is full at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimit {
    /// The tokens of the full bucket. With 0, no request is ever let through.
    pub burst: u32,
    /// The time until the next token; more than 0.
    pub interval: Duration,
}

impl WebConfig {
    /// Adds the configured headers that `response` does not have.
    pub(in crate::server) fn with_headers<B>(&self, mut response: Response<B>) -> Response<B> {
        for (name, value) in &self.headers {
            let entry = response.headers_mut().entry(name);
            entry.or_insert_with(|| value.clone());
        }
        response
    }

    /// Reads `file`, without the files that it names.
    ///
    /// # Errors
    ///
    /// Every problem at once, each with its line, its key and a remedy.
    fn read(file: &Path) -> Result<Self, ConfigError> {
        let settings = Settings::read(Some(file), &Environment::default())?;
        let mut reader = Reader::default();
        let config = read::web_config(&mut reader, &settings.root());
        if reader.problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::new(Some(file), reader.problems))
        }
    }
}
