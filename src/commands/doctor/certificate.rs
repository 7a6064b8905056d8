//! The end of a certificate's validity, which rustls does not show.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// The last day on which the X.509 certificate `der` is valid; nothing if it cannot
/// be read.
pub(super) fn last_day(der: &[u8]) -> Option<Date> {
    let certificate = Certificate::from_der(der).ok()?;
    let end = certificate.tbs_certificate().validity().not_after;
    let end = end.to_unix_duration().as_secs();
    let end = Timestamp::from_second(i64::try_from(end).ok()?).ok()?;
    Some(Offset::UTC.to_datetime(end).date())
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
