//! Reloading the configuration of a running exporter.

use std::time::Duration;

use crate::harness::{Cloud, Exporter, Pipe, Program, client, config_for, within};

const SUCCESSFUL: &str = "cwp_exporter_config_last_reload_successful";
const TIMESTAMP: &str = "cwp_exporter_config_last_reload_success_timestamp_seconds";

#[tokio::test]
async fn a_reload_adds_and_removes_accounts() {
    let cloud = Cloud::with_accounts(3).await;
    let (config, variables) = config_for(&cloud, 3);
    let (fewer, _) = config_for(&cloud, 2);
    let exporter = Exporter::start(&config, variables).await;
    assert_eq!(exporter.ready().await.licence_series("a2").len(), 25);

    let answer = exporter.reload(&fewer).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap(), "Reloaded\n");
    let scrape = exporter.scrape().await;
    assert!(!scrape.text.contains("account=\"a2\""));
    assert_eq!(scrape.licence_series("a0").len(), 25);
    assert_eq!(scrape.value("cwp_exporter_accounts"), Some(2.0));

    assert_eq!(exporter.reload(&config).await.status(), 200);
    let back = exporter
        .until("the account to come back", |scrape| {
            scrape.licence_series("a2").len() == 25
        })
        .await;
    assert_eq!(back.value(SUCCESSFUL), Some(1.0));
}

#[tokio::test]
async fn accounts_of_files_come_and_go_at_a_reload() {
    let cloud = Cloud::with_accounts(3).await;
    let (_, variables) = config_for(&cloud, 3);
    let (config, _) = config_for(&cloud, 1);
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "accounts_files: [{}/*.yml]\n{config}",
        folder.path().display()
    );
    let exporter = Exporter::start(&config, variables).await;
    assert_eq!(
        exporter.ready().await.value("cwp_exporter_accounts"),
        Some(1.0)
    );

    for account in ["a1", "a2"] {
        let file = folder.path().join(format!("{account}.yml"));
        let key = format!("KEY_{}", account.to_uppercase());
        let yaml = format!(
            "- name: {account}\n  credentials: {{type: static, secret_id: AKID{account}, secret_key_env: {key}}}\n"
        );
        std::fs::write(file, yaml).unwrap();
    }
    assert_eq!(exporter.reload(&config).await.status(), 200);
    let come = exporter.until("the accounts of files", |scrape| {
        ["a0", "a1", "a2"]
            .iter()
            .all(|account| scrape.licence_series(account).len() == 25)
    });
    come.await;
    let shown = exporter.get("/config").await.text().await.unwrap();
    assert!(shown.contains("# Accounts are also from"), "{shown}");
    assert!(shown.contains("a1.yml"), "{shown}");

    // A file with a problem changes nothing, one that is gone takes its accounts along.
    std::fs::write(folder.path().join("a2.yml"), "- nam: a2\n").unwrap();
    let answer = exporter.reload(&config).await;
    assert_eq!(answer.status(), 500);
    let text = answer.text().await.unwrap();
    assert!(text.contains("a2.yml:1: [0].nam: unknown key"), "{text}");
    assert_eq!(exporter.scrape().await.licence_series("a2").len(), 25);
    std::fs::remove_file(folder.path().join("a2.yml")).unwrap();
    assert_eq!(exporter.reload(&config).await.status(), 200);
    let gone = exporter.scrape().await;
    assert!(!gone.text.contains("account=\"a2\""));
    assert_eq!(gone.licence_series("a1").len(), 25);
}

