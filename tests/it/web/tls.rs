//! TLS: who is let in, in which words of HTTP, and certificates that are replaced.

use rcgen::SanType;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::identities::{Authority, Identity};
use super::{Connection, Folder};
use crate::harness::{client, within};
use crate::prometheus::{Prometheus, each_version};

const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

fn asking(client_auth: &str) -> String {
    format!("{TLS}  client_auth_type: {client_auth}\n")
}

const VERIFY: &str = "RequireAndVerifyClientCert\n  client_ca_file: client-ca.crt";

#[tokio::test]
async fn only_tls_is_spoken_and_only_with_clients_that_trust_the_server() {
    let folder = Folder::new(TLS);
    let guarded = folder.exporter().await;
    assert_eq!(
        guarded.status(folder.client(None, &[]), "/-/healthy").await,
        Some(200)
    );
    let stranger = Folder::new("").client(None, &[]);
    assert_eq!(guarded.status(stranger, "/-/healthy").await, None);
    let plain = guarded.exporter.get("/metrics").await;
    assert_eq!(plain.status(), 400);
    let words = plain.text().await.unwrap();
    assert_eq!(words, "Client sent an HTTP request to an HTTPS server.\n");
}

#[tokio::test]
async fn garbage_and_handshakes_that_never_end_keep_nobody_out() {
    let folder = Folder::new(TLS);
    let few = |options: &mut cwp_exporter::commands::daemon::AppOptions| {
        options.limits.connections = std::num::NonZeroUsize::new(4).unwrap();
    };
    let guarded = folder.exporter_with(few).await;
    let mut stuck = Vec::new();
    for garbage in [
        b"\x16".as_slice(),
        b"\x16\x03\x01\xff\xffgarbage",
        b"\x16\x03\x01\x00\x05\x01\x00\xff\xff\xff",
        b"\x16\x03\x01\x00\x02\x01\x00",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x80\x2e\x01\x03\x01",
        b"",
    ] {
        for _ in 0..4 {
            let mut stream = TcpStream::connect(guarded.address()).await.unwrap();
            stream.write_all(garbage).await.unwrap();
            stuck.push(stream);
        }
        let client = folder.client(None, &[]);
        let answered = within("an answer", guarded.status(client, "/-/healthy"));
        assert_eq!(answered.await, Some(200), "{garbage:?}");
    }
}

#[tokio::test]
async fn a_flood_of_reset_streams_keeps_nobody_out() {
    let folder = Folder::new(TLS);
    let guarded = folder.exporter().await;
    let client = folder.client(None, &[b"h2"]);
    let stream = guarded.connect(client).await.unwrap();
    let mut flood = Connection::http2(stream).await.unwrap();
    for _ in 0..2000 {
        // Dropped at once, which resets the stream. It may end the connection.
        let asked = futures_util::FutureExt::now_or_never(flood.status("/metrics"));
        assert!(matches!(asked, None | Some(None | Some(200))));
        tokio::task::yield_now().await;
    }
    let client = folder.client(None, &[b"h2"]);
    let stream = guarded.connect(client).await.unwrap();
    let mut other = Connection::http2(stream).await.unwrap();
    let answered = within("an answer", other.status("/-/healthy"));
    assert_eq!(answered.await, Some(200));
}

#[tokio::test]
async fn http2_is_spoken_over_tls_unless_it_is_switched_off() {
    let folder = Folder::new(TLS);
    let both = || folder.client(None, &[b"h2", b"http/1.1"]);
    let guarded = folder.exporter().await;
    let stream = guarded.connect(both()).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let mut connection = Connection::http2(stream).await.unwrap();
    for _ in 0..3 {
        assert_eq!(connection.status("/metrics").await, Some(200));
    }
    assert_eq!(connection.status("/none").await, Some(404));

    let folder = Folder::new(&format!("{TLS}http_server_config: {{http2: false}}"));
    let guarded = folder.exporter().await;
    let both = folder.client(None, &[b"h2", b"http/1.1"]);
    let stream = guarded.connect(both).await.unwrap();
    assert_eq!(
        stream.get_ref().1.alpn_protocol(),
        Some(b"http/1.1".as_slice())
    );
    let mut connection = Connection::http1(stream).await.unwrap();
    assert_eq!(connection.status("/metrics").await, Some(200));
}

