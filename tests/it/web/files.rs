//! The same files are accepted and refused as `promtool check web-config` does. Those
//! that begin with `good` and `bad` say it by their names; the file beside a bad one has
//! our words. What begins with `beyond` is accepted by promtool, but cannot be done here.

use std::path::Path;

use expect_test::expect_file;

use super::{Folder, fixtures};
use crate::harness::{repository_file, repository_path, run};
use crate::prometheus::{each_version, tool};

/// All fixtures in a folder with the files that they name.
fn folder() -> Folder {
    let folder = Folder::new("");
    let read = |name: &str| std::fs::read_to_string(folder.path(name)).unwrap();
    let (certificate, authority) = (read("server.crt"), read("client-ca.crt"));
    folder.replace("chain.crt", &format!("{certificate}{authority}"));
    folder.replace("client.key", &folder.client.identity(&[]).key);
    for name in fixtures() {
        let text = repository_file(&format!("tests/fixtures/web-config/{name}"));
        let lines = text.lines().map(|line| {
            let Some((indent, file)) = line.split_once('@').filter(|_| line.ends_with('@')) else {
                return format!("{line}\n");
            };
            let file = read(file.trim_end_matches('@'));
            file.lines()
                .map(|line| format!("{indent}{line}\n"))
                .collect()
        });
        folder.replace(&name, &lines.collect::<String>());
    }
    folder
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn promtool_accepts_and_refuses_the_same_files() {
    let folder = folder();
    let fixtures = fixtures();
    let paths = fixtures
        .iter()
        .map(|name| folder.path(name).display().to_string());
    let arguments: Vec<String> = ["check", "web-config"]
        .map(str::to_owned)
        .into_iter()
        .chain(paths)
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    for promtool in each_version("promtool") {
        let (_, words) = tool(&promtool, &arguments, "").await;
        for name in &fixtures {
            let verdict = words
                .lines()
                .find(|line| line.contains(&format!("/{name} ")));
            let verdict = verdict.unwrap_or_else(|| panic!("{name}: {words}"));
            if name.starts_with("bad-") {
                assert!(!verdict.ends_with("SUCCESS"), "{promtool}: {verdict}");
            } else if !is_unknown(&words, name) {
                assert!(verdict.ends_with("SUCCESS"), "{promtool}: {verdict}");
            }
        }
    }
}

/// Whether promtool refuses the file because it is too old for a key, such as `rate_limit`.
fn is_unknown(words: &str, name: &str) -> bool {
    let (_, rest) = words.split_once(&format!("/{name} ")).unwrap();
    let verdict: String = rest.lines().take(3).collect();
    verdict.starts_with("FAILED") && verdict.contains("not found in type")
}

#[tokio::test]
async fn config_check_accepts_and_refuses_the_same_files_and_says_why() {
    let folder = folder();
    let authorities = folder.path("client-ca.crt").display().to_string();
    let variables = [
        ("TENCENTCLOUD_SECRET_ID", "AKIDa"),
        ("TENCENTCLOUD_SECRET_KEY", "a"),
        // The system may have none.
        ("SSL_CERT_FILE", &authorities),
    ];
    for name in fixtures() {
        let flag = format!("--web.config.file={}", folder.path(&name).display());
        let output = run(&["--config.check", &flag], &variables).await;
        let words = String::from_utf8(output.stderr).unwrap();
        let words = words.replace(&format!("{}/", folder.folder.path().display()), "");
        if name.starts_with("good-") {
            assert_eq!(output.status.code(), Some(0), "{name}: {words}");
            continue;
        }
        assert_eq!(output.status.code(), Some(2), "{name}: {words}");
        let expected = format!("tests/fixtures/web-config/{}", name.replace(".yml", ".txt"));
        expect_file![repository_path(&expected)].assert_eq(&words);
    }
}

#[tokio::test]
async fn a_variable_that_names_no_authority_of_clients_is_reported() {
    let tls = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";
    let verify = "  client_auth_type: RequireAndVerifyClientCert\n";
    let folder = Folder::new(&format!("{tls}{verify}"));
    let flag = format!("--web.config.file={}", folder.path("web.yml").display());
    let variables = [
        ("TENCENTCLOUD_SECRET_ID", "AKIDa"),
        ("TENCENTCLOUD_SECRET_KEY", "a"),
        ("SSL_CERT_FILE", "/nowhere"),
    ];
    let output = run(&["--config.check", &flag], &variables).await;
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{words}");
    let place = "web.yml:4: tls_server_config.client_auth_type: ";
    let fault = "no authority of clients can be read: SSL_CERT_FILE names no CA certificates (";
    assert!(words.contains(&format!("{place}{fault}")), "{words}");
}

#[test]
fn every_refused_file_has_an_expected_message_and_no_other_file_has() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/web-config");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let refused = !name.starts_with("good-");
        let other = if name.ends_with(".yml") { "txt" } else { "yml" };
        assert_eq!(path.with_extension(other).exists(), refused, "{name}");
    }
}

#[tokio::test]
async fn both_configurations_are_checked_and_the_problems_of_both_reported() {
    let folder = Folder::new("basic_auth_users: {alice: s3cret}");
    let config = folder.path("cwp.yml");
    std::fs::write(&config, "polls: {}").unwrap();
    let web = format!("--web.config.file={}", folder.path("web.yml").display());
    let config = format!("--config.file={}", config.display());
    let output = run(&["--config.check", &web, &config], &[]).await;
    assert_eq!(output.status.code(), Some(2));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("did you mean `poll`?"), "{words}");
    assert!(words.contains("not a bcrypt hash"), "{words}");
    assert!(!words.contains("s3cret"), "{words}");
    // The daemon refuses to start with it, too.
    let output = run(&[&web], &[]).await;
    assert_eq!(output.status.code(), Some(2));
}
