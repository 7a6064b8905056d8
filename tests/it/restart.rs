//! What a restart keeps.

use cwp_exporter::simulator::Answer;

use crate::harness::{Cloud, Program, Scrape, client, config_for, within};

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

    fn start(&self) -> Program {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let variables = self.variables.iter();
        let variables: Vec<_> = variables
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        Program::start(
            &[
                "--config.file",
                &path("cwp.yml"),
                "--state.dir",
                &path("state"),
                "--web.listen-address=127.0.0.1:0",
            ],
            &variables,
        )
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
    within("a fresh collection", async {
        while scrape(&url).await.value(RESTORED).is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let fresh = scrape(&url).await;
    assert!(fresh.value(LAST_SUCCESS) > restored.value(LAST_SUCCESS));
    program.signal("TERM").await;
    assert!(program.ended().await.success());

    let state = setup.folder.path().join("state/snapshots.json");
    let saved = std::fs::read_to_string(&state).unwrap();
    assert!(!saved.contains("key-a0"), "a secret is in {saved}");
    std::fs::write(&state, &saved[..saved.len() / 2]).unwrap();
    let mut program = setup.start();
    let warning = program.logged("cannot restore the last good values").await;
    assert!(warning.contains("level=warn") && warning.contains("snapshots.json"));
    program.url().await;
}
