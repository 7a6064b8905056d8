//! `DescribeLogStorageStatistic`: the storage of the log service.

use std::time::Duration;

use bytes::Bytes;

use super::field::{self, Field, fields};
use super::{Collected, Collector, Reading};
use crate::cloud::{Fields, Request};
use crate::config::{CollectorDefaults, CollectorSettings};
use crate::metrics::MetricDef;

/// The definitions of the metrics.
pub mod defs {
    crate::metrics::define_metrics! {
        SIZE = Gauge "tencentcloud_cwp_log_storage_bytes" ["account"]
            "Storage for logs that was bought (TotalSize). Unit: bytes, as the API's example shows, not the GB of its description. Polled and cached."
        USED = Gauge "tencentcloud_cwp_log_storage_used_bytes" ["account"]
            "Storage that logs take; full storage loses logs (UsedSize). Unit: bytes. Polled and cached."
    }
}

/// The collector `log_storage_statistic`.
#[derive(Debug, Clone, Copy)]
pub struct LogStorageStatistic;

static FIELDS: &[Field] = fields! {
    Yes Count TotalSize => SIZE;
    Yes Count UsedSize => USED;
};

impl Collector for LogStorageStatistic {
    fn name(&self) -> &'static str {
        "log_storage_statistic"
    }

    fn metrics(&self) -> &'static [&'static MetricDef] {
        defs::ALL
    }

    fn defaults(&self) -> Option<CollectorDefaults> {
        Some(CollectorDefaults {
            name: self.name(),
            settings: CollectorSettings {
                enabled: false,
                interval: Duration::from_secs(3600),
                max_age: Duration::from_secs(21_600),
                max_rows: None,
            },
        })
    }

    fn request(&self) -> Request {
        Request::cwp("DescribeLogStorageStatistic", Bytes::from_static(b"{}"))
    }

    fn reading(&self) -> Box<dyn Reading> {
        Box::new(read)
    }
}

fn read(answer: &Fields) -> Collected {
    field::read(answer, FIELDS, &[])
}
