//! A monitoring platform that others use too: strangers' targets, several releases of the
//! exporter in several clusters, the scrape configurations of the documentation, 10,000 accounts,
//! and servers other than Prometheus.

mod many;
mod replay;
mod shared;
mod victoria;

use std::convert::Infallible;
use std::net::Ipv4Addr;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::harness::{Cloud, Program, client, eventually, repository_file};

/// The accounts of the cloud: one with licences to spare, one without any that is available and
/// with an order that ends, one of which everything ends or is without protection, and one whose
/// key may not ask. Their orders have the same names.
const KINDS: [&str; 4] = ["plenty", "exhausted", "expiring", "refused"];

/// A cloud with an account of each kind.
async fn cloud() -> Cloud {
    let licences = |available: u64, near_expiry: u64, expired: u64| {
        json!({
            "LicenseCnt": 40,
            "AvailableLicenseCnt": available,
            "UsedLicenseCnt": 40 - expired - available,
            "NotExpiredLicenseCnt": 40 - expired,
            "NearExpiryLicenseCnt": near_expiry,
            "ExpireLicenseCnt": expired,
            "ProVersionLicenseCnt": 40 - expired,
            "AvailableProVersionLicenseCnt": available,
            "FlagshipVersionLicenseCnt": 0,
            "AvailableFlagshipVersionLicenseCnt": 0,
            "CwpVersionLicenseCnt": 0,
            "AvailableLHLicenseCnt": 0,
            "DestroyOrderNum": 0,
            "AutoOpenStatus": false,
            "IsOpenStatusHistory": false,
            "AutoRepurchaseSwitch": false,
            "AutoRepurchaseRenewSwitch": true,
            "RepurchaseRenewSwitch": true,
            "ProtectType": "PROVERSION_PREPAY",
        })
    };
    let account = |kind: &str, fields: Value, orders: Value, answers: Value| {
        json!({
            "name": kind,
            "secret_id": format!("AKID{kind}"),
            "secret_key": format!("key-{kind}"),
            "fields": fields,
            "orders": orders,
            "answers": answers,
        })
    };
    let renewed = json!({
        "ResourceId": "cwplic-1", "LicenseCnt": 40, "UsedLicenseCnt": 10, "AutoRenewFlag": 1,
        "Deadline": "in 300d",
    });
    let ends = json!({
        "ResourceId": "cwplic-1", "LicenseCnt": 40, "UsedLicenseCnt": 40, "AutoRenewFlag": 2,
        "Deadline": "in 5d",
    });
    // One should have renewed itself, one is isolated, and one ends in weeks.
    let troubled = json!([
        {
            "ResourceId": "cwplic-1", "LicenseCnt": 20, "UsedLicenseCnt": 9, "AutoRenewFlag": 1,
            "Deadline": "in 5h",
        },
        {
            "ResourceId": "cwplic-2", "LicenseCnt": 10, "UsedLicenseCnt": 0, "OrderStatus": 2,
            "Deadline": "3d ago",
        },
        {
            "ResourceId": "cwplic-3", "LicenseCnt": 10, "UsedLicenseCnt": 9, "AutoRenewFlag": 2,
            "Deadline": "in 20d",
        },
    ]);
    let services = |unprotected: u64, offline: u64, log_end: &str, log_share: u64| {
        json!({
            "DescribeGeneralStat": {
                "MachinesAll": 20, "MachinesUninstalled": unprotected, "AgentsOnline": 10,
                "Offline": offline, "Shutdown": 0, "AgentsBasic": 0, "AgentsPro": 20,
                "FlagshipMachineCnt": 0, "AgentsProExpireWithInSevenDays": 0,
            },
            "DescribeHistoryService": {
                "ResourceId": "cwplog-1", "Status": 1, "IsAutoOpenRenew": 2, "EndTime": log_end,
            },
            "DescribeLogStorageStatistic": {"TotalSize": 100, "UsedSize": log_share},
        })
    };
    let well = services(0, 0, "in 300d", 10);
    let ill = services(3, 5, "in 5d", 95);
    let mut refused = account("refused", licences(30, 0, 0), json!([]), json!({}));
    refused["allow"] = json!(["sts:AssumeRole"]);
    let scenario = json!({"accounts": [
        account("plenty", licences(30, 0, 0), json!([renewed]), well.clone()),
        account("exhausted", licences(0, 0, 0), json!([ends]), well),
        account("expiring", licences(20, 4, 2), troubled, ill),
        refused,
    ]});
    // JSON is YAML.
    Cloud::start(&scenario.to_string()).await
}

