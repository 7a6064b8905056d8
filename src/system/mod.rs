//! What the program stands on: the clock, files, log lines and signals.

pub mod atomic_file;
pub mod clock;
pub mod log_limit;
pub mod logging;
pub mod signals;
