//! The file of saved values: what is restored is what the file says, is shown as a good
//! exposition, and comes back the same when it is saved and loaded again.

use std::collections::BTreeMap;
use std::sync::Arc;

use cwp_exporter::collection::snapshot::Store;
use cwp_exporter::collection::state_dir::{Document, encode};
use cwp_exporter::exposition::{Exposition, Format};
use jiff::{SignedDuration, Timestamp};
use prometheus::Registry;
use serde_json::Value;

use crate::exposition::{account, clock};
use crate::measure::{Bound, bounded};
use crate::reader;

/// The accounts restored to, each with as many slots as there are collectors, of which each may
/// have the longest labels of the file.
const BOUND: Bound = Bound {
    bytes: 256 * 1024,
    bytes_per_byte: 600,
};

pub fn run(input: &[u8]) {
    let clock = clock();
    let now = clock.moment();
    let first = store();
    let restored = bounded(input.len(), &BOUND, || {
        let document = Document::parse(input).ok()?;
        Some((document.restore(&first, now), document))
    });
    let Some((restored, _)) = restored else {
        return;
    };
    check_values(input, &first, now.wall);

    let saved = encode(&first, now).expect("what was restored can be saved");
    let second = store();
    let again = Document::parse(&saved).expect("what was saved can be read");
    assert_eq!(again.restore(&second, now), restored);
    let saved_again = encode(&second, now).expect("what was restored can be saved");
    assert_eq!(saved, saved_again);

    let text = |store: Store, format| {
        let exposition = Exposition::new(Registry::new(), Arc::new(store), clock.clone(), None);
        exposition.render(format).expect("memory takes every byte")
    };
    let first = reader::read(Format::Text, &text(first, Format::Text));
    let second = reader::read(Format::OpenMetrics, &text(second, Format::OpenMetrics));
    assert_eq!(first, second);
}

/// Two accounts, of which nothing is known.
fn store() -> Store {
    let accounts = ["a", "b"].map(|name| Arc::new(account(name, "x")));
    Store::new(accounts.into())
}

/// How far the clock of who saved a file may have been ahead.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// Compares what was restored with the values that another reader finds.
fn check_values(input: &[u8], store: &Store, now: Timestamp) {
    let Ok(document) = serde_json::from_slice::<Value>(input) else {
        return;
    };
    let accounts = store.load();
    for account in accounts.list() {
        for slot in &account.slots {
            let state = slot.load();
            let Some(success) = &state.last_success else {
                continue;
            };
            let found = success.samples.iter().map(|sample| {
                let labels = sample.labels.iter().map(|label| label.as_ref().into());
                let series = Value::from(vec![
                    sample.metric.name.into(),
                    Value::Array(labels.collect()),
                ]);
                (series.to_string(), sample.value.to_bits())
            });
            let found: BTreeMap<String, u64> = found.collect();
            let collectors = items(&document["accounts"])
                .filter(|saved| {
                    saved["name"] == *account.name && saved["identity"] == *account.identity
                })
                .flat_map(|saved| items(&saved["collectors"]));
            let mut candidates = collectors.filter(|saved| {
                let at: Option<Timestamp> = saved["collected_at"]
                    .as_str()
                    .and_then(|at| at.parse().ok());
                let is_past = at.is_some_and(|at| at.duration_since(now) <= AHEAD);
                is_past && saved["collector"] == slot.collector().name()
            });
            let is_in_the_file = candidates.any(|saved| {
                let samples = items(&saved["samples"]).map(|sample| {
                    let position = sample[0].as_u64().and_then(|at| usize::try_from(at).ok());
                    let series = &document["series"][position.unwrap_or(usize::MAX)];
                    (
                        series.to_string(),
                        sample[1].as_f64().unwrap_or(f64::NAN).to_bits(),
                    )
                });
                samples.collect::<BTreeMap<_, _>>() == found
            });
            assert!(is_in_the_file, "{found:?}");
        }
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
