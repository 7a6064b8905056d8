//! What a scrape sees: the snapshots as they are at that moment, beside the live
//! instruments, in each of the formats.
//!
//! Nothing here is updated from elsewhere. A value that is gone from the snapshots
//! is gone from the exposition, and no scrape ever causes a request to the cloud.
//! Text is written straight from the snapshots: families built in between would take
//! many times the memory and time with thousands of accounts.
//!
//! It has two parts, one after the other: that of the accounts, which is large and
//! changes with their snapshots, and the live one, which is small and always changes.

mod accounts;
mod columns;
mod format;
mod labels;
mod live;
mod page;
pub mod process;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use prometheus::Registry;

use crate::collection::snapshot::{Accounts, Store};
use crate::collectors;
use crate::metrics::{self, MetricDef};
use crate::system::clock::{Clock, Moment};
use accounts::Family;
pub use accounts::{PAGE, Pages};
use columns::Spare;
pub use format::Format;
use labels::Labels;
pub use page::Page;
use process::ProcessMetrics;

/// The definitions of the metrics that describe the snapshots.
pub mod defs {
    crate::metrics::define_metrics! {
        UP = Gauge "tencentcloud_cwp_up" ["account"]
            "1 if the last collection of license_general succeeded and its values are fresh, else 0, before the first too."
        ACCOUNT_INFO = Gauge "tencentcloud_cwp_account_info" ["account", "endpoint", "region"]
            "Every configured account; always 1. Its configured labels carry the prefix label_."
        ACCOUNTS = Gauge "cwp_exporter_accounts" []
            "Accounts that this process collects."
        SUCCESS = Gauge "cwp_exporter_collector_success" ["account", "collector"]
            "1 if the last collection succeeded, 0 if it failed; absent before the first has ended."
        FAILURE_REASON = Gauge "cwp_exporter_collector_failure_reason" ["account", "collector", "reason"]
            "Why the last collection failed; always 1, absent while collections succeed."
        FAILURES = Counter "cwp_exporter_collector_failures_total" ["account", "collector"]
            "Collections that failed."
        DURATION = Gauge "cwp_exporter_collector_duration_seconds" ["account", "collector"]
            "How long the last collection took, retries and waits included, in seconds."
        LAST_ATTEMPT = Gauge "cwp_exporter_collector_last_attempt_timestamp_seconds" ["account", "collector"]
            "When the last collection ended, well or badly, in seconds since the Unix epoch."
        LAST_SUCCESS = Gauge "cwp_exporter_collector_last_success_timestamp_seconds" ["account", "collector"]
            "When the last successful collection ended, in seconds since the Unix epoch; absent before the first."
        RESTORED = Gauge "cwp_exporter_collector_restored" ["account", "collector"]
            "1 while the values come from the state folder and have not been collected anew; absent otherwise."
        SCHEMA_DRIFT = Gauge "cwp_exporter_schema_drift" ["account", "collector", "field", "kind"]
            "A field in which the last readable answer differed from its documentation (kind: unknown, missing, invalid); always 1."
        CREDENTIAL_EXPIRY = Gauge "cwp_exporter_credential_expiry_timestamp_seconds" ["account"]
            "When the account's temporary credential expires unless it is replaced, in seconds since the Unix epoch; absent for other credentials."
    }
}

/// Every metric that this exporter may expose.
#[must_use]
pub fn catalogue() -> Vec<&'static MetricDef> {
    let collectors = collectors::all().iter().flat_map(|each| each.metrics());
    let own = [defs::ALL, metrics::defs::ALL, process::defs::ALL].concat();
    collectors.copied().chain(own).collect()
}

/// Renders what a scrape sees.
#[derive(Debug)]
pub struct Exposition {
    registry: Registry,
    store: Arc<Store>,
    clock: Clock,
    process: Option<ProcessMetrics>,
    /// The families of the accounts' part, and those of them that tell of one account.
    families: Arc<[Family]>,
    account_families: Arc<[Family]>,
    /// The labels of the accounts that were there at the last scrape.
    labels: ArcSwapOption<Labels>,
    /// Memory for the next columns.
    spare: Arc<Spare>,
    /// The definitions of the live part.
    live: Vec<&'static MetricDef>,
}

impl Exposition {
    /// The exposition of `store` beside what `registry` has.
    ///
    /// `process` is for a daemon only: in a textfile these metrics would clash with
    /// those of the exporter that reads it.
    #[must_use]
    pub fn new(
        registry: Registry,
        store: Arc<Store>,
        clock: Clock,
        process: Option<ProcessMetrics>,
    ) -> Self {
        let mut defs = catalogue();
        defs.sort_by_key(|def| def.name);
        let (live, accounts): (Vec<_>, Vec<_>) = defs
            .into_iter()
            .partition(|def| metrics::defs::ALL.contains(def) || process::defs::ALL.contains(def));
        let of_account = accounts.iter();
        let of_account = of_account.filter(|def| def.labels.contains(&"account"));
        Self {
            registry,
            store,
            clock,
            process,
            account_families: of_account.copied().map(Family::new).collect(),
            families: accounts.into_iter().map(Family::new).collect(),
            labels: ArcSwapOption::empty(),
            spare: Arc::default(),
            live,
        }
    }

