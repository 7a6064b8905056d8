//! The clock, files, log lines, signals and spelling.

pub mod atomic_file;
pub mod clock;
pub mod log_limit;
pub mod logging;
pub mod reading;
pub mod signals;
pub mod spelling;
