//! The orders of an account over their life, through the simulated API and a real exporter.

use cwp_exporter::simulator::Answer;

use crate::harness::{
    Cloud, Exporter, LICENSES_ALONE, Program, Scrape, config_for, page_once_ready, within,
};

/// A cloud with the account `a0`, which has these `orders` and further keys.
async fn cloud_with(orders: &str, more: &str) -> Cloud {
    Cloud::start(&format!(
        "accounts:\n  - name: a0\n    secret_id: AKIDa0\n    secret_key: key-a0\n    orders: \
         [{orders}]\n{more}"
    ))
    .await
}

/// What configures an exporter of `a0` that asks for orders each second.
fn configured(cloud: &Cloud, settings: &str) -> (String, Vec<(String, String)>) {
    let (config, variables) = config_for(cloud, 1);
    let orders = format!("collectors: {{license_list: {{interval: 1s, max_age: 5m{settings}}}}}\n");
    let config = config.replace(LICENSES_ALONE, &orders);
    (config.replace("timeout: 500ms", "timeout: 10s"), variables)
}

async fn exporter_of(cloud: &Cloud, settings: &str) -> Exporter {
    let (config, variables) = configured(cloud, settings);
    Exporter::start(&config, variables).await
}

fn of_order(scrape: &Scrape, metric: &str, order: &str) -> Option<f64> {
    scrape.value(&format!(
        "tencentcloud_cwp_order_{metric}{{account=\"a0\",order=\"{order}\"}}"
    ))
}

fn orders(scrape: &Scrape, status: &str) -> Option<f64> {
    scrape.value(&format!(
        "tencentcloud_cwp_orders{{account=\"a0\",status=\"{status}\"}}"
    ))
}

/// Why the last collection of orders failed, and the number of rows that are not shown.
fn failure(scrape: &Scrape) -> Option<String> {
    let start =
        "cwp_exporter_collector_failure_reason{account=\"a0\",collector=\"license_list\",reason=\"";
    let mut reasons = scrape.samples.keys();
    let reason = reasons.find_map(|series| series.strip_prefix(start)?.strip_suffix("\"}"));
    reason.map(str::to_owned)
}

const DAY: f64 = 86_400.0;
const DEADLINE: &str = "deadline_timestamp_seconds";

#[tokio::test]
async fn a_renewal_moves_the_deadline_and_an_end_keeps_then_drops_the_series() {
    let cloud = cloud_with(
        "{ResourceId: renewed, Deadline: in 6d, LicenseCnt: 20, UsedLicenseCnt: 4}, \
         {ResourceId: ended, Deadline: in 1d}, {ResourceId: gone, Deadline: in 9d}",
        "    timeline:
      - {at: 3s, orders: [{ResourceId: renewed, Deadline: in 371d}, {ResourceId: ended, OrderStatus: 2}]}
      - {at: 6s, orders: [{ResourceId: ended, OrderStatus: 3}, {ResourceId: new}], remove_orders: [gone]}
",
    )
    .await;
    let exporter = exporter_of(&cloud, "").await;
    let first = exporter
        .until("the orders", |scrape| orders(scrape, "normal") == Some(3.0))
        .await;
    let deadline = of_order(&first, DEADLINE, "renewed").unwrap();
    assert_eq!(of_order(&first, "licenses", "renewed"), Some(20.0));
    assert_eq!(of_order(&first, "licenses_used", "renewed"), Some(4.0));
    assert_eq!(orders(&first, "isolated"), Some(0.0));

    let renewed = exporter
        .until("the renewal", |scrape| {
            orders(scrape, "isolated") == Some(1.0)
        })
        .await;
    let moved = of_order(&renewed, DEADLINE, "renewed").unwrap() - deadline;
    assert!((moved - 365.0 * DAY).abs() < 0.5, "{moved}");
    assert!(of_order(&renewed, DEADLINE, "ended").is_some());
    let info = renewed.samples.keys();
    let info = info.filter(|series| series.contains("order_info") && series.contains("ended"));
    let info: Vec<&String> = info.collect();
    assert_eq!(info.len(), 1);
    assert!(info[0].contains("status=\"isolated\""), "{info:?}");

    let ended = exporter
        .until("the end", |scrape| orders(scrape, "destroyed") == Some(1.0))
        .await;
    assert_eq!(of_order(&ended, DEADLINE, "ended"), None);
    assert_eq!(of_order(&ended, DEADLINE, "gone"), None);
    assert!(of_order(&ended, DEADLINE, "new").is_some());
    assert_eq!(orders(&ended, "normal"), Some(2.0));
}

