//! Integration tests: one binary, a module per behaviour.

mod harness;
mod prometheus;
mod scrape;