#[tokio::test]
async fn a_new_certificate_is_shown_at_once_and_open_connections_stay() {
    let folder = Folder::new(TLS);
    let guarded = folder.exporter().await;
    let shown = async || {
        let stream = guarded.connect(folder.client(None, &[])).await.unwrap();
        let certificates = stream.get_ref().1.peer_certificates().unwrap().to_vec();
        (certificates, Connection::http1(stream).await.unwrap())
    };
    let (before, mut open) = shown().await;
    assert_eq!(open.status("/-/healthy").await, Some(200));
    let mut last = before;
    for _ in 0..3 {
        let identity = folder.new_server_identity();
        let (now, mut connection) = shown().await;
        assert_eq!(now, identity.chain());
        assert_ne!(now, last);
        assert_eq!(connection.status("/-/healthy").await, Some(200));
        assert_eq!(open.status("/-/healthy").await, Some(200));
        last = now;
    }

    // Half of a replacement, or rubbish, does not count.
    let identity = folder.server.identity(&["localhost"]);
    folder.replace("server.crt", &identity.certificate);
    assert_eq!(shown().await.0, last);
    folder.replace("server.key", "rubbish");
    assert_eq!(shown().await.0, last);
    std::fs::remove_file(folder.path("server.key")).unwrap();
    assert_eq!(shown().await.0, last);
    folder.replace("server.key", &identity.key);
    assert_eq!(shown().await.0, identity.chain());
}

#[tokio::test]
async fn a_certificate_that_is_in_the_file_itself_is_replaced_with_it() {
    let folder = Folder::new(TLS);
    let inline = |identity: &Identity| {
        let indented = |text: &str| text.replace('\n', "\n    ");
        format!(
            "tls_server_config:\n  cert: |\n    {}\n  key: |\n    {}\n",
            indented(&identity.certificate),
            indented(&identity.key)
        )
    };
    folder.replace("web.yml", &inline(&folder.server.identity(&["localhost"])));
    let guarded = folder.exporter().await;
    for _ in 0..2 {
        let identity = folder.server.identity(&["localhost"]);
        folder.replace("web.yml", &inline(&identity));
        let stream = guarded.connect(folder.client(None, &[])).await.unwrap();
        let shown = stream.get_ref().1.peer_certificates().unwrap();
        assert_eq!(shown, identity.chain());
    }
}

#[tokio::test]
async fn without_a_usable_file_no_new_connection_is_made() {
    let folder = Folder::new(TLS);
    let guarded = folder.exporter().await;
    let status = async || guarded.status(folder.client(None, &[]), "/-/healthy").await;
    assert_eq!(status().await, Some(200));
    for bad in [
        "",
        "tls_server_config: {}",
        "rubbish",
        &asking("RequireAndVerifyClientCert\n  client_ca_file: none.crt"),
    ] {
        folder.replace("web.yml", bad);
        assert_eq!(status().await, None, "{bad}");
        folder.replace("web.yml", TLS);
        assert_eq!(status().await, Some(200));
    }
}

