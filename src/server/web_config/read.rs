//! Parses a [`WebConfig`] by the rules of the exporter-toolkit.

mod duration;

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::ring::{default_provider, kx_group};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use super::password_hash::PasswordHash;
use super::tls::{ClientAuth, Pem, PemSource, TlsSettings};
use super::{RequestLimit, WebConfig};
use crate::config::{Fault, Node, Reader, Section, Value, list, path, text, unknown};

/// Names as a list of text.
macro_rules! names {
    ($($name:ident)*) => { &[$(stringify!($name)),*] };
}

/// The headers that may be set, with their allowed values; any value if none is listed.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// Reads all settings. The result is valid only if `reader` has no problem.
pub(super) fn web_config(reader: &mut Reader, root: &Node) -> WebConfig {
    let names = names! { tls_server_config http_server_config basic_auth_users rate_limit };
    let root = reader.section(Some(root), names);
    let http = reader.section(root.get("http_server_config"), &["http2", "headers"]);
    WebConfig {
        tls: tls(reader, root.get("tls_server_config")),
        http2: reader.value(http.get("http2"), boolean).unwrap_or(true),
        headers: headers(reader, http.get("headers")),
        users: users(reader, root.get("basic_auth_users")),
        rate_limit: rate_limit(reader, root.get("rate_limit")),
    }
}

fn tls(reader: &mut Reader, node: Option<Node<'_>>) -> Option<TlsSettings> {
    let names = names! {
        cert key client_ca cert_file key_file client_ca_file client_auth_type client_allowed_sans
        min_version max_version cipher_suites curve_preferences prefer_server_cipher_suites
    };
    let section = reader.section(node, names);
    let certificate = pem(reader, &section, "cert");
    let key = pem(reader, &section, "key");
    let client_ca = pem(reader, &section, "client_ca");
    let auth_node = section.get("client_auth_type");
    let auth = reader.value(auth_node.as_ref(), client_auth);
    // A faulty type, too, means that TLS is wanted.
    let is_auth_set = auth_node.is_some() && auth != Some(None);
    let versions = versions(reader, &section);
    let cipher_suites = items(reader, section.get("cipher_suites"), cipher_suite);
    let curves = items(reader, section.get("curve_preferences"), curve);
    let prefer = reader.value(section.get("prefer_server_cipher_suites"), boolean);
    let sans = section.get("client_allowed_sans");
    let allowed_sans = items(reader, sans.clone(), string);

    let client_auth_location = match auth_node {
        Some(node) => node.location,
        None => section.node().location.clone(),
    };
    let client_auth = auth.flatten().unwrap_or(ClientAuth::None);
    let names = sans.zip(allowed_sans.as_deref());
    report_unused_client_rules(reader, client_auth, client_ca.as_ref(), names);
    // As in the toolkit, the other settings alone do not enable TLS.
    if certificate.is_none() && key.is_none() && client_ca.is_none() && !is_auth_set {
        return None;
    }
    for (name, found) in [("cert_file", &certificate), ("key_file", &key)] {
        if found.is_none() {
            let remedy = "name both `cert_file` and `key_file`: TLS needs both";
            reader.report_missing(&section, name, Fault::new("missing", remedy));
        }
    }
    let cipher_suites = cipher_suites.filter(|suites| !suites.is_empty());
    Some(TlsSettings {
        certificate: certificate?,
        key: key?,
        client_auth,
        client_auth_location,
        client_ca,
        allowed_sans,
        versions,
        cipher_suites: cipher_suites.map(|suites| {
            let suites = suites.into_iter();
            suites.filter(|suite| suite.tls13().is_none()).collect()
        }),
        curves: curves.unwrap_or_default(),
        prefer_own_order: prefer.unwrap_or(true),
    })
}

