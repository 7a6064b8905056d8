//! The program `cwp-exporter`. Everything is in the library.

use std::process::ExitCode;

/// The lines and rows of thousands of accounts leave the C library's allocator with a heap in
/// pieces: a collection then costs a third more, and what slow readers held is not returned.
/// docs/performance.md has the figures. Huge pages (THP) would add 8 MiB at rest. Version 3 of
/// mimalloc would keep up to 4 MiB for one block of 64 to 512 KiB; version 2 returns each block.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cwp_exporter::commands::run()
}
