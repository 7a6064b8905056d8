//! The status page and its JSON: what they say of accounts in every state.

use std::collections::{BTreeSet, HashSet};

use cwp_exporter::simulator::Answer;
use cwp_exporter::system::clock::Clock;
use http::header;
use serde_json::Value;

use crate::harness::{Cloud, Exporter, LICENSES_ALONE, Program, client, config_for, eventually};

/// The `data` of an answer of `/api/v1/status`.
pub(crate) async fn data(url: &str, query: &str) -> Value {
    let url = format!("{url}/api/v1/status{query}");
    let answer = client().get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
    let mut answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(answer["status"], "success");
    answer["data"].take()
}

/// Asks until `condition` holds, and returns the answer in which it did.
async fn data_until(url: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
    let look = async || Some(data(url, "").await).filter(&condition);
    eventually(what, look).await
}

/// The names of the accounts, in their order.
fn names(data: &Value) -> Vec<&str> {
    let accounts = data["accounts"].as_array().unwrap().iter();
    accounts
        .map(|account| account["account"].as_str().unwrap())
        .collect()
}

/// The account of this name.
fn account<'a>(data: &'a Value, name: &str) -> &'a Value {
    let mut accounts = data["accounts"].as_array().unwrap().iter();
    accounts.find(|account| account["account"] == name).unwrap()
}

/// Its only collector.
fn collector<'a>(data: &'a Value, name: &str) -> &'a Value {
    let collectors = account(data, name)["collectors"].as_array().unwrap();
    assert_eq!(collectors.len(), 1);
    &collectors[0]
}

/// An exporter with an account in every state there is.
pub(crate) struct Stories {
    pub(crate) url: String,
    _program: Program,
    _cloud: Cloud,
    _folder: tempfile::TempDir,
}

const SCENARIO: &str = "
accounts:
  - {name: fine, secret_id: AKIDfine, secret_key: k, fields: {LicenseCnt: 9, AvailableLicenseCnt: 3}}
  - {name: near, secret_id: AKIDnear, secret_key: k, fields: {LicenseCnt: 9, NearExpiryLicenseCnt: 2, RepurchaseRenewSwitch: true}}
  - {name: nearer, secret_id: AKIDnearer, secret_key: k, fields: {LicenseCnt: 9, NearExpiryLicenseCnt: 1, RepurchaseRenewSwitch: false}}
  - {name: empty, secret_id: AKIDempty, secret_key: k, fields: {LicenseCnt: 9, AvailableLicenseCnt: 0}}
  - {name: none, secret_id: AKIDnone, secret_key: k, fields: {LicenseCnt: 0, AvailableLicenseCnt: 0}}
  - {name: denied, secret_id: AKIDdenied, secret_key: k, allow: ['x:y']}
  - {name: hung, secret_id: AKIDhung, secret_key: k, timeline: [{at: 0s, hang: true}]}
  - {name: role, role: {arn: 'qcs::cam::uin/1:roleName/R'}}
";

impl Stories {
    pub(crate) async fn start() -> Self {
        let cloud = Cloud::start(SCENARIO).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cwp.yml");
        let key =
            |name: &str| format!("{{type: static, secret_id: AKID{name}, secret_key_env: KEY}}");
        let plain = ["near", "nearer", "empty", "none", "denied", "hung"];
        let plain = plain.map(|name| format!("- {{name: {name}, credentials: {}}}\n", key(name)));
        let url = &cloud.url;
        let config = format!(
            "{LICENSES_ALONE}poll: {{interval: 1s, timeout: 60s, max_age: 10m}}
api: {{endpoint: '{url}', sts_endpoint: '{url}'}}
accounts:
- {{name: fine, region: ap-x, labels: {{team: Red}}, credentials: {}}}
- {{name: role, credentials: {{type: assume_role, role_arn: 'qcs::cam::uin/1:roleName/R', source: {}}}}}
{}",
            key("fine"),
            key("fine"),
            plain.concat()
        );
        std::fs::write(&file, config).unwrap();
        let mut program = Program::start(
            &[
                "--config.file",
                file.to_str().unwrap(),
                "--web.listen-address=127.0.0.1:0",
                "--shard.index=0",
                "--shard.total=1",
            ],
            &[("KEY", "k")],
        );
        let url = program.url().await;
        let collected = |data: &Value| {
            data["health"]["waiting"] == 1
                && collector(data, "hung")["collecting_since"].is_string()
        };
        data_until(&url, "all but the hung account", collected).await;
        std::fs::write(&file, "accounts: []").unwrap();
        program.signal("HUP").await;
        data_until(&url, "the refusal", |data| {
            !data["configuration"]["refused"].is_null()
        })
        .await;
        Self {
            url,
            _program: program,
            _cloud: cloud,
            _folder: folder,
        }
    }
}

