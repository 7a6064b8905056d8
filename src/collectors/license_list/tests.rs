//! What is asked for, what a row means, and what is no whole list.

use serde_json::Value;

use super::*;
use crate::cloud::ApiAnswer;
use crate::collectors::collect;
use crate::metrics::reason::Reason;

/// The limits of the next lists, which the API takes.
fn limits(size: &PageSize, count: usize) -> Vec<usize> {
    let limit = |_| {
        let limit = size.limit();
        size.taken(limit, false);
        limit
    };
    (0..count).map(limit).collect()
}

/// What a list says that has one order with these fields.
fn read(fields: &str) -> Collected {
    let row = format!(r#"{{"ResourceId": "cwplic-1", {fields}}}"#);
    let answer = format!(r#"{{"TotalCount": 1, "List": [{row}]}}"#);
    let next = LicenseList
        .reading()
        .read(&serde_json::from_str(&answer).unwrap());
    match next {
        Next::Done(collected) => collected,
        next => panic!("{next:?}"),
    }
}

#[test]
fn only_an_order_that_needs_no_end_may_have_none() {
    for deadline in ["null", r#""""#, r#""0000-00-00 00:00:00""#] {
        for (kind, status, is_odd) in [(0, 1, false), (1, DESTROYED, false), (1, 1, true)] {
            let fields = format!(
                r#""LicenseType": {kind}, "OrderStatus": {status}, "Deadline": {deadline}"#
            );
            let odd = Drift {
                field: "List[].Deadline".into(),
                kind: DriftKind::Invalid,
            };
            assert_eq!(read(&fields).drift.contains(&odd), is_odd, "{fields}");
        }
    }
}

#[test]
fn only_a_number_of_frozen_licences_may_be_null() {
    let invalid = |field| Drift {
        field,
        kind: DriftKind::Invalid,
    };
    let fields = r#""FreezeNum": null, "LicenseCnt": null, "UsedLicenseCnt": 3"#;
    let collected = read(fields);
    assert!(
        !collected
            .drift
            .contains(&invalid("List[].FreezeNum".into()))
    );
    assert!(
        collected
            .drift
            .contains(&invalid("List[].LicenseCnt".into()))
    );
    let metrics = collected.rows[0].iter().map(|sample| sample.metric);
    assert_eq!(metrics.collect::<Vec<_>>(), [defs::INFO, defs::USED]);
}

#[test]
fn a_list_is_asked_for_in_pages_of_100_rows() {
    assert_eq!(LicenseList.request().body, r#"{"Limit":100,"Offset":0}"#);
}

#[test]
fn a_list_of_small_pages_asks_for_them_from_its_first_request_on() {
    let first = |limit| {
        let list = List {
            limit,
            refused: false,
            pages: Pages::of(limit),
            drift: BTreeSet::new(),
            recognized: false,
        };
        list.first()
    };
    assert_eq!(first(FIRST_LIMIT), None);
    let small = first(DEFAULT_LIMIT).unwrap();
    assert_eq!(small, r#"{"Limit":10,"Offset":0}"#);
}

#[test]
fn orders_that_ended_come_first_then_by_deadline_and_those_without_one_last() {
    let order = |id: &str, status, deadline| {
        let sample = Sample::new(defs::LICENSES, [id.to_owned().into()], 1.0);
        let order = Order {
            status: Some(status),
            deadline,
            samples: vec![sample],
        };
        (id.to_owned(), order)
    };
    let orders = BTreeMap::from([
        order("a", 1, None),
        order("b", 1, Some(9)),
        order("c", 1, Some(5)),
        order("d", ISOLATED, Some(7)),
        order("e", DESTROYED, Some(1)),
        order("f", ISOLATED, Some(6)),
        order("g", 1, Some(5)),
    ]);
    let rows = most_urgent_first(orders).into_iter();
    let ids: Vec<String> = rows.map(|row| row[0].labels[0].to_string()).collect();
    assert_eq!(ids, ["f", "d", "c", "g", "b", "a"]);
}

#[test]
fn an_alias_is_cut_after_64_characters() {
    let collected = read(&format!(r#""Alias": "{}""#, "主".repeat(65)));
    let info = &collected.rows[0][0];
    assert_eq!(info.labels.last().unwrap(), &"主".repeat(64));
}

#[test]
fn one_refusal_of_a_page_size_changes_nothing_for_other_lists() {
    let size = PageSize::new();
    for _ in 0..5 {
        size.taken(DEFAULT_LIMIT, true);
        assert_eq!(limits(&size, 2), [FIRST_LIMIT; 2]);
    }
}

#[test]
fn two_refusals_in_a_row_make_lists_small_for_a_while() {
    let size = PageSize::new();
    for _ in 0..3 {
        size.taken(DEFAULT_LIMIT, true);
        size.taken(DEFAULT_LIMIT, true);
        assert_eq!(
            limits(&size, PageSize::SMALL),
            [DEFAULT_LIMIT; PageSize::SMALL]
        );
        assert_eq!(limits(&size, 2), [FIRST_LIMIT; 2]);
    }
}

#[test]
fn an_api_that_goes_on_to_refuse_is_asked_for_more_once_in_a_while() {
    let size = PageSize::new();
    size.taken(DEFAULT_LIMIT, true);
    size.taken(DEFAULT_LIMIT, true);
    for _ in 0..3 {
        assert_eq!(
            limits(&size, PageSize::SMALL),
            [DEFAULT_LIMIT; PageSize::SMALL]
        );
        assert_eq!(size.limit(), FIRST_LIMIT);
        size.taken(DEFAULT_LIMIT, true);
    }
}

/// A page of `license_list` with the orders of these numbers.
fn page(total: Option<u64>, numbers: std::ops::Range<u64>) -> Value {
    let row = |number| serde_json::json!({"ResourceId": format!("cwplic-{number}")});
    let list: Vec<Value> = numbers.map(row).collect();
    match total {
        None => serde_json::json!({"List": list}),
        Some(total) => serde_json::json!({"TotalCount": total, "List": list}),
    }
}

/// Why `license_list` fails with these answers, of which the last may be a refusal with this
/// code.
async fn failure_of_list(answers: Vec<Value>, refusal: Option<&str>) -> Error {
    let mut answers = answers.into_iter();
    let outcome = collect(&LicenseList, |_| {
        let next = answers.next();
        let answer = next.map(|answer| ApiAnswer {
            fields: serde_json::from_str(&answer.to_string()).unwrap(),
            request_id: None,
        });
        std::future::ready(answer.ok_or_else(|| Error {
            code: Some(refusal.expect("no more is asked for").to_owned()),
            ..Error::new(Reason::Request, "refused")
        }))
    });
    outcome.await.unwrap_err()
}

#[tokio::test]
async fn what_is_no_whole_list_of_orders_is_a_failure() {
    let json = |text| serde_json::from_str(text).unwrap();
    for (answers, message) in [
        (
            vec![json(r#"{"TotalCount": 0, "List": "none"}"#)],
            "`List` is no list",
        ),
        (
            vec![json(r#"{"TotalCount": 0, "List": {}}"#)],
            "`List` is no list",
        ),
        (
            vec![
                page(Some(101), 0..100),
                json(r#"{"TotalCount": 101, "List": false}"#),
            ],
            "`List` is no list",
        ),
        (
            vec![json(r#"{"TotalCount": 7}"#)],
            "the API counts rows, but lists none",
        ),
        (
            vec![json(r#"{"List": []}"#)],
            "the answer has neither rows nor their number",
        ),
        (
            vec![page(None, 0..100), page(None, 0..100)],
            "the API gives the same full page for every offset",
        ),
        (
            vec![page(Some(250), 0..100); 4],
            "the pages of the list contradict each other, twice",
        ),
        (
            // The list is gone between two pages, both times.
            vec![[page(Some(101), 0..100), page(Some(0), 0..0)]; 2].concat(),
            "the pages of the list contradict each other, twice",
        ),
    ] {
        let error = failure_of_list(answers, None).await;
        assert_eq!(error.reason, Reason::Response, "{message}");
        assert_eq!(error.message, message);
    }
}

#[test]
fn a_page_size_that_is_refused_is_replaced_once_by_the_documented_one() {
    let refusal = Error {
        code: Some("InvalidParameterValue.Limit".to_owned()),
        ..Error::new(Reason::Request, "refused")
    };
    let page = |numbers| serde_json::from_str(&page(None, numbers).to_string()).unwrap();
    let mut list = LicenseList.reading();
    assert!(
        list.refused(&Error::new(Reason::Request, "other"))
            .is_none()
    );
    let parameters = list.refused(&refusal).unwrap();
    assert_eq!(parameters, r#"{"Limit":10,"Offset":0}"#);
    assert!(list.refused(&refusal).is_none());
    assert!(matches!(list.read(&page(0..10)), Next::Ask(_)));
    let Next::Failed(words) = list.read(&page(0..10)) else {
        panic!("a full page is not the last one");
    };
    assert_eq!(words, "the API gives the same full page for every offset");
}

#[tokio::test]
async fn a_refusal_after_the_first_page_is_not_for_the_page_size() {
    let first = vec![page(Some(101), 0..100)];
    let error = failure_of_list(first, Some("InvalidParameterValue")).await;
    assert_eq!(error.code.as_deref(), Some("InvalidParameterValue"));
}
