//! What the README says of the status page and its JSON.

use std::collections::{BTreeMap, BTreeSet};

use cwp_exporter::server::status::{Health, PER_PAGE, Query, Sort};
use serde_json::Value;

use super::{Readme, code, only_code, readme};
use crate::harness::Program;
use crate::status::{Stories, data};

/// What the table says of each key: its type, and whether it may be null.
type Documented = BTreeMap<String, (String, bool)>;

fn documented() -> Documented {
    let readme = readme();
    let rows = readme.rows("Status key").into_iter().map(|row| {
        let null = row[1].ends_with(" or null");
        (
            only_code(&row[0]).to_owned(),
            (only_code(&row[1]).to_owned(), null),
        )
    });
    rows.collect()
}

/// Notes each key below `path` that is not null in `seen`; complains about one that is
/// not documented, or is of another type.
fn check(documented: &Documented, path: &str, value: &Value, seen: &mut BTreeSet<String>) {
    let known = documented.get(path);
    match value {
        Value::Null => {
            let (_, null) = known.unwrap_or_else(|| panic!("{path} is not documented"));
            assert!(null, "{path} is null");
            return;
        }
        Value::Object(entries) => {
            let any = format!("{path}.*");
            let has_any = documented
                .keys()
                .any(|key| *key == any || key.starts_with(&format!("{any}.")));
            for (key, value) in entries {
                let path = match path {
                    "" => key.clone(),
                    _ if has_any => any.clone(),
                    path => format!("{path}.{key}"),
                };
                check(documented, &path, value, seen);
            }
        }
        Value::Array(items) => {
            for item in items {
                check(documented, &format!("{path}[]"), item, seen);
            }
        }
        _ => assert!(known.is_some(), "{path} is not documented"),
    }
    let Some((kind, _)) = known else {
        return;
    };
    let fits = match kind.as_str() {
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        "time" => value
            .as_str()
            .is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok() && text.ends_with('Z')),
        other => panic!("what is a {other}?"),
    };
    assert!(fits, "{path} is {value}, not of type {kind}");
    seen.insert(path.to_owned());
}

/// Complains about a URL whose path or parameters are not documented.
pub(super) fn check_url(readme: &Readme, url: &str) {
    let url = url::Url::parse(url).unwrap();
    let known = |table: &str, name: &str| {
        let rows = readme.rows(table);
        assert!(rows.iter().any(|row| only_code(&row[0]) == name), "{name}");
    };
    known("Path", url.path());
    for (name, value) in url.query_pairs() {
        known("Parameter", &name);
        if name == "health" {
            known("Health", &value);
        }
    }
}

#[tokio::test]
async fn the_json_has_exactly_the_documented_keys_with_their_types() {
    let documented = documented();
    let stories = Stories::start().await;
    let mut demo = Program::start(&["demo", "--web.listen-address=127.0.0.1:0"], &[]);
    let mut seen = BTreeSet::new();
    check(
        &documented,
        "",
        &data(&demo.url().await, "").await,
        &mut seen,
    );
    for query in ["", "?per_page=1&page=2&sort=name&q=a", "?q=nobody"] {
        let data = data(&stories.url, query).await;
        check(&documented, "", &data, &mut seen);
    }
    let all: BTreeSet<String> = documented.into_keys().collect();
    assert_eq!(seen, all, "left: seen, right: documented");
}

#[test]
fn every_health_is_documented_in_its_order() {
    let readme = readme();
    let rows = readme.rows("Health").into_iter();
    let documented: Vec<&str> = rows.map(|row| only_code(&row[0])).collect();
    assert_eq!(documented, Health::ALL.map(Health::as_str));
}

#[test]
fn the_parameters_are_those_that_are_read() {
    let readme = readme();
    let rows = readme.rows("Parameter");
    let names: BTreeSet<&str> = rows.iter().map(|row| only_code(&row[0])).collect();
    let all = Query {
        text: "x".to_owned(),
        health: Some(Health::Ok),
        sort: Sort::Name,
        page: 2,
        per_page: 2,
    };
    let url = all.to_url();
    let read: BTreeSet<&str> = url
        .split('&')
        .map(|pair| pair.split('=').next().unwrap())
        .collect();
    assert_eq!(names, read);
    let per_page = rows
        .iter()
        .find(|row| only_code(&row[0]) == "per_page")
        .unwrap();
    let [usual, most] = code(&per_page[1])[..] else {
        panic!("{per_page:?}");
    };
    assert_eq!(usual, PER_PAGE.to_string());
    assert_eq!(most, Query::parse("per_page=999999").per_page.to_string());
}
