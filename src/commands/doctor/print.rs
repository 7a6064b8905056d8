//! The command `doctor`: prints each finding as soon as it is known.

use std::io::{self, IsTerminal as _, Write};

use crate::collectors::Collectors;
use crate::commands::doctor::{self, Finding};
use crate::commands::{CommandFailure, print};
use crate::config::Source;
use crate::system::clock::Clock;

/// Examines all accounts, and prints the diagnosis as text or as one `json` document.
pub(in crate::commands) async fn run(
    collectors: Collectors,
    source: &Source,
    clock: &Clock,
    json: bool,
) -> Result<(), CommandFailure> {
    let mut progress = ProgressLine::new(io::stderr(), io::stderr().is_terminal());
    let mut printed = Ok(());
    let diagnosis = doctor::examine(collectors, source, clock, |finding| {
        progress.clear();
        if !json && printed.is_ok() {
            printed = print(finding.to_string());
        }
        progress.show(&finding);
    })
    .await
    .map_err(CommandFailure::running)?;
    progress.clear();
    printed?;
    if json {
        let document = serde_json::to_string_pretty(&diagnosis).map_err(CommandFailure::running)?;
        print(format!("{document}\n"))?;
    } else {
        print(diagnosis.summary())?;
    }
    if diagnosis.ok {
        Ok(())
    } else {
        Err(CommandFailure::AlreadyReported)
    }
}

/// The number of checked accounts, on one line of a terminal, rewritten with each account.
struct ProgressLine<W> {
    writer: W,
    is_terminal: bool,
    done: usize,
    total: usize,
}

impl<W: Write> ProgressLine<W> {
    /// Writes nothing unless `writer` is a terminal.
    fn new(writer: W, is_terminal: bool) -> Self {
        Self {
            writer,
            is_terminal,
            done: 0,
            total: 0,
        }
    }

    /// Removes the line before other output.
    fn clear(&mut self) {
        self.write("\r\u{1b}[K");
    }

    /// Counts `finding`, and writes the line while there is something to wait for.
    fn show(&mut self, finding: &Finding<'_>) {
        match finding {
            Finding::Configuration(_, accounts) => self.total = *accounts,
            Finding::Account(_) => self.done += 1,
        }
        if self.done < self.total {
            let line = format!("{} of {} accounts checked", self.done, self.total);
            self.write(&line);
        }
    }

    fn write(&mut self, text: &str) {
        if self.is_terminal {
            // Progress is not worth an error when the terminal was closed.
            let _ = self.writer.write_all(text.as_bytes());
            let _ = self.writer.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(is_terminal: bool) -> String {
        let report = doctor::Configuration {
            status: doctor::CheckStatus::Ok,
            problems: Vec::new(),
            warnings: Vec::new(),
        };
        let mut bytes = Vec::new();
        let mut progress = ProgressLine::new(&mut bytes, is_terminal);
        progress.show(&Finding::Configuration(&report, 12));
        progress.clear();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn progress_is_one_line_of_a_terminal_and_nothing_elsewhere() {
        assert_eq!(written(true), "0 of 12 accounts checked\r\u{1b}[K");
        assert_eq!(written(false), "");
    }
}
