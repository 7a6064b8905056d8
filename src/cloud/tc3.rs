//! TC3-HMAC-SHA256, the request signature of Tencent Cloud API 3.0.
//!
//! Pure: bytes and a time go in, header values come out. There is no clock, no
//! I/O and no failure here, so every step can be compared with the vendor's own.
//! The simulated API recomputes signatures with the same steps.
//!
//! ```
//! use cwp_exporter::cloud::tc3::{CanonicalRequest, CredentialScope, authorization, signing_key};
//!
//! let request = CanonicalRequest {
//!     method: "POST",
//!     query: "",
//!     headers: &[
//!         ("content-type", "application/json"),
//!         ("host", "cwp.tencentcloudapi.com"),
//!     ],
//!     payload: b"{}",
//! };
//! let scope = CredentialScope::new("cwp", "2024-06-01T00:00:00Z".parse()?);
//! let key = signing_key("ExampleSecretKey", &scope);
//! let header = authorization("AKIDEXAMPLE", &key, &scope, &request);
//!
//! assert!(header.starts_with(
//!     "TC3-HMAC-SHA256 Credential=AKIDEXAMPLE/2024-06-01/cwp/tc3_request, \
//!      SignedHeaders=content-type;host, Signature="
//! ));
//! # Ok::<(), jiff::Error>(())
//! ```

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

/// The algorithm's name, as it begins the `Authorization` header.
pub const ALGORITHM: &str = "TC3-HMAC-SHA256";

/// What ends a scope.
const TERMINATOR: &str = "tc3_request";

/// What of a request is signed.
///
/// The path is always `/`: API 3.0 has no other.
#[derive(Debug, Clone, Copy)]
pub struct CanonicalRequest<'a> {
    /// `POST` or `GET`, upper case.
    pub method: &'a str,
    /// The raw query string, empty for `POST`.
    pub query: &'a str,
    /// Names in lower case and sorted, values trimmed and as sent.
    pub headers: &'a [(&'a str, &'a str)],
    /// The exact bytes of the body.
    pub payload: &'a [u8],
}

impl CanonicalRequest<'_> {
    /// The names of the signed headers, joined by `;`.
    #[must_use]
    pub fn signed_headers(&self) -> String {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| *name).collect();
        names.join(";")
    }

    /// Step 1: the canonical request as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{}\n/\n{}\n", self.method, self.query);
        for (name, value) in self.headers {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name}:{value}");
        }
        let _ = write!(
            text,
            "\n{}\n{}",
            self.signed_headers(),
            hex_sha256(self.payload)
        );
        text
    }

    /// SHA-256 of that text, 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn hash(&self) -> String {
        hex_sha256(self.text().as_bytes())
    }
}

/// When and for which service a signature holds: its UTC day and the service's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialScope {
    time: Timestamp,
    date: String,
    service: String,
    text: String,
}

impl CredentialScope {
    /// The scope of a request sent to `service` (the first label of the API's
    /// host name, such as `cwp`) at `time`.
    #[must_use]
    pub fn new(service: &str, time: Timestamp) -> Self {
        let date = time.strftime("%Y-%m-%d").to_string();
        Self {
            time,
            text: format!("{date}/{service}/{TERMINATOR}"),
            service: service.to_owned(),
            date,
        }
    }

    /// The value of `X-TC-Timestamp`: Unix seconds.
    #[must_use]
    pub fn timestamp(&self) -> i64 {
        self.time.as_second()
    }

