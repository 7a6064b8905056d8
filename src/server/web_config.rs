//! How the server faces its clients: the file of `--web.config.file`, with the schema
//! of Prometheus' exporter-toolkit.
//!
//! A file that the toolkit accepts or refuses is accepted or refused here, too, unless
//! it asks for what our TLS library cannot do: that is refused, and never ignored.

mod client_certificate;
mod password_hash;
mod read;
mod tls;
mod watched;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

pub use self::password_hash::PasswordHash;
pub use self::tls::TlsSettings;
pub use self::watched::WebConfigFile;

use crate::config::{ConfigError, Environment, Reader, Settings};

/// What the file says.
#[derive(Debug, Clone, Default)]
pub struct WebConfig {
    /// How to speak TLS; plain HTTP without.
    pub tls: Option<TlsSettings>,
    /// Whether HTTP/2 may be spoken, over TLS.
    pub http2: bool,
    /// Headers for every answer that does not have them of itself.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Who may ask, by name; everybody if empty.
    pub users: BTreeMap<String, PasswordHash>,
    /// How often may be asked; as often as one likes without.
    pub rate_limit: Option<RequestLimit>,
}

/// A bucket of requests, which is full at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimit {
    /// How many requests it holds. With 0 none is ever let through.
    pub burst: u32,
    /// How long it takes for one more; more than 0.
    pub interval: Duration,
}

impl WebConfig {
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