    /// How many accounts there are.
    #[must_use]
    pub fn account_count(&self) -> usize {
        self.store.load().list().len()
    }

    /// The revision of the accounts.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.store.revision().get()
    }

    /// The clock that ages are told by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The moment from which ages are told.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.clock.moment()
    }

    /// The accounts' part, and how long its values are young enough to be shown.
    #[must_use]
    pub fn accounts(&self, format: Format) -> (Pages, Duration) {
        let accounts = self.store.load();
        let labels = match self.labels.load_full() {
            Some(labels) if Arc::ptr_eq(&labels.of, &accounts) => labels,
            _ => {
                let labels = Arc::new(Labels::new(accounts));
                self.labels.store(Some(Arc::clone(&labels)));
                labels
            }
        };
        let families = Arc::clone(&self.families);
        Pages::new(format, families, labels, self.now(), &self.spare)
    }

    /// Lets go of what is kept to render the accounts' part again.
    pub fn forget(&self) {
        self.spare.clear();
    }

    /// The live part, as it is now, and the end of the exposition.
    #[must_use]
    pub fn live(&self, format: Format) -> Vec<u8> {
        let process = self
            .process
            .as_ref()
            .map(|process| process.read(self.now()));
        let (families, process) = (self.registry.gather(), process.unwrap_or_default());
        let mut out = Vec::with_capacity(8 * 1024);
        live::write(format, &self.live, &families, &process, &mut out);
        out.extend_from_slice(format.end());
        out
    }

    /// The whole text of a scrape, which is UTF-8. Its order never changes.
    #[must_use]
    pub fn render(&self, format: Format) -> Vec<u8> {
        let (pages, _) = self.accounts(format);
        pages.chain([self.live(format)]).flatten().collect()
    }

    /// What there is to tell of each account, and nothing of the process.
    #[must_use]
    pub fn render_accounts(&self, format: Format) -> Vec<u8> {
        let labels = Arc::new(Labels::new(self.store.load()));
        let families = Arc::clone(&self.account_families);
        let (pages, _) = Pages::new(format, families, labels, self.now(), &Arc::default());
        let end = format.end().to_vec();
        pages.chain([end]).flatten().collect()
    }

    /// All that is known of one account, or nothing if there is no such account.
    #[must_use]
    pub fn render_account(&self, format: Format, name: &str) -> Option<Vec<u8>> {
        let accounts = self.store.load();
        let account = accounts.list().iter().find(|each| each.name == name)?;
        let alone = Accounts::new(vec![Arc::clone(account)], accounts.max_age());
        let labels = Arc::new(Labels::new(Arc::new(alone)));
        let families = Arc::clone(&self.account_families);
        let (pages, _) = Pages::new(format, families, labels, self.now(), &Arc::default());
        let end = format.end().to_vec();
        Some(pages.chain([end]).flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::cloud::Error;
    use crate::collection::snapshot::{
        AccountState, Attempt, CollectorState, KeySource, Revision, Slot, Success,
    };
    use crate::collectors::license_general::LicenseGeneral;
    use crate::collectors::{Collector as _, Samples};
    use crate::metrics::reason::Reason;

    fn exposition(accounts: usize) -> Exposition {
        let revision = Revision::default();
        let accounts = (0..accounts).map(|number| {
            Arc::new(AccountState {
                name: format!("account-{number:05}"),
                identity: String::new(),
                endpoint: "https://cwp.tencentcloudapi.com".to_owned(),
                region: None,
                labels: [("team".to_owned(), "x".to_owned())].into(),
                key_source: KeySource::new(String::new),
                slots: vec![Arc::new(Slot::new(&LicenseGeneral, &revision))],
            })
        });
        let store = Store::new(accounts.collect(), Duration::from_secs(600));
        let clock = Clock::new(|| Timestamp::UNIX_EPOCH);
        Exposition::new(Registry::new(), Arc::new(store), clock, None)
    }

    #[test]
    fn a_small_scrape_is_one_page_and_a_large_one_the_same_text_in_several() {
        assert_eq!(exposition(1).accounts(Format::Text).0.count(), 1);
        for format in [Format::Text, Format::OpenMetrics] {
            let large = exposition(5_000);
            let mut pages: Vec<Vec<u8>> = large.accounts(format).0.collect();
            assert!(pages.len() > 5);
            assert!(pages.iter().all(|page| page.ends_with(b"\n")));
            let longest = pages.iter().map(Vec::len).max();
            assert!(longest < Some(PAGE + 1_000), "{longest:?}");
            pages.push(large.live(format));
            let text = pages.concat();
            assert_eq!(text, large.render(format));
            let text = String::from_utf8(text).unwrap();
            let infos = "\ntencentcloud_cwp_account_info{account=\"account-";
            assert_eq!(text.matches(infos).count(), 5_000);
            assert_eq!(text.matches("# TYPE tencentcloud_cwp_up ").count(), 1);
        }
    }

    #[test]
    fn each_of_many_accounts_has_what_it_has_alone() {
        let many = exposition(200);
        let (noon, accounts) = (many.now(), many.store.load());
        for (number, account) in accounts.list().iter().enumerate() {
            let failure = (number % 7 == 0).then(|| Box::new(Error::new(Reason::Timeout, "")));
            let word = ["FLAGSHIP_PREPAY", "odd \"word\"", "other"][number % 3];
            let samples = [
                ("tencentcloud_cwp_licenses", "", number as f64),
                (
                    "tencentcloud_cwp_edition_licenses",
                    "ultimate",
                    0.5 + number as f64,
                ),
                ("tencentcloud_cwp_protect_type", word, 1.0),
            ];
            let samples = samples.into_iter().skip(number % 4);
            account.slots[0].store(CollectorState {
                last_success: (number % 5 != 0).then(|| Success {
                    at: noon,
                    samples: Samples::from_named(LicenseGeneral.series(), samples).unwrap(),
                }),
                last_attempt: Some(Attempt {
                    at: noon,
                    duration: Duration::ZERO,
                    failure,
                }),
                ..CollectorState::default()
            });
        }
        let text = String::from_utf8(many.render(Format::Text)).unwrap();
        let lines = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| line.starts_with("tencentcloud"));
            lines.map(str::to_owned).collect()
        };
        let alone = accounts.list().iter().flat_map(|account| {
            let text = many.render_account(Format::Text, &account.name).unwrap();
            lines(&String::from_utf8(text).unwrap())
        });
        let (mut alone, mut together): (Vec<_>, _) = (alone.collect(), lines(&text));
        alone.sort();
        together.sort();
        assert_eq!(together, alone);
        for line in [
            "tencentcloud_cwp_licenses{account=\"account-00132\"} 132",
            "tencentcloud_cwp_edition_licenses{account=\"account-00133\",edition=\"ultimate\"} 133.5",
            "tencentcloud_cwp_protect_type{account=\"account-00134\",type=\"other\"} 1",
            "tencentcloud_cwp_protect_type{account=\"account-00001\",type=\"odd \\\"word\\\"\"} 1",
            "tencentcloud_cwp_up{account=\"account-00132\"} 1",
            "tencentcloud_cwp_up{account=\"account-00133\"} 0",
            "cwp_exporter_collector_failure_reason{account=\"account-00133\",collector=\"license_general\",reason=\"timeout\"} 1",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}");
        }
        assert_eq!(
            text.matches("reason=\"timeout\"").count(),
            200_usize.div_ceil(7)
        );
    }

    #[test]
    fn without_accounts_only_their_number_is_told() {
        let text = String::from_utf8(exposition(0).render(Format::Text)).unwrap();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(samples, ["cwp_exporter_accounts 0"]);
    }

    #[test]
    fn openmetrics_ends_with_its_mark_and_text_without() {
        let (name, mark) = ("account-00000", b"} 0\n# EOF\n");
        let one = exposition(1);
        let account = one.render_account(Format::OpenMetrics, name).unwrap();
        assert!(account.ends_with(mark));
        assert!(one.render(Format::OpenMetrics).ends_with(mark));
        assert!(one.render(Format::Text).ends_with(b"} 0\n"));
    }

    #[test]
    fn an_account_that_was_never_collected_is_down_and_has_no_values() {
        assert_eq!(
            String::from_utf8(
                exposition(1)
                    .render_account(Format::Text, "account-00000")
                    .unwrap()
            )
            .unwrap(),
            "# HELP cwp_exporter_collector_failures_total Collections that failed.\n\
             # TYPE cwp_exporter_collector_failures_total counter\n\
             cwp_exporter_collector_failures_total{account=\"account-00000\",\
             collector=\"license_general\"} 0\n\
             # HELP tencentcloud_cwp_account_info Every configured account; always 1. \
             Its configured labels carry the prefix label_.\n\
             # TYPE tencentcloud_cwp_account_info gauge\n\
             tencentcloud_cwp_account_info{account=\"account-00000\",\
             endpoint=\"https://cwp.tencentcloudapi.com\",region=\"\",label_team=\"x\"} 1\n\
             # HELP tencentcloud_cwp_up 1 if the last collection of license_general succeeded \
             and its values are fresh, else 0, before the first too.\n\
             # TYPE tencentcloud_cwp_up gauge\n\
             tencentcloud_cwp_up{account=\"account-00000\"} 0\n"
        );
        assert!(
            exposition(1)
                .render_account(Format::Text, "other")
                .is_none()
        );
    }
}
