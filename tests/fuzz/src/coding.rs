//! The codings of bodies, read and written by another library than the exporter's.

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// The level of compression, from 0 to 10.
const LEVEL: u8 = 1;

/// The longest text, in bytes.
const MOST: usize = 8 * 1024 * 1024;

/// A member of gzip without name, time and comment.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The text of one whole gzip member, of which the head says nothing that is left out in
/// [`HEAD`]; nothing if it is another thing, is damaged or exceeds 8 MiB.
pub fn gunzip(body: &[u8]) -> Option<Vec<u8>> {
    let rest = body.strip_prefix(&HEAD[..4])?.get(6..)?;
    let (deflated, trailer) = rest.split_last_chunk::<8>()?;
    let length = u32::from_le_bytes(*trailer.last_chunk()?) as usize;
    let is_possible = length <= MOST.min(deflated.len() * 1100);
    let mut text = vec![0; if is_possible { length } else { 0 }];
    let (state, flags) = (
        &mut DecompressorOxide::new(),
        TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
    );
    let (status, taken, made) = decompress(state, deflated, &mut text, 0, flags);
    let is_whole = status == TINFLStatus::Done && taken == deflated.len() && made == length;
    (is_possible && is_whole && *trailer == ends(&text)).then_some(text)
}

/// One gzip member.
pub fn gzip(text: &[u8]) -> Vec<u8> {
    [&HEAD[..], &compress_to_vec(text, LEVEL), &ends(text)].concat()
}

/// The trailer of a member: the checksum and the length.
fn ends(text: &[u8]) -> [u8; 8] {
    let length = (text.len() & 0xffff_ffff) as u32;
    let mut trailer = [0; 8];
    trailer[..4].copy_from_slice(&checksum(text).to_le_bytes());
    trailer[4..].copy_from_slice(&length.to_le_bytes());
    trailer
}

/// CRC-32 as RFC 1952 describes it.
fn checksum(text: &[u8]) -> u32 {
    static TABLE: [u32; 256] = table();
    let crc = text.iter().fold(u32::MAX, |crc, byte| {
        TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8)
    });
    !crc
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 {
                0xedb8_8320 ^ (crc >> 1)
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}
