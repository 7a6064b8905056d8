//! What the rules and the dashboards say of a release is the same in a Prometheus of its own and
//! in one with strangers and with other releases.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Exporter, Page, cloud, rules};
use crate::dashboard::{dashboards, filled_in, items, listing, queries, query_variables};
use crate::docs::scrape_configurations;
use crate::harness::Cloud;
use crate::prometheus::{Prometheus, Sample};

/// A release of the exporter, as Prometheus sees it.
struct Release {
    cluster: &'static str,
    namespace: &'static str,
    jobs: Vec<Value>,
    exporters: Vec<Exporter>,
}

impl Release {
    /// The release with these jobs, in which its labels are set.
    fn new(
        [cluster, namespace]: [&'static str; 2],
        jobs: Vec<Value>,
        exporters: Vec<Exporter>,
    ) -> Self {
        Self {
            cluster,
            namespace,
            jobs: jobs
                .into_iter()
                .map(|job| labelled(job, cluster, namespace))
                .collect(),
            exporters,
        }
    }

    /// The labels that all its series have.
    fn selector(&self) -> String {
        format!(
            "cluster=\"{}\", namespace=\"{}\"",
            self.cluster, self.namespace
        )
    }
}

/// The job with these labels on all its series, and a name that is unique.
fn labelled(mut job: Value, cluster: &str, namespace: &str) -> Value {
    let name = job["job_name"].as_str().unwrap().to_owned();
    let relabelings = job.as_object_mut().unwrap().entry("relabel_configs");
    let relabelings = relabelings.or_insert(json!([])).as_array_mut().unwrap();
    for (label, value) in [
        ("job", &*name),
        ("cluster", cluster),
        ("namespace", namespace),
    ] {
        if !value.is_empty() {
            relabelings.push(json!({"target_label": label, "replacement": value}));
        }
    }
    job["job_name"] = format!("{cluster}/{namespace}/{name}").into();
    job
}

/// A job of these targets.
fn job(name: &str, targets: &[&str]) -> Value {
    json!({"job_name": name, "static_configs": [{"targets": targets}]})
}

/// The addresses of these.
fn addresses(exporters: &[Exporter]) -> Vec<&str> {
    let addresses = exporters.iter().map(|exporter| exporter.address.as_str());
    addresses.collect()
}

/// A port at which nobody listens.
const DEAD: &str = "127.0.0.1:1";

/// Every kind of release: a pair of replicas, one instance, shards of which one is missing, whole
/// shards, one that is down, the documentation's jobs of accounts, and one without labels. Most
/// have an account of the same name, with orders of the same names.
async fn releases(cloud: &Cloud) -> Vec<Release> {
    let start = async |kind: &str, flags: &[&str]| {
        Exporter::start(cloud, &[("default", kind)], flags).await
    };
    let names: Vec<String> = (0..6).map(|number| format!("p{number}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "plenty")).collect();
    let shard = async |flags: [&str; 2]| Exporter::start(cloud, &many, &flags).await;

    let pair = [
        start("exhausted", &["--replica.count=2"]).await,
        start("exhausted", &["--replica.count=2"]).await,
    ];
    let single = [start("plenty", &[]).await];
    let broken = [
        shard(["--shard.index=0", "--shard.total=3"]).await,
        shard(["--shard.index=2", "--shard.total=3"]).await,
    ];
    let all = [&many[..], &[("default", "expiring")]].concat();
    let shard = async |flags: [&str; 2]| Exporter::start(cloud, &all, &flags).await;
    let whole = [
        shard(["--shard.index=0", "--shard.total=2"]).await,
        shard(["--shard.index=1", "--shard.total=2"]).await,
    ];
    let accounts = [("default", "expiring"), ("refused", "refused")];
    let probed = Exporter::start(cloud, &accounts, &[]).await;
    let unlabelled = [start("expiring", &[]).await];

    let cwp = |exporters: &[Exporter]| vec![job("cwp", &addresses(exporters))];
    let of_accounts = scrape_configurations(&probed.address).into_iter();
    let of_accounts = of_accounts.map(|config| config["scrape_configs"].clone());
    let of_accounts = of_accounts.max_by_key(|jobs| items(jobs).count()).unwrap();
    let of_accounts: Vec<Value> = items(&of_accounts).cloned().collect();
    assert_eq!(of_accounts.len(), 2);
    vec![
        Release::new(["eu", "security"], cwp(&pair), pair.into()),
        Release::new(["us", "security"], cwp(&single), single.into()),
        Release::new(["us", "payments"], cwp(&broken), broken.into()),
        Release::new(["cn", "payments"], cwp(&whole), whole.into()),
        Release::new(["cn", "security"], vec![job("cwp", &[DEAD])], Vec::new()),
        Release::new(["eu", "accounts"], of_accounts, vec![probed]),
        Release::new(["", ""], cwp(&unlabelled), unlabelled.into()),
    ]
}

/// The names of the strangers' jobs.
const STRANGERS: [&str; 3] = ["node", "api", "health"];

/// Targets that are not ours, in the cluster and the namespace of one of our releases: dead ones,
/// one with metrics of its process, and one at the address of an exporter of ours.
fn strangers(api: &Page, ours: &str) -> Vec<Value> {
    let dead: Vec<Value> = ["node-a", "node-b", "node-c"]
        .map(|name| json!({"targets": [DEAD], "labels": {"instance": name}}))
        .into();
    let node = json!({"job_name": "node", "static_configs": dead});
    let api = job("api", &[&api.address]);
    let mut health = job("health", &[ours]);
    health["metrics_path"] = "/-/healthy".into();
    let jobs = [node, api, health].into_iter();
    jobs.map(|job| labelled(job, "eu", "security")).collect()
}

/// What a program in Go says of itself; it was started just now.
fn process() -> String {
    let metrics = [
        "process_start_time_seconds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_max_fds",
        "process_threads",
        "go_goroutines",
    ];
    metrics.map(|metric| format!("{metric} 4e9\n")).concat()
}

/// Our releases, and strangers beside them.
pub(super) struct Platform {
    releases: Vec<Release>,
    strangers: Vec<Value>,
    _api: Page,
}

impl Platform {
    pub(super) async fn start(cloud: &Cloud) -> Self {
        let releases = releases(cloud).await;
        let api = Page::serve(process()).await;
        let ours = &releases[0].exporters[0].address;
        Self {
            strangers: strangers(&api, ours),
            releases,
            _api: api,
        }
    }

    /// The jobs of our releases.
    fn ours(&self) -> Vec<Value> {
        let jobs = self
            .releases
            .iter()
            .flat_map(|release| release.jobs.clone());
        jobs.collect()
    }

    /// All jobs.
    pub(super) fn jobs(&self) -> Vec<Value> {
        [self.ours(), self.strangers.clone()].concat()
    }
}

/// A Prometheus with these jobs and the shipped rules.
pub(super) async fn prometheus(program: &str, jobs: &[Value]) -> Prometheus {
    let rules = rules();
    let settings = json!({
        // An exporter has time to answer on a busy machine too.
        "global": {"scrape_interval": "3s", "scrape_timeout": "3s", "evaluation_interval": "1s"},
        "rule_files": [rules.path()],
        "scrape_configs": jobs,
    });
    let prometheus = Prometheus::start(program, &settings).await;
    prometheus.has_scraped_all_targets().await;
    // A rate needs two samples.
    let once = "count(count_over_time(up[1m]) < 2)";
    prometheus.until(once, &[]).await;
    prometheus.has_evaluated_what_is_there().await;
    // Alerts may need what another group has recorded.
    prometheus.has_evaluated_what_is_there().await;
    prometheus
}

/// The alerts that are pending or firing among the series that `selector` selects.
async fn alerts(prometheus: &Prometheus, selector: &str) -> BTreeSet<BTreeMap<String, String>> {
    let query = format!("group without (alertstate) (ALERTS{{{selector}}})");
    let alerts = prometheus.series(&query).await.into_iter();
    alerts.map(|(labels, _)| labels).collect()
}

/// The names of the alerts of one release, without what all have in common.
async fn names(prometheus: &Prometheus, selector: &str) -> BTreeSet<String> {
    let alerts = alerts(prometheus, selector).await.into_iter();
    let names = alerts.map(|labels| labels["alertname"].replace("TencentCloudCWP", ""));
    names.collect()
}

/// The answer to a query: the labels of each series, and its value where it cannot change from
/// one Prometheus, or one second, to another.
async fn answer(
    prometheus: &Prometheus,
    query: &str,
) -> BTreeMap<BTreeMap<String, String>, String> {
    let varies = [
        "time()",
        "timestamp(",
        "ALERTS_FOR_STATE",
        "process_",
        "scrape_",
        "rate(",
        "increase(",
    ];
    let varies = varies.iter().any(|word| query.contains(word));
    let value = |(labels, value): Sample| {
        let value = if varies {
            String::new()
        } else {
            value.to_string()
        };
        (labels, value)
    };
    prometheus
        .series(query)
        .await
        .into_iter()
        .map(value)
        .collect()
}

/// The answers to every query of the dashboards, in their order: panels, annotations, and what
/// the variables can be. `chosen` variables have these values, and the others all.
async fn shown(
    prometheus: &Prometheus,
    chosen: &[(&str, &str)],
) -> Vec<(String, BTreeMap<BTreeMap<String, String>, String>)> {
    let mut shown = Vec::new();
    for dashboard in dashboards() {
        let of_panels = queries(&dashboard).map(|query| query.text.to_owned());
        let of_variables = query_variables(&dashboard).filter_map(listing);
        for asked in of_panels.chain(of_variables) {
            let query = chosen.iter().fold(asked.clone(), |query, (name, value)| {
                query.replace(&format!("${name}"), value)
            });
            shown.push((asked, answer(prometheus, &filled_in(&query)).await));
        }
    }
    assert!(shown.len() > 90, "{}", shown.len());
    shown
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Prometheus"]
async fn neither_strangers_nor_other_releases_change_what_is_said_of_a_release() {
    let cloud = cloud().await;
    let platform = Platform::start(&cloud).await;
    let releases = &platform.releases;
    let (jobs, ours) = (platform.jobs(), platform.ours());
    let (everything, without_strangers) = tokio::join!(
        prometheus("prometheus", &jobs),
        prometheus("prometheus", &ours),
    );

    // The strangers are there, and nothing is said of them.
    everything
        .until("count(up{job=~'node|api|health'})", &[5.0])
        .await;
    everything
        .until("count(up{job=~'node|health'} == 0)", &[4.0])
        .await;
    let alerts_of_all = alerts(&everything, "").await;
    assert_eq!(alerts_of_all, alerts(&without_strangers, "").await);
    for labels in &alerts_of_all {
        let job = labels.get("job").map_or("", String::as_str);
        assert!(!STRANGERS.contains(&job), "{labels:?}");
    }
    let expected = shown(&without_strangers, &[]).await;
    for (with, without) in shown(&everything, &[]).await.iter().zip(&expected) {
        assert_eq!(with, without);
    }
    drop(without_strangers);

    // Nothing of one release hides another's.
    let alone = releases
        .iter()
        .map(|release| prometheus("prometheus", &release.jobs));
    let alone = futures_util::future::join_all(alone).await;
    for (release, alone) in releases.iter().zip(&alone) {
        let selector = release.selector();
        let expected = alerts(alone, "").await;
        assert_eq!(alerts(&everything, &selector).await, expected, "{selector}");
        if release.cluster.is_empty() {
            continue;
        }
        let chosen = [
            ("cluster", release.cluster),
            ("namespace", release.namespace),
        ];
        // What a cluster or a namespace can be does not depend on which is chosen.
        let of_release = |(asked, _): &&(String, _)| asked.contains("$namespace");
        let (with_others, alone) = (shown(&everything, &chosen), shown(alone, &chosen));
        let (with_others, alone) = tokio::join!(with_others, alone);
        let alone = alone.iter().filter(of_release);
        assert!(alone.clone().count() > 80);
        for (with_others, alone) in with_others.iter().filter(of_release).zip(alone) {
            assert_eq!(with_others, alone);
        }
    }

    // What is wrong with each release is said of it, and nothing else.
    let troubled = [
        "AgentsOffline",
        "LicenseExpired",
        "LogServiceExpiring",
        "LogStorageFull",
        "OrderExpiring",
        "OrderIsolated",
        "OrderRenewalFailed",
        "ServersUnprotected",
    ];
    let exhausted = [
        "LicenseNoneAvailable",
        "LicenseEditionExhausted",
        "LicenseUseHigh",
        "OrderExpiring",
    ];
    let wrong: [&[&[&str]]; 7] = [
        &[&exhausted],
        &[],
        &[&["ShardMissing"]],
        &[&troubled],
        &[&["ExporterDown"]],
        &[&troubled, &["AccountFailing", "NeverCollected"]],
        &[&troubled],
    ];
    for (release, wrong) in releases.iter().zip(wrong) {
        let wrong = wrong.iter().flat_map(|names| names.iter());
        let wrong: BTreeSet<String> = wrong.map(|name| (*name).to_owned()).collect();
        let selector = release.selector();
        assert_eq!(names(&everything, &selector).await, wrong, "{selector}");
    }
    let alerts = alerts_of_all.iter();
    let accounts: BTreeSet<&String> = alerts.filter_map(|labels| labels.get("account")).collect();
    assert_eq!(Vec::from_iter(accounts), ["default", "refused"]);
    // An order has one severity at a time.
    let order = "cluster, namespace, job, account, order";
    let twice = format!("count by (alertname, {order}) (ALERTS{{order!=\"\"}}) > 1");
    assert_eq!(everything.series(&twice).await, []);
}