#[tokio::test]
async fn the_most_urgent_account_comes_first_and_each_account_shows_its_health() {
    let stories = Stories::start().await;
    let data = data(&stories.url, "").await;
    assert_eq!(
        names(&data),
        [
            "denied", "role", "nearer", "near", "empty", "hung", "fine", "none"
        ]
    );
    let health = |name| account(&data, name)["health"].as_str().unwrap();
    assert_eq!(health("denied"), "failing");
    // The document's own example has expired licences.
    assert_eq!(health("role"), "expired");
    assert_eq!(health("nearer"), "near_expiry");
    assert_eq!(health("empty"), "exhausted");
    assert_eq!(health("hung"), "waiting");
    assert_eq!(
        health("none"),
        "ok",
        "no licence is missing where there are none"
    );
    assert_eq!(data["health"]["near_expiry"], 2);
    assert_eq!(data["health"]["ok"], 2);

    let failure = &collector(&data, "denied")["failure"];
    assert_eq!(failure["reason"], "permission");
    assert_eq!(failure["code"], "AuthFailure.UnauthorizedOperation");
    assert!(failure["remedy"].as_str().unwrap().contains("CAM policy"));
    assert_eq!(failure["request_id"].as_str().unwrap().len(), 36);
    assert_eq!(account(&data, "denied")["up"], false);
    assert_eq!(account(&data, "denied")["licences"]["total"], Value::Null);

    let fine = account(&data, "fine");
    assert_eq!(fine["licences"]["total"], 9);
    assert_eq!(fine["licences"]["available"], 3);
    assert_eq!(fine["licences"]["used"], Value::Null);
    assert_eq!(fine["labels"]["team"], "Red");
    assert_eq!(fine["credential"]["source"], "the configured key");
    assert_eq!(collector(&data, "fine")["success"], true);

    let hung = collector(&data, "hung");
    assert_eq!(hung["success"], Value::Null);
    assert!(hung["collecting_since"].is_string() && hung["next_at"].is_null());
    assert_eq!(hung["budget"]["requests_last_minute"], 1);
    assert!(account(&data, "role")["credential"]["expires_at"].is_string());

    let refused = data["configuration"]["refused"]["error"].as_str().unwrap();
    assert!(refused.contains("accounts: the list is empty"), "{refused}");
}

