//! How values are written wherever a configuration is shown.

use std::path::Path;
use std::time::Duration;

use serde::{Serialize as _, Serializer};

use super::reader::show;

/// What is shown in place of a secret.
pub(super) const SECRET: &str = "<secret>";

pub(super) fn duration<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&show(*duration))
}

pub(super) fn some_path<S: Serializer>(
    path: &Option<impl AsRef<Path>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let path = path.as_ref().map(|path| absolute(path.as_ref()));
    path.serialize(serializer)
}

/// `path` as it is found from any working directory.
pub(super) fn absolute(path: &Path) -> String {
    let absolute = std::path::absolute(path);
    absolute.as_deref().unwrap_or(path).display().to_string()
}