#[tokio::test]
async fn a_purchase_between_two_pages_is_in_the_list_and_no_order_is_missing() {
    let cloud = cloud_with(
        "{ResourceId: 'many-{n}', count: 150}",
        "    timeline:
      - {at: 0s, between_pages: true, remove_orders: [many-0], orders: [{ResourceId: bought}, {ResourceId: two}]}
",
    )
    .await;
    let exporter = exporter_of(&cloud, "").await;
    let scrape = exporter
        .until("the orders", |scrape| orders(scrape, "normal").is_some())
        .await;
    assert_eq!(orders(&scrape, "normal"), Some(151.0));
    assert_eq!(of_order(&scrape, "licenses", "many-0"), None);
    let numbers = (1..150).map(|number| format!("many-{number}"));
    for order in numbers.chain(["bought".to_owned(), "two".to_owned()]) {
        assert_eq!(of_order(&scrape, "licenses", &order), Some(1.0), "{order}");
    }
    let asked = cloud.handle.received();
    let asked = asked
        .iter()
        .filter(|each| each.action.as_deref() == Some("DescribeLicenseList"));
    assert!(asked.count() >= 4, "both readings have two pages");
}

#[tokio::test]
async fn a_failure_of_the_list_keeps_all_orders_and_touches_nothing_else() {
    let cloud = cloud_with("{ResourceId: 'many-{n}', count: 150}", "").await;
    let exporter = exporter_of(&cloud, "").await;
    let all = |scrape: &Scrape| {
        let series = scrape.samples.keys();
        series.filter(|series| series.contains("order=")).count()
    };
    let before = exporter
        .until("the orders", |scrape| orders(scrape, "normal").is_some())
        .await;
    for (answer, reason) in [
        (
            Answer::Error {
                code: "UnauthorizedOperation".to_owned(),
                message: "no".to_owned(),
            },
            "permission",
        ),
        (
            Answer::Fields(serde_json::from_str(r#"{"TotalCount": 150, "List": []}"#).unwrap()),
            "response",
        ),
        (Answer::Reset, "network"),
    ] {
        let name = answer.name();
        cloud
            .handle
            .play_action("a0", "DescribeLicenseList", answer)
            .unwrap();
        let scrape = exporter
            .until(name, |scrape| failure(scrape).as_deref() == Some(reason))
            .await;
        assert_eq!(all(&scrape), all(&before), "{name}");
        assert_eq!(
            scrape.value("tencentcloud_cwp_up{account=\"a0\"}"),
            Some(1.0)
        );
        assert_eq!(scrape.failure_reason("a0"), None);
    }
    let empty = serde_json::from_str(r#"{"TotalCount": 0, "List": []}"#).unwrap();
    let empty = Answer::Fields(empty);
    cloud
        .handle
        .play_action("a0", "DescribeLicenseList", empty)
        .unwrap();
    let scrape = exporter.until("no orders", |scrape| all(scrape) == 0).await;
    assert_eq!(orders(&scrape, "normal"), Some(0.0));
}

#[tokio::test]
async fn beyond_the_cap_the_orders_that_end_last_are_hidden_and_counted() {
    let cloud = cloud_with(
        "{ResourceId: late, Deadline: in 90d}, {ResourceId: never, Deadline: '', LicenseType: 0}, \
         {ResourceId: b, Deadline: in 6d}, {ResourceId: a, Deadline: in 6d}, \
         {ResourceId: isolated, Deadline: in 300d, OrderStatus: 2}",
        "",
    )
    .await;
    let exporter = exporter_of(&cloud, ", max_rows: 2").await;
    let scrape = exporter
        .until("the orders", |scrape| orders(scrape, "normal").is_some())
        .await;
    let shown = ["a", "b", "isolated", "late", "never"]
        .map(|order| of_order(&scrape, "licenses", order).is_some());
    assert_eq!(shown, [true, false, true, false, false]);
    assert_eq!(orders(&scrape, "normal"), Some(4.0));
    let hidden = "cwp_exporter_collector_rows_hidden{account=\"a0\",collector=\"license_list\"}";
    assert_eq!(scrape.value(hidden), Some(3.0));
}

#[tokio::test]
async fn a_page_size_that_is_refused_twice_gives_way_to_the_documented_one() {
    let cloud = cloud_with(
        "{ResourceId: 'many-{n}', count: 25}",
        "    page_limit: 10\n",
    )
    .await;
    let (config, variables) = configured(&cloud, "");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let file = format!("--config.file={}", file.path().display());
    let variables = variables.iter();
    let variables: Vec<(&str, &str)> = variables.map(|(k, v)| (k.as_str(), v.as_str())).collect();
    // A program of its own, as the page size holds for the whole process.
    let mut program = Program::start(&[&file, "--web.listen-address=127.0.0.1:0"], &variables);
    let url = program.url().await;
    page_once_ready(&url).await;
    let lists = || {
        let received = cloud.handle.received();
        let lists = received.into_iter();
        let lists = lists.filter(|each| each.action.as_deref() == Some("DescribeLicenseList"));
        let lists: Vec<&str> = lists.map(|each| each.verdict).collect();
        lists
    };
    // Two collections with a refused request and three pages, and two with three pages.
    within("four collections", async {
        while lists().len() < 14 {
            cloud
                .handle
                .wait_for("a0", cloud.handle.received().len() + 1)
                .await;
        }
    })
    .await;
    let lists = lists();
    let refused = |at: &usize| lists[*at] == "InvalidParameterValue";
    let refused: Vec<usize> = (0..lists.len()).filter(refused).collect();
    assert_eq!(refused, [0, 4], "{lists:?}");
}