#[tokio::test]
async fn each_type_of_client_authentication_accepts_the_right_clients() {
    let folder = Folder::new(TLS);
    let guarded = folder.exporter().await;
    let good = folder.client.identity(&["prometheus.example.com"]);
    let strange = Authority::new("somebody").identity(&["prometheus.example.com"]);
    let expired = folder.client.expired();
    let ca = "\n  client_ca_file: client-ca.crt";
    for (asked, nobody, known, stranger, late) in [
        ("NoClientCert".to_owned(), true, true, true, true),
        ("RequestClientCert".to_owned(), true, true, true, true),
        ("RequireAnyClientCert".to_owned(), false, true, true, true),
        ("RequireClientCert".to_owned(), false, true, true, true),
        (
            format!("VerifyClientCertIfGiven{ca}"),
            true,
            true,
            false,
            false,
        ),
        (VERIFY.to_owned(), false, true, false, false),
        // Without authorities of its own it trusts the system's, who know none of these.
        (
            "RequireAndVerifyClientCert".to_owned(),
            false,
            false,
            false,
            false,
        ),
    ] {
        folder.replace("web.yml", &asking(&asked));
        for (who, identity, expected) in [
            ("nobody", None, nobody),
            ("known", Some(&good), known),
            ("stranger", Some(&strange), stranger),
            ("expired", Some(&expired), late),
        ] {
            let client = folder.client(identity, &[]);
            let status = guarded.status(client, "/-/healthy").await;
            assert_eq!(status == Some(200), expected, "{asked}: {who}: {status:?}");
        }
    }
}

