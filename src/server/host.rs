//! The header `Host` of HTTP/1, which a request of version 1.1 must have.

use http::{HeaderMap, Version, header};

const MISSING: &str = "The request has no header Host, which HTTP/1.1 requires.\n";
const SEVERAL: &str = "The request has more than one header Host.\n";
const MALFORMED: &str = "The header Host of the request is neither a name nor an address.\n";

/// Checks that a request of this version of HTTP has the required `Host` (RFC 9112, section
/// 3.2). Later versions name the host elsewhere.
///
/// # Errors
///
/// What is wrong with it, as the text of the refusal.
pub(super) fn check(version: Version, headers: &HeaderMap) -> Result<(), &'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        _ if version > Version::HTTP_11 => Ok(()),
        (_, Some(_)) => Err(SEVERAL),
        (Some(host), None) if host.as_bytes().iter().all(|byte| is_of_host(*byte)) => Ok(()),
        (Some(_), None) => Err(MALFORMED),
        (None, _) if version == Version::HTTP_11 => Err(MISSING),
        (None, _) => Ok(()),
    }
}

/// Whether a host with a port may contain this byte (RFC 3986, section 3.2).
fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn one_host_is_required_by_version_1_1_and_must_look_like_one() {
        let check = |version, hosts: &[&'static str]| {
            let hosts = hosts.iter().map(|host| HeaderValue::from_static(host));
            check(version, &hosts.map(|host| (header::HOST, host)).collect())
        };
        for good in [
            "localhost",
            "a:10064",
            "[::1]:10064",
            "[fe80::1%25eth0]",
            "",
        ] {
            assert_eq!(check(Version::HTTP_11, &[good]), Ok(()), "{good}");
            assert_eq!(check(Version::HTTP_10, &[good]), Ok(()), "{good}");
        }
        assert_eq!(check(Version::HTTP_11, &[]), Err(MISSING));
        assert_eq!(check(Version::HTTP_10, &[]), Ok(()));
        assert_eq!(check(Version::HTTP_2, &["a b", "c"]), Ok(()));
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert_eq!(check(version, &["a", "a"]), Err(SEVERAL));
            for bad in [
                "a b", "a/b", "http://a", "a@b", "a?b", "a#b", "<a>", "a\\b", "a\"b",
            ] {
                assert_eq!(check(version, &[bad]), Err(MALFORMED), "{bad}");
            }
        }
    }
}
