//! The calendar of deadlines: what it says, what strict readers make of it, and when it refuses
//! to be incomplete.

use std::process::Stdio;

use cwp_exporter::simulator::Answer;
use http::header;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::formats::parsers::client_python;
use crate::harness::{Cloud, Exporter, LICENSES_ALONE, client, config_for, eventually, within};

/// The events of a feed by the first words of their descriptions, unfolded.
fn events(feed: &str) -> Vec<String> {
    let unfolded = feed.replace("\r\n ", "");
    let events = unfolded.split("BEGIN:VEVENT").skip(1);
    events
        .map(|event| event.split("END:VEVENT").next().unwrap().to_owned())
        .collect()
}

/// The value of a property of an event.
fn property<'e>(event: &'e str, name: &str) -> &'e str {
    let mut lines = event.split("\r\n");
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in {event}"))
}

/// An exporter of the first `count` accounts of `cloud` that asks for orders each second.
async fn exporter_of(cloud: &Cloud, count: usize, max_age: &str) -> Exporter {
    let (config, variables) = config_for(cloud, count);
    let collectors = format!(
        "collectors: {{license_list: {{interval: 1s, max_age: {max_age}}}, \
         history_service: {{enabled: true, interval: 1s}}}}\n"
    );
    let config = config.replace(LICENSES_ALONE, &collectors);
    Exporter::start(&config.replace("timeout: 500ms", "timeout: 10s"), variables).await
}

/// The feed once it is there and `condition` holds.
async fn feed_until(exporter: &Exporter, path: &str, condition: impl Fn(&str) -> bool) -> String {
    eventually("the calendar", async || {
        let answer = exporter.get(path).await;
        if answer.status() != 200 {
            assert_eq!(answer.status(), 503);
            return None;
        }
        Some(answer.text().await.unwrap()).filter(|feed| condition(feed))
    })
    .await
}

fn scenario(accounts: &[(&str, &str)]) -> String {
    let accounts = accounts.iter().enumerate().map(|(number, (orders, more))| {
        format!(
            "  - {{name: a{number}, secret_id: AKIDa{number}, secret_key: key-a{number}, \
             orders: [{orders}]{more}}}\n"
        )
    });
    format!("accounts:\n{}", accounts.collect::<String>())
}

const LOG: &str = ", answers: {DescribeHistoryService: {ResourceId: cwplog-1, Status: 1, \
                   EndTime: \"2030-07-01 00:00:00\", StartTime: 3d ago, IsAutoOpenRenew: 2, \
                   InquireNum: 1, BuyStatus: 3}}";

const ORDERS: &str = r#"
    {ResourceId: plain, LicenseCnt: 20, Deadline: "2030-01-25 10:11:03", Alias: "a,b;c\\d\n\"\u202e主机\U0001F600"},
    {ResourceId: auto, LicenseType: 2, AutoRenewFlag: 1, Deadline: "2030-03-01 00:00:00"},
    {ResourceId: trial, SourceType: 1, Deadline: "2030-02-01 00:00:00"},
    {ResourceId: isolated, OrderStatus: 2, Deadline: 3d ago},
    {ResourceId: destroyed, OrderStatus: 3, Deadline: 90d ago},
    {ResourceId: postpaid, LicenseType: 0, Deadline: ""}"#;

/// Prints what two strict readers make of standard input.
const PYTHON: &str = "
import json, sys
import icalendar, vobject
data = sys.stdin.buffer.read()
calendar = icalendar.Calendar.from_ical(data)
def errors(component):
    return list(component.errors) + [e for each in component.subcomponents for e in errors(each)]
