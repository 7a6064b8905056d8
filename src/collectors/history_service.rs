//! `DescribeHistoryService`: the order of the log service.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use super::moment::Moment;
use super::object::{Documented, Object};
use super::order::{DESTROYED, renewal, status};
use super::{Collected, Collector, Reading, Sample};
use crate::cloud::{Fields, Request};
use crate::config::{CollectorDefaults, CollectorSettings};
use crate::metrics::MetricDef;

/// The definitions of the metrics.
pub mod defs {
    crate::metrics::define_metrics! {
        DEADLINE = Gauge "tencentcloud_cwp_log_service_deadline_timestamp_seconds" ["account"]
            "Deadline of the order of the log service (EndTime, in UTC+8); absent if the log \
             service was not bought. Unit: Unix time in seconds. Polled and cached."
        INFO = Gauge "tencentcloud_cwp_log_service_info" ["account", "order", "status", "renewal"]
            "The order of the log service (ResourceId, Status, IsAutoOpenRenew); always 1. Polled and cached."
    }
}

/// The collector `history_service`.
#[derive(Debug, Clone, Copy)]
pub struct HistoryService;

impl Collector for HistoryService {
    fn name(&self) -> &'static str {
        "history_service"
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
        Request::cwp("DescribeHistoryService", Bytes::from_static(b"{}"))
    }

    fn reading(&self) -> Box<dyn Reading> {
        Box::new(read)
    }
}

fn read(answer: &Fields) -> Collected {
    let mut answer = Object::new(answer, "");
    answer.skip(&["StartTime", "InquireNum", "BuyStatus"]);
    let number = answer.number("Status", Documented::Yes);
    let flag = answer.number("IsAutoOpenRenew", Documented::Yes);
    let order = answer.text("ResourceId", Documented::Yes);
    let is_bought = number != Some(0);
    let has_no_end = !is_bought || number == Some(DESTROYED);
    let end = answer.read("EndTime", Documented::Yes, Moment::read);
    if end == Some(Moment::Absent) && !has_no_end {
        answer.reject("EndTime");
    }
    let state = number.map_or(Cow::Borrowed(""), |number| match number {
        0 => "none".into(),
        number => status(number),
    });
    let labels = [
        order.unwrap_or_default().into(),
        state,
        flag.map_or(Cow::Borrowed(""), renewal),
    ];
    let mut samples = vec![Sample::new(defs::INFO, labels, 1.0)];
    if let (true, Some(Moment::At(seconds))) = (is_bought, end) {
        samples.push(Sample::new(defs::DEADLINE, [], seconds as f64));
    }
    Collected {
        samples,
        recognized: answer.is_recognized(),
        drift: answer.drift(),
        ..Collected::default()
    }
}