    /// `<date>/<service>/tc3_request`.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Step 2: the string to sign.
#[must_use]
pub fn string_to_sign(scope: &CredentialScope, request: &CanonicalRequest<'_>) -> String {
    let mut time = itoa::Buffer::new();
    let time = time.format(scope.timestamp());
    [ALGORITHM, time, scope.text(), &request.hash()].join("\n")
}

/// Step 3: the key of one day and service.
///
/// ```text
/// day     = HMAC("TC3" + secret key, date)
/// service = HMAC(day, service)
/// key     = HMAC(service, "tc3_request")
/// ```
#[must_use]
pub fn signing_key(secret_key: &str, scope: &CredentialScope) -> [u8; 32] {
    let day = hmac_sha256(format!("TC3{secret_key}").as_bytes(), &scope.date);
    hmac_sha256(&hmac_sha256(&day, &scope.service), TERMINATOR)
}

/// Step 4: the signature, 64 lower-case hexadecimal digits.
#[must_use]
pub fn signature(
    signing_key: &[u8; 32],
    scope: &CredentialScope,
    request: &CanonicalRequest<'_>,
) -> String {
    base16ct::lower::encode_string(&hmac_sha256(signing_key, &string_to_sign(scope, request)))
}

/// Step 5: the value of the `Authorization` header.
#[must_use]
pub fn authorization(
    secret_id: &str,
    signing_key: &[u8; 32],
    scope: &CredentialScope,
    request: &CanonicalRequest<'_>,
) -> String {
    let pieces = [
        ALGORITHM,
        " Credential=",
        secret_id,
        "/",
        scope.text(),
        ", SignedHeaders=",
        &request.signed_headers(),
        ", Signature=",
        &signature(signing_key, scope, request),
    ];
    pieces.concat()
}

/// SHA-256 as 64 lower-case hexadecimal digits.
fn hex_sha256(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(bytes))
}

fn hmac_sha256(key: &[u8], message: &str) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Vector {
        name: String,
        input: Input,
        expect: Expect,
    }

    #[derive(serde::Deserialize)]
    struct Input {
        secret_id: String,
        secret_key: String,
        timestamp: i64,
        service: String,
        host: String,
        method: String,
        query: String,
        payload: String,
    }

    #[derive(serde::Deserialize)]
    struct Expect {
        content_type: String,
        signed_headers: String,
        hashed_request_payload: String,
        canonical_request: String,
        hashed_canonical_request: String,
        string_to_sign: String,
        signature: String,
        authorization: String,
    }

    /// Runs `check` on each of the vectors, which were made with the vendor's own SDK.
    fn each_vector(check: impl Fn(&Vector, &CredentialScope, &CanonicalRequest<'_>)) {
        let vectors: Vec<Vector> =
            serde_json::from_str(include_str!("../../tests/fixtures/tc3/vectors.json")).unwrap();
        assert_eq!(vectors.len(), 8);
        for vector in &vectors {
            let input = &vector.input;
            let scope = CredentialScope::new(
                &input.service,
                Timestamp::from_second(input.timestamp).unwrap(),
            );
            let request = CanonicalRequest {
                method: &input.method,
                query: &input.query,
                headers: &[
                    ("content-type", &vector.expect.content_type),
                    ("host", &input.host),
                ],
                payload: input.payload.as_bytes(),
            };
            check(vector, &scope, &request);
        }
    }

    #[test]
    fn payload_hash_matches_the_vendor() {
        each_vector(|vector, _, request| {
            let expected = &vector.expect.hashed_request_payload;
            assert_eq!(&hex_sha256(request.payload), expected, "{}", vector.name);
        });
    }

    #[test]
    fn canonical_request_matches_the_vendor() {
        each_vector(|vector, _, request| {
            let expect = &vector.expect;
            assert_eq!(
                request.signed_headers(),
                expect.signed_headers,
                "{}",
                vector.name
            );
            assert_eq!(request.text(), expect.canonical_request, "{}", vector.name);
            assert_eq!(
                request.hash(),
                expect.hashed_canonical_request,
                "{}",
                vector.name
            );
        });
    }

    #[test]
    fn string_to_sign_matches_the_vendor() {
        each_vector(|vector, scope, request| {
            let expected = &vector.expect.string_to_sign;
            let actual = string_to_sign(scope, request);
            assert_eq!(&actual, expected, "{}", vector.name);
        });
    }

    #[test]
    fn signature_matches_the_vendor() {
        each_vector(|vector, scope, request| {
            let key = signing_key(&vector.input.secret_key, scope);
            let actual = signature(&key, scope, request);
            assert_eq!(actual, vector.expect.signature, "{}", vector.name);
        });
    }

    #[test]
    fn authorization_header_matches_the_vendor() {
        each_vector(|vector, scope, request| {
            let input = &vector.input;
            let key = signing_key(&input.secret_key, scope);
            let actual = authorization(&input.secret_id, &key, scope, request);
            assert_eq!(actual, vector.expect.authorization, "{}", vector.name);
        });
    }
}