/// Reports settings that look like access control but check nobody: the `authority` of
/// clients, and the allowed `names` of their certificates.
fn report_unused_client_rules(
    reader: &mut Reader,
    client_auth: ClientAuth,
    authority: Option<&Pem>,
    names: Option<(Node<'_>, &[String])>,
) {
    const ASK: &str = "add `client_auth_type: RequireAndVerifyClientCert`";
    const VERIFY: &str = "write `client_auth_type: RequireAndVerifyClientCert`";
    let (unused, forged, remedy) = match client_auth {
        ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify => return,
        ClientAuth::None => {
            let unused = "clients are not asked for a certificate, so this setting has no effect";
            (unused, unused, ASK)
        }
        ClientAuth::Request | ClientAuth::RequireAny => (
            "this `client_auth_type` accepts certificates of any authority, so this setting has no effect",
            "this `client_auth_type` accepts certificates that clients make themselves, with any name",
            VERIFY,
        ),
    };
    if let Some(pem) = authority {
        let fault = Fault::new(unused, remedy);
        reader.report_at(pem.location.clone(), pem.key.clone(), fault);
    }
    if let Some((node, names)) = names {
        // An empty list refuses every client, if a certificate is requested.
        if client_auth == ClientAuth::None || !names.is_empty() {
            let remedy = match authority {
                Some(_) => remedy.to_owned(),
                None => format!("{remedy} and `client_ca_file`"),
            };
            reader.report(&node, Fault::new(forged, remedy));
        }
    }
}

/// The setting `<name>_file`, whose path starts at the file's folder, or else `name`.
fn pem<'a>(reader: &mut Reader, section: &Section<'a>, name: &str) -> Option<Pem> {
    let mut written = |name: &str| {
        let node: Node<'a> = section.get(name)?;
        let text = reader.value(Some(&node), string)?;
        (!text.is_empty()).then_some((node, text))
    };
    let (file, inline) = (written(&format!("{name}_file")), written(name));
    let (node, source) = match file {
        Some((node, _)) => {
            let path = reader.value(Some(&node), path)?;
            (node, PemSource::File(path))
        }
        None => {
            let (node, text) = inline?;
            (node, PemSource::Inline(text))
        }
    };
    Some(Pem {
        source,
        location: node.location,
        key: node.key,
    })
}

/// The type, or nothing for an empty text.
fn client_auth(node: &Node<'_>) -> Result<Option<ClientAuth>, Fault> {
    Ok(Some(match string(node)?.as_str() {
        "" => return Ok(None),
        "NoClientCert" => ClientAuth::None,
        "RequestClientCert" => ClientAuth::Request,
        // The second name is the toolkit's older one.
        "RequireAnyClientCert" | "RequireClientCert" => ClientAuth::RequireAny,
        "VerifyClientCertIfGiven" => ClientAuth::VerifyIfGiven,
        "RequireAndVerifyClientCert" => ClientAuth::RequireAndVerify,
        other => {
            let known = names! {
                NoClientCert RequestClientCert RequireAnyClientCert VerifyClientCertIfGiven
                RequireAndVerifyClientCert
            };
            return Err(unknown("type", other, known));
        }
    }))
}

fn versions(reader: &mut Reader, section: &Section<'_>) -> Vec<&'static SupportedProtocolVersion> {
    let version = |node: &Node<'_>| match string(node)?.as_str() {
        "TLS12" => Ok(2),
        "TLS13" => Ok(3),
        "TLS10" | "TLS11" => Err(Fault::new(
            "this version of TLS is insecure and not supported",
            "use TLS12 or TLS13",
        )),
        other => Err(unknown("TLS version", other, &["TLS12", "TLS13"])),
    };
    let min = reader
        .value(section.get("min_version"), version)
        .unwrap_or(2);
    let max_node = section.get("max_version");
    let max = reader.value(max_node.as_ref(), version).unwrap_or(3);
    if let Some(node) = max_node
        && max < min
    {
        let fault = Fault::new(
            "lower than `min_version`, so that no client could connect",
            "write a version that is not lower than `min_version`",
        );
        reader.report(&node, fault);
    }
    let all = [(2, &TLS12), (3, &TLS13)];
    all.into_iter()
        .filter(|(number, _)| (min..=max).contains(number))
        .map(|(_, version)| version)
        .collect()
}

