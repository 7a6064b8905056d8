//! Each format and coding, as clients ask for them.

pub(crate) mod parsers;

use std::io::Read as _;

use cwp_exporter::simulator::Answer;
use flate2::read::GzDecoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, VARY,
};

use crate::harness::{Cloud, Exporter, LICENSES_ALONE, Scrape};

pub(crate) const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
pub(crate) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// An answer as it came, with the body that it stands for.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

/// A client that leaves compressed bodies as they are.
fn plain_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
    client.no_gzip().no_deflate().build().unwrap()
}

/// Asks for `path` with these headers, and decompresses what is compressed.
pub(crate) async fn ask(exporter: &Exporter, path: &str, accept: &str, coding: &str) -> Answered {
    let request = plain_client().get(format!("{}{path}", exporter.url));
    let request = request
        .header(ACCEPT, accept)
        .header(ACCEPT_ENCODING, coding);
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.bytes().await.unwrap();
    let length = headers[CONTENT_LENGTH].to_str().unwrap();
    assert_eq!(length, bytes.len().to_string());
    let text = if headers.contains_key(CONTENT_ENCODING) {
        assert_eq!(headers[CONTENT_ENCODING], "gzip");
        // One member: what follows would not be read.
        let mut decoder = GzDecoder::new(&bytes[..]);
        let mut text = String::new();
        decoder.read_to_string(&mut text).unwrap();
        assert!(decoder.into_inner().is_empty(), "more behind the member");
        text
    } else {
        String::from_utf8(bytes.into()).unwrap()
    };
    Answered {
        status,
        headers,
        text,
    }
}

#[tokio::test]
async fn the_client_gets_the_format_and_coding_it_asks_for() {
    let cloud = Cloud::with_accounts(2).await;
    let exporter = Exporter::of(&cloud, 2).await;
    exporter.ready().await;
    // Nothing is collected from here on.
    for account in ["a0", "a1"] {
        cloud.handle.play(account, Answer::Hang).unwrap();
    }
    let licences = "tencentcloud_cwp_licenses{account=\"a1\"} ";
    for path in ["/metrics", "/probe?target=a1"] {
        for (accept, content_type) in [
            ("application/openmetrics-text", OPENMETRICS),
            ("text/plain", TEXT),
            ("nonsense;;q=7", TEXT),
        ] {
            let plain = ask(&exporter, path, accept, "identity").await;
            let gzip = ask(&exporter, path, accept, "gzip").await;
            assert!(!plain.headers.contains_key(CONTENT_ENCODING));
            assert!(gzip.headers.contains_key(CONTENT_ENCODING));
            for answer in [&plain, &gzip] {
                assert_eq!(answer.status, 200);
                assert_eq!(answer.headers[CONTENT_TYPE], content_type, "{accept}");
                assert_eq!(answer.headers[VARY], "Accept, Accept-Encoding");
                let is_openmetrics = content_type == OPENMETRICS;
                assert_eq!(answer.text.ends_with("\n# EOF\n"), is_openmetrics);
                assert!(answer.text.contains(licences), "{}", answer.text);
                assert!(!answer.text.contains("\n\n") && !answer.text.contains('\r'));
            }
        }
    }
}

