//! Integration tests: one binary, a module per behaviour.

mod architecture;
mod harness;
mod prometheus;
mod scrape;
