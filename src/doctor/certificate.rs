//! Until when a certificate is valid: the one thing that TLS knows, but does not tell.

use jiff::civil::Date;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The last day on which the X.509 certificate `der` is valid; nothing if it cannot
/// be read.
pub(super) fn last_day(der: &[u8]) -> Option<Date> {
    let certificate = Element::first_of(der, Some(SEQUENCE))?;
    let mut part = Element::first_of(certificate.content, Some(SEQUENCE))?;
    part = Element::first_of(part.content, None)?;
    if part.tag == VERSION {
        part = part.next()?;
    }
    // The serial number is followed by the algorithm, the issuer and the validity.
    let validity = part.next()?.next()?.next()?;
    let not_before = Element::first_of(validity.content, None)?;
    let not_after = not_before.next()?;
    let digits = std::str::from_utf8(not_after.content).ok()?;
    let (year, rest) = match not_after.tag {
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        _ => return None,
    };
    let (month, rest) = rest.split_at_checked(2)?;
    let (day, _) = rest.split_at_checked(2)?;
    Date::new(year, month.parse().ok()?, day.parse().ok()?).ok()
}

/// One DER element and what follows it.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Element<'a> {
    /// The element at the start of `bytes`, if it is there as a whole and has `tag`.
    fn first_of(bytes: &'a [u8], tag: Option<u8>) -> Option<Self> {
        let (&found, bytes) = bytes.split_first()?;
        let (&length, bytes) = bytes.split_first()?;
        let (length, bytes) = match length {
            0..=0x7f => (usize::from(length), bytes),
            // The length's own length, then the length.
            0x81..=0x84 => {
                let (length, bytes) = bytes.split_at_checked(usize::from(length - 0x80))?;
                let length = length.iter();
                let length = length.fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                (length, bytes)
            }
            _ => return None,
        };
        let (content, rest) = bytes.split_at_checked(length)?;
        let element = Self {
            tag: found,
            content,
            rest,
        };
        tag.is_none_or(|tag| tag == found).then_some(element)
    }

    fn next(&self) -> Option<Self> {
        Self::first_of(self.rest, None)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn valid_until(year: i32) -> Vec<u8> {
        let mut certificate = CertificateParams::new(["cwp.example".to_owned()]).unwrap();
        certificate.not_after = date_time_ymd(year, 11, 30);
        let signed = certificate.self_signed(&KeyPair::generate().unwrap());
        signed.unwrap().der().to_vec()
    }

    #[test]
    fn both_ways_of_writing_a_time_are_read() {
        for year in [1999, 2026, 2049, 2050, 2999] {
            let expected = date(i16::try_from(year).unwrap(), 11, 30);
            assert_eq!(last_day(&valid_until(year)), Some(expected));
        }
    }

    #[test]
    fn a_damaged_certificate_has_no_last_day_but_does_no_harm() {
        let whole = valid_until(2026);
        for length in 0..whole.len() {
            assert_eq!(last_day(&whole[..length]), None, "{length} bytes");
        }
        for position in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[position] ^= 0xff;
            last_day(&damaged);
        }
    }
}
