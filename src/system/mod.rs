//! The clock, files, log lines, runtimes, signals, spelling and words.

pub mod clock;
pub mod log_limit;
pub mod logging;
pub mod output;
pub mod reading;
pub mod runtime;
pub mod signals;
pub mod spelling;
pub mod waiting;
pub mod words;
