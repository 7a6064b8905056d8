//! Orders, and steps of single actions.

use serde_json::Value;

use super::super::super::answer::Answer;
use super::super::super::response_script::ResponseScript;
use super::super::super::timeline::Timeline;
use super::*;

const LIST: &str = "DescribeLicenseList";

fn timeline(scenario: &Scenario, action: &str) -> Arc<Timeline> {
    let entry = scenario.accounts.first().unwrap();
    let timeline = match action {
        "DescribeLicenseGeneral" => &entry.timeline,
        _ => &entry.further[action],
    };
    Arc::clone(timeline)
}

/// The ids and deadlines of the orders at a time in seconds.
fn orders(scenario: &Scenario, at: u64) -> Vec<(String, String)> {
    let timeline = timeline(scenario, LIST);
    let fields = &timeline.at(Duration::from_secs(at)).1.fields;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list = fields["List"].as_array().unwrap().iter();
    list.map(|order| (text(&order["ResourceId"]), text(&order["Deadline"])))
        .collect()
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    let owned = pairs.map(|(id, deadline)| (id.to_owned(), deadline.to_owned()));
    owned.to_vec()
}

#[test]
fn orders_have_all_fields_and_steps_add_change_and_remove_them() {
    let scenario = parse(&account(
        "    orders: [{ResourceId: a, Deadline: in 6d}, {ResourceId: 'm{n}', count: 2, Alias: x}]
    timeline:
      - {at: 10s, orders: [{ResourceId: a, Deadline: in 371d}, {ResourceId: b, Deadline: ''}]}
      - {at: 20s, remove_orders: [m0, a]}
",
    ))
    .unwrap();
    let usual = "in 365d";
    assert_eq!(
        orders(&scenario, 0),
        pairs([("a", "in 6d"), ("m0", usual), ("m1", usual)])
    );
    assert_eq!(
        orders(&scenario, 10),
        pairs([("a", "in 371d"), ("m0", usual), ("m1", usual), ("b", "")])
    );
    assert_eq!(orders(&scenario, 20), pairs([("m1", usual), ("b", "")]));
    let list = timeline(&scenario, LIST);
    let order = &list.at(Duration::ZERO).1.fields["List"][1];
    assert_eq!(order.as_object().unwrap().len(), 16);
    assert_eq!(order["Alias"], "x");
}

#[test]
fn a_step_of_an_action_is_about_this_action_alone() {
    let scenario = parse(&account(
        "    timeline:
      - {at: 1s, action: DescribeLicenseList, hang: true}
      - {at: 2s, set: {LicenseCnt: 7}}
      - {at: 3s, reset: true}
      - {at: 4s, action: DescribeGeneralStat, set: {MachinesAll: 9}}
      - {at: 5s, ok: true}
",
    ))
    .unwrap();
    let answers = |action: &str| {
        let timeline = timeline(&scenario, action);
        (0..=5).map(move |at| timeline.at(Duration::from_secs(at)).1.answer.name())
    };
    let licenses: Vec<&str> = answers("DescribeLicenseGeneral").collect();
    assert_eq!(licenses, ["ok", "ok", "ok", "reset", "reset", "ok"]);
    let list: Vec<&str> = answers(LIST).collect();
    assert_eq!(list, ["ok", "hang", "hang", "reset", "reset", "ok"]);
    let servers: Vec<&str> = answers("DescribeGeneralStat").collect();
    assert_eq!(servers, ["ok", "ok", "ok", "reset", "ok", "ok"]);
    let servers = timeline(&scenario, "DescribeGeneralStat");
    let servers = servers.at(Duration::from_secs(9)).1;
    assert_eq!(servers.fields["MachinesAll"], 9);
    assert_eq!(servers.fields["AgentsOnline"], 0);
}

#[test]
fn a_change_between_pages_waits_for_a_further_page() {
    let scenario = parse(&account(
        "    timeline: [{at: 1s, between_pages: true, orders: [{ResourceId: new}]}]",
    ))
    .unwrap();
    let mut script = ResponseScript::new(timeline(&scenario, LIST));
    let mut count = |further_page, at| {
        let at = Duration::from_secs(at);
        let (answer, fields) = script.answer(("prod", Some(LIST)), further_page, at);
        assert_eq!(answer, Answer::Ok);
        fields["List"].as_array().unwrap().len()
    };
    assert_eq!(count(true, 0), 0);
    assert_eq!(count(false, 1), 0);
    assert_eq!(count(false, 2), 0);
    assert_eq!(count(true, 2), 1);
    assert_eq!(count(false, 3), 1);
}

#[test]
fn mistakes_in_orders_are_reported_with_line_and_remedy() {
    let step = |step: &str| account(&format!("    timeline:\n      - {{at: 1s, {step}}}\n"));
    for (yaml, expected) in [
        (
            account("    orders: [{Deadline: in 6d}]"),
            "line 5: accounts[0].orders[0].ResourceId: missing; add the key",
        ),
        (
            account("    orders: [{ResourceId: a, count: 2}]"),
            "line 5: accounts[0].orders[0].ResourceId: the same for all `count` orders; write `{n}` where the number goes",
        ),
        (
            account("    orders: [{ResourceId: a, Deadline: in 6 fortnights}]"),
            "line 5: accounts[0].orders[0]: `Deadline` is not a time from the scenario's beginning on; write such as `in 6d`, `in 1h30m` or `30d ago`",
        ),
        (
            account("    orders: []\n    answers: {DescribeLicenseList: {List: []}}"),
            "line 5: accounts[0].orders: the account has `answers` to DescribeLicenseList, too; remove one of the two",
        ),
        (
            account("    page_limit: 0"),
            "line 5: accounts[0].page_limit: 0 is out of range; write a whole number from 1 to 100000",
        ),
        (
            step("remove_orders: [a]"),
            "line 6: accounts[0].timeline[0].remove_orders: there is no order `a` at this time; use the `ResourceId` of an order",
        ),
        (
            step("action: DescribeLicenceList, ok: true"),
            "line 6: accounts[0].timeline[0].action: unknown action; did you mean `DescribeLicenseList`?",
        ),
        (
            step("orders: [], set: {LicenseCnt: 1}"),
            "line 6: accounts[0].timeline[0]: the step changes orders and something else; write each of them as a step with its own `at`",
        ),
        (
            step("between_pages: true, hang: true"),
            "line 6: accounts[0].timeline[0]: the step has `between_pages` without a change; add `orders`, `remove_orders`, `set` or `unset`",
        ),
    ] {
        assert_eq!(message(&yaml), expected, "{yaml}");
    }
}
