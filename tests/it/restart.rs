//! What a restart keeps.

use std::path::PathBuf;

use cwp_exporter::simulator::Answer;
use cwp_exporter::system::clock::Clock;

use crate::harness::{
    Cloud, Exporter, LICENSES_ALONE, Program, Scrape, client, config_for, eventually,
    page_once_ready, repository_path, within,
};

/// A configuration file and a state folder.
struct Setup {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Setup {
    fn of(cloud: &Cloud) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (config, variables) = config_for(cloud, 1);
        let config = config.replace("max_age: 2s", "max_age: 10m");
        std::fs::write(folder.path().join("cwp.yml"), config).unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        Self { folder, variables }
    }

    fn saved(&self) -> PathBuf {
        self.folder.path().join("state/snapshots.json")
    }

    fn start(&self) -> Program {
        self.start_with(&[])
    }

    fn start_with(&self, further: &[&str]) -> Program {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let variables = self.variables.iter();
        let variables: Vec<_> = variables
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let (config, state) = (path("cwp.yml"), path("state"));
        let own = [
            "--config.file",
            &config,
            "--state.dir",
            &state,
            "--web.listen-address=127.0.0.1:0",
        ];
        Program::start(&[&own, further].concat(), &variables)
    }
}

async fn scrape(url: &str) -> Scrape {
    let page = client().get(format!("{url}/metrics")).send().await.unwrap();
    Scrape::parse(&page.text().await.unwrap())
}

const RESTORED: &str =
    "cwp_exporter_collector_restored{account=\"a0\",collector=\"license_general\"}";
const LAST_SUCCESS: &str = "cwp_exporter_collector_last_success_timestamp_seconds{account=\"a0\",collector=\"license_general\"}";

#[tokio::test]
async fn the_last_good_values_are_shown_with_their_age_until_they_are_collected_anew() {
    let cloud = Cloud::with_accounts(1).await;
    let setup = Setup::of(&cloud);
    let mut program = setup.start();
    let url = program.url().await;
    // The second question is asked only after the first answer was taken in.
    within("two requests", cloud.handle.wait_for("a0", 2)).await;
    let before = scrape(&url).await;
    assert_eq!(before.value(RESTORED), None);
    program.signal("TERM").await;
    assert!(program.ended().await.success());

    cloud.handle.play("a0", Answer::Hang).unwrap();
    let mut program = setup.start();
    let url = program.url().await;
    let restored = scrape(&url).await;
    assert_eq!(restored.licence_series("a0").len(), 25);
    assert_eq!(restored.value(RESTORED), Some(1.0));
    let up = "tencentcloud_cwp_up{account=\"a0\"}";
    assert_eq!(restored.value(up), Some(0.0));
    let age = restored.value(LAST_SUCCESS).unwrap() - before.value(LAST_SUCCESS).unwrap();
    assert!((0.0..60.0).contains(&age), "{age}");

    cloud.handle.resume("a0").unwrap();
    let fresh = eventually("a fresh collection", async || {
        Some(scrape(&url).await).filter(|scrape| scrape.value(RESTORED).is_none())
    })
    .await;
    assert!(fresh.value(LAST_SUCCESS) > restored.value(LAST_SUCCESS));
    program.signal("TERM").await;
    assert!(program.ended().await.success());

    let saved = std::fs::read_to_string(setup.saved()).unwrap();
    assert!(!saved.contains("key-a0"), "a secret is in {saved}");
}

#[tokio::test]
async fn a_file_without_the_collectors_of_today_is_read_and_each_keeps_its_own_age() {
    let cloud = Cloud::start(
        "accounts: [{name: a0, secret_id: AKIDa0, secret_key: key-a0, orders: [{ResourceId: one, Deadline: in 6d}]}]",
    )
    .await;
    let setup = Setup::of(&cloud);
    let restarted = async |ends_with: &str| {
        let mut program = setup.start();
        let url = program.url().await;
        let first = scrape(&url).await;
        eventually(ends_with, async || {
            let scrape = scrape(&url).await;
            let mut series = scrape.samples.keys();
            series
                .any(|series| series.starts_with(ends_with))
                .then_some(())
        })
        .await;
        program.signal("TERM").await;
        assert!(program.ended().await.success());
        first
    };
    // The former version had no other collector, and the same form of the file.
    restarted("tencentcloud_cwp_licenses{").await;

    let file = setup.folder.path().join("cwp.yml");
    let config = std::fs::read_to_string(&file).unwrap();
    let list = |max_age: &str| {
        let settings =
            format!("collectors: {{license_list: {{interval: 1s, max_age: {max_age}}}}}\n");
        std::fs::write(&file, config.replace(LICENSES_ALONE, &settings)).unwrap();
    };
    list("1h");
    let upgraded = restarted("tencentcloud_cwp_order_deadline").await;
    assert_eq!(upgraded.licence_series("a0").len(), 25);
    let folder = setup.folder.path().join("state").read_dir().unwrap();
    assert_eq!(folder.count(), 1, "nothing was put aside");

    cloud.handle.play("a0", Answer::Hang).unwrap();
    let deadline =
        "tencentcloud_cwp_order_deadline_timestamp_seconds{account=\"a0\",order=\"one\"}";
    let restored = "cwp_exporter_collector_restored{account=\"a0\",collector=\"license_list\"}";
    let old = restarted("tencentcloud_cwp_up").await;
    assert!(old.value(deadline).is_some());
    assert_eq!(old.value(restored), Some(1.0));
    // Values of the same age are too old for this collector, and not for the other.
    let saved = std::fs::read_to_string(setup.saved()).unwrap();
    let minute = jiff::SignedDuration::from_secs(60);
    let earlier = Clock::system().now() - minute;
    let aged = saved
        .split("\"collected_at\":\"")
        .enumerate()
        .map(|(part, text)| match part {
            0 => text.to_owned(),
            _ => format!("{earlier}\"{}", text.split_once('"').unwrap().1),
        });
    let aged: Vec<String> = aged.collect();
    std::fs::write(setup.saved(), aged.join("\"collected_at\":\"")).unwrap();
    list("30s");
    let expired = restarted("tencentcloud_cwp_up").await;
    assert_eq!(expired.value(deadline), None);
    assert_eq!(expired.licence_series("a0").len(), 25);
}

