//! Passwords, headers and the rate limit, over plain HTTP.

use http::{StatusCode, header};
use reqwest::Response;

use super::{Folder, ProtectedExporter};
use crate::harness::{Program, client, run, within};

impl ProtectedExporter {
    async fn get_as(&self, path: &str, user: &str, password: &str) -> Response {
        let url = format!("{}{path}", self.exporter.url);
        let request = client().get(url).basic_auth(user, Some(password));
        request.send().await.unwrap()
    }

    async fn status_as(&self, user: &str, password: &str) -> StatusCode {
        self.get_as("/metrics", user, password).await.status()
    }
}

/// The line of a user with this password, cheap to check.
fn user(name: &str, password: &str) -> String {
    format!("  {name}: {}\n", bcrypt::hash(password, 4).unwrap())
}

#[tokio::test]
async fn only_clients_with_a_right_password_get_an_answer() {
    let folder = Folder::new(&format!(
        "basic_auth_users:\n{}{}",
        user("alice", "fish:bird"),
        user("bob", "worm")
    ));
    let protected = folder.exporter().await;
    for path in ["/metrics", "/", "/-/healthy", "/sd", "/none"] {
        let refused = protected.exporter.get(path).await;
        assert_eq!(refused.status(), 401, "{path}");
        assert_eq!(refused.headers()[header::WWW_AUTHENTICATE], "Basic");
        assert_eq!(refused.text().await.unwrap(), "Unauthorized\n");
    }
    assert_eq!(protected.status_as("alice", "fish:bird").await, 200);
    assert_eq!(
        protected.status_as("alice", "fish:bird").await,
        200,
        "remembered"
    );
    assert_eq!(protected.status_as("bob", "worm").await, 200);
    for (name, password) in [
        ("alice", "worm"),
        ("alice", ""),
        ("carol", "worm"),
        ("", "worm"),
    ] {
        assert_eq!(protected.status_as(name, password).await, 401, "{name}");
    }

    // Users are those that the file names now.
    folder.replace(
        "web.yml",
        &format!("basic_auth_users:\n{}", user("alice", "new")),
    );
    assert_eq!(protected.status_as("alice", "fish:bird").await, 401);
    assert_eq!(protected.status_as("bob", "worm").await, 401);
    assert_eq!(protected.status_as("alice", "new").await, 200);
    folder.replace("web.yml", "");
    assert_eq!(protected.exporter.get("/metrics").await.status(), 200);
}

#[tokio::test]
async fn health_needs_no_password_if_so_configured() {
    let folder = Folder::new(&format!("basic_auth_users:\n{}", user("alice", "fish")));
    let change = |options: &mut cwp_exporter::commands::daemon::AppOptions| {
        options.health_without_auth = true;
    };
    let protected = folder.exporter_with(change).await;
    assert_eq!(protected.exporter.get("/-/healthy").await.status(), 200);
    assert_ne!(protected.exporter.get("/-/ready").await.status(), 401);
    for path in ["/metrics", "/", "/-/reload", "/-/healthy/", "/-/health"] {
        assert_eq!(protected.exporter.get(path).await.status(), 401, "{path}");
    }
}

#[tokio::test]
async fn a_file_that_becomes_invalid_refuses_every_request_until_it_is_valid() {
    let folder = Folder::new(&format!("basic_auth_users:\n{}", user("alice", "fish")));
    let protected = folder.exporter().await;
    assert_eq!(protected.status_as("alice", "fish").await, 200);
    folder.replace("web.yml", "basic_auth_user: {}");
    let refused = protected.get_as("/metrics", "alice", "fish").await;
    assert_eq!(refused.status(), 500);
    let text = refused.text().await.unwrap();
    assert!(text.contains("The log says why"), "{text}");
    std::fs::remove_file(folder.path("web.yml")).unwrap();
    assert_eq!(protected.exporter.get("/metrics").await.status(), 500);
    folder.replace(
        "web.yml",
        &format!("basic_auth_users:\n{}", user("alice", "fish")),
    );
    assert_eq!(protected.status_as("alice", "fish").await, 200);
}

#[tokio::test]
async fn answers_have_the_configured_headers_and_keep_their_own() {
    let folder = Folder::new(&format!(
        "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    \
         Strict-Transport-Security: max-age=60\n    X-XSS-Protection: ''\n\
         basic_auth_users:\n{}",
        user("alice", "fish")
    ));
    let protected = folder.exporter().await;
    let refused = protected.exporter.get("/metrics").await;
    let answered = protected.get_as("/metrics", "alice", "fish").await;
    assert_eq!(
        (refused.status(), answered.status()),
        (StatusCode::UNAUTHORIZED, StatusCode::OK)
    );
    for response in [&refused, &answered] {
        assert_eq!(response.headers()["x-frame-options"], "deny");
        assert_eq!(
            response.headers()["strict-transport-security"],
            "max-age=60"
        );
        assert!(!response.headers().contains_key("x-xss-protection"));
    }
    let types = answered.headers().get_all(header::CONTENT_TYPE);
    assert_eq!(types.iter().count(), 1);
}