#[tokio::test]
async fn without_a_configured_authority_those_of_the_environment_are_trusted_for_clients() {
    let folder = Folder::new(&asking("RequireAndVerifyClientCert"));
    let known = folder.client.identity(&["prometheus.example.com"]);
    let stranger = Authority::new("somebody").identity(&["prometheus.example.com"]);
    let authorities = tempfile::tempdir().unwrap();
    let file = authorities.path().join("ca.pem");
    std::fs::write(&file, folder.client.certificate()).unwrap();
    let (file, authorities) = (file.to_str().unwrap(), authorities.path().to_str().unwrap());
    for (cert_file, cert_dir) in [(file, ""), (" ", authorities), ("", authorities)] {
        let variables = [("SSL_CERT_FILE", cert_file), ("SSL_CERT_DIR", cert_dir)];
        let guarded = folder.exporter_among(&variables, |_| ()).await;
        for (identity, expected) in [(&known, true), (&stranger, false)] {
            let client = folder.client(Some(identity), &[]);
            let status = guarded.status(client, "/-/healthy").await;
            assert_eq!(status == Some(200), expected, "{variables:?}: {status:?}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_trusted_directly_may_be_marked_as_an_authority() {
    let folder = Folder::new(&asking(VERIFY));
    let guarded = folder.exporter().await;
    let own = Identity::self_signed(|_| ());
    let for_servers = Identity::self_signed_server();
    let late = Identity::self_signed(|params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let early = Identity::self_signed(|params| {
        params.not_before = rcgen::date_time_ymd(3020, 1, 1);
        params.not_after = rcgen::date_time_ymd(3021, 1, 1);
    });
    let all = [&own, &for_servers, &late, &early];
    let all: String = all.map(|identity| identity.certificate.as_str()).concat();
    folder.replace("client-ca.crt", &all);
    for (identity, expected) in [
        (own, true),
        (for_servers, false),
        (late, false),
        (early, false),
    ] {
        let client = folder.client(Some(&identity), &[]);
        let status = guarded.status(client, "/-/healthy").await;
        assert_eq!(status == Some(200), expected, "{}", identity.certificate);
    }
}

#[tokio::test]
async fn a_client_must_be_for_one_of_the_allowed_names() {
    let allowed = "prometheus.example.com, ops@example.com, 10.1.2.3, '2001:db8::1', 'spiffe://example.com/prometheus'";
    let web = format!("{}  client_allowed_sans: [{allowed}]\n", asking(VERIFY));
    let folder = Folder::new(&web);
    let guarded = folder.exporter().await;
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let mail = |name: &str| SanType::Rfc822Name(name.try_into().unwrap());
    let uri = |name: &str| SanType::URI(name.try_into().unwrap());
    let ip = |address: &str| SanType::IpAddress(address.parse().unwrap());
    for (names, expected) in [
        (vec![dns("prometheus.example.com")], true),
        (vec![mail("ops@example.com")], true),
        (vec![ip("10.1.2.3")], true),
        (vec![ip("2001:db8::1")], true),
        (vec![uri("spiffe://example.com/prometheus")], true),
        (vec![dns("other.example.com"), ip("10.1.2.3")], true),
        (vec![dns("Prometheus.example.com")], false),
        (vec![dns("a.prometheus.example.com")], false),
        (vec![ip("10.1.2.4"), uri("spiffe://example.com/")], false),
        (vec![], false),
    ] {
        let shown = format!("{names:?}");
        let identity = folder.client.identity_of(names);
        let client = folder.client(Some(&identity), &[]);
        let status = guarded.status(client, "/-/healthy").await;
        assert_eq!(status == Some(200), expected, "{shown}");
    }
    // The list counts where a certificate is optional, too; an empty one has nobody.
    folder.replace(
        "web.yml",
        &web.replace("RequireAndVerify", "Request")
            .replace("client_ca_file: client-ca.crt", ""),
    );
    assert_eq!(
        guarded.status(folder.client(None, &[]), "/-/healthy").await,
        None
    );
    folder.replace("web.yml", &web.replace(allowed, ""));
    let identity = folder.client.identity(&["prometheus.example.com"]);
    let client = folder.client(Some(&identity), &[]);
    assert_eq!(guarded.status(client, "/-/healthy").await, None);
}

#[tokio::test]
async fn versions_suites_and_curves_are_as_configured() {
    let folder = Folder::new(&format!(
        "{TLS}  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n  curve_preferences: [CurveP384]\n"
    ));
    let guarded = folder.exporter().await;
    let spoken = async || {
        let stream = guarded.connect(folder.client(None, &[])).await.unwrap();
        let tls = stream.get_ref().1;
        format!(
            "{:?} {:?} {:?}",
            tls.protocol_version().unwrap(),
            tls.negotiated_cipher_suite().unwrap().suite(),
            tls.negotiated_key_exchange_group().unwrap().name()
        )
    };
    let expected = "TLSv1_2 TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 secp384r1";
    assert_eq!(spoken().await, expected);
    folder.replace("web.yml", &format!("{TLS}  min_version: TLS13\n"));
    assert!(spoken().await.starts_with("TLSv1_3 TLS13_"));
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn prometheus_scrapes_with_a_client_certificate_and_a_password() {
    let hash = bcrypt::hash("fish", 4).unwrap();
    let web = format!(
        "{}  client_allowed_sans: [prometheus.example.com]\nbasic_auth_users: {{prometheus: {hash}}}\n",
        asking(VERIFY)
    );
    let folder = Folder::new(&web);
    let identity = folder.client.identity(&["prometheus.example.com"]);
    folder.replace("client.crt", &identity.certificate);
    folder.replace("client.key", &identity.key);
    folder.replace("server-ca.crt", &folder.server.certificate());
    let guarded = folder.exporter().await;
    for program in each_version("prometheus") {
        let job = json!({
            "job_name": "cwp",
            "scheme": "https",
            "basic_auth": {"username": "prometheus", "password": "fish"},
            "tls_config": {
                "ca_file": folder.path("server-ca.crt"),
                "cert_file": folder.path("client.crt"),
                "key_file": folder.path("client.key"),
                "server_name": "localhost",
            },
            "static_configs": [{"targets": [guarded.address()]}],
        });
        let prometheus = Prometheus::with_job(&program, job, None).await;
        prometheus.until("up{job='cwp'}", &[1.0]).await;
        // While it scrapes, the server's certificate is replaced.
        folder.new_server_identity();
        prometheus
            .until("count_over_time(up{job='cwp'}[1h]) >= bool 4", &[1.0])
            .await;
        prometheus
            .until("min_over_time(up{job='cwp'}[1h])", &[1.0])
            .await;
    }
    let plain = within("the end", client().get(&guarded.exporter.url).send());
    assert_eq!(plain.await.unwrap().status(), 400);
}
