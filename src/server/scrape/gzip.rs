//! One gzip member of two parts that are compressed separately: the first part is cached
//! and compressed once for many bodies; the second part is small.
//!
//! Every client reads one member. Of two members, some clients read only the first.

use std::io::{self, Write};

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// A header that names no file, no time and no system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The state after the first part.
#[derive(Debug)]
pub(super) struct Start {
    checksum: Crc,
}

/// Compresses the first part.
pub(super) struct Compressor {
    encoder: DeflateEncoder<Vec<u8>>,
    checksum: Crc,
}

impl Compressor {
    /// A compressor to which nothing is written yet.
    pub(super) fn new() -> Self {
        Self {
            encoder: DeflateEncoder::new(HEADER.to_vec(), Compression::fast()),
            checksum: Crc::new(),
        }
    }

    /// The first part, up to a byte boundary, and the state after it.
    pub(super) fn finish(mut self) -> io::Result<(Vec<u8>, Start)> {
        self.encoder.flush()?;
        let bytes = std::mem::take(self.encoder.get_mut());
        let checksum = self.checksum;
        Ok((bytes, Start { checksum }))
    }
}

impl Write for Compressor {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let written = self.encoder.write(text)?;
        self.checksum
            .update(text.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        // `finish` does.
        Ok(())
    }
}

impl Start {
    /// The bytes that continue the first part with `rest` and end the member.
    pub(super) fn end(&self, rest: &[u8]) -> io::Result<Vec<u8>> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(rest)?;
        let mut bytes = encoder.finish()?;
        let mut checksum = Crc::new();
        checksum.combine(&self.checksum);
        let mut of_rest = Crc::new();
        of_rest.update(rest);
        checksum.combine(&of_rest);
        bytes.extend_from_slice(&checksum.sum().to_le_bytes());
        bytes.extend_from_slice(&checksum.amount().to_le_bytes());
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    fn compressed(pages: &[&str], rest: &str) -> Vec<u8> {
        let mut compressor = Compressor::new();
        for page in pages {
            compressor.write_all(page.as_bytes()).unwrap();
        }
        let (bytes, start) = compressor.finish().unwrap();
        [bytes, start.end(rest.as_bytes()).unwrap()].concat()
    }

    #[test]
    fn both_parts_are_one_member_with_nothing_behind_it() {
        let page = "tencentcloud_cwp_up{account=\"a\"} 1\n".repeat(20_000);
        for (pages, rest) in [
            (
                vec![page.as_str(), "# one\n", &page],
                "cwp_exporter_accounts 1\n",
            ),
            (vec![], "alone\n"),
            (vec!["alone\n"], ""),
            (vec![], ""),
        ] {
            let bytes = compressed(&pages, rest);
            // It checks the sum and the length, and reads one member.
            let mut decoder = GzDecoder::new(bytes.as_slice());
            let mut text = String::new();
            decoder.read_to_string(&mut text).unwrap();
            assert_eq!(text, pages.concat() + rest);
            assert_eq!(decoder.into_inner(), b"");
        }
    }

    #[test]
    fn the_start_is_the_same_whatever_follows() {
        let mut compressor = Compressor::new();
        compressor.write_all(b"start").unwrap();
        let (first, start) = compressor.finish().unwrap();
        let long = "long ".repeat(10_000);
        for rest in ["one", long.as_str()] {
            let bytes = [first.clone(), start.end(rest.as_bytes()).unwrap()].concat();
            let mut text = String::new();
            GzDecoder::new(bytes.as_slice())
                .read_to_string(&mut text)
                .unwrap();
            assert_eq!(text, format!("start{rest}"));
        }
    }
}
