//! The program `cwp-exporter`. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    cwp_exporter::commands::run()
}
