//! What is left by a process that is killed at any moment: nothing half-written, and nothing lost
//! but what was never finished. A hundred kills in all.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use cwp_exporter::collection::state_dir::worker;
use cwp_exporter::simulator::{Answer, documented_example};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::task::yield_now;

use crate::harness::{Cloud, Program, SIGKILL, Scrape, config_for, program, run, within};

/// How many kills each of the three tests makes.
const KILLS: [usize; 3] = [34, 33, 33];

/// The names, sizes and times of the files of a folder.
type Listing = BTreeSet<(PathBuf, u64, Option<SystemTime>)>;

fn listing(folder: &Path) -> Listing {
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap());
    let files = entries.filter_map(|entry| {
        // Absent if the file was renamed meanwhile.
        let found = entry.metadata().ok()?;
        Some((entry.path(), found.len(), found.modified().ok()))
    });
    files.collect()
}

/// Waits for so many turns of the runtime, by chance.
async fn turns(most: usize) {
    for _ in 0..fastrand::usize(..most) {
        yield_now().await;
    }
}

/// Waits for a moment by chance, in every second case soon after something is written in
/// `folder`, which has been `before`.
async fn moment(folder: &Path, before: &Listing) {
    if fastrand::bool() {
        turns(3000).await;
        return;
    }
    while listing(folder) == *before {
        yield_now().await;
    }
    turns(30).await;
}

fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(SIGKILL)
}

