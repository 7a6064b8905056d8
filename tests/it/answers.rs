//! What the server says where it does not do as asked: what is wrong, and what to do.

use http::Method;

use crate::harness::{Cloud, Exporter, client};

#[tokio::test]
async fn a_refusal_says_what_is_wrong_and_what_to_do() {
    let cloud = Cloud::with_accounts(1).await;
    let exporter = Exporter::of(&cloud, 1).await;
    for (method, path, status, expected) in [
        (
            Method::GET,
            "/metric",
            404,
            "Not found. The metrics are at /metrics.\n",
        ),
        (
            Method::POST,
            "/metrics",
            405,
            "This path takes GET, HEAD only.\n",
        ),
        (
            Method::GET,
            "/-/reload",
            405,
            "This path takes POST, PUT only.\n",
        ),
        (
            Method::GET,
            "/probe",
            400,
            "Name an account: /probe?target=ACCOUNT. The accounts are at /sd.\n",
        ),
        (
            Method::GET,
            "/probe?target=nobody",
            400,
            "This process collects no account with this name. Its accounts are at /sd.\n",
        ),
    ] {
        let url = format!("{}{path}", exporter.url);
        let answer = client().request(method, &url).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}");
        assert_eq!(answer.text().await.unwrap(), expected, "{path}");
    }
}
