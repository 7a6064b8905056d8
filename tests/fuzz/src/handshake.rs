//! Certificates that clients send: whatever it is, a client that must have a certificate of the
//! authority gets in with that one certificate, and with no other.
//!
//! The first byte of an input chooses how clients are asked; the rest is the certificate that the
//! client sends, in DER. The client has the key of `tls/client.crt`.

use std::fs;
use std::sync::Arc;

use cwp_exporter::config::Environment;
use cwp_exporter::server::web_config::WebConfigFile;
use rustls::client::ResolvesClientCert;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, Error, RootCertStore, ServerConfig, ServerConnection,
    SignatureScheme,
};

use crate::measure::{Bound, bounded};

/// Both sides of a handshake.
const BOUND: Bound = Bound {
    bytes: 1024 * 1024,
    bytes_per_byte: 100,
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tls");

/// How clients are asked, and what of it decides: whether a certificate must come, and whether
/// it must be the authority's.
const ASKED: [(&str, bool, bool); 6] = [
    ("client_auth_type: RequestClientCert", false, false),
    ("client_auth_type: RequireAnyClientCert", true, false),
    ("client_auth_type: VerifyClientCertIfGiven", false, true),
    ("client_auth_type: RequireAndVerifyClientCert", true, true),
    (
        "client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [other, 192.0.2.7]",
        true,
        true,
    ),
    (
        "client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [CLIENT.example, 192.0.2]",
        true,
        true,
    ),
];

/// The last way to ask allows no name of the certificate.
const NOBODY: usize = ASKED.len() - 1;

/// What each handshake needs.
struct Sides {
    servers: Vec<Arc<ServerConfig>>,
    roots: Arc<RootCertStore>,
    key: Arc<dyn SigningKey>,
    /// The certificate of the authority.
    certificate: CertificateDer<'static>,
}

thread_local! {
    static SIDES: Sides = Sides::new();
}

pub fn run(input: &[u8]) {
    let Some((first, der)) = input.split_first() else {
        return;
    };
    let way = usize::from(*first) % ASKED.len();
    let (_, must_come, is_verified) = ASKED[way];
    let is_old = *first >= 128;
    SIDES.with(|sides| {
        let outcome = bounded(input.len(), &BOUND, || sides.handshake(way, der, is_old));
        let is_its_own = der == sides.certificate.as_ref();
        match outcome {
            Err(error) => assert!(!is_its_own || way == NOBODY, "{error}"),
            Ok(None) => assert!(!must_come && !is_its_own),
            Ok(Some(accepted)) => {
                assert_eq!(accepted, der);
                assert_ne!(way, NOBODY, "no name is allowed");
                if is_verified {
                    let signed = signed(der).expect("it has a part that is signed");
                    assert_eq!(Some(signed), self::signed(&sides.certificate));
                }
            }
        }
    });
}

/// The part of a certificate that its authority signs: the first item of the sequence.
fn signed(der: &[u8]) -> Option<&[u8]> {
    let (_, inside) = item(der)?;
    let (length, _) = item(inside)?;
    inside.get(..length)
}

/// The length of the item at the front, with its head, and what is inside.
fn item(der: &[u8]) -> Option<(usize, &[u8])> {
    let (head, length) = match *der.get(1)? {
        short @ ..=0x7f => (2, usize::from(short)),
        0x81 => (3, usize::from(*der.get(2)?)),
        0x82 => (
            4,
            usize::from(*der.get(2)?) << 8 | usize::from(*der.get(3)?),
        ),
        _ => return None,
    };
    Some((head + length, der.get(head..head + length)?))
}

impl Sides {
    fn new() -> Self {
        let read = |name: &str| fs::read(format!("{FOLDER}/{name}")).expect("a file of the fuzzer");
        let certificate = |name: &str| {
            CertificateDer::from_pem_slice(&read(name)).expect("a certificate of the fuzzer")
        };
        let mut roots = RootCertStore::empty();
        let added = roots.add(certificate("authority.crt"));
        added.expect("the authority is good");
        let key = PrivateKeyDer::from_pem_slice(&read("client.key")).expect("a key");
        let key = default_provider().key_provider.load_private_key(key);
        Self {
            servers: ASKED.iter().map(|(asked, ..)| server(asked)).collect(),
            roots: Arc::new(roots),
            key: key.expect("a usable key"),
            certificate: certificate("client.crt"),
        }
    }

    /// The certificate that the server accepts, if it accepts the client at all.
    fn handshake(&self, way: usize, der: &[u8], is_old: bool) -> Result<Option<Vec<u8>>, Error> {
        let versions = [if is_old { &TLS12 } else { &TLS13 }];
        let provider = Arc::new(default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .expect("the version is supported")
            .with_root_certificates(Arc::clone(&self.roots));
        // Without a certificate it has none to send.
        let chain = match der {
            [] => Vec::new(),
            der => vec![CertificateDer::from(der.to_vec())],
        };
        let sent = CertifiedKey::new(chain, Arc::clone(&self.key));
        let client = client.with_client_cert_resolver(Arc::new(Sent(Arc::new(sent))));
        let name = ServerName::try_from("localhost").expect("a name");
        let mut client = ClientConnection::new(Arc::new(client), name)?;
        let mut server = ServerConnection::new(Arc::clone(&self.servers[way]))?;
        while client.wants_write() || server.wants_write() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).expect("memory takes it");
            }
            take(&mut server, &wire)?;
            wire.clear();
            while server.wants_write() {
                server.write_tls(&mut wire).expect("memory takes it");
            }
            let mut wire = wire.as_slice();
            while !wire.is_empty() {
                client.read_tls(&mut wire).expect("memory gives it");
                client.process_new_packets()?;
            }
        }
        assert!(!server.is_handshaking(), "nobody has more to say");
        let chain = server.peer_certificates().unwrap_or_default();
        Ok(chain.first().map(|certificate| certificate.to_vec()))
    }
}

fn take(server: &mut ServerConnection, mut wire: &[u8]) -> Result<(), Error> {
    while !wire.is_empty() {
        server.read_tls(&mut wire).expect("memory gives it");
        server.process_new_packets()?;
    }
    Ok(())
}

/// A server that asks clients so.
fn server(asked: &str) -> Arc<ServerConfig> {
    let authority = match asked.contains("Verify") {
        true => format!(", client_ca_file: {FOLDER}/authority.crt"),
        false => String::new(),
    };
    let yaml = format!(
        "tls_server_config: {{cert_file: {FOLDER}/server.crt, key_file: {FOLDER}/server.key, \
         {asked}{authority}}}"
    );
    let file = tempfile::NamedTempFile::new().expect("a folder for a file");
    fs::write(file.path(), yaml).expect("a written file");
    let opened = WebConfigFile::open(file.path(), &Environment::default());
    let opened = Arc::new(opened.unwrap_or_else(|error| panic!("{error}")));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(opened.tls()).expect("TLS is on")
}

/// What the client sends, whoever is asked for.
#[derive(Debug)]
struct Sent(Arc<CertifiedKey>);

impl ResolvesClientCert for Sent {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        (!self.0.cert.is_empty()).then(|| Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
