use std::path::Path;

use prometheus::Registry;
use prometheus::proto::LabelPair;
use tokio::time::Instant;

use super::super::document::fixture::{self, store_of};
use super::*;
use crate::config::Shard;
use crate::metrics::defs::STATE_SAVES;
use crate::system::logging::fixture::CapturedLog;

/// A folder that a program of the fixtures stands in for.
fn folder(program: &str, folder: &Path) -> StateDir {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/state-dir");
    StateDir::new(fixtures.join(program), folder, None)
}

/// A store of one account that was never collected.
fn empty_store() -> Store {
    fixture::store("a", "x", None)
}

/// What saves a store with one account's value of now into `dir`.
fn task(dir: StateDir, registry: &Registry) -> SaveTask {
    let metrics = ExporterMetrics::register(registry).unwrap();
    metrics.start_state_saves();
    let clock = Clock::system();
    let store = Arc::new(store_of(7.0, clock.moment()));
    SaveTask::new(dir, &store, &clock, &metrics)
}

/// Starts to save by a program of the fixtures.
async fn start(program: &str, registry: &Registry) -> Saver {
    let dir = folder(program, Path::new("/nowhere"));
    let store = Arc::new(Store::new(Vec::new()));
    let metrics = ExporterMetrics::register(registry).unwrap();
    let saver = Saver::start(dir, &store, &Clock::system(), &metrics).await;
    saver.unwrap()
}

/// How many saves succeeded and how many failed.
fn saves(registry: &Registry) -> [String; 2] {
    ["success", "failure"].map(|result| {
        let families = registry.gather();
        let saves = families.iter();
        let saves = saves.filter(|family| family.name() == STATE_SAVES.name);
        let mut metrics = saves.flat_map(|family| family.get_metric());
        let is = |label: &LabelPair| label.value() == result;
        let counted = metrics.find(|metric| metric.get_label().iter().any(is));
        counted.unwrap().get_counter().get_value().to_string()
    })
}

#[tokio::test]
async fn a_folder_that_hangs_holds_up_neither_the_start_nor_the_end() {
    let log = CapturedLog::start();
    let started = Instant::now();
    start("hangs", &Registry::new()).await.stop().await;
    let took = started.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
    let log = log.lines();
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(
        log[0].contains("starts without the last good values"),
        "{log:?}"
    );
    assert!(log[1].contains("are not saved again"), "{log:?}");
}

#[tokio::test]
async fn what_was_saved_at_the_end_is_there_after_the_next_start() {
    let folder_of_file = tempfile::tempdir().unwrap();
    let dir = folder("keeps", folder_of_file.path());
    let log = CapturedLog::start();
    let clock = Clock::system();
    let value = |store: &Store| {
        let state = store.load().list()[0].slots[0].load();
        let success = state.last_success.as_ref();
        success.map(|success| success.samples[1].value)
    };
    let first = Arc::new(store_of(7.0, clock.moment()));
    let nothing = Arc::new(empty_store());
    for (store, before, after) in [(first, 7.0, 7.0), (Arc::clone(&nothing), 7.0, 7.0)] {
        let metrics = ExporterMetrics::register(&Registry::new()).unwrap();
        let saver = Saver::start(dir.clone(), &store, &clock, &metrics).await;
        assert_eq!(value(&store), Some(before));
        saver.unwrap().stop().await;
        assert_eq!(value(&store), Some(after));
    }
    assert!(nothing.load().list()[0].slots[0].load().restored);
    let log = log.lines();
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].contains("restored the last good values") && log[0].contains("restored=1"));
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_put_aside_and_told() {
    let folder_of_file = tempfile::tempdir().unwrap();
    let path = folder_of_file.path().join("snapshots.json");
    std::fs::write(&path, "no JSON").unwrap();
    let log = CapturedLog::start();
    let dir = folder("keeps", folder_of_file.path());
    let metrics = ExporterMetrics::register(&Registry::new()).unwrap();
    let store = Arc::new(empty_store());
    let saver = Saver::start(dir, &store, &Clock::system(), &metrics).await;
    let aside = format!("{}.refused", path.display());
    assert_eq!(std::fs::read_to_string(&aside).unwrap(), "no JSON");
    saver.unwrap().stop().await;
    assert!(path.exists(), "the end saves");
    let log = log.lines();
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].contains("cannot restore the last good values"));
    assert!(
        log[0].contains(&aside) && log[0].contains("it is damaged"),
        "{log:?}"
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_told_however_late_it_is_read() {
    let log = CapturedLog::start();
    let (task, stop) = (
        task(folder("refuses", Path::new("/nowhere")), &Registry::new()),
        CancellationToken::new(),
    );
    let loading = task.load();
    stop.cancel();
    task.run(Some(loading), stop).await;
    let log = log.lines();
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].contains("cannot restore the last good values"));
}

