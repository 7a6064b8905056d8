//! The README's section on formats.

use http::header::CONTENT_TYPE;

use super::{only_code, readme};
use crate::formats::ask;
use crate::harness::{Cloud, Exporter};

#[tokio::test]
async fn every_accept_is_answered_as_documented() {
    let cloud = Cloud::with_accounts(1).await;
    let exporter = Exporter::of(&cloud, 1).await;
    for row in readme().rows("Accept") {
        let (accept, content_type) = (only_code(&row[0]), only_code(&row[1]));
        for path in ["/metrics", "/probe?target=a0"] {
            let answer = ask(&exporter, path, accept, "gzip").await;
            assert_eq!(answer.headers[CONTENT_TYPE], content_type, "{accept}");
        }
    }
}
