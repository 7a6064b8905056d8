//! What it costs to sign a request: `cargo bench --bench sign`.

use std::hint::black_box;

use criterion::Criterion;
use cwp_exporter::cloud::tc3::{CanonicalRequest, CredentialScope, authorization, signing_key};
use jiff::Timestamp;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let time = Timestamp::UNIX_EPOCH;
    let request = CanonicalRequest {
        method: "POST",
        query: "",
        headers: &[
            ("content-type", "application/json"),
            ("host", "cwp.tencentcloudapi.com"),
        ],
        payload: b"{}",
    };
    let scope = CredentialScope::new("cwp", time);
    let key = signing_key("not-a-secret", &scope);
    criterion.bench_function("key of a day", |bencher| {
        bencher.iter(|| signing_key(black_box("not-a-secret"), &scope));
    });
    criterion.bench_function("request with that key", |bencher| {
        bencher.iter(|| authorization("AKIDexample", black_box(&key), &scope, &request));
    });
    criterion.final_summary();
}