#[tokio::test]
async fn the_parameters_select_and_divide_the_accounts() {
    let cloud = Cloud::with_accounts(25).await;
    cloud
        .handle
        .play("a7", Answer::Body("?".to_owned()))
        .unwrap();
    let (config, variables) = config_for(&cloud, 25);
    let config = config.replace("name: a3,", "name: a3, labels: {team: Blue}, region: ap-x,");
    let exporter = Exporter::start(&config, variables).await;
    exporter.ready().await;
    let ask = async |query: &str| data(&exporter.url, query).await;

    let page = ask("?per_page=10&page=3&sort=name").await;
    assert_eq!((&page["page"], &page["pages"]), (&3.into(), &3.into()));
    assert_eq!(page["selected"], 25);
    assert_eq!(names(&page), ["a20", "a21", "a22", "a23", "a24"]);
    assert_eq!(ask("?per_page=10&page=99&sort=name").await["page"], 3);
    assert_eq!(names(&ask("?per_page=1").await), ["a7"]);

    assert_eq!(names(&ask("?q=A11").await), ["a11"]);
    for query in [
        "?q=team%3Dblue",
        "?q=AP-X",
        "?q=lue&sort=name&health=expired",
    ] {
        assert_eq!(names(&ask(query).await), ["a3"], "{query}");
    }
    for query in ["?q=response", "?health=failing"] {
        let found = ask(query).await;
        assert_eq!(names(&found), ["a7"], "{query}");
        assert_eq!(found["health"]["expired"], 24, "all accounts are counted");
    }
    let nobody = ask("?q=nobody&page=4").await;
    assert_eq!(names(&nobody), Vec::<&str>::new());
    assert_eq!((&nobody["page"], &nobody["pages"]), (&1.into(), &1.into()));
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere_and_escapes_everything() {
    let cloud = Cloud::with_accounts(2).await;
    let echo = Answer::Error {
        code: "UnauthorizedOperation".to_owned(),
        message: "<script>alert(1)</script>".to_owned(),
    };
    cloud.handle.play("a1", echo).unwrap();
    let (config, variables) = config_for(&cloud, 2);
    let config = config.replace("name: a0,", "name: '<b a=\"&''>', labels: {x: '</dl><i>'},");
    let exporter = Exporter::start(&config, variables).await;
    exporter.ready().await;
    let path = "/?q=%3Cscript%3E%22&health=%3Cb%3E&page=%3Ci%3E";
    assert!(
        !exporter
            .get(path)
            .await
            .text()
            .await
            .unwrap()
            .contains("<script")
    );

    let answer = exporter.get("/").await;
    let headers = answer.headers().clone();
    let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"));
    assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");

    let page = answer.text().await.unwrap();
    assert!(!page.contains("<script") && !page.contains("<i>"), "{page}");
    assert!(page.contains("&lt;b a=&quot;&amp;'&gt;"), "{page}");
    assert!(
        page.contains("UnauthorizedOperation: &lt;script&gt;"),
        "{page}"
    );
    assert!(
        page.contains("To do: </b>give the key's user or role a CAM policy"),
        "{page}"
    );
    let failing = page.find("failing: permission").unwrap();
    assert!(failing < page.find("&lt;b a=").unwrap(), "{page}");
    for elsewhere in ["src=", "@import", "url(", "style=", "http-equiv", "onclick"] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
}

#[tokio::test]
async fn the_page_shows_its_time() {
    let cloud = Cloud::with_accounts(1).await;
    let exporter = Exporter::of(&cloud, 1).await;
    let clock = Clock::system();
    let before = clock.now();
    let page = exporter.get("/").await.text().await.unwrap();
    let (_, as_of) = page.split_once("<dt>As of</dt>").unwrap();
    let time = as_of.split('"').nth(1).unwrap();
    let shown = time.replace('T', " ").replace('Z', " UTC");
    assert!(as_of.contains(&format!(">{shown}</time>")), "{as_of:.120}");
    let time: jiff::Timestamp = time.parse().unwrap();
    let second = jiff::SignedDuration::from_secs(1);
    assert!(time >= before - second && time <= clock.now(), "{time}");
}

#[tokio::test]
async fn head_is_answered_like_get_without_a_body() {
    let cloud = Cloud::with_accounts(1).await;
    let exporter = Exporter::of(&cloud, 1).await;
    for path in ["/", "/api/v1/status", "/config"] {
        let url = format!("{}{path}", exporter.url);
        let head = client().head(url).send().await.unwrap();
        assert_eq!(head.status(), 200);
        let get = exporter.get(path).await;
        for name in [header::CONTENT_TYPE, header::CACHE_CONTROL] {
            assert_eq!(head.headers()[&name], get.headers()[&name], "{path}");
        }
        assert_eq!(head.text().await.unwrap(), "");
    }
}

#[tokio::test]
async fn the_configuration_shown_is_the_active_one_and_loads_again() {
    let cloud = Cloud::with_accounts(2).await;
    let (config, variables) = config_for(&cloud, 1);
    let exporter = Exporter::start(&config, variables).await;
    let shown = async || exporter.get("/config").await.text().await.unwrap();
    assert!(shown().await.contains("name: a0"));

    let (config, _) = config_for(&cloud, 1);
    let other = config.replace("max_age: 2s", "max_age: 1h30m");
    assert_eq!(exporter.reload(&other).await.status(), 200);
    assert!(shown().await.contains("max_age: 1h30m"));
    assert_eq!(exporter.reload("accounts: []").await.status(), 500);
    let last = shown().await;
    assert!(last.contains("max_age: 1h30m"), "{last}");

    // A secret id is the one thing to be filled in.
    assert!(last.contains("secret_id: <secret>"), "{last}");
    let again = last.replace("<secret>", "AKIDa0");
    assert_eq!(exporter.reload(&again).await.status(), 200);
    assert_eq!(shown().await, last);
    exporter
        .until("a collection", |scrape| {
            scrape.succeeded("a0") == Some(true)
        })
        .await;
}

#[tokio::test]
async fn behind_a_proxy_that_serves_it_below_a_path_every_link_leads_to_the_exporter() {
    let cloud = Cloud::with_accounts(2).await;
    let (config, variables) = config_for(&cloud, 2);
    let exporter = Exporter::start_with(&config, variables, |options| {
        options.telemetry_path = "/odd:metrics".to_owned();
    })
    .await;
    let mut links = BTreeSet::new();
    for path in [
        "/",
        "/?per_page=1&page=1&q=a",
        "/?q=nobody",
        "/?sort=name&health=ok",
    ] {
        let page = exporter.get(path).await.text().await.unwrap();
        let here = url::Url::parse("http://proxy/cwp/").unwrap();
        for attribute in [" href=\"", " action=\""] {
            for rest in page.split(attribute).skip(1) {
                let link = rest.split('"').next().unwrap().replace("&amp;", "&");
                if link.starts_with("data:") {
                    continue;
                }
                let target = here.join(&link).unwrap();
                assert!(target.as_str().starts_with("http://proxy/cwp/"), "{link}");
                links.insert(target.as_str()["http://proxy/cwp".len()..].to_owned());
            }
        }
    }
    for expected in [
        "/",
        "/config",
        "/sd",
        "/odd:metrics",
        "/-/ready",
        "/?sort=name",
    ] {
        assert!(links.contains(expected), "{expected} of {links:?}");
    }
    for link in links {
        assert_ne!(exporter.get(&link).await.status(), 404, "{link}");
    }
}

#[tokio::test]
async fn many_accounts_that_fail_alike_are_one_box_with_a_link_to_all_of_them() {
    let cloud = Cloud::with_accounts(30).await;
    for number in 0..20 {
        let denied = Answer::Error {
            code: "UnauthorizedOperation.CamNoAuth".to_owned(),
            message: format!("not you, a{number}"),
        };
        cloud.handle.play(&format!("a{number}"), denied).unwrap();
    }
    cloud
        .handle
        .play("a20", Answer::Body("?".to_owned()))
        .unwrap();
    let (config, variables) = config_for(&cloud, 30);
    let exporter = Exporter::start(&config, variables).await;
    exporter.ready().await;
    let page = async |path: &str| exporter.get(path).await.text().await.unwrap();
    let count = |page: &str, what: &str| page.matches(what).count();

    let all = page("/").await;
    assert_eq!(count(&all, "To do: "), 1 + 3 + 1, "{all}");
    assert!(all.contains("20 accounts: permission"), "{all}");
    assert!(all.contains("For example <b>a0</b>"), "{all}");
    assert_eq!(count(&all, "<article "), 3 + 1 + 9);
    let link = "./?q=UnauthorizedOperation.CamNoAuth&amp;health=failing\">Show all 20 accounts";
    assert!(all.contains(link), "{all}");

    let alike = page("/?q=UnauthorizedOperation.CamNoAuth&health=failing").await;
    assert_eq!(count(&alike, "<article "), 20);
    assert_eq!(count(&alike, "20 accounts: permission"), 1);
    // Programs get every account.
    let data = data(&exporter.url, "").await;
    assert_eq!((names(&data).len(), &data["selected"]), (30, &30.into()));
    assert_eq!(names(&data)[..3], ["a0", "a1", "a2"]);
    assert_eq!(names(&data)[19..21], ["a19", "a20"]);
}

/// An exporter of accounts with orders, all of which are collected once.
pub(crate) async fn exporter_with_orders(cloud: &Cloud) -> Exporter {
    let accounts = ["buyer", "later", "plain", "denied"];
    let accounts = accounts.map(|name| {
        format!("- {{name: {name}, credentials: {{type: static, secret_id: AKID{name}, secret_key_env: KEY}}}}\n")
    });
    let config = format!(
        "poll: {{interval: 1s, timeout: 10s}}
api: {{endpoint: '{}'}}
collectors:
  license_list: {{interval: 1s}}
  general_stat: {{enabled: true}}
  history_service: {{enabled: true}}
  log_storage_statistic: {{enabled: true}}
accounts:
{}",
        cloud.url,
        accounts.concat()
    );
    let exporter = Exporter::start(&config, vec![("KEY".to_owned(), "k".to_owned())]).await;
    data_until(&exporter.url, "all collections", |data| {
        let accounts = data["accounts"].as_array().unwrap().iter();
        let collectors = accounts.flat_map(|account| account["collectors"].as_array().unwrap());
        collectors.clone().count() == 20
            && collectors
                .into_iter()
                .all(|each| !each["success"].is_null())
    })
    .await;
    exporter
}

pub(crate) const ORDERS: &str = r#"
accounts:
  - name: buyer
    secret_id: AKIDbuyer
    secret_key: k
    fields: {LicenseCnt: 9, ExpireLicenseCnt: 0, NearExpiryLicenseCnt: 0, AvailableLicenseCnt: 2}
    orders:
      - {ResourceId: cwplic-soon, Deadline: in 6d, LicenseCnt: 20, UsedLicenseCnt: 4, Alias: "a<b>\"\u202e"}
      - {ResourceId: cwplic-auto, Deadline: in 40d, AutoRenewFlag: 1, LicenseType: 2}
      - {ResourceId: cwplic-postpaid, LicenseType: 0, Deadline: ""}
      - {ResourceId: white_1, Deadline: in 3d, SourceType: 1}
    answers:
      DescribeGeneralStat: {MachinesAll: 120, MachinesUninstalled: 7, AgentsOnline: 101, Offline: 3, Shutdown: 9, AgentsBasic: 40, AgentsPro: 60, FlagshipMachineCnt: 13, AgentsProExpireWithInSevenDays: 5}
      DescribeHistoryService: {ResourceId: cwplog-1, Status: 1, EndTime: in 50d, StartTime: 3d ago, IsAutoOpenRenew: 2, InquireNum: 1, BuyStatus: 3}
      DescribeLogStorageStatistic: {TotalSize: 1073741824, UsedSize: 536870912}
  - name: later
    secret_id: AKIDlater
    secret_key: k
    fields: {LicenseCnt: 9, ExpireLicenseCnt: 0, NearExpiryLicenseCnt: 0, AvailableLicenseCnt: 2}
    orders: [{ResourceId: cwplic-later, Deadline: in 20d, UsedLicenseCnt: 1}]
  - name: plain
    secret_id: AKIDplain
    secret_key: k
    fields: {LicenseCnt: 9, ExpireLicenseCnt: 0, NearExpiryLicenseCnt: 0, AvailableLicenseCnt: 2}
  - name: denied
    secret_id: AKIDdenied
    secret_key: k
    allow: [cwp:DescribeLicenseGeneral]
    fields: {LicenseCnt: 9, ExpireLicenseCnt: 0, NearExpiryLicenseCnt: 0, AvailableLicenseCnt: 2}
"#;

#[tokio::test]
async fn orders_show_by_deadline_and_those_that_end_unrenewed_need_attention() {
    let cloud = Cloud::start(ORDERS).await;
    let exporter = exporter_with_orders(&cloud).await;
    let told = data(&exporter.url, "").await;
    assert_eq!(names(&told), ["buyer", "later", "denied", "plain"]);
    let health = |name| account(&told, name)["health"].as_str().unwrap();
    assert_eq!(
        (health("buyer"), health("later")),
        ("order_ending", "order_ending")
    );
    assert_eq!(health("denied"), "ok", "licences are collected");
    let buyer = account(&told, "buyer");
    let orders = buyer["orders"].as_array().unwrap().iter();
    let orders = orders.map(|order| {
        (
            order["order"].as_str().unwrap(),
            order["attention"].as_str().unwrap(),
        )
    });
    assert_eq!(
        orders.collect::<Vec<_>>(),
        [
            ("white_1", "none"),
            ("cwplic-soon", "now"),
            ("cwplic-auto", "none"),
            ("cwplic-postpaid", "none")
        ]
    );
    assert_eq!(buyer["next_deadline_at"], buyer["orders"][0]["deadline_at"]);
    assert_eq!(buyer["orders"][1]["licences_used"], 4);
    assert_eq!(buyer["servers"]["agents"]["none"], 7);
    assert_eq!(buyer["log_service"]["renewal"], "manual");
    assert_eq!(buyer["log_storage"]["bytes"], 1_073_741_824);
    let plain = account(&told, "plain");
    assert_eq!(
        (&plain["orders"], &plain["next_deadline_at"]),
        (&serde_json::json!([]), &Value::Null)
    );
    assert_eq!(account(&told, "denied")["orders"], Value::Null);
    let by_deadline = data(&exporter.url, "?sort=deadline").await;
    assert_eq!(names(&by_deadline), ["buyer", "later", "denied", "plain"]);
    let sorted = data(&exporter.url, "?sort=deadline&per_page=1&page=2").await;
    assert_eq!(names(&sorted), ["later"]);

    let page = exporter.get("/?sort=name").await.text().await.unwrap();
    assert!(
        page.contains("href=\"./calendar.ics?account=buyer\""),
        "{page}"
    );
    assert!(!page.contains("calendar.ics?account=denied"), "{page}");
    let lines: Vec<&str> = page.split("<article ").skip(1).collect();
    let [buyer, denied, _, plain] = lines.as_slice() else {
        panic!("{page}");
    };
    assert!(buyer.contains("order cwplic-soon ends in 5 d"), "{buyer}");
    assert!(
        buyer.contains("<svg ") && buyer.contains("a&lt;b&gt;&quot;\u{202e}"),
        "{buyer}"
    );
    assert!(
        buyer.contains("4 of 20 used") && buyer.contains("0.5 of 1.0 GiB used"),
        "{buyer}"
    );
    assert!(
        denied.contains(
            "license_list, general_stat, history_service, log_storage_statistic: permission"
        ),
        "{denied}"
    );
    assert!(
        denied.contains("could not be read yet; reading fails: permission"),
        "{denied}"
    );
    assert!(
        plain.contains("There are none.") && !plain.contains("<svg"),
        "{plain}"
    );
}

#[tokio::test]
async fn orders_that_can_no_longer_be_read_show_their_age_and_are_withdrawn_in_the_end() {
    let cloud = Cloud::start(ORDERS).await;
    let exporter = exporter_with_orders(&cloud).await;
    cloud.handle.play("later", Answer::Reset).unwrap();
    let failing = data_until(&exporter.url, "a failure", |data| {
        account(data, "later")["collectors"][1]["success"] == false
    })
    .await;
    assert!(account(&failing, "later")["orders"].is_array());
    let page = exporter.get("/?q=later").await.text().await.unwrap();
    assert!(
        page.contains("</time>; reading fails: network, see below"),
        "{page}"
    );
    assert!(page.contains("<svg "), "{page}");

    let config = std::fs::read_to_string(exporter.config_file()).unwrap();
    let config = config.replace(
        "license_list: {interval: 1s}",
        "license_list: {interval: 1s, max_age: 2s}",
    );
    assert_eq!(exporter.reload(&config).await.status(), 200);
    data_until(&exporter.url, "the withdrawal", |data| {
        account(data, "later")["orders"].is_null()
    })
    .await;
    let page = exporter.get("/?q=later").await.text().await.unwrap();
    assert!(page.contains("too long ago to be shown"), "{page}");
    assert!(!page.contains("<svg "), "{page}");
}

/// What a reader sees or hears of a page, by its tags.
fn texts(page: &str) -> impl Iterator<Item = &str> {
    let (_, body) = page.split_once("<body>").unwrap();
    let parts = body.split('<').filter_map(|part| part.split_once('>'));
    parts.flat_map(|(tag, text)| {
        let attributes = ["title=\"", "aria-label=\"", "placeholder=\""];
        let attributes = attributes.into_iter().filter_map(move |name| {
            let (_, value) = tag.split_once(name)?;
            value.split('"').next()
        });
        attributes.chain([text])
    })
}

/// The page in the language that the header and the query ask for. It says everywhere that it
/// is in `language`.
async fn page_in(url: &str, query: &str, accept_language: &str, language: &str) -> String {
    let request = client().get(format!("{url}/{query}"));
    let request = request.header(header::ACCEPT_LANGUAGE, accept_language);
    let answer = request.send().await.unwrap();
    let named = &answer.headers()[header::CONTENT_LANGUAGE];
    assert_eq!(named, language, "{query} {accept_language}");
    assert_eq!(answer.headers()[header::VARY], "Accept-Language");
    let page = answer.text().await.unwrap();
    let html = format!("<html lang=\"{language}\">");
    assert!(page.contains(&html), "{page:.300}");
    page
}

#[tokio::test]
async fn the_page_is_in_the_language_that_the_query_or_else_the_browser_asks_for() {
    let stories = Stories::start().await;
    let url = &stories.url;
    const CHINA: &str = "zh-CN,zh;q=0.9,en;q=0.8";
    let page = page_in(url, "", CHINA, "zh-CN").await;
    for words in [
        "配置没有重新加载",
        "采集失败：权限（permission）",
        "<b>处理：</b>为密钥所属的用户或角色关联访问策略",
        "<code>cwp-exporter doctor</code> 会输出该策略。</p>",
        "1 个即将到期，不会自动续费",
        "无可用授权",
        "尚未采集",
        "秒前</time>",
        "href=\"./?lang=en\" lang=\"en\" hreflang=\"en\">English</a>",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    page_in(url, "", "zh;q=0.5, en;q=0.6", "en").await;
    page_in(url, "?lang=en", CHINA, "en").await;
    page_in(url, "?lang=fr", CHINA, "en").await;
    let chosen = page_in(url, "?lang=zh&sort=name", "en", "zh-CN").await;
    // All links to the page keep the choice, and so does its form.
    let links = chosen.split("href=\"").skip(1);
    let links = links.map(|rest| rest.split('"').next().unwrap());
    let links: Vec<&str> = links.filter(|link| link.starts_with("./?")).collect();
    assert!(links.len() > 8, "{links:?}");
    let kept = |link: &&&str| link.contains("lang=zh") || link.contains("lang=en");
    assert_eq!(links.iter().filter(kept).count(), links.len(), "{links:?}");
    assert!(!chosen.contains("href=\"./\""), "{chosen}");
    assert!(chosen.contains("name=\"lang\" value=\"zh\""), "{chosen}");
    // What programs read is the same in every language.
    let json = client().get(format!("{url}/api/v1/status?lang=zh"));
    let json = json
        .header(header::ACCEPT_LANGUAGE, CHINA)
        .send()
        .await
        .unwrap();
    assert!(json.headers().get(header::CONTENT_LANGUAGE).is_none());
    assert!(json.text().await.unwrap().contains("CAM policy"));
}

#[tokio::test]
async fn a_chinese_page_has_no_english_but_names_and_what_a_log_line_has_too() {
    // Of programs, headers, accounts, labels and a revision, and the source of a key.
    const NAMES: [&str; 19] = [
        "CWP exporter",
        "a&lt;b&gt;&quot;\u{202e}",
        "buyer",
        "later",
        "plain",
        "JSON",
        "Red",
        "RequestId",
        "ap-x",
        "cwp-exporter doctor",
        "denied",
        "empty",
        "fine",
        "hung",
        "near",
        "nearer",
        "none",
        "role",
        "the configured key",
    ];
    let stories = Stories::start().await;
    let cloud = Cloud::start(ORDERS).await;
    let exporter = exporter_with_orders(&cloud).await;
    for url in [&stories.url, &exporter.url] {
        let english = page_in(url, "", "en", "en").await;
        let chinese = page_in(url, "", "zh", "zh-CN").await;
        let english: HashSet<&str> = texts(&english).collect();
        let both = texts(&chinese).filter(|text| english.contains(text));
        let both = both.map(str::trim).filter(|text| {
            // Times, file names, addresses and ids, and words of the API.
            let is_odd = |letter: char| "/:_0123456789".contains(letter);
            let capitals = text.chars().filter(char::is_ascii_uppercase).count();
            let is_of_the_api = !text.contains(' ') && capitals > 1;
            let has_letters = text.contains(|letter: char| letter.is_ascii_alphabetic());
            let is_name = NAMES.contains(text) || text.starts_with("cwplic-");
            has_letters && !text.contains(is_odd) && !is_of_the_api && !is_name
        });
        let revision = data(url, "").await["exporter"]["revision"].take();
        let both: BTreeSet<&str> = both.filter(|text| revision != **text).collect();
        assert_eq!(both, BTreeSet::new());
    }
}
