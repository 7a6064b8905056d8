//! The command line of the exporter.

fn main() {}