#[tokio::test]
async fn a_kill_while_a_textfile_is_written_leaves_the_former_one_or_the_new_one() {
    let cloud = Cloud::start(
        "accounts: [{name: a0, secret_id: AKIDa0, secret_key: key-a0, orders: [{ResourceId: 'one-{n}', count: 200}]}]",
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("cwp.yml");
    let account =
        "{name: a0, credentials: {type: static, secret_id: AKIDa0, secret_key_env: KEY_A0}}";
    let settings = format!(
        "api: {{endpoint: '{}'}}\naccounts: [{account}]\n",
        cloud.url
    );
    std::fs::write(&config, settings).unwrap();
    let outputs = folder.path().join("textfiles");
    std::fs::create_dir(&outputs).unwrap();
    let output = outputs.join("cwp.prom");
    let [config, output] = [&config, &output].map(|path| path.to_str().unwrap());
    let arguments = ["--config.file", config, "once", "--output", output];
    let variables = [("KEY_A0", "key-a0")];
    let series = || {
        let text = std::fs::read_to_string(output).unwrap();
        assert!(text.ends_with('\n'), "half a line at the end");
        Scrape::parse(&text).samples.into_keys().collect::<Vec<_>>()
    };
    assert!(run(&arguments, &variables).await.status.success());
    let whole = series();
    assert!(whole.len() > 1000);

    let mut kills = 0;
    while kills < KILLS[0] {
        let before = listing(&outputs);
        let mut once = program(&arguments, &variables);
        let mut once = once.stderr(Stdio::null()).spawn().unwrap();
        let status = tokio::select! {
            ended = within("the program to end", once.wait()) => ended,
            () = moment(&outputs, &before) => {
                let _ = once.start_kill();
                once.wait().await
            }
        };
        kills += usize::from(was_killed(status.unwrap()));
        assert_eq!(series(), whole);
    }

    // What the killed ones left goes, once it is old.
    let two_hours = Duration::from_secs(7200);
    for (path, _, modified) in listing(&outputs) {
        let long_ago = modified.unwrap() - two_hours;
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    assert!(run(&arguments, &variables).await.status.success());
    assert_eq!(series(), whole);
    assert_eq!(listing(&outputs).len(), 1);
}

#[tokio::test]
async fn a_kill_of_either_process_while_the_state_is_written_leaves_the_former_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshots.json");
    let length = 1 << 20;
    let operate = |operation: worker::Operation| {
        let (operation, length) = (operation.as_str(), length.to_string());
        program(
            &[worker::COMMAND, operation, &length, path.to_str().unwrap()],
            &[],
        )
    };
    let saved = |round: u8| vec![round; length];
    let mut former = saved(0);
    std::fs::write(&path, &former).unwrap();

    let (mut round, mut kills) = (0, 0);
    while kills < KILLS[1] {
        round += 1;
        let new = saved(round);
        let before = listing(folder.path());
        let mut saving = operate(worker::Operation::Save);
        let mut saving = saving
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut pipe = saving.stdin.take().unwrap();
        // Half of them get all, so that they are killed later.
        let sent = fastrand::usize(..2 * length).min(length);
        within("the program to read", pipe.write_all(&new[..sent]))
            .await
            .unwrap();
        let writer_dies = fastrand::bool();
        if sent == length {
            within("a file", moment(folder.path(), &before)).await;
        }
        if writer_dies {
            let _ = saving.start_kill();
        } else {
            // Who sends dies.
            drop(pipe);
        }
        let status = within("the program to end", saving.wait()).await.unwrap();
        kills += usize::from(was_killed(status) || sent < length);
        let left = std::fs::read(&path).unwrap();
        let is_new = left == new;
        assert!(is_new || left == former, "round {round}: neither of both");
        assert!(
            is_new || !status.success(),
            "round {round}: what was finished is lost"
        );
        assert!(
            !is_new || sent == length,
            "round {round}: half of it counts"
        );
        former = left;
    }

    let loaded = within(
        "the program to end",
        operate(worker::Operation::Load).output(),
    )
    .await;
    assert_eq!(loaded.unwrap().stdout, former);
    assert_eq!(listing(folder.path()).len(), 1, "the next start tidies up");
}

/// The value of `tencentcloud_cwp_licenses` in a state file.
fn saved_licenses(file: &Path) -> f64 {
    let document: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let series = document["series"].as_array().unwrap();
    let position = series
        .iter()
        .position(|each| each[0] == "tencentcloud_cwp_licenses");
    let samples = document["accounts"][0]["collectors"][0]["samples"]
        .as_array()
        .unwrap();
    let sample = samples
        .iter()
        .find(|each| each[0] == json!(position))
        .unwrap();
    sample[1].as_f64().unwrap()
}

#[tokio::test]
async fn a_kill_at_the_last_save_or_at_a_reload_keeps_the_values_for_the_next_start() {
    // Starts are shifted by chance, by less where there are more of them.
    let cloud = Cloud::with_accounts(11).await;
    let folder = tempfile::tempdir().unwrap();
    let (config, state) = (folder.path().join("cwp.yml"), folder.path().join("state"));
    std::fs::create_dir(&state).unwrap();
    let file = state.join("snapshots.json");
    let (ten, _) = config_for(&cloud, 10);
    let (more, variables) = config_for(&cloud, 11);
    let variables: Vec<_> = variables
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    let start = || {
        let (config, state) = (config.to_str().unwrap(), state.to_str().unwrap());
        let address = "--web.listen-address=127.0.0.1:0";
        let arguments = ["--config.file", config, "--state.dir", state, address];
        Program::start(&arguments, &variables)
    };

    let (mut round, mut kills, mut kept) = (0_u32, 0, 0.0);
    while kills < KILLS[2] {
        round += 1;
        let mut fields = documented_example();
        fields.insert("LicenseCnt".to_owned(), json!(round));
        cloud.handle.play("a0", Answer::Fields(fields)).unwrap();
        std::fs::write(&config, &ten).unwrap();
        let received = cloud.handle.received();
        let of_it = received
            .iter()
            .filter(|each| each.account.as_deref() == Some("a0"));
        let asked = of_it.count();
        let mut program = start();
        program.url().await;
        if kept > 0.0 {
            let restored = program.logged("restored the last good values").await;
            assert!(
                !restored.contains("restored=0"),
                "round {round}: {restored}"
            );
        }
        // The second question is asked only after the first answer was taken in, which the first
        // save needs.
        let questions = if kept > 0.0 { 1 } else { 2 };
        within(
            "a collection",
            cloud.handle.wait_for("a0", asked + questions),
        )
        .await;
        let reloads = kept > 0.0 && fastrand::bool();
        if reloads {
            let new = folder.path().join("new.yml");
            std::fs::write(&new, &more).unwrap();
            std::fs::rename(new, &config).unwrap();
            program.signal("HUP").await;
            turns(3000).await;
        } else {
            let before = listing(&state);
            program.signal("TERM").await;
            within("a file", moment(&state, &before)).await;
        }
        kills += usize::from(program.killed().await);
        if kept > 0.0 || file.exists() {
            let licenses = saved_licenses(&file);
            assert!(
                (kept..=f64::from(round)).contains(&licenses),
                "{licenses} after {kept}"
            );
            kept = licenses;
        }
    }
    let left: Vec<_> = state
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    let refused = left
        .iter()
        .filter(|name| name.to_string_lossy().contains("refused"));
    assert_eq!(refused.count(), 0, "{left:?}");
}
