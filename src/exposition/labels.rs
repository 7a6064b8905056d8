//! What lines say of an account whatever its snapshots: prepared once for a
//! configuration, not for each scrape.

use std::sync::Arc;

use super::format::{escaped, further_label};
use crate::collection::snapshot::Accounts;

/// The labels of all accounts of a configuration, in its order. All begin within the
/// account's value and end before the quote that closes the last one.
#[derive(Debug)]
pub(super) struct Labels {
    pub(super) of: Arc<Accounts>,
    /// Each account alone.
    pub(super) accounts: Texts,
    /// Each with its endpoint, its region and its configured labels.
    pub(super) infos: Texts,
    /// Each with each of its collectors.
    pub(super) collectors: Texts,
}

/// Short texts, of which there are many: one behind the other, so that one costs little
/// more than its bytes and the next is never far.
#[derive(Debug, Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Labels {
    pub(super) fn new(of: Arc<Accounts>) -> Self {
        let mut labels = Self {
            accounts: Texts::default(),
            infos: Texts::default(),
            collectors: Texts::default(),
            of: Arc::clone(&of),
        };
        for account in of.list() {
            let name = escaped(account.name.as_bytes());
            labels.accounts.push(|text| text.extend_from_slice(&name));
            labels.infos.push(|text| {
                let region = account.region.as_deref().unwrap_or_default();
                text.extend_from_slice(&name);
                further_label(text, ["", "endpoint"], &account.endpoint);
                further_label(text, ["", "region"], region);
                for (name, value) in &account.labels {
                    further_label(text, ["label_", name], value);
                }
            });
            for slot in &account.slots {
                labels.collectors.push(|text| {
                    text.extend_from_slice(&name);
                    further_label(text, ["", "collector"], slot.collector().name());
                });
            }
        }
        labels
    }
}

impl Texts {
    /// How many bytes are kept for them.
    pub(super) fn kept_bytes(&self) -> usize {
        self.bytes.len() + size_of_val(self.ends.as_slice())
    }

    /// Appends the text that `write` writes.
    pub(super) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// Appends the last text once more.
    pub(super) fn repeat_last(&mut self) {
        let start = self
            .ends
            .len()
            .checked_sub(2)
            .map_or(0, |before| self.end(before));
        self.bytes.extend_from_within(start..);
        self.ends.push(self.bytes.len());
    }

    /// The text with this number; none has no bytes.
    pub(super) fn get(&self, number: usize) -> &[u8] {
        self.from(number).next().unwrap_or_default()
    }

    /// All texts from this number on.
    #[inline(always)]
    pub(super) fn from(&self, number: usize) -> impl Iterator<Item = &[u8]> {
        let mut start = number.checked_sub(1).map_or(0, |before| self.end(before));
        let ends = self.ends.get(number..).unwrap_or_default();
        ends.iter().map(move |end| {
            let text = self.bytes.get(start..*end);
            start = *end;
            text.unwrap_or_default()
        })
    }

    /// Where a text ends.
    fn end(&self, number: usize) -> usize {
        self.ends.get(number).copied().unwrap_or(self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_by_their_number() {
        let mut texts = Texts::default();
        for text in ["one", "", "three"] {
            texts.push(|bytes| bytes.extend_from_slice(text.as_bytes()));
            texts.repeat_last();
        }
        let all = [&b"one"[..], b"one", b"", b"", b"three", b"three"];
        for number in 0..8 {
            let left = all.get(number..).unwrap_or_default();
            assert_eq!(texts.from(number).collect::<Vec<_>>(), left);
            assert_eq!(texts.get(number), left.first().copied().unwrap_or_default());
        }
    }
}
