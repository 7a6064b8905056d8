//! Fuzz targets, one for each reader of bytes that others send or write.
//!
//! One program has all targets; the variable `FUZZ_TARGET` names the one that runs. Each
//! target checks what its reader promises, and not only that nothing panics. `tests/fuzz/run`
//! builds and runs them.

#![no_main]

mod answers;
mod coding;
mod config;
mod credentials;
mod exchange;
mod exposition;
mod handshake;
mod input;
mod measure;
mod moment;
mod negotiation;
mod network;
mod reader;
mod request;
mod scenario;
mod simulator;
mod state;
mod web_config;
mod written;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

/// What is run with each input.
type Target = fn(&[u8]);

/// Every target, by name. `tests/fuzz/run` has the same names.
const TARGETS: [(&str, Target); 12] = [
    ("answers", answers::run),
    ("config", config::run),
    ("credentials", credentials::run),
    ("exposition", exposition::run),
    ("handshake", handshake::run),
    ("negotiation", negotiation::run),
    ("network", network::run),
    ("request", request::run),
    ("scenario", scenario::run),
    ("simulator", simulator::run),
    ("state", state::run),
    ("web_config", web_config::run),
];

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(
    init: {
        #[expect(clippy::disallowed_methods, reason = "libFuzzer has the arguments")]
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let target = TARGETS.iter().find(|(known, _)| *known == name);
        let (_, target) = target.unwrap_or_else(|| panic!("FUZZ_TARGET names no target: {name}"));
        let _ = TARGET.set(*target);
    },
    |data: &[u8]| {
        let target = TARGET.get().expect("the initialisation names a target");
        target(data);
    }
);
