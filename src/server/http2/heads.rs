//! When the head of a request begins and ends, by the frames of HTTP/2: the library
//! reports a request only once its head is complete.

use std::sync::Arc;

use crate::server::connections::ConnectionActivity;

/// The bytes that a client sends before its first frame.
const PREFACE: usize = 24;

/// The bytes of a frame before its payload.
const FRAME_HEADER: usize = 9;

/// The types of the frames that a head is made of, and the flag of the last one.
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Finds heads in the bytes of a client, from the first byte on.
#[derive(Debug)]
pub(super) struct Heads {
    activity: Arc<ConnectionActivity>,
    /// The received part of a frame's header.
    header: Vec<u8>,
    /// The missing bytes of a frame's payload, or of the preface.
    missing: usize,
    /// Whether a head is complete once these bytes have come.
    is_last: bool,
}

impl Heads {
    /// Records the heads in `activity`.
    pub(super) fn new(activity: Arc<ConnectionActivity>) -> Self {
        Self {
            activity,
            header: Vec::new(),
            missing: PREFACE,
            is_last: false,
        }
    }

    /// The client has sent `bytes`.
    pub(super) fn received(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.missing > 0 {
                let come = self.missing.min(bytes.len());
                self.missing -= come;
                bytes = bytes.get(come..).unwrap_or_default();
            } else {
                self.header.push(*first);
                bytes = rest;
                self.begin_frame();
            }
            if self.missing == 0 && self.is_last {
                self.is_last = false;
                self.activity.head_ends();
            }
        }
    }

    /// Begins the payload of a frame, if its header is complete.
    fn begin_frame(&mut self) {
        let Ok([high, middle, low, kind, flags, ..]) =
            <[u8; FRAME_HEADER]>::try_from(self.header.as_slice())
        else {
            return;
        };
        self.header.clear();
        self.missing = u32::from_be_bytes([0, high, middle, low]) as usize;
        if matches!(kind, HEADERS | CONTINUATION) {
            self.activity.head_begins();
            self.is_last = flags & END_HEADERS != 0;
        }
    }
}