#[tokio::test]
async fn both_formats_tell_the_same_values() {
    let cloud = Cloud::with_accounts(2).await;
    let exporter = Exporter::of(&cloud, 2).await;
    exporter.ready().await;
    let values = |text: &str| -> Vec<(String, f64)> {
        let samples = Scrape::parse(text).samples.into_iter();
        samples
            .map(|(series, value)| {
                (
                    series.replace("\"1.0\"", "\"1\"").replace(".0\"", "\""),
                    value,
                )
            })
            .filter(|(series, _)| !series.starts_with("process_"))
            .filter(|(series, _)| !series.starts_with("cwp_exporter_"))
            .collect()
    };
    let text = ask(&exporter, "/metrics", "text/plain", "identity").await;
    let openmetrics = ask(
        &exporter,
        "/metrics",
        "application/openmetrics-text",
        "gzip",
    )
    .await;
    assert_eq!(values(&text.text), values(&openmetrics.text));
    assert!(values(&text.text).len() > 50);
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let cloud = Cloud::with_accounts(1).await;
    let exporter = Exporter::of(&cloud, 1).await;
    exporter.ready().await;
    for coding in ["identity", "gzip"] {
        let request = plain_client().head(format!("{}/metrics", exporter.url));
        let request = request.header(ACCEPT, "application/openmetrics-text;escaping=dots");
        let response = request
            .header(ACCEPT_ENCODING, coding)
            .send()
            .await
            .unwrap();
        let headers = response.headers();
        assert_eq!(
            headers[CONTENT_TYPE],
            format!("{OPENMETRICS}; escaping=dots")
        );
        assert_eq!(headers.contains_key(CONTENT_ENCODING), coding == "gzip");
        let length: usize = headers[CONTENT_LENGTH].to_str().unwrap().parse().unwrap();
        assert!(length > 1_000, "{length}");
        assert_eq!(response.bytes().await.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn a_body_that_is_kept_is_never_old() {
    let cloud = Cloud::with_accounts(1).await;
    let exporter = Exporter::of(&cloud, 1).await;
    let licences = "tencentcloud_cwp_licenses{account=\"a0\"}";
    let formats = [
        ("text/plain", "identity"),
        ("text/plain", "gzip"),
        ("application/openmetrics-text", "identity"),
        ("application/openmetrics-text", "gzip"),
    ];
    exporter.ready().await;
    for round in 0..3 {
        let fields = serde_json::json!({"LicenseCnt": round});
        let fields = fields.as_object().unwrap().clone();
        cloud.handle.play("a0", Answer::Fields(fields)).unwrap();
        let seen = |scrape: &Scrape| scrape.value(licences) == Some(f64::from(round));
        exporter.until("the new value", seen).await;
        // What one format shows, all others show at once.
        for (accept, coding) in formats {
            let answer = ask(&exporter, "/metrics", accept, coding).await;
            assert!(
                answer.text.contains(&format!("{licences} {round}\n")),
                "{accept} {coding}"
            );
        }
    }
    // The cloud falls silent: no snapshot changes, and all formats withdraw the values.
    cloud.handle.play("a0", Answer::Hang).unwrap();
    exporter
        .until("the end of the values", |scrape| {
            scrape.value(licences).is_none()
        })
        .await;
    for (accept, coding) in formats {
        let answer = ask(&exporter, "/metrics", accept, coding).await;
        assert!(!answer.text.contains(licences), "{accept} {coding}");
        assert!(
            answer
                .text
                .contains("tencentcloud_cwp_up{account=\"a0\"} 0\n")
        );
    }
}

#[tokio::test]
async fn what_changes_about_the_exporter_itself_shows_at_once() {
    let cloud = Cloud::with_accounts(1).await;
    cloud.handle.play("a0", Answer::Hang).unwrap();
    let exporter = Exporter::of(&cloud, 1).await;
    let successful = "cwp_exporter_config_last_reload_successful";
    assert_eq!(exporter.scrape().await.value(successful), Some(1.0));
    assert_eq!(exporter.reload("accounts: []").await.status(), 500);
    assert_eq!(exporter.scrape().await.value(successful), Some(0.0));
}

#[tokio::test]
async fn many_accounts_are_served_the_same_way() {
    const COUNT: usize = 2_100;
    let scenario = format!(
        "accounts: [{{count: {COUNT}, name: 'a{{n}}', secret_id: 'AKIDa{{n}}', secret_key: key}}]"
    );
    let cloud = Cloud::start(&scenario).await;
    let accounts: String = (0..COUNT)
        .map(|number| {
            format!("- {{name: a{number}, credentials: {{type: static, secret_id: AKIDa{number}, secret_key_env: KEY}}}}\n")
        })
        .collect();
    let config = format!(
        "{LICENSES_ALONE}poll: {{interval: 1h}}\napi: {{endpoint: '{}'}}\naccounts:\n{accounts}",
        cloud.url
    );
    let exporter = Exporter::start(&config, vec![("KEY".to_owned(), "key".to_owned())]).await;
    let url = format!("{}/metrics", exporter.url);
    let plain = plain_client().get(&url).send().await.unwrap();
    // It is written while it is sent, so nobody knows its length.
    assert!(!plain.headers().contains_key(CONTENT_LENGTH));
    let plain = plain.text().await.unwrap();
    let gzip = ask(&exporter, "/metrics", "text/plain", "gzip").await;
    let again = ask(&exporter, "/metrics", "text/plain", "gzip").await;
    let infos = "\ntencentcloud_cwp_account_info{";
    for text in [&plain, &gzip.text, &again.text] {
        assert_eq!(text.matches(infos).count(), COUNT);
    }
}
