//! The section `collectors`: which further collectors run, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::problem::Fault;
use super::reader::{MAX_DURATION, Reader, Section, duration, show, switch, unknown, whole};
use super::tree::Node;

/// A collector that the configuration can set, and what holds if it does not.
#[derive(Debug, Clone)]
pub struct CollectorDefaults {
    /// Its key under `collectors`.
    pub name: &'static str,
    /// What holds.
    pub settings: CollectorSettings,
}

/// The settings of one collector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CollectorSettings {
    /// Whether it collects at all.
    pub enabled: bool,
    /// From one collection of an account to the next; at least 1 s.
    #[serde(serialize_with = "super::serialize::duration")]
    pub interval: Duration,
    /// How long values are kept without a success; at least `interval`. Unless it is set,
    /// the default or three intervals, whichever is longer.
    #[serde(serialize_with = "super::serialize::duration")]
    pub max_age: Duration,
    /// How many rows of a list are shown; `None` for a collector without rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rows: Option<usize>,
}

/// The most rows of an account: more would make a scrape of many megabytes.
const MAX_ROWS: u32 = 100_000;

/// Reads the settings of each of the collectors with these `defaults`.
pub(super) fn read(
    reader: &mut Reader,
    node: Option<Node<'_>>,
    defaults: &[CollectorDefaults],
) -> BTreeMap<&'static str, CollectorSettings> {
    let names: Vec<&str> = defaults.iter().map(|each| each.name).collect();
    let section = reader.map(node);
    for (name, node) in section.entries() {
        if name == "license_general" {
            let fault = Fault::new(
                "this collector has no settings of its own: it is always on",
                "set `poll.interval` and `poll.max_age`",
            );
            reader.report(&node, fault);
        } else if !names.contains(&name) {
            reader.report(&node, unknown("collector", name, &names));
        }
    }
    let settings = defaults.iter().map(|each| {
        let settings = settings(reader, section.get(each.name), &each.settings);
        (each.name, settings)
    });
    settings.collect()
}

fn settings(
    reader: &mut Reader,
    node: Option<Node<'_>>,
    default: &CollectorSettings,
) -> CollectorSettings {
    let known = match default.max_rows {
        Some(_) => &["enabled", "interval", "max_age", "max_rows"][..],
        None => &["enabled", "interval", "max_age"],
    };
    let section = reader.section(node, known);
    let enabled = reader.value(section.get("enabled"), switch);
    let (interval, max_age) = ages(reader, &section, default.interval, default.max_age);
    let rows = reader.value(section.get("max_rows"), |node| whole(node, 0..=MAX_ROWS));
    CollectorSettings {
        enabled: enabled.unwrap_or(default.enabled),
        interval,
        max_age,
        max_rows: rows.map(|rows| rows as usize).or(default.max_rows),
    }
}

/// The `interval` and the `max_age` of a section, or else these.
pub(super) fn ages(
    reader: &mut Reader,
    section: &Section<'_>,
    default_interval: Duration,
    default_max_age: Duration,
) -> (Duration, Duration) {
    let allowed = Duration::from_secs(1)..=MAX_DURATION;
    let mut read = |name| {
        let node = section.get(name);
        let is_set = node.is_some();
        let value = reader.value(node, |node| duration(node, &allowed));
        (value, is_set && value.is_none())
    };
    let (interval, is_bad_interval) = read("interval");
    let (max_age, is_bad_age) = read("max_age");
    let ages = (
        interval.unwrap_or(default_interval),
        // Long intervals need longer than the default, or nothing would be shown.
        max_age.unwrap_or_else(|| {
            let three = interval.unwrap_or_default().saturating_mul(3);
            default_max_age.max(three).min(MAX_DURATION)
        }),
    );
    // A setting that could not be read is one problem, not two.
    if let Some(node) = section.get("max_age").or(section.get("interval"))
        && !is_bad_interval
        && !is_bad_age
        && ages.1 < ages.0
    {
        let key = &section.node().key;
        let fault = Fault::new(
            format!(
                "{} is shorter than `{key}.interval` ({}), so values would vanish between two \
                 collections",
                show(ages.1),
                show(ages.0)
            ),
            "write a few intervals",
        );
        reader.report_at(node.location, format!("{key}.max_age"), fault);
    }
    ages
}
