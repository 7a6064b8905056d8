//! What each collector makes of the answers in its fixture folder.
//!
//! A case is an answer, `NAME.json`, beside what it means, `NAME.txt`: a line for each
//! sample and, after the word `drift`, for each difference from the documentation.

use std::path::Path;

use cwp_exporter::cloud::Fields;
use cwp_exporter::collectors::{self, Collected, Next};
use cwp_exporter::simulator::documented_example;
use expect_test::expect_file;

fn lines(collected: &Collected) -> Vec<String> {
    let samples = collected.samples.iter().map(|sample| {
        let label = match sample.metric.labels.get(1) {
            Some(name) => format!(",{name}=\"{}\"", sample.label()),
            None => String::new(),
        };
        let name = sample.metric.name;
        format!("{name}{{account=\"ACCOUNT\"{label}}} {}", sample.value)
    });
    let drift = collected
        .drift
        .iter()
        .map(|drift| format!("drift {} {}", drift.field, drift.kind.as_str()));
    let mut lines: Vec<String> = samples.chain(drift).collect();
    lines.sort();
    lines
}

/// The `Response` of an answer, without what belongs to the envelope.
fn fields(answer: &str) -> Fields {
    let mut answer: serde_json::Value = serde_json::from_str(answer).unwrap();
    let response = answer["Response"].as_object_mut().unwrap();
    response.remove("RequestId");
    serde_json::from_str(&answer["Response"].to_string()).unwrap()
}

#[test]
fn answers_mean_what_their_fixtures_say() {
    let mut cases = 0;
    for collector in collectors::all() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/api")
            .join(collector.name());
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let answer = std::fs::read_to_string(&path).unwrap();
            let Next::Done(collected) = collector.reading().read(&fields(&answer)) else {
                panic!("{} is not all", path.display());
            };
            let meaning = lines(&collected).join("\n") + "\n";
            expect_file![path.with_extension("txt")].assert_eq(&meaning);
            assert!(collected.recognized, "{}", path.display());
            cases += 1;
        }
    }
    assert!(cases >= 12, "only {cases} cases were found");
}

#[test]
fn the_simulators_example_is_the_documents() {
    let document = include_str!("../fixtures/api/license_general/documented-example.json");
    let mut document: serde_json::Value = serde_json::from_str(document).unwrap();
    let response = document["Response"].as_object_mut().unwrap();
    response.remove("RequestId");
    assert_eq!(*response, documented_example());
}