#[tokio::test]
async fn a_process_for_which_nobody_waits_any_more_is_ended() {
    let folder_of_file = tempfile::tempdir().unwrap();
    let pipe = folder_of_file.path().join("snapshots.json");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let dir = folder("hangs", folder_of_file.path());
    let loading = tokio::spawn(async move { dir.load().await });
    let opening = tokio::task::spawn_blocking(|| std::fs::File::open(pipe));
    let opened = opening.await.unwrap().unwrap();
    loading.abort();
    // The other end is closed when the process has ended.
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(|| ended.send(std::io::read_to_string(opened).is_ok()));
    let end = tokio::time::timeout(Duration::from_secs(30), end);
    assert_eq!(end.await, Ok(Ok(true)));
}

#[tokio::test]
async fn a_process_that_has_died_is_told_with_its_exit_status() {
    // It knows no program `state-file`.
    let dir = StateDir::new("/usr/bin/env".into(), Path::new("/nowhere"), None);
    let error = dir.load().await.unwrap_err().to_string();
    let words = "the process that reads and writes /nowhere/snapshots.json has died (exit \
                 status: 127)";
    assert_eq!(error, words);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_put_aside_too() {
    let dir = folder("refuses", Path::new("/nowhere"));
    let Ok(Loaded::Refused { error, kept_as }) = dir.load().await else {
        panic!("the file was not refused");
    };
    let words = "cannot read snapshots.json: input/output error";
    assert_eq!(error.to_string(), words);
    assert_eq!(kept_as, "snapshots.json.refused");
}

#[tokio::test]
async fn a_save_that_fails_is_counted_and_holds_up_nothing() {
    let registry = Registry::new();
    let saver = start("fails", &registry).await;
    assert_eq!(saves(&registry), ["0", "0"]);
    saver.stop().await;
    assert_eq!(saves(&registry), ["0", "1"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_saved_while_a_load_does_not_end() {
    let registry = Registry::new();
    let _saver = start("hangs", &registry).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(saves(&registry), ["0", "0"]);
}

#[test]
fn a_start_is_refused_where_there_is_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    assert!(StateDir::check(folder.path()).is_ok());
    let absent = folder.path().join("absent");
    let error = StateDir::check(&absent).unwrap_err().to_string();
    let words = format!("--state.dir: there is no folder {}", absent.display());
    assert!(error.starts_with(&words), "{error}");
}

#[tokio::test]
async fn each_shard_has_a_file_of_its_own() {
    for (shard, name) in [(None, "snapshots.json"), (Some(2), "snapshots-2.json")] {
        let shard = shard.and_then(|index| Shard::new(index, 3.try_into().unwrap()));
        let dir = StateDir::new("/nowhere/cwp".into(), Path::new("/state"), shard);
        let error = dir.load().await.unwrap_err().to_string();
        let words = format!("that reads and writes /state/{name}: ");
        assert!(error.contains(&words), "{error}");
    }
}

#[tokio::test]
async fn nothing_is_saved_at_the_end_where_it_is_not_known_what_is_there() {
    let registry = Registry::new();
    let dir = StateDir::new("/nowhere/cwp".into(), Path::new("/nowhere"), None);
    let store = Arc::new(empty_store());
    let metrics = ExporterMetrics::register(&registry).unwrap();
    let saver = Saver::start(dir, &store, &Clock::system(), &metrics).await;
    assert_eq!(saves(&registry), ["0", "1"], "a failed load counts");
    saver.unwrap().stop().await;
    // The end tries to load once more.
    assert_eq!(saves(&registry), ["0", "2"]);
}

#[tokio::test]
async fn what_was_saved_is_not_saved_again_before_something_is_collected() {
    let (folder_of_file, registry) = (tempfile::tempdir().unwrap(), Registry::new());
    let mut task = task(folder("appends", folder_of_file.path()), &registry);
    let saved = || std::fs::read_to_string(folder_of_file.path().join("snapshots.json"));
    for _ in 0..3 {
        task.save().await;
    }
    let first = saved().unwrap();
    assert_eq!(first.matches("cwp_exporter_snapshots").count(), 1);
    assert_eq!(saves(&registry), ["1", "0"]);
    let now = task.clock.moment();
    task.store = Arc::new(store_of(8.0, now));
    for _ in 0..3 {
        task.save().await;
    }
    let both = saved().unwrap();
    assert_eq!(both.matches("cwp_exporter_snapshots").count(), 2);
    assert_eq!(saves(&registry), ["2", "0"]);
}

#[tokio::test]
async fn saves_that_fail_are_tried_again_and_told_once_and_so_is_their_end() {
    let (folder_of_file, registry) = (tempfile::tempdir().unwrap(), Registry::new());
    let log = CapturedLog::start();
    let mut task = task(folder("fails", folder_of_file.path()), &registry);
    for _ in 0..3 {
        task.save().await;
    }
    assert_eq!(saves(&registry), ["0", "3"]);
    task.dir = folder("appends", folder_of_file.path());
    task.save().await;
    assert_eq!(saves(&registry), ["1", "3"]);
    let log = log.lines();
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(log[0].contains("cannot write snapshots.json: no space"));
    assert!(log[1].contains("saved again") && log[1].contains("failures=3"));
}

#[tokio::test(start_paused = true)]
async fn a_save_that_does_not_end_is_told_and_counted_once() {
    let registry = Registry::new();
    let log = CapturedLog::start();
    let mut task = task(folder("hangs", Path::new("/nowhere")), &registry);
    let saving = tokio::time::timeout(Duration::from_secs(3600), task.save());
    assert!(saving.await.is_err());
    assert_eq!(saves(&registry), ["0", "1"]);
    let log = log.lines();
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].contains("writing /nowhere/snapshots.json has not ended after 10 s"));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_saved_before_it_is_known_what_is_there() {
    let registry = Registry::new();
    let nothing = StateDir::new("/nowhere/cwp".into(), Path::new("/nowhere"), None);
    let (task, stop) = (task(nothing, &registry), CancellationToken::new());
    let loading = Some(task.load());
    let mut saving = Box::pin(task.run(loading, stop.clone()));
    // A failed attempt to load every five minutes, and none to save.
    for (seconds, failed) in [(1, "1"), (298, "1"), (2, "2"), (300, "3")] {
        let _ = tokio::time::timeout(Duration::from_secs(seconds), &mut saving).await;
        assert_eq!(saves(&registry), ["0", failed]);
    }
    stop.cancel();
    saving.await;
    assert_eq!(saves(&registry), ["0", "3"]);
}

#[tokio::test(start_paused = true)]
async fn values_are_saved_soon_after_the_start_and_then_a_dozen_times_an_hour() {
    let registry = Registry::new();
    // Saves by a program that there is not end at once, and what failed is tried again.
    let nothing = StateDir::new("/nowhere/cwp".into(), Path::new("/nowhere"), None);
    let saving = task(nothing, &registry).run(None, CancellationToken::new());
    let mut saving = Box::pin(saving);
    let mut attempts = async |seconds| {
        let _ = tokio::time::timeout(Duration::from_secs(seconds), &mut saving).await;
        let [_, failed] = saves(&registry);
        failed.parse::<u32>().unwrap()
    };
    assert_eq!(attempts(29).await, 0);
    assert_eq!(attempts(2).await, 1);
    assert_eq!(attempts(3600).await, 13);
}
