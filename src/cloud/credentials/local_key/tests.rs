//! Keys that change, expire or go on this machine.

use std::time::Duration;

use prometheus::Registry;

use super::super::fixture::{self, refreshes};
use super::*;
use crate::cloud::scripted::Scripted;
use crate::config::{IdSource, SecretSource};
use crate::system::logging::fixture::CapturedLog;

fn key_in_file(path: &Path) -> (LocalKey, Registry) {
    let key = StaticKey {
        secret_id: IdSource::Literal("AKIDtest".to_owned()),
        secret_key: SecretSource::File(path.to_owned()),
        token: None,
    };
    let registry = Registry::new();
    let context = fixture::context_of(&registry, Scripted::hanging(), []);
    (LocalKey::new(KeyLocation::Static(key), &context), registry)
}

#[tokio::test]
async fn a_key_that_changes_in_its_file_is_used_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "old\n").unwrap();
    let (key, registry) = key_in_file(&path);
    assert_eq!(key.credential().await.unwrap().secret_key(), "old");
    assert_eq!(key.credential().await.unwrap().secret_key(), "old");
    assert_eq!(refreshes(&registry), [0.0, 0.0]);

    std::fs::write(&path, "new").unwrap();
    assert_eq!(key.credential().await.unwrap().secret_key(), "new");
    assert_eq!(refreshes(&registry), [0.0, 1.0], "failure, success");
}

#[tokio::test]
async fn a_key_file_that_is_gone_or_empty_leaves_the_last_key_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "old").unwrap();
    let (key, registry) = key_in_file(&path);
    key.credential().await.unwrap();

    std::fs::write(&path, " \n").unwrap();
    assert_eq!(key.credential().await.unwrap().secret_key(), "old");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(key.credential().await.unwrap().secret_key(), "old");
    assert_eq!(refreshes(&registry), [2.0, 0.0], "failure, success");
    // Told once, with the file.
    let notice = key.take_notice().unwrap();
    assert!(notice.message.contains(path.to_str().unwrap()), "{notice}");
    assert_eq!(key.take_notice(), None);

    std::fs::write(&path, "new").unwrap();
    assert_eq!(key.credential().await.unwrap().secret_key(), "new");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(key.credential().await.unwrap().secret_key(), "new");
    assert!(key.take_notice().is_some(), "this is another failure");
}

#[tokio::test]
async fn a_failure_is_told_again_after_the_same_key_was_read_in_between() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "same").unwrap();
    let (key, _) = key_in_file(&path);
    key.credential().await.unwrap();
    for _ in 0..2 {
        std::fs::remove_file(&path).unwrap();
        for is_told in [true, false] {
            key.credential().await.unwrap();
            assert_eq!(key.take_notice().is_some(), is_told);
        }
        std::fs::write(&path, "same").unwrap();
        key.credential().await.unwrap();
        assert_eq!(key.take_notice(), None);
    }
}

#[tokio::test]
async fn the_log_tells_of_another_key_and_of_an_unusual_id() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let context = fixture::context(Scripted::hanging(), []);
    let profile = Profile {
        file: Some(file.path().to_owned()),
        ..Profile::default()
    };
    let provider = LocalKey::new(KeyLocation::Profile(profile), &context);
    let log = CapturedLog::start();
    for (id, lines) in [
        ("AKIDa", 0),
        ("AKIDa", 0),
        ("AKIDb", 1),
        ("odd", 3),
        ("odd", 3),
    ] {
        let text = format!("[default]\nsecret_id = {id}\nsecret_key = k\n");
        std::fs::write(file.path(), text).unwrap();
        provider.credential().await.unwrap();
        assert_eq!(log.lines().len(), lines, "{id}");
    }
    let log = log.lines();
    assert!(
        log[0].contains("credential has changed") && log[0].contains("AKIDb"),
        "{log:?}"
    );
    assert!(
        log[1].contains("credential has changed") && !log[1].contains("odd"),
        "{log:?}"
    );
    assert!(
        log[2].contains("does not begin with AKID or IKID"),
        "{log:?}"
    );
}

#[tokio::test]
async fn a_key_that_was_never_read_is_an_error_that_says_which_part() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let (key, registry) = key_in_file(&path);
    let error = key.credential().await.unwrap_err().to_string();
    assert_eq!(refreshes(&registry), [1.0, 0.0], "failure, success");
    let expected = format!("secret key: the file {} cannot be read", path.display());
    assert!(error.starts_with(&expected), "{error}");
}

#[tokio::test]
async fn a_profile_is_read_again_and_the_last_key_survives_a_half_written_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let write = |key: &str| {
        let text = format!("[default]\nsecret_id = AKIDa\nsecret_key = {key}\n");
        std::fs::write(file.path(), text).unwrap();
    };
    let registry = Registry::new();
    let context = fixture::context_of(&registry, Scripted::hanging(), []);
    let profile = Profile {
        file: Some(file.path().to_owned()),
        ..Profile::default()
    };
    let provider = LocalKey::new(KeyLocation::Profile(profile), &context);
    write("old");
    assert_eq!(provider.credential().await.unwrap().secret_key(), "old");
    write("new");
    assert_eq!(provider.credential().await.unwrap().secret_key(), "new");
    write("");
    assert_eq!(provider.credential().await.unwrap().secret_key(), "new");
    assert_eq!(refreshes(&registry), [1.0, 1.0], "failure, success");
}

#[tokio::test(start_paused = true)]
async fn an_expired_login_is_refused_with_the_command_that_renews_it() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".tccli")).unwrap();
    let write = |expires_at: i64| {
        let text = format!(
            r#"{{"type":"sso","secretId":"AKIDa","secretKey":"hunter2","token":"t0ken","expiresAt":{expires_at}}}"#
        );
        std::fs::write(home.path().join(".tccli/ops.credential"), text).unwrap();
    };
    let environment = [("HOME", home.path().to_str().unwrap())];
    let context = fixture::context(Scripted::hanging(), environment);
    let start = context.clock.now().as_second();
    let tccli = Tccli {
        profile: Some("ops".to_owned()),
    };
    let provider = LocalKey::new(KeyLocation::Tccli(tccli), &context);
    write(start + 60);
    let key = provider.credential().await.unwrap();
    assert_eq!(key.token(), Some("t0ken"));
    assert_eq!(key.expires_at().unwrap().as_second(), start + 60);
    assert_eq!(key.quota_key(), "tccli:ops");

    tokio::time::advance(Duration::from_secs(60)).await;
    let error = provider.credential().await.unwrap_err();
    let error = error.error();
    let chinese = error.remedy_in_chinese().unwrap();
    assert!(chinese.contains("`tccli sso login --profile ops`"));
    let error = format!("{error}; {}", error.remedy());
    assert!(error.contains("`tccli sso login --profile ops`"), "{error}");
    assert!(!error.contains("hunter2") && !error.contains("t0ken"));

    write(start + 3600);
    assert!(provider.credential().await.is_ok());
}
