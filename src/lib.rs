//! Prometheus exporter for Tencent Cloud Workload Protection (CWP) licences.

pub mod clock;
pub mod tc3;
