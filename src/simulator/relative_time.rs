//! Times in answers that are written relative to the beginning of the scenario.

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use serde_json::Value;

use super::answer::AnswerFields;
use crate::config::Fault;

/// The fields of answers that are times.
const FIELDS: [&str; 4] = ["Deadline", "BuyTime", "StartTime", "EndTime"];

/// The zone of the API's times.
const UTC_PLUS_8: Offset = Offset::constant(8);

/// Checks the times in `value`, the field `name` of an answer.
pub(crate) fn check(name: &str, value: &Value) -> Result<(), Fault> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .try_for_each(|(name, value)| check(name, value)),
        Value::Array(items) => items.iter().try_for_each(|item| check("", item)),
        Value::String(text) if FIELDS.contains(&name) => offset(text).map(drop).ok_or_else(|| {
            Fault::new(
                format!("`{name}` is not a time from the scenario's beginning on"),
                "write such as `in 6d`, `in 1h30m` or `30d ago`",
            )
        }),
        _ => Ok(()),
    }
}

/// Puts the API's form in the place of each relative time in `fields`, for a scenario that
/// began at `start`.
pub(crate) fn resolve(fields: &mut AnswerFields, start: Timestamp) {
    for (name, value) in fields {
        match value {
            Value::Object(fields) => resolve(fields, start),
            Value::Array(items) => {
                let items = items.iter_mut().filter_map(Value::as_object_mut);
                items.for_each(|fields| resolve(fields, start));
            }
            Value::String(text) if FIELDS.contains(&name.as_str()) => {
                if let Some(Some(offset)) = offset(text) {
                    let time = start.saturating_add(offset).unwrap_or(start);
                    let time = TimeZone::fixed(UTC_PLUS_8).to_datetime(time);
                    *text = time.strftime("%Y-%m-%d %H:%M:%S").to_string();
                }
            }
            _ => {}
        }
    }
}

/// How long after the scenario's beginning a time such as `in 6d` is; inner nothing for a
/// text that has not this form, and nothing for an unknown duration.
fn offset(text: &str) -> Option<Option<SignedDuration>> {
    let duration = |text: &str| {
        let span: Span = text.trim().parse().ok()?;
        span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()
    };
    if let Some(text) = text.strip_prefix("in ") {
        duration(text).map(Some)
    } else if let Some(text) = text.strip_suffix(" ago") {
        Some(Some(-duration(text)?))
    } else {
        Some(None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::simulator::answer::object;

    #[test]
    fn a_relative_time_becomes_the_apis_form_in_its_zone() {
        let mut fields = object(json!({
            "EndTime": "in 1h30m",
            "Alias": "in 6d",
            "List": [
                {"Deadline": "in 6d", "BuyTime": "30d ago"},
                {"Deadline": "2027-01-25 10:11:03", "BuyTime": "0000-00-00 00:00:00"},
                {"Deadline": null},
            ],
        }));
        check("", &Value::Object(fields.clone())).unwrap();
        resolve(&mut fields, "2026-11-26T20:00:00Z".parse().unwrap());
        assert_eq!(
            Value::Object(fields),
            json!({
                "EndTime": "2026-11-27 05:30:00",
                "Alias": "in 6d",
                "List": [
                    {"Deadline": "2026-12-03 04:00:00", "BuyTime": "2026-10-28 04:00:00"},
                    {"Deadline": "2027-01-25 10:11:03", "BuyTime": "0000-00-00 00:00:00"},
                    {"Deadline": null},
                ],
            })
        );
    }

    #[test]
    fn an_unknown_duration_is_a_mistake() {
        for text in ["in six days", "in 6", "in 1y", "6x ago"] {
            let fields = json!({"List": [{"Deadline": text}]});
            assert!(check("", &fields).is_err(), "{text}");
        }
    }
}
