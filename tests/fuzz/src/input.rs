//! How an input is divided.

use std::borrow::Cow;

/// Separates the parts of an input: a byte that JSON and YAML do not allow, so that every
/// fixture is one part.
const SEPARATOR: u8 = 0x1e;

/// A secret. No error may show more of the secret than its first letters.
pub const SECRET: &str = "hunter2+hunter2/hunter2=";

/// As much of the secret as is recognised.
pub const HEAD: &str = "hunter2+";

/// The parts of `input`, at least one.
pub fn parts(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    input.split(|byte| *byte == SEPARATOR)
}

/// The first line of `part` and the rest.
pub fn first_line(part: &[u8]) -> (&[u8], &[u8]) {
    match part.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&part[..end], &part[end + 1..]),
        None => (part, &[]),
    }
}

/// `bytes` as text; what is not UTF-8 becomes replacement characters.
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Takes values from the front of an input; zeros and empty texts after its end.
pub struct Values<'a>(pub &'a [u8]);

impl<'a> Values<'a> {
    /// Whether there are no bytes left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// A number below `most`, which is not 0.
    pub fn below(&mut self, most: usize) -> usize {
        usize::from(self.byte()) % most
    }

    /// A text, whose length is in the byte before the text.
    pub fn text(&mut self) -> String {
        let length = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        text(bytes).into_owned()
    }

    /// A number of eight bytes.
    pub fn number(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }
}
