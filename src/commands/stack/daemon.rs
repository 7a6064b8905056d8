//! A program of the stack. It ends with this process.

use std::collections::VecDeque;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use super::StackError;

/// How long a program may take until it listens.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How many of its last lines are kept, for the error when it ends.
const KEPT_LINES: usize = 10;

/// A running program. It is killed when dropped.
pub(super) struct Daemon {
    name: &'static str,
    child: Child,
    log: LastLines,
}

/// The last lines that a program wrote.
#[derive(Clone, Default)]
struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl Daemon {
    /// Starts the first of `names` that is on PATH, and waits until its log says that it
    /// listens. The names are of one program; the first is the usual one.
    pub(super) async fn start(
        names: &[&'static str],
        arguments: &[String],
    ) -> Result<Self, StackError> {
        let program = names.first().copied().unwrap_or_default();
        let name = on_path(names)
            .await
            .ok_or(StackError::Missing { program })?;
        let mut child = spawn(name, arguments)
            .await
            .map_err(|source| StackError::Start { program, source })?;
        let log = LastLines::default();
        let stderr = child.stderr.take();
        let Some(mut lines) = stderr.map(|stderr| BufReader::new(stderr).lines()) else {
            return Err(StackError::Silent { program });
        };
        match tokio::time::timeout(START_TIMEOUT, listens(&mut lines, &log)).await {
            Ok(true) => {
                let kept = log.clone();
                tokio::spawn(async move {
                    while let Ok(Some(line)) = lines.next_line().await {
                        kept.keep(line);
                    }
                });
                Ok(Self {
                    name: program,
                    child,
                    log,
                })
            }
            Ok(false) => Err(ended(program, child.wait().await.ok(), &log)),
            Err(_) => Err(StackError::Silent { program }),
        }
    }

    /// Waits until the program has ended by itself, and returns how.
    pub(super) async fn ended(&mut self) -> StackError {
        let status = self.child.wait().await.ok();
        ended(self.name, status, &self.log)
    }

    /// Kills the program. Its data are thrown away, so it need not stop cleanly.
    pub(super) async fn stop(mut self) {
        // The program may have ended before.
        let _ = self.child.kill().await;
    }
}

impl LastLines {
    fn keep(&self, line: String) {
        let mut lines = self.0.lock();
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn text(&self) -> String {
        let lines = self.0.lock();
        lines.iter().map(|line| format!("\n  {line}")).collect()
    }
}

/// The first of `names` that can be run.
async fn on_path(names: &[&'static str]) -> Option<&'static str> {
    for name in names {
        let version = silent(name).arg("--version").status().await;
        if !version.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Some(name);
        }
    }
    None
}

/// Starts a program that ends with this process: it is killed when the child is dropped
/// and, where util-linux has `setpriv`, also when this process is killed.
///
/// The kernel ends it with the thread that calls this, which must therefore be the
/// process's main thread, or live as long.
async fn spawn(name: &str, arguments: &[String]) -> io::Result<Child> {
    const DIE_WITH_PARENT: [&str; 2] = ["--pdeathsig", "KILL"];
    let tried = silent("setpriv")
        .args(DIE_WITH_PARENT)
        .arg("true")
        .status()
        .await;
    let mut command = silent(name);
    if tried.is_ok_and(|status| status.success()) {
        command = silent("setpriv");
        command.args(DIE_WITH_PARENT).arg(name);
    }
    command
        .args(arguments)
        .stderr(Stdio::piped())
        // A Ctrl-C goes to this process only, which then kills the program.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

fn silent(name: &str) -> Command {
    let mut command = Command::new(name);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Whether the log says that the program listens, before it ends.
async fn listens(lines: &mut Lines<BufReader<ChildStderr>>, log: &LastLines) -> bool {
    while let Ok(Some(line)) = lines.next_line().await {
        let listens = line.contains(r#"msg="Listening on""#);
        log.keep(line);
        if listens {
            return true;
        }
    }
    false
}

fn ended(program: &'static str, status: Option<ExitStatus>, log: &LastLines) -> StackError {
    StackError::Ended {
        program,
        status: status.map_or_else(|| "unknown".to_owned(), |status| status.to_string()),
        log: log.text(),
    }
}
