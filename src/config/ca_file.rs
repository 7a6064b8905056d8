//! The certificates of `api.ca_file`: what is in the file counts, not its name.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::problem::Fault;
use super::regular_file::open_file;
use crate::system::reading;

/// The largest file that is read, in bytes: many times a system's whole bundle.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// What to write instead.
const REMEDY: &str = "name a file of certificates in PEM format";

/// A file of certificates, as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaFile {
    path: PathBuf,
    certificates: Arc<[CertificateDer<'static>]>,
}

impl CaFile {
    /// Reads the file at `path`, of which every certificate must be usable, and at least
    /// one must be there.
    pub(super) fn read(path: PathBuf) -> Result<Self, Fault> {
        let pem = reading::at(&path, || content(&path))?;
        let mut certificates = Vec::new();
        let mut store = RootCertStore::empty();
        for (number, certificate) in (1..).zip(CertificateDer::pem_slice_iter(&pem)) {
            let damaged = |why: String| {
                let what = format!("certificate {number} of the file it names is damaged: {why}");
                Fault::new(what, REMEDY)
            };
            let certificate = certificate.map_err(|error| damaged(error.to_string()))?;
            let added = store.add(certificate.clone());
            added.map_err(|error| damaged(error.to_string()))?;
            certificates.push(certificate);
        }
        if certificates.is_empty() {
            return Err(Fault::new("the file it names has no certificate", REMEDY));
        }
        Ok(Self {
            path,
            certificates: certificates.into(),
        })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its certificates, at least one.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }
}

fn content(path: &Path) -> Result<Vec<u8>, Fault> {
    let mut pem = Vec::new();
    let read = open_file(path)?.take(MAX_BYTES).read_to_end(&mut pem);
    let failed = |error| Fault::new(format!("the file it names cannot be read: {error}"), REMEDY);
    read.map(|_| pem).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<CaFile, Fault> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        CaFile::read(file.path().to_owned())
    }

    fn certificate() -> String {
        let names = ["localhost".to_owned()];
        rcgen::generate_simple_self_signed(names)
            .unwrap()
            .cert
            .pem()
    }

    #[test]
    fn the_content_counts_and_not_the_name() {
        let (one, other) = (certificate(), certificate());
        let both = format!("a comment\n{one}{other}");
        assert_eq!(read(both.as_bytes()).unwrap().certificates().len(), 2);
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_owned();
        std::fs::write(&path, &one).unwrap();
        let before = CaFile::read(path.clone()).unwrap();
        assert_eq!(before, CaFile::read(path.clone()).unwrap());
        std::fs::write(&path, &other).unwrap();
        assert_ne!(before, CaFile::read(path).unwrap());
    }

    #[test]
    fn a_file_with_a_damaged_certificate_or_none_is_refused() {
        let good = certificate();
        let cut = &good[..good.len() / 2];
        let odd = good.replacen("MII", "AAA", 1);
        for (text, what) in [
            ("", "the file it names has no certificate"),
            ("hello", "the file it names has no certificate"),
            (cut, "certificate 1 of the file it names is damaged"),
            (&odd, "certificate 1 of the file it names is damaged"),
            (
                &format!("{good}{cut}"),
                "certificate 2 of the file it names is damaged",
            ),
        ] {
            let fault = read(text.as_bytes()).unwrap_err();
            assert!(fault.what.starts_with(what), "{fault}");
        }
    }
}