assert not errors(calendar), errors(calendar)
[other] = list(vobject.readComponents(data.decode(), validate=True))
other.validate(raiseException=True)
events = [each for each in calendar.walk('VEVENT')]
others = getattr(other, 'vevent_list', [])
assert [str(e['UID']) for e in events] == [e.uid.value for e in others]
assert [str(e['DESCRIPTION']) for e in events] == [e.description.value for e in others]
print(json.dumps({
    'name': str(calendar['X-WR-CALNAME']),
    'refresh': calendar['REFRESH-INTERVAL'].dt.total_seconds(),
    'events': [{
        'start': e['DTSTART'].dt.isoformat(),
        'summary': str(e['SUMMARY']),
        'description': str(e['DESCRIPTION']),
        'status': str(e['STATUS']),
        'alarms': [a['TRIGGER'].dt.total_seconds() for a in e.walk('VALARM')],
    } for e in events],
}))
";

/// What strict readers make of a feed; nothing if they are not there, which `tests/run` says.
async fn readers(feed: &str) -> Option<Value> {
    let mut child = Command::new(client_python()?)
        .args(["-c", PYTHON])
        .env("PYTHONUTF8", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = within("Python to end", async {
        stdin.write_all(feed.as_bytes()).await.unwrap();
        drop(stdin);
        child.wait_with_output().await.unwrap()
    })
    .await;
    assert!(output.status.success(), "it refused this:\n{feed}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[tokio::test]
async fn each_live_order_and_the_log_service_have_an_event_that_strict_readers_read() {
    let cloud = Cloud::start(&scenario(&[(ORDERS, LOG), ("", "")])).await;
    let exporter = exporter_of(&cloud, 2, "5m").await;
    let feed = feed_until(&exporter, "/calendar.ics", |_| true).await;
    let summaries: Vec<String> = events(&feed)
        .iter()
        .map(|event| property(event, "SUMMARY").to_owned())
        .collect();
    assert_eq!(
        summaries,
        [
            "a0: order of 1 professional licence is isolated",
            "a0: order of 20 professional licences ends",
            "a0: trial or gift of 1 professional licence ends",
            "a0: order of 1 ultimate licence renews itself",
            "a0: log service ends",
        ]
    );
    assert!(
        feed.split("\r\n")
            .all(|line| line.len() <= 75 && !line.contains('\n')),
        "{feed}"
    );
    let unfolded = feed.replace("\r\n ", "");
    for order in ["destroyed", "postpaid"] {
        assert!(!unfolded.contains(&format!("Order {order} of")), "{feed}");
    }
    if let Some(read) = readers(&feed).await {
        let plain = &read["events"][1];
        assert_eq!(plain["start"], "2030-01-25T02:11:03+00:00");
        let text = plain["description"].as_str().unwrap();
        assert!(
            text.starts_with("Order plain \"\u{2068}a,b;c\\d\n\"\u{202e}主机\u{1f600}\u{2069}\" of the account a0"),
            "{text}"
        );
        assert_eq!(plain["alarms"], json!([-2_592_000.0, -604_800.0]));
        assert_eq!(read["events"][3]["status"], "TENTATIVE");
        assert_eq!(read["events"][3]["alarms"], json!([]));
        assert_eq!(
            (&read["name"], &read["refresh"]),
            (&json!("CWP orders"), &json!(3600.0))
        );
    }

    let one = feed_until(&exporter, "/calendar.ics?account=a1", |_| true).await;
    assert_eq!(events(&one), Vec::<String>::new());
    assert!(
        one.contains("BEGIN:VTIMEZONE"),
        "a calendar needs a component: {one}"
    );
    if let Some(read) = readers(&one).await {
        assert_eq!(read["name"], "CWP orders of a1");
    }
    let answer = exporter.get("/calendar.ics?account=a0").await;
    assert_eq!(
        answer.headers()[header::CONTENT_TYPE],
        "text/calendar; charset=utf-8"
    );
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(events(&answer.text().await.unwrap()).len(), 5);
    assert_eq!(exporter.get("/calendar.ics?account=a").await.status(), 400);
    let head = client().head(format!("{}/calendar.ics", exporter.url));
    assert_eq!(head.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_deadline_that_moves_is_a_later_revision_of_the_same_event_also_after_a_restart() {
    let orders = "{ResourceId: moved, Deadline: \"2030-01-25 10:11:03\"}, {ResourceId: other, Deadline: \"2031-01-01 00:00:00\"}";
    let more =
        ", timeline: [{at: 4s, orders: [{ResourceId: moved, Deadline: \"2029-01-25 10:11:03\"}]}]";
    let cloud = Cloud::start(&scenario(&[(orders, more)])).await;
    let exporter = exporter_of(&cloud, 1, "5m").await;
    let before = events(&feed_until(&exporter, "/calendar.ics", |_| true).await);
    assert_eq!(property(&before[0], "DTSTART"), "20300125T021103Z");
    let after = feed_until(&exporter, "/calendar.ics", |feed| {
        feed.contains("DTSTART:2029")
    })
    .await;
    let after = events(&after);
    let revision = |event: &str| property(event, "SEQUENCE").parse::<i32>().unwrap();
    assert_eq!(property(&before[0], "UID"), property(&after[0], "UID"));
    assert!(revision(&after[0]) > revision(&before[0]), "{after:?}");
    assert!(property(&after[0], "LAST-MODIFIED") > property(&before[0], "LAST-MODIFIED"));
    assert_eq!(before[1], after[1], "the other order stays as it was");

    exporter.stop().await;
    let restarted = exporter_of(&cloud, 1, "5m").await;
    let restarted = feed_until(&restarted, "/calendar.ics", |_| true).await;
    let restarted = events(&restarted);
    assert_eq!(property(&restarted[0], "UID"), property(&after[0], "UID"));
    assert!(revision(&restarted[0]) >= revision(&after[0]));
}

#[tokio::test]
async fn a_feed_is_never_incomplete_but_for_accounts_that_may_not_read_orders() {
    let order = "{ResourceId: kept, Deadline: \"2030-01-25 10:11:03\"}";
    let denied = ", allow: [\"cwp:DescribeLicenseGeneral\", \"cwp:DescribeHistoryService\"]";
    let cloud = Cloud::start(&scenario(&[(order, ""), (order, denied), (order, "")])).await;
    cloud.handle.play("a2", Answer::Reset).unwrap();
    let exporter = exporter_of(&cloud, 3, "2s").await;
    exporter.ready().await;
    let only = feed_until(&exporter, "/calendar.ics?account=a0", |_| true).await;
    assert_eq!(events(&only).len(), 1);
    // The account that cannot be reached would be missing.
    let refused = exporter.get("/calendar.ics").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()[header::RETRY_AFTER], "60");
    let text = refused.text().await.unwrap();
    assert!(
        text.contains("the orders of the account a2 (license_list) have not been read"),
        "{text}"
    );

    cloud.handle.resume("a2").unwrap();
    let feed = feed_until(&exporter, "/calendar.ics", |_| true).await;
    assert_eq!(events(&feed).len(), 2, "{feed}");
    let unfolded = feed.replace("\r\n ", "");
    let named = "cannot be read: the orders of the account a1 (license_list: permission).";
    assert!(unfolded.contains(named), "{unfolded}");
    assert!(!feed.contains("Last read at"), "{feed}");

    // What was read once stays, with its age, though nothing else shows it any more.
    cloud.handle.play("a2", Answer::Reset).unwrap();
    let stale = feed_until(&exporter, "/calendar.ics", |feed| {
        feed.contains("Last read at")
    })
    .await;
    assert_eq!(events(&stale).len(), 2, "{stale}");
    let scrape = exporter.scrape().await;
    let shown = "tencentcloud_cwp_order_deadline_timestamp_seconds{account=\"a2\",order=\"kept\"}";
    assert_eq!(scrape.value(shown), None);
}

#[tokio::test]
async fn where_no_orders_are_collected_calendars_keep_what_they_have() {
    let cloud = Cloud::with_accounts(1).await;
    let exporter = Exporter::of(&cloud, 1).await;
    let refused = exporter.get("/calendar.ics").await;
    assert_eq!(refused.status(), 503);
    let text = refused.text().await.unwrap();
    assert!(
        text.contains("Switch the collector license_list on"),
        "{text}"
    );
}