#[tokio::test]
async fn requests_beyond_the_rate_limit_are_refused_before_a_password_is_checked() {
    let folder = Folder::new(&format!(
        "rate_limit: {{interval: 1h, burst: 2}}\nbasic_auth_users:\n{}",
        user("alice", "fish")
    ));
    let protected = folder.exporter().await;
    assert_eq!(protected.status_as("alice", "fish").await, 200);
    assert_eq!(protected.exporter.get("/metrics").await.status(), 401);
    let refused = protected.exporter.get("/metrics").await;
    assert_eq!(refused.status(), 429);
    assert_eq!(
        refused.text().await.unwrap(),
        "The rate_limit of the web configuration is reached. Try again later.\n"
    );
    assert_eq!(protected.status_as("alice", "fish").await, 429);
    // It is that of the start.
    folder.replace("web.yml", "");
    assert_eq!(protected.exporter.get("/metrics").await.status(), 429);
}

#[tokio::test]
async fn a_rate_limit_too_high_to_count_lets_requests_through() {
    for limit in [
        "interval: 4294967300ns, burst: 4294967295",
        "interval: 4294967300ns, burst: 4294967296",
        "interval: 1h, burst: 9223372036854775807",
        "interval: 1ns, burst: 8589934593",
    ] {
        let folder = Folder::new(&format!("rate_limit: {{{limit}}}"));
        let protected = folder.exporter().await;
        for _ in 0..3 {
            let answer = protected.exporter.get("/-/healthy").await;
            assert_eq!(answer.status(), 200, "{limit}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_wrong_passwords_does_not_delay_clients_with_the_right_one() {
    let hash = bcrypt::hash("fish", 4).unwrap();
    let web = |cost: &str| {
        let slow = hash.replace("$04$", &format!("${cost}$"));
        format!("basic_auth_users:\n  alice: {hash}\n  bob: {slow}\n")
    };
    let folder = Folder::new(&web("10"));
    let protected = folder.exporter().await;
    assert_eq!(protected.status_as("alice", "fish").await, 200);
    let mut flood = tokio::task::JoinSet::new();
    for number in 0..8 {
        let url = format!("{}/metrics", protected.exporter.url);
        flood.spawn(async move {
            for attempt in 0.. {
                let password = format!("{number}-{attempt}");
                let request = client().get(&url).basic_auth("bob", Some(password));
                if let Ok(response) = request.send().await {
                    assert!([401, 503].contains(&response.status().as_u16()));
                }
            }
        });
    }
    for _ in 0..20 {
        let answered = within("an answer", protected.status_as("alice", "fish"));
        assert_eq!(answered.await, 200);
    }
    flood.shutdown().await;
}

#[tokio::test]
async fn the_log_reports_wrong_passwords_once_a_minute() {
    let folder = Folder::new(&format!("basic_auth_users:\n{}", user("alice", "fish")));
    let web = format!("--web.config.file={}", folder.path("web.yml").display());
    let key = [
        ("TENCENTCLOUD_SECRET_ID", "AKIDx"),
        ("TENCENTCLOUD_SECRET_KEY", "k"),
    ];
    let mut program = Program::start(&[&web, "--web.listen-address=127.0.0.1:0"], &key);
    let url = format!("{}/metrics", program.url().await);
    let http = client();
    for number in 0..20 {
        let request = http.get(&url).basic_auth("alice", Some(number));
        assert_eq!(request.send().await.unwrap().status(), 401);
    }
    program.signal("TERM").await;
    program.logged("msg=stopped").await;
    let log = program.log();
    let refusals: Vec<&String> = log
        .iter()
        .filter(|line| line.contains("password"))
        .collect();
    assert_eq!(refusals.len(), 1, "{log:?}");
    assert!(!refusals[0].contains("hidden"), "{}", refusals[0]);
}

const TOKEN: &str = "0123456789abcdef-._~ABCDEF012345";

#[tokio::test]
async fn a_token_opens_the_calendar_and_nothing_else_and_is_read_again() {
    let folder = Folder::new(&format!("basic_auth_users:\n{}", user("alice", "fish")));
    folder.replace("token", &format!("{TOKEN}\n"));
    let change = |options: &mut cwp_exporter::commands::daemon::AppOptions| {
        options.calendar_token = Some(folder.path("token"));
    };
    let protected = folder.exporter_with(change).await;
    let status = async |path: &str| protected.exporter.get(path).await.status().as_u16();
    let calendar = |token: &str| format!("/calendar.ics?token={token}");
    // No orders are collected here, which only those are told who get in.
    let opened = 503;
    assert_eq!(status(&calendar(TOKEN)).await, opened);
    assert_eq!(
        status(&format!("/calendar.ics?account=a0&token={TOKEN}")).await,
        opened
    );
    for path in [
        "/",
        "/metrics",
        "/config",
        "/api/v1/status",
        "/probe",
        "/sd",
        "/calendar.ics/",
    ] {
        let path = format!("{path}?token={TOKEN}&target=a0");
        assert_eq!(status(&path).await, 401, "{path}");
    }
    for wrong in ["", &TOKEN[1..], "%00", &TOKEN.to_lowercase()] {
        assert_eq!(status(&calendar(wrong)).await, 401, "{wrong}");
    }
    assert_eq!(status("/calendar.ics").await, 401);
    assert_eq!(
        protected
            .get_as("/calendar.ics", "alice", "fish")
            .await
            .status(),
        opened
    );
    let config = protected.get_as("/config", "alice", "fish").await;
    assert!(!config.text().await.unwrap().contains(TOKEN));

    let other = TOKEN.replace('0', "9");
    folder.replace("token", &other);
    assert_eq!(status(&calendar(&other)).await, opened);
    assert_eq!(status(&calendar(TOKEN)).await, 401);
    folder.replace("token", "short");
    for token in [&other, "short"] {
        assert_eq!(status(&calendar(token)).await, 401, "{token}");
    }
    std::fs::remove_file(folder.path("token")).unwrap();
    assert_eq!(status(&calendar("")).await, 401);
    folder.replace("token", TOKEN);
    assert_eq!(status(&calendar(TOKEN)).await, opened);
}

#[tokio::test]
async fn a_token_without_effect_or_too_weak_is_refused_at_the_check_and_at_the_start() {
    let folder = Folder::new(&format!("basic_auth_users:\n{}", user("alice", "fish")));
    folder.replace("open.yml", "");
    folder.replace("good", TOKEN);
    folder.replace("weak", "swordfish");
    let (token, web) = ("--web.calendar-token-file", "--web.config.file");
    let path = |name: &str| folder.path(name).display().to_string();
    let key = [
        ("TENCENTCLOUD_SECRET_ID", "AKIDx"),
        ("TENCENTCLOUD_SECRET_KEY", "x"),
    ];
    for (config, file, told) in [
        (None, "good", "no effect without --web.config.file"),
        (Some("open.yml"), "good", "basic_auth_users has no user"),
        (Some("web.yml"), "weak", "openssl rand -hex 32"),
        (Some("web.yml"), "absent", "No such file"),
    ] {
        let mut arguments = vec![
            token.to_owned(),
            path(file),
            "--web.listen-address=127.0.0.1:0".to_owned(),
        ];
        arguments.extend(config.map(|name| format!("{web}={}", path(name))));
        for check in [true, false] {
            let checked = check.then_some("--config.check");
            let arguments: Vec<&str> = arguments
                .iter()
                .map(String::as_str)
                .chain(checked)
                .collect();
            let output = run(&arguments, &key).await;
            assert_eq!(output.status.code(), Some(2), "{arguments:?}");
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(
                error.contains(told) && !error.contains("swordfish"),
                "{error}"
            );
        }
    }
    let good = [
        token,
        &path("good"),
        web,
        &path("web.yml"),
        "--config.check",
    ];
    assert_eq!(run(&good, &key).await.status.code(), Some(0));
}

#[tokio::test]
async fn a_token_is_never_logged() {
    let folder = Folder::new(&format!("basic_auth_users:\n{}", user("alice", "fish")));
    folder.replace("token", TOKEN);
    let path = |name: &str| folder.path(name).display().to_string();
    let mut program = Program::start(
        &[
            "--web.listen-address=127.0.0.1:0",
            "--log.level=debug",
            "--web.config.file",
            &path("web.yml"),
            "--web.calendar-token-file",
            &path("token"),
        ],
        &[
            ("TENCENTCLOUD_SECRET_ID", "AKIDx"),
            ("TENCENTCLOUD_SECRET_KEY", "x"),
            ("CWP_EXPORTER_API__ENDPOINT", "http://127.0.0.1:1"),
        ],
    );
    let url = program.url().await;
    for (token, status) in [(TOKEN, 503), ("wrong-0123456789", 401)] {
        let url = format!("{url}/calendar.ics?token={token}");
        assert_eq!(client().get(url).send().await.unwrap().status(), status);
    }
    program
        .logged("a wrong token for the calendar was refused")
        .await;
    let log = program.log().join("\n");
    assert!(
        !log.contains(TOKEN) && !log.contains("wrong-0123456789"),
        "{log}"
    );
}
