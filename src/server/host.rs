//! The header `Host` of HTTP/1, which a request of version 1.1 must have.

use http::{HeaderMap, Version, header};

/// A violation of the rules of `Host`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum WrongHost {
    /// The header is missing.
    #[error("The request has no header Host, which HTTP/1.1 requires.\n")]
    Missing,
    /// The header comes more than once.
    #[error("The request has more than one header Host.\n")]
    Several,
    /// The value contains a byte that no host contains.
    #[error("The header Host of the request is neither a name nor an address.\n")]
    Malformed,
}

/// Checks that a request of this version of HTTP has the required `Host` (RFC 9112, section
/// 3.2).
pub(super) fn check(version: Version, headers: &HeaderMap) -> Result<(), WrongHost> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Err(WrongHost::Several),
        (Some(host), None) if host.as_bytes().iter().all(|byte| is_of_host(*byte)) => Ok(()),
        (Some(_), None) => Err(WrongHost::Malformed),
        (None, _) if version == Version::HTTP_11 => Err(WrongHost::Missing),
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
        assert_eq!(check(Version::HTTP_11, &[]), Err(WrongHost::Missing));
        assert_eq!(check(Version::HTTP_10, &[]), Ok(()));
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert_eq!(check(version, &["a", "a"]), Err(WrongHost::Several));
            for bad in [
                "a b", "a/b", "http://a", "a@b", "a?b", "a#b", "<a>", "a\\b", "a\"b",
            ] {
                assert_eq!(check(version, &[bad]), Err(WrongHost::Malformed), "{bad}");
            }
        }
    }
}