#[tokio::test]
async fn a_file_that_was_refused_is_put_aside_and_never_overwritten() {
    let cloud = Cloud::with_accounts(1).await;
    let setup = Setup::of(&cloud);
    let mut names = Vec::new();
    for refused in [
        "{\"cwp_exporter_snapshots\":",
        "{\"cwp_exporter_snapshots\":99,\"accounts\":[]}",
        "{\"cwp_exporter_snapshots\":3,\"series\":[],\"accounts\":[],\"more\":1}",
    ] {
        std::fs::write(setup.saved(), refused).unwrap();
        let mut program = setup.start();
        let warning = program.logged("cannot restore the last good values").await;
        assert!(warning.contains("level=warn") && warning.contains("snapshots.json"));
        let kept_as = warning.split("kept_as=").nth(1).unwrap();
        let kept_as = kept_as.split(' ').next().unwrap().to_owned();
        program.url().await;
        program.signal("TERM").await;
        assert!(program.ended().await.success());
        assert_eq!(std::fs::read_to_string(&kept_as).unwrap(), refused);
        let saved = std::fs::read_to_string(setup.saved()).unwrap();
        assert!(
            saved.starts_with("{\"cwp_exporter_snapshots\":3,"),
            "{saved}"
        );
        names.push(kept_as);
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[tokio::test]
async fn a_state_folder_that_is_missing_or_is_none_is_told_with_what_to_do() {
    let cloud = Cloud::with_accounts(1).await;
    let setup = Setup::of(&cloud);
    let state = setup.folder.path().join("state");
    std::fs::remove_dir(&state).unwrap();
    for told in ["there is no folder", "is not a folder"] {
        for further in [&[][..], &["--config.check"]] {
            let mut program = setup.start_with(further);
            let line = program.logged("--state.dir").await;
            assert!(
                line.contains(told) && line.contains("name another"),
                "{line}"
            );
            assert!(line.contains(state.to_str().unwrap()), "{line}");
            assert_eq!(program.ended().await.code(), Some(2));
        }
        std::fs::write(&state, "a file").unwrap();
    }
}

#[tokio::test]
async fn a_disk_that_takes_no_more_leaves_the_former_values_and_is_told() {
    let cloud = Cloud::with_accounts(1).await;
    let setup = Setup::of(&cloud);
    let mut program = setup.start();
    let url = program.url().await;
    page_once_ready(&url).await;
    program.signal("TERM").await;
    assert!(program.ended().await.success());
    let saved = std::fs::read(setup.saved()).unwrap();

    let mut program = setup.start();
    let url = program.url().await;
    let further = usize::try_from(cloud.handle.requests()).unwrap() + 2;
    within("a collection", cloud.handle.wait_for("a0", further)).await;
    scrape(&url).await;
    // Whoever writes a byte into a file is killed, as if half way.
    program.limit("--fsize=0").await;
    program.signal("TERM").await;
    assert!(program.ended().await.success());
    let warning = program.logged("cannot save the last good values").await;
    assert!(warning.contains("level=warn") && warning.contains("snapshots.json"));
    assert!(warning.contains("remedy="), "{warning}");
    assert_eq!(std::fs::read(setup.saved()).unwrap(), saved);

    let mut program = setup.start();
    let restored = program.logged("restored the last good values").await;
    assert!(restored.contains("restored=1"), "{restored}");
    let folder = setup.folder.path().join("state").read_dir().unwrap();
    assert_eq!(folder.count(), 1, "nothing is left beside it");
}

#[tokio::test]
async fn a_state_folder_that_hangs_holds_up_nothing() {
    let cloud = Cloud::with_accounts(2).await;
    let (config, variables) = config_for(&cloud, 1);
    let (more, more_variables) = config_for(&cloud, 2);
    let variables = variables.into_iter().chain(more_variables).collect();
    let exporter = Exporter::start_with(&config, variables, |options| {
        options.state_dir = Some("/nowhere".into());
        options.program = repository_path("tests/fixtures/state-dir/hangs");
    })
    .await;
    let ready = exporter.ready().await;
    let failed = "cwp_exporter_state_saves_total{result=\"failure\"}";
    assert_eq!(ready.value(failed), Some(0.0));
    assert_eq!(exporter.reload(&more).await.status(), 200);
    within("the second account", cloud.handle.wait_for("a1", 2)).await;
    within("the end", exporter.stop()).await;
}
