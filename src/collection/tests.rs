//! What a panic in the middle of a collection does, and what it lets out.

use std::process::Command;

use prometheus::Registry;

use super::*;
use crate::api::fixture;
use crate::cloud::Credential;
use crate::cloud::scripted::{self, Scripted};
use crate::collector::Collector as _;
use crate::collector::license_general::LicenseGeneral;
use crate::config::{Config, Environment};
use crate::logging;
use crate::snapshot::Revision;

/// Everything that holds a secret or leads to one, as a panic would show it.
fn everything_in_reach(credential: &Credential) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cwp.yml");
    let yaml = "api: {proxy_url: 'http://hunter2:hunter2@proxy'}
accounts: [{name: a, credentials: {type: static, secret_id: hunter2, secret_key_env: KEY}}]";
    std::fs::write(&file, yaml).unwrap();
    let environment = Environment::from([("KEY", "hunter2")]);
    let config = Config::load(Some(&file), &environment).unwrap();
    format!("{credential:?} {config:?} {environment:?}")
}

/// Not a test by itself: what the test below looks at from outside.
#[tokio::test]
#[ignore = "run by another test, for its log"]
async fn panicking_with_everything_in_reach() {
    logging::init(
        logging::Format::Logfmt,
        logging::Threshold::Debug,
        scripted::clock(),
    );
    let credential = Credential::new(
        "AKIDtest".to_owned(),
        "hunter2".to_owned(),
        Some("hunter2".to_owned()),
    );
    let shown = everything_in_reach(&credential);
    let http = Scripted::with(move |sent, _| panic!("{sent:?} {shown}"));
    let registry = Registry::new();
    let api = Arc::new(fixture::client(&registry, http, 20, 64));
    let slot = Arc::new(Slot::new(&LicenseGeneral, &Revision::default()));
    let collection = Collection::new(
        Arc::clone(&api),
        fixture::target_of(credential),
        "a".to_owned(),
        Arc::clone(&slot),
        api.instruments(LicenseGeneral.request().action).unwrap(),
        scripted::clock(),
    );
    let error = collection.run().await.unwrap_err();
    tracing::info!(%error, state = ?slot, "the collection has failed");
}

#[test]
fn a_panic_is_a_failed_collection_and_its_message_holds_no_secret() {
    let test = "collection::tests::panicking_with_everything_in_reach";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("RUST_BACKTRACE", "full")
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
    for part in [
        "the exporter panicked",
        "the exporter panicked while it read the answer; please report this",
        // What there was to show is there, but for its secrets.
        "x-tc-token",
        "AKIDtest",
        "proxy_url: Some(ProxyUrl(http://<secret>@proxy))",
    ] {
        assert!(
            said.to_lowercase().contains(&part.to_lowercase()),
            "{part}: {said}"
        );
    }
    assert!(!said.contains("hunter2"), "{said}");
}