#[tokio::test]
async fn a_configuration_with_problems_is_not_put_to_work_and_all_of_them_are_told() {
    let cloud = Cloud::with_accounts(1).await;
    let (config, variables) = config_for(&cloud, 1);
    let exporter = Exporter::start(&config, variables).await;
    let before = exporter.ready().await;
    assert_eq!(before.value(SUCCESSFUL), Some(1.0));

    let bad = config
        .replace("interval", "intervall")
        .replace("name: a0", "nam: a0");
    let answer = exporter.reload(&bad).await;
    assert_eq!(answer.status(), 500);
    let text = answer.text().await.unwrap();
    let start = "Not reloaded: the previous configuration stays in use.\n";
    assert!(text.starts_with(start), "{text}");
    for problem in ["poll.intervall", "accounts[0].nam", "accounts[0].name"] {
        assert!(text.contains(problem), "{problem} is missing: {text}");
    }
    let after = exporter.scrape().await;
    assert_eq!(after.licence_series("a0").len(), 25);
    assert_eq!(after.value(SUCCESSFUL), Some(0.0));
    assert_eq!(after.value(TIMESTAMP), before.value(TIMESTAMP));

    assert_eq!(exporter.reload(&config).await.status(), 200);
    assert_eq!(exporter.scrape().await.value(SUCCESSFUL), Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_reloads_lose_no_sample_of_unchanged_accounts() {
    let cloud = Cloud::with_accounts(3).await;
    let (all, variables) = config_for(&cloud, 3);
    let (fewer, _) = config_for(&cloud, 2);
    let exporter = Exporter::start(&all, variables).await;
    exporter.ready().await;
    for reload in 0..100 {
        let config = if reload % 2 == 0 { &fewer } else { &all };
        let (answer, scrape) = tokio::join!(exporter.reload(config), exporter.scrape());
        assert_eq!(answer.status(), 200);
        for scrape in [scrape, exporter.scrape().await] {
            assert_eq!(scrape.licence_series("a0").len(), 25);
            assert_eq!(scrape.licence_series("a1").len(), 25);
            assert_eq!(scrape.succeeded("a0"), Some(true));
        }
    }
}

#[tokio::test]
async fn a_hangup_reloads_and_a_client_may_not_unless_allowed() {
    let cloud = Cloud::with_accounts(2).await;
    let (config, variables) = config_for(&cloud, 1);
    let (more, more_variables) = config_for(&cloud, 2);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let variables: Vec<_> = variables.into_iter().chain(more_variables).collect();
    let variables = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let mut program = Program::start(
        &[
            "--config.file",
            file.path().to_str().unwrap(),
            "--web.listen-address=127.0.0.1:0",
        ],
        &variables.collect::<Vec<_>>(),
    );
    let url = program.url().await;
    let post = client()
        .post(format!("{url}/-/reload"))
        .send()
        .await
        .unwrap();
    assert_eq!(post.status(), 403);
    assert_eq!(
        post.text().await.unwrap(),
        "Reloading is switched off. Start with --web.enable-lifecycle, or send SIGHUP.\n"
    );
    let get = client()
        .get(format!("{url}/-/reload"))
        .send()
        .await
        .unwrap();
    assert_eq!(get.status(), 405);
    assert_eq!(get.headers()["allow"], "POST, PUT");

    std::fs::write(file.path(), more).unwrap();
    program.signal("HUP").await;
    let line = program.logged("configuration reloaded").await;
    assert!(
        line.contains("added=1") && line.contains("kept=1"),
        "{line}"
    );
    cloud.handle.wait_for("a1", 1).await;

    std::fs::write(file.path(), "accounts: []").unwrap();
    program.signal("HUP").await;
    let line = program.logged("configuration not reloaded").await;
    assert!(
        line.contains("level=error") && line.contains("accounts"),
        "{line}"
    );
}

/// An answer that is waited for.
type Asked = tokio::task::JoinHandle<reqwest::Result<reqwest::Response>>;

/// Lets the exporter hang while it reads its configuration, for as long as the file lives. The
/// other is the answer to who asked for the reload.
async fn hang_a_reading(exporter: &Exporter) -> (std::fs::File, Asked) {
    let pipe = Pipe::in_place_of(exporter.config_file());
    let url = format!("{}/-/reload", exporter.url);
    let asked = tokio::spawn(client().post(url).send());
    (pipe.reader().await, asked)
}

// With a thread for the test, where the exporter itself would hang.
#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_hangs_holds_up_neither_collections_nor_the_end() {
    let cloud = Cloud::with_accounts(1).await;
    let (config, variables) = config_for(&cloud, 1);
    let exporter = Exporter::start(&config, variables).await;
    exporter.ready().await;
    let (reading, _) = hang_a_reading(&exporter).await;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..16 {
        waiting.spawn(client().post(format!("{}/-/reload", exporter.url)).send());
    }
    let further = usize::try_from(cloud.handle.requests()).unwrap() + 3;
    within("collections", cloud.handle.wait_for("a0", further)).await;
    assert!(waiting.try_join_next().is_none());
    std::fs::remove_file(exporter.config_file()).unwrap();
    std::fs::write(exporter.config_file(), &config).unwrap();
    drop(reading);
    while let Some(answer) = within("the answers", waiting.join_next()).await {
        assert_eq!(answer.unwrap().unwrap().status(), 200);
    }
    let (reading, asked) = hang_a_reading(&exporter).await;
    let since = tokio::time::Instant::now();
    within("the end", exporter.stop()).await;
    // As long as clients have that are being answered.
    assert!(since.elapsed() < Duration::from_secs(2));
    let answer = within("the answer", asked).await.unwrap().unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.text().await.unwrap(), "The exporter is stopping.\n");
    drop(reading);
}
