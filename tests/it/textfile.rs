//! Output to a full disk, a read-only folder and a closed pipe.

use std::process::Stdio;

use tokio::process::Command;

use crate::harness::{Cloud, config_for, program, within};

/// How to get a mount of one's own: as anybody, or as root where users get no namespaces.
const NAMESPACES: [&[&str]; 2] = [&["--map-root-user", "--mount"], &["--mount"]];

/// The outcome of `once --output` onto a disk of its own, which has an old file.
struct Run {
    /// How many requests reached the cloud.
    requests: usize,
    code: String,
    /// The content of the file, and the names of all files.
    left: Vec<String>,
    stderr: String,
}

/// Whether this system allows a mount in a namespace of a test.
async fn namespace() -> Option<&'static [&'static str]> {
    for namespace in NAMESPACES {
        let mut command = Command::new("unshare");
        command.args(namespace).args(["sh", "-c"]);
        command.arg("mount -t tmpfs tmpfs /mnt");
        let output = command.stderr(Stdio::null()).status().await;
        if output.is_ok_and(|status| status.success()) {
            return Some(namespace);
        }
    }
    None
}

/// Runs `once --output` onto a disk of 16 KiB that has an old file and is then prepared by
/// `prepare`, a line of shell. `None` where this system allows no mount.
#[expect(clippy::print_stderr, reason = "a test that tests nothing says so")]
async fn once_onto(prepare: &str) -> Option<Run> {
    let Some(namespace) = namespace().await else {
        eprintln!("NOT TESTED: this system allows no mount in a namespace of one's own");
        return None;
    };
    let cloud = Cloud::with_accounts(1).await;
    let (config, variables) = config_for(&cloud, 1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yml");
    std::fs::write(&file, config).unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let script = format!(
        "set -e
         mount -t tmpfs -o size=16k tmpfs \"$DISK\"
         echo old > \"$DISK/cwp.prom\"
         {prepare}
         code=0
         \"$PROGRAM\" --config.file \"$CONFIG\" once --output \"$DISK/cwp.prom\" || code=$?
         echo $code
         cat \"$DISK/cwp.prom\"
         ls -A \"$DISK\""
    );
    let mut command = Command::new("unshare");
    command
        .args(namespace)
        .args(["sh", "-c", &script])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("PROGRAM", env!("CARGO_BIN_EXE_cwp-exporter"))
        .env("CONFIG", &file)
        .env("DISK", &disk)
        .envs(variables)
        .kill_on_drop(true);
    let output = within("the program to end", command.output())
        .await
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let mut lines = stdout.lines().map(str::to_owned);
    Some(Run {
        requests: cloud.handle.received().len(),
        code: lines.next().unwrap_or_else(|| panic!("{stderr}")),
        left: lines.collect(),
        stderr: stderr.replace(disk.to_str().unwrap(), "DISK"),
    })
}

#[tokio::test]
async fn a_full_disk_keeps_the_old_file_whole_and_is_named_with_a_remedy() {
    let fill = "dd if=/dev/zero of=\"$DISK/other\" bs=4k 2>/dev/null || true";
    let Some(run) = once_onto(fill).await else {
        return;
    };
    assert_eq!(run.code, "1", "{}", run.stderr);
    assert_eq!(run.left, ["old", "cwp.prom", "other"]);
    let told = run.stderr.lines().last().unwrap();
    assert_eq!(
        told,
        "cwp-exporter: cannot write to DISK/cwp.prom: there is no room in the folder DISK: No space \
         left on device (os error 28); make room there, or name a file on another disk"
    );
}

#[tokio::test]
async fn a_read_only_folder_is_named_with_a_remedy_before_any_request() {
    let Some(run) = once_onto("mount -o remount,ro \"$DISK\"").await else {
        return;
    };
    assert_eq!(run.code, "1", "{}", run.stderr);
    assert_eq!(run.left, ["old", "cwp.prom"]);
    assert_eq!(
        run.stderr.trim_end(),
        "cwp-exporter: --output: DISK/cwp.prom cannot be used: this user cannot write to the \
         folder DISK: Read-only file system (os error 30); let this user write there, or name a \
         file in another folder"
    );
    assert_eq!(run.requests, 0);
}

#[tokio::test]
async fn standard_output_that_cannot_be_written_is_named() {
    let cloud = Cloud::with_accounts(1).await;
    let (config, variables) = config_for(&cloud, 1);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let file = format!("--config.file={}", file.path().display());
    let variables: Vec<_> = variables
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    for command in ["once", "doctor", "--config.check"] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let mut program = program(&[&file, command], &variables);
        program.stdout(full.unwrap()).stderr(Stdio::piped());
        let running = program.spawn().unwrap().wait_with_output();
        let output = within("the program to end", running).await.unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(
            told.contains("cannot write to standard output: No space left on device"),
            "{command}: {told}"
        );
    }
}
