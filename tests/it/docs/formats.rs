//! The README's section on formats.

use http::header::CONTENT_TYPE;

use super::generated::{as_code, assert_table};
use crate::formats::ask;
use crate::harness::{Cloud, Exporter};

#[tokio::test]
async fn every_accept_is_answered_as_documented() {
    let cloud = Cloud::with_accounts(1).await;
    let exporter = Exporter::of(&cloud, 1).await;
    let mut rows = Vec::new();
    for accept in [
        "application/openmetrics-text;version=1.0.0",
        "application/openmetrics-text;escaping=allow-utf-8",
        "text/plain;version=1.0.0",
        "text/plain;version=0.0.4",
        "text/html,*/*",
    ] {
        let answer = ask(&exporter, "/metrics", accept, "gzip").await;
        let probe = ask(&exporter, "/probe?target=a0", accept, "gzip").await;
        assert_eq!(
            answer.headers[CONTENT_TYPE], probe.headers[CONTENT_TYPE],
            "{accept}"
        );
        let content_type = answer.headers[CONTENT_TYPE].to_str().unwrap();
        rows.push([accept, content_type].map(|cell| Some(as_code(cell))));
    }
    assert_table("formats", rows);
}