fn cipher_suite(node: &Node<'_>) -> Result<SupportedCipherSuite, Fault> {
    let name = string(node)?;
    let suites = default_provider().cipher_suites;
    // Go's names of TLS 1.3 suites contain no version.
    let names: Vec<String> = suites
        .iter()
        .filter_map(|suite| Some(suite.suite().as_str()?.replace("TLS13_", "TLS_")))
        .collect();
    if let Some((_, suite)) = names.iter().zip(&suites).find(|(known, _)| **known == name) {
        return Ok(*suite);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if name.contains("_CBC_") || name.starts_with("TLS_RSA_WITH_") {
        return Err(Fault::new(
            "this suite is weak and not supported: it uses CBC or has no forward secrecy",
            format!("remove the suite, or use one of {}", names.join(", ")),
        ));
    }
    Err(unknown("cipher suite", &name, &names))
}

fn curve(node: &Node<'_>) -> Result<&'static dyn SupportedKxGroup, Fault> {
    match string(node)?.as_str() {
        "CurveP256" => Ok(kx_group::SECP256R1),
        "CurveP384" => Ok(kx_group::SECP384R1),
        "X25519" => Ok(kx_group::X25519),
        "CurveP521" => Err(Fault::new(
            "this curve is not supported",
            "remove the curve, or write CurveP384",
        )),
        other => Err(unknown(
            "curve",
            other,
            names! { CurveP256 CurveP384 X25519 },
        )),
    }
}

fn headers(reader: &mut Reader, node: Option<Node<'_>>) -> Vec<(HeaderName, HeaderValue)> {
    let section = reader.section(node, &HEADERS.map(|(name, _)| name));
    let mut headers = Vec::new();
    for (name, values) in HEADERS {
        let value = reader.value(section.get(name), |node| {
            let value = string(node)?;
            if !values.is_empty() && !values.contains(&value.as_str()) {
                let remedy = format!("write {}", values.join(" or "));
                return Err(Fault::new("not a value of this header", remedy));
            }
            HeaderValue::from_str(&value)
                .map_err(|_| Fault::new("not a header's value", "write one line of ASCII"))
        });
        let name = HeaderName::from_bytes(name.as_bytes());
        // A blank value leaves the header unset.
        if let (Ok(name), Some(value)) = (name, value.filter(|value| !value.is_empty())) {
            headers.push((name, value));
        }
    }
    headers
}

fn users(reader: &mut Reader, node: Option<Node<'_>>) -> BTreeMap<String, PasswordHash> {
    let section = reader.map(node);
    let users = section.entries().filter_map(|(name, node)| {
        let hash = reader.value(Some(node), |node| string(node)?.parse())?;
        Some((name.to_owned(), hash))
    });
    users.collect()
}

fn rate_limit(reader: &mut Reader, node: Option<Node<'_>>) -> Option<RequestLimit> {
    let section = reader.section(node, &["interval", "burst"]);
    let interval = reader.value(section.get("interval"), |node| {
        let remedy = "write a number and a unit (h, m, s, ms, us or ns), such as `100ms`";
        let interval = duration::parse(&string(node)?);
        interval.ok_or_else(|| Fault::new("not a duration", remedy))
    });
    let burst = reader.value(section.get("burst"), |node| {
        let number = match &node.value {
            Value::Number(number) => number.as_i64(),
            _ => None,
        };
        let remedy = "write how many requests may come at once, such as `10`";
        number.ok_or_else(|| Fault::new("not a whole number", remedy))
    });
    // As with Go, an interval of 0 or less disables the limit, and a burst below 1 is 0.
    let interval = interval.flatten()?;
    Some(RequestLimit {
        burst: u32::try_from(burst.unwrap_or(0).clamp(0, u32::MAX.into())).unwrap_or(0),
        interval,
    })
}

/// Text, or another value that Go reads as text.
fn string(node: &Node<'_>) -> Result<String, Fault> {
    match &node.value {
        Value::Null => Ok(String::new()),
        Value::Number(number) if number.is_u64() => Ok(number.to_string()),
        _ => text(node).map(str::to_owned),
    }
}

/// True or false, in all the words of Go's YAML reader.
fn boolean(node: &Node<'_>) -> Result<bool, Fault> {
    const TRUE: [&str; 8] = ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON"];
    const FALSE: [&str; 8] = ["n", "N", "no", "No", "NO", "off", "Off", "OFF"];
    match &node.value {
        Value::Bool(value) => Ok(*value),
        Value::Text(word) if TRUE.contains(&word.as_str()) => Ok(true),
        Value::Text(word) if FALSE.contains(&word.as_str()) => Ok(false),
        _ => Err(Fault::new("neither true nor false", "write true or false")),
    }
}

/// The items of a list, each parsed by `read`; nothing if there is no list.
fn items<T>(
    reader: &mut Reader,
    node: Option<Node<'_>>,
    read: fn(&Node) -> Result<T, Fault>,
) -> Option<Vec<T>> {
    let items = reader.value(node, |node| list(node, "write `- ` before each item"))?;
    let items = items
        .into_iter()
        .filter_map(|item| reader.value(Some(item), read));
    Some(items.collect())
}
