//! From what was written to a [`WebConfig`], with the rules of the exporter-toolkit.

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

/// The headers that may be set, and to what; any value if there is none.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// Reads all settings. The result counts only if `reader` has no problem.
pub(super) fn web_config(reader: &mut Reader, root: &Node) -> WebConfig {
    let root = reader.section(
        Some(root),
        &[
            "tls_server_config",
            "http_server_config",
            "basic_auth_users",
            "rate_limit",
        ],
    );
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
    let section = reader.section(
        node,
        &[
            "cert",
            "key",
            "client_ca",
            "cert_file",
            "key_file",
            "client_auth_type",
            "client_ca_file",
            "cipher_suites",
            "curve_preferences",
            "min_version",
            "max_version",
            "prefer_server_cipher_suites",
            "client_allowed_sans",
        ],
    );
    let certificate = pem(reader, &section, "cert");
    let key = pem(reader, &section, "key");
    let client_ca = pem(reader, &section, "client_ca");
    let auth = reader.value(section.get("client_auth_type"), string);
    let auth = auth.filter(|auth| !auth.is_empty());
    let versions = versions(reader, &section);
    let cipher_suites = items(reader, section.get("cipher_suites"), cipher_suite);
    let curves = items(reader, section.get("curve_preferences"), curve);
    let prefer = reader.value(section.get("prefer_server_cipher_suites"), boolean);
    let sans = section.get("client_allowed_sans");
    let allowed_sans = items(reader, sans.clone(), string);

    let client_auth_location = match section.get("client_auth_type") {
        Some(node) => node.location,
        None => section.node().location.clone(),
    };
    let client_auth = client_auth(reader, &section, auth.as_deref());
    let names = sans.zip(allowed_sans.as_deref());
    report_unused_client_rules(reader, client_auth, client_ca.as_ref(), names);
    // As in the toolkit, the other settings alone switch nothing on.
    if certificate.is_none() && key.is_none() && client_ca.is_none() && auth.is_none() {
        return None;
    }
    for (name, found) in [("cert_file", &certificate), ("key_file", &key)] {
        if found.is_none() {
            let fault = Fault::new(
                "missing",
                "name both `cert_file` and `key_file`: TLS needs both",
            );
            reader.report_missing(&section, name, fault);
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

/// Reports what reads like access control while nobody is checked by it: the `authority`
/// of clients, and the `names` that their certificates may have.
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
        // An empty list lets nobody in, if a certificate is asked for at all.
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
    let file = section.get(&format!("{name}_file"));
    let inline = section.get(name);
    let mut written = |node: Option<Node<'a>>| {
        let node = node?;
        let text = reader.value(Some(&node), string)?;
        (!text.is_empty()).then_some((node, text))
    };
    let (file, inline) = (written(file), written(inline));
    let file = file.and_then(|(node, _)| {
        let source = PemSource::File(reader.value(Some(&node), path)?);
        Some((node, source))
    });
    let inline = inline.map(|(node, text)| (node, PemSource::Inline(text)));
    let (node, source) = file.or(inline)?;
    Some(Pem {
        source,
        location: node.location,
        key: node.key,
    })
}

fn client_auth(reader: &mut Reader, section: &Section<'_>, written: Option<&str>) -> ClientAuth {
    let known = match written {
        None | Some("NoClientCert") => return ClientAuth::None,
        Some("RequestClientCert") => Ok(ClientAuth::Request),
        // The toolkit's older name of the same.
        Some("RequireAnyClientCert" | "RequireClientCert") => Ok(ClientAuth::RequireAny),
        Some("VerifyClientCertIfGiven") => Ok(ClientAuth::VerifyIfGiven),
        Some("RequireAndVerifyClientCert") => Ok(ClientAuth::RequireAndVerify),
        Some(other) => Err(unknown(
            "type",
            other,
            &[
                "NoClientCert",
                "RequestClientCert",
                "RequireAnyClientCert",
                "VerifyClientCertIfGiven",
                "RequireAndVerifyClientCert",
            ],
        )),
    };
    let read = reader.value(section.get("client_auth_type"), |_| known);
    read.unwrap_or(ClientAuth::None)
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
    // Go's names of TLS 1.3's suites have no version in them.
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
            &["CurveP256", "CurveP384", "X25519"],
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
        // A blank one is not set.
        if let (Ok(name), Some(value)) = (name, value.filter(|value| !value.is_empty())) {
            headers.push((name, value));
        }
    }
    headers
}

fn users(reader: &mut Reader, node: Option<Node<'_>>) -> BTreeMap<String, PasswordHash> {
    let section = reader.map(node);
    let mut users = BTreeMap::new();
    for (name, node) in section.entries() {
        if let Some(hash) = reader.value(Some(node), |node| string(node)?.parse()) {
            users.insert(name.to_owned(), hash);
        }
    }
    users
}

fn rate_limit(reader: &mut Reader, node: Option<Node<'_>>) -> Option<RequestLimit> {
    let section = reader.section(node, &["interval", "burst"]);
    let interval = reader.value(section.get("interval"), |node| {
        duration::parse(&string(node)?).ok_or_else(|| {
            Fault::new(
                "not a duration",
                "write a number and a unit (h, m, s, ms, us or ns), such as `100ms`",
            )
        })
    });
    let burst = reader.value(section.get("burst"), |node| {
        let fault = || {
            Fault::new(
                "not a whole number",
                "write how many requests may come at once, such as `10`",
            )
        };
        match &node.value {
            Value::Number(number) => number.as_i64().ok_or_else(fault),
            _ => Err(fault()),
        }
    });
    // As with Go: 0 and less is no interval, and less than one request none at all.
    let interval = interval.flatten()?;
    Some(RequestLimit {
        burst: u32::try_from(burst.unwrap_or(0).clamp(0, u32::MAX.into())).unwrap_or(0),
        interval,
    })
}

/// Text, or what Go reads as text without quotes.
fn string(node: &Node<'_>) -> Result<String, Fault> {
    match &node.value {
        Value::Null => Ok(String::new()),
        Value::Number(number) if number.is_u64() => Ok(number.to_string()),
        _ => text(node).map(str::to_owned),
    }
}

/// True or false, in all the words of Go's YAML reader.
fn boolean(node: &Node<'_>) -> Result<bool, Fault> {
    match &node.value {
        Value::Bool(value) => Ok(*value),
        Value::Text(word) => match word.as_str() {
            "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Ok(true),
            "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Ok(false),
            _ => Err(Fault::new("neither true nor false", "write true or false")),
        },
        _ => Err(Fault::new("neither true nor false", "write true or false")),
    }
}

/// A list whose items `read` takes; nothing if there is none.
fn items<T>(
    reader: &mut Reader,
    node: Option<Node<'_>>,
    read: fn(&Node) -> Result<T, Fault>,
) -> Option<Vec<T>> {
    let items = reader.value(node, |node| list(node, "write `- ` before each item"))?;
    let items = items.into_iter();
    Some(
        items
            .filter_map(|item| reader.value(Some(item), read))
            .collect(),
    )
}