/// The collectors beside `license_general`.
const COLLECTORS: [&str; 4] = [
    "license_list",
    "general_stat",
    "history_service",
    "log_storage_statistic",
];

/// The program, with accounts that it collects once an hour, so that nothing changes.
struct Exporter {
    address: String,
    _program: Program,
    _config: NamedTempFile,
}

impl Exporter {
    /// Collects `accounts`, each with its name here and its kind.
    async fn start(cloud: &Cloud, accounts: &[(&str, &str)], flags: &[&str]) -> Self {
        let accounts = accounts.iter().map(|(name, kind)| {
            let key = json!({
                "type": "static",
                "secret_id": format!("AKID{kind}"),
                "secret_key_env": format!("KEY_{kind}"),
            });
            json!({"name": name, "labels": {"team": "security"}, "credentials": key})
        });
        let collectors = COLLECTORS.map(|name| {
            let settings = json!({"enabled": true, "interval": "1h", "max_age": "3h"});
            (name.to_owned(), settings)
        });
        let config = json!({
            "poll": {"interval": "1h", "max_age": "3h"},
            "collectors": Map::from_iter(collectors),
            "api": {"endpoint": cloud.url},
            "accounts": accounts.collect::<Vec<Value>>(),
        });
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config.to_string()).unwrap();
        let own = [
            "--config.file",
            file.path().to_str().unwrap(),
            "--web.listen-address=127.0.0.1:0",
        ];
        let keys = KINDS.map(|kind| (format!("KEY_{kind}"), format!("key-{kind}")));
        let keys = keys.each_ref();
        let keys = keys.map(|(name, key)| (name.as_str(), key.as_str()));
        let mut program = Program::start(&[&own, flags].concat(), &keys);
        let url = program.url().await;
        let http = client();
        let collected = async || {
            let page = http.get(format!("{url}/metrics")).send().await.unwrap();
            let page = page.text().await.unwrap();
            let count = |start: &str| page.lines().filter(|line| line.starts_with(start)).count();
            let accounts = count("tencentcloud_cwp_account_info{");
            let ended = count("cwp_exporter_collector_success{");
            (accounts > 0 && ended == accounts * (1 + COLLECTORS.len())).then_some(())
        };
        eventually("a collection of everything", collected).await;
        Self {
            address: url.trim_start_matches("http://").to_owned(),
            _program: program,
            _config: file,
        }
    }

    /// What it answers.
    async fn get(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.address);
        let answer = client().get(url).send().await.unwrap();
        answer.text().await.unwrap()
    }
}

/// A target that always answers the same. It ends when dropped.
struct Page {
    address: String,
    _stop: DropGuard,
}

impl Page {
    async fn serve(text: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = CancellationToken::new();
        let text = Bytes::from(text);
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let text = text.clone();
                let service = service_fn(move |_| {
                    let answer = Response::builder()
                        .header("Content-Type", "text/plain; version=0.0.4")
                        .body(Full::new(text.clone()))
                        .unwrap();
                    async move { Ok::<_, Infallible>(answer) }
                });
                let io = TokioIo::new(stream);
                tokio::spawn(http1::Builder::new().serve_connection(io, service));
            }
        }));
        Self {
            address,
            _stop: stop.drop_guard(),
        }
    }
}

/// The shipped rules as a file, evaluated as often as the server evaluates by itself: an hourly
/// group would keep a test waiting.
fn rules() -> NamedTempFile {
    let rules = repository_file("deploy/prometheus/rules.yml");
    let lines = rules.lines().map(|line| format!("{line}\n"));
    let lines = lines.filter(|line| !line.trim_start().starts_with("interval:"));
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines.collect::<String>()).unwrap();
    file
}
