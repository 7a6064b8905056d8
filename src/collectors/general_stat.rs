//! `DescribeGeneralStat`: the servers of an account, their agents and their editions.

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
        SERVERS = Gauge "tencentcloud_cwp_servers" ["account"]
            "Servers that CWP knows (MachinesAll). Unit: servers. Polled and cached."
        AGENTS = Gauge "tencentcloud_cwp_agent_servers" ["account", "agent"]
            "Servers by the state of their agent; without an agent nothing protects them (AgentsOnline, Offline, Shutdown, MachinesUninstalled). Unit: servers. Polled and cached."
        EDITIONS = Gauge "tencentcloud_cwp_edition_servers" ["account", "edition"]
            "Servers with an agent by edition (AgentsBasic, AgentsPro, FlagshipMachineCnt). Unit: servers. Polled and cached."
        NEAR_EXPIRY = Gauge "tencentcloud_cwp_servers_protection_near_expiry" ["account"]
            "Servers whose protection expires within 7 days, a span fixed by the API (AgentsProExpireWithInSevenDays). Unit: servers. Polled and cached."
    }
}

/// The collector `general_stat`.
#[derive(Debug, Clone, Copy)]
pub struct GeneralStat;

/// The fields that become series. None is derived from another: the documented example
/// breaks the sums that its descriptions promise.
static FIELDS: &[Field] = fields! {
    Yes Count MachinesAll => SERVERS;
    Yes Count AgentsOnline => AGENTS "online";
    Yes Count Offline => AGENTS "offline";
    Yes Count Shutdown => AGENTS "shutdown";
    Yes Count MachinesUninstalled => AGENTS "none";
    Yes Count AgentsBasic => EDITIONS "basic";
    Yes Count AgentsPro => EDITIONS "professional";
    Yes Count FlagshipMachineCnt => EDITIONS "ultimate";
    Yes Count AgentsProExpireWithInSevenDays => NEAR_EXPIRY;
};

const UNUSED: &[&str] = &[
    "AgentsAll",
    "AgentsOffline",
    "RiskMachine",
    "ProtectDays",
    "AddedOnTheFifteen",
];

impl Collector for GeneralStat {
    fn name(&self) -> &'static str {
        "general_stat"
    }

    fn metrics(&self) -> &'static [&'static MetricDef] {
        defs::ALL
    }

    fn defaults(&self) -> Option<CollectorDefaults> {
        Some(CollectorDefaults {
            name: self.name(),
            settings: CollectorSettings {
                enabled: false,
                interval: Duration::from_secs(300),
                max_age: Duration::from_secs(1800),
                max_rows: None,
            },
        })
    }

    fn request(&self) -> Request {
        Request::cwp("DescribeGeneralStat", Bytes::from_static(b"{}"))
    }

    fn reading(&self) -> Box<dyn Reading> {
        Box::new(read)
    }
}

fn read(answer: &Fields) -> Collected {
    field::read(answer, FIELDS, UNUSED)
}
