//! When a request's head begins and when it is whole, as the frames of HTTP/2 tell: the
//! library tells of a request only once its head is whole.

use std::sync::Arc;

use crate::server::connections::ConnectionActivity;

/// How many bytes a client sends before its first frame.
const PREFACE: usize = 24;

/// How many bytes a frame has before its content.
const FRAME_HEADER: usize = 9;

/// The types of the frames that a head is made of, and the flag of the last one.
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Looks at what a client sends, from its first byte.
#[derive(Debug)]
pub(super) struct Heads {
    activity: Arc<ConnectionActivity>,
    /// What has come of a frame's header.
    header: Vec<u8>,
    /// How many bytes are missing of a frame's content, or of what comes before the first.
    missing: usize,
    /// Whether a head is whole once that has come.
    is_last: bool,
}

impl Heads {
    /// Tells `activity` of the heads.
    pub(super) fn new(activity: Arc<ConnectionActivity>) -> Self {
        Self {
            activity,
            header: Vec::with_capacity(FRAME_HEADER),
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

    /// Begins with the content of the frame whose header has come, if it has.
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
