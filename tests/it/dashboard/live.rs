//! A real Prometheus, answers every query of the dashboards.

use cwp_exporter::simulator::Answer;
use serde_json::{Value, json};

use super::query::filled_in;
use super::{dashboards, listing, queries, query_variables};
use crate::harness::{Cloud, Program, repository_file};
use crate::prometheus::Prometheus;

/// One account for each thing that a dashboard shows: numbers that fall, licences that expire,
/// fields that drift, a failure after a success, a temporary key, orders of every kind, servers and
/// a log service.
const SCENARIO: &str = r#"
accounts:
  - name: whole
    secret_id: AKIDwhole
    secret_key: key-whole
    orders:
      - {ResourceId: ends, Deadline: in 5d, LicenseCnt: 9, UsedLicenseCnt: 4, FreezeNum: 0}
      - {ResourceId: renews, Deadline: in 40d, AutoRenewFlag: 1, LicenseCnt: 9}
      - {ResourceId: late, Deadline: in 1h, AutoRenewFlag: 1, LicenseCnt: 9}
      - {ResourceId: later, Deadline: in 20d, LicenseCnt: 9}
      - {ResourceId: isolated, Deadline: 3d ago, OrderStatus: 2, LicenseCnt: 9}
      - {ResourceId: trial, Deadline: in 9d, SourceType: 1, LicenseCnt: 9}
    answers:
      DescribeGeneralStat:
        {MachinesAll: 50, MachinesUninstalled: 3, AgentsOnline: 40, Offline: 4, Shutdown: 3, AgentsBasic: 7, AgentsPro: 30, FlagshipMachineCnt: 10, AgentsProExpireWithInSevenDays: 2}
      DescribeHistoryService: {ResourceId: cwplog-1, Status: 1, EndTime: in 20d, IsAutoOpenRenew: 2}
      DescribeLogStorageStatistic: {TotalSize: 1000, UsedSize: 900}
    fields:
      LicenseCnt: 100
      AvailableLicenseCnt: 90
      UsedLicenseCnt: 10
      NotExpiredLicenseCnt: 100
      NearExpiryLicenseCnt: 0
      ExpireLicenseCnt: 0
      ProVersionLicenseCnt: 100
      AvailableProVersionLicenseCnt: 90
      ApplicationAvailableLicenseCnt: 5
      DestroyOrderNum: 0
      AutoOpenStatus: true
      IsOpenStatusHistory: true
      AutoRepurchaseSwitch: true
      AutoRepurchaseRenewSwitch: true
      RepurchaseRenewSwitch: true
      AutoBindRaspSwitch: true
      AutoOpenRaspSwitch: true
      AutoDowngradeSwitch: true
      ProtectType: FLAGSHIP_PREPAY
  - name: expiring
    secret_id: AKIDexpiring
    secret_key: key-expiring
    fields: {LicenseCnt: 10, AvailableLicenseCnt: 0, NearExpiryLicenseCnt: 4, ExpireLicenseCnt: 2, FutureCnt: 1}
  - {name: falling, secret_id: AKIDfalling, secret_key: key-falling, fields: {AvailableLicenseCnt: 90}}
  - {name: refused, secret_id: AKIDrefused, secret_key: key-refused}
  - name: role
    role: {arn: "qcs::cam::uin/100000000001:roleName/CwpExporter"}
"#;

/// The accounts of the scenario with a key of their own.
const OWN: [&str; 4] = ["whole", "expiring", "falling", "refused"];

/// Why a query may have no answer here.
fn reason_for_nothing(query: &str) -> Option<&'static str> {
    if query.contains("cwp_exporter_collector_restored") {
        Some("only between a restart and the first success after it")
    } else if query.contains("exhaustion_seconds_linear7d") {
        Some("the forecast looks at days of history")
    } else {
        None
    }
}

fn config(cloud: &Cloud) -> String {
    let account =
        |name: &str, credentials: Value| json!({"name": name, "credentials": credentials});
    let own = |name: &str| json!({"type": "static", "secret_id": format!("AKID{name}"), "secret_key_env": format!("KEY_{name}")});
    let mut accounts: Vec<Value> = OWN.map(|name| account(name, own(name))).into();
    let arn = "qcs::cam::uin/100000000001:roleName/CwpExporter";
    let role = json!({"type": "assume_role", "role_arn": arn, "source": own("whole")});
    accounts.push(account("role", role));
    // JSON is YAML.
    json!({
        "poll": {"interval": "1s", "timeout": "1s"},
        "collectors": {
            "license_list": {"interval": "1s"},
            "general_stat": {"enabled": true, "interval": "1s"},
            "history_service": {"enabled": true, "interval": "1s"},
            "log_storage_statistic": {"enabled": true, "interval": "1s"},
        },
        "api": {"endpoint": cloud.url, "sts_endpoint": cloud.url},
        "accounts": accounts,
    })
    .to_string()
}

/// The rules that are shipped, but alerts fire at once, and no group waits for an hour.
fn rules_without_delay() -> String {
    let rules = repository_file("deploy/prometheus/rules.yml");
    let lines = rules.lines().map(|line| format!("{line}\n"));
    lines
        .filter(|line| {
            let line = line.trim_start();
            !line.starts_with("for:") && !line.starts_with("interval:")
        })
        .collect()
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn prometheus_has_an_answer_to_every_query() {
    let cloud = Cloud::start(SCENARIO).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config(&cloud)).unwrap();
    let keys = OWN.map(|name| (format!("KEY_{name}"), format!("key-{name}")));
    let keys: Vec<(&str, &str)> = keys
        .iter()
        .map(|(it, key)| (it.as_str(), key.as_str()))
        .collect();
    let mut exporter = Program::start(
        &[
            "--config.file",
            file.path().to_str().unwrap(),
            "--web.listen-address=127.0.0.1:0",
            "--shard.index=0",
            "--shard.total=1",
        ],
        &keys,
    );
    let rules = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(rules.path(), rules_without_delay()).unwrap();
    let url = exporter.url().await;
    let prometheus = Prometheus::scraping_with(&url, Some(rules.path())).await;

    let account = |name: &str| format!("{{account=\"{name}\"}}");
    prometheus
        .has_data(&format!("tencentcloud_cwp_licenses{}", account("refused")))
        .await;
    let falling = format!("tencentcloud_cwp_licenses_available{}", account("falling"));
    prometheus.has_data(&falling).await;
    let code = "UnauthorizedOperation".to_owned();
    let refusal = Answer::Error {
        code,
        message: "not authorized".to_owned(),
    };
    cloud.handle.play("refused", refusal).unwrap();
    let fewer = json!({"AvailableLicenseCnt": 60});
    let fewer = Answer::Fields(fewer.as_object().unwrap().clone());
    cloud.handle.play("falling", fewer).unwrap();

    let dashboards: Vec<Value> = dashboards().collect();
    let variables = dashboards.iter().flat_map(query_variables);
    let variables = variables.map(|variable| listing(variable).unwrap());
    let asked = dashboards
        .iter()
        .flat_map(queries)
        .map(|query| query.text.to_owned());
    let asked: Vec<String> = asked.chain(variables).collect();
    assert!(asked.len() > 90, "{}", asked.len());
    for query in asked {
        if reason_for_nothing(&query).is_some() {
            continue;
        }
        let query = filled_in(&query);
        // Parts of a label's value are no variables.
        assert!(!query.replace("$1-$2", "").contains('$'), "{query}");
        prometheus.has_data(&query).await;
    }
}
