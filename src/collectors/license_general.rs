//! `DescribeLicenseGeneral`: the licence counts and switches of an account.

use std::borrow::Cow;
use std::sync::LazyLock;

use bytes::Bytes;

use super::{
    Collector, Drift, DriftKind, Label, MAX_FIELD_NAME, MAX_UNKNOWN_FIELDS, Parsed, Samples, Series,
};
use crate::cloud::{Fields, Request};
use crate::metrics::MetricDef;

/// The definitions of the metrics.
pub mod defs {
    crate::metrics::define_metrics! {
        LICENSES = Gauge "tencentcloud_cwp_licenses" ["account"]
            "Licences in total, isolated and expired ones included (LicenseCnt). Unit: licences. Polled and cached."
        AVAILABLE = Gauge "tencentcloud_cwp_licenses_available" ["account"]
            "Licences that can still be bound to a server (AvailableLicenseCnt). Unit: licences. Polled and cached."
        USED = Gauge "tencentcloud_cwp_licenses_used" ["account"]
            "Licences bound to a server (UsedLicenseCnt). Unit: licences. Polled and cached."
        NOT_EXPIRED = Gauge "tencentcloud_cwp_licenses_not_expired" ["account"]
            "Licences that have not expired (NotExpiredLicenseCnt). Unit: licences. Polled and cached."
        NEAR_EXPIRY = Gauge "tencentcloud_cwp_licenses_near_expiry" ["account"]
            "Licences that expire within 15 days, a span fixed by the API (NearExpiryLicenseCnt). Unit: licences. Polled and cached."
        EXPIRED = Gauge "tencentcloud_cwp_licenses_expired" ["account"]
            "Licences that have expired, without deleted records (ExpireLicenseCnt). Unit: licences. Polled and cached."
        EDITION = Gauge "tencentcloud_cwp_edition_licenses" ["account", "edition"]
            "Licences of valid orders by edition (ProVersionLicenseCnt, FlagshipVersionLicenseCnt, CwpVersionLicenseCnt, AISecurityVersionLicenseCnt). Unit: licences. Polled and cached."
        EDITION_AVAILABLE = Gauge "tencentcloud_cwp_edition_licenses_available" ["account", "edition"]
            "Licences that can still be bound to a server by edition (AvailableProVersionLicenseCnt, AvailableFlagshipVersionLicenseCnt, AvailableLHLicenseCnt, AvailableAISecurityLicenseCnt). Unit: licences. Polled and cached."
        APPLICATION_AVAILABLE = Gauge "tencentcloud_cwp_application_licenses_available" ["account"]
            "Licences available for application protection, the Ultimate edition's included (ApplicationAvailableLicenseCnt). Unit: licences. Polled and cached."
        ORDERS_DESTROYED = Gauge "tencentcloud_cwp_orders_destroyed" ["account"]
            "Orders that were destroyed (DestroyOrderNum). Unit: orders, not licences. Polled and cached."
        SWITCH = Gauge "tencentcloud_cwp_switch_enabled" ["account", "switch"]
            "Whether a switch is on (AutoOpenStatus, IsOpenStatusHistory, AutoRepurchaseSwitch, AutoRepurchaseRenewSwitch, RepurchaseRenewSwitch, AutoBindRaspSwitch, AutoOpenRaspSwitch, AutoDowngradeSwitch). Unit: 1 is on, 0 is off. Polled and cached."
        PROTECT_TYPE = Gauge "tencentcloud_cwp_protect_type" ["account", "type"]
            "The protection that new servers get, in the API's own word (ProtectType); always 1. Polled and cached."
    }
}

/// The collector `license_general`.
#[derive(Debug, Clone, Copy)]
pub struct LicenseGeneral;

/// A field of the answer.
struct Field {
    name: &'static str,
    kind: FieldKind,
    series: Series,
    /// In the document of 2024. The others came later, so their absence is no drift.
    documented: bool,
}

/// How a field's value is read.
#[derive(Clone, Copy)]
enum FieldKind {
    /// An unsigned integer.
    Count,
    /// `true` or `false`.
    Switch,
    /// A word, which becomes the label.
    Word,
}

const fn field(
    kind: FieldKind,
    name: &'static str,
    metric: &'static MetricDef,
    label: &'static str,
) -> Field {
    Field {
        name,
        kind,
        series: Series {
            metric,
            label: match kind {
                Word => Label::Found,
                Count | Switch if label.is_empty() => Label::None,
                Count | Switch => Label::Fixed(label),
            },
        },
        documented: true,
    }
}

const fn newer(field: Field) -> Field {
    Field {
        documented: false,
        ..field
    }
}

use FieldKind::{Count, Switch, Word};

/// All fields of the answer, in the order of the metrics' names.
static FIELDS: [Field; 25] = [
    newer(field(
        Count,
        "ApplicationAvailableLicenseCnt",
        defs::APPLICATION_AVAILABLE,
        "",
    )),
    field(Count, "ProVersionLicenseCnt", defs::EDITION, "professional"),
    field(
        Count,
        "FlagshipVersionLicenseCnt",
        defs::EDITION,
        "ultimate",
    ),
    field(Count, "CwpVersionLicenseCnt", defs::EDITION, "inclusive"),
    newer(field(
        Count,
        "AISecurityVersionLicenseCnt",
        defs::EDITION,
        "ai_security",
    )),
    field(
        Count,
        "AvailableProVersionLicenseCnt",
        defs::EDITION_AVAILABLE,
        "professional",
    ),
    field(
        Count,
        "AvailableFlagshipVersionLicenseCnt",
        defs::EDITION_AVAILABLE,
        "ultimate",
    ),
    field(
        Count,
        "AvailableLHLicenseCnt",
        defs::EDITION_AVAILABLE,
        "inclusive",
    ),
    newer(field(
        Count,
        "AvailableAISecurityLicenseCnt",
        defs::EDITION_AVAILABLE,
        "ai_security",
    )),
    field(Count, "LicenseCnt", defs::LICENSES, ""),
    field(Count, "AvailableLicenseCnt", defs::AVAILABLE, ""),
    field(Count, "ExpireLicenseCnt", defs::EXPIRED, ""),
    field(Count, "NearExpiryLicenseCnt", defs::NEAR_EXPIRY, ""),
    field(Count, "NotExpiredLicenseCnt", defs::NOT_EXPIRED, ""),
    field(Count, "UsedLicenseCnt", defs::USED, ""),
    field(Count, "DestroyOrderNum", defs::ORDERS_DESTROYED, ""),
    field(Word, "ProtectType", defs::PROTECT_TYPE, ""),
    field(Switch, "AutoOpenStatus", defs::SWITCH, "auto_upgrade"),
    field(
        Switch,
        "IsOpenStatusHistory",
        defs::SWITCH,
        "auto_upgrade_ever",
    ),
    field(
        Switch,
        "AutoRepurchaseSwitch",
        defs::SWITCH,
        "auto_purchase",
    ),
    field(
        Switch,
        "AutoRepurchaseRenewSwitch",
        defs::SWITCH,
        "auto_purchase_renewal",
    ),
    field(
        Switch,
        "RepurchaseRenewSwitch",
        defs::SWITCH,
        "auto_renewal",
    ),
    newer(field(
        Switch,
        "AutoBindRaspSwitch",
        defs::SWITCH,
        "auto_bind_rasp",
    )),
    newer(field(
        Switch,
        "AutoOpenRaspSwitch",
        defs::SWITCH,
        "auto_open_rasp",
    )),
    newer(field(
        Switch,
        "AutoDowngradeSwitch",
        defs::SWITCH,
        "auto_downgrade",
    )),
];

/// The largest count that a sample, a 64-bit float, holds exactly.
const MAX_EXACT: u64 = 1 << 53;

/// The series that the fields become.
static SERIES: LazyLock<[Series; FIELDS.len()]> =
    LazyLock::new(|| FIELDS.each_ref().map(|field| field.series));

/// The fields and their places above, in the order in which an answer is walked through.
static BY_NAME: LazyLock<Vec<(usize, &Field)>> = LazyLock::new(|| {
    let mut fields: Vec<_> = FIELDS.iter().enumerate().collect();
    fields.sort_by(|(_, one), (_, other)| Fields::order(one.name, other.name));
    fields
});

/// Every `ProtectType` that is documented; others are exposed too. These are kept once for
/// all accounts.
const WORDS: [&str; 3] = ["PROVERSION_POSTPAY", "PROVERSION_PREPAY", "FLAGSHIP_PREPAY"];

/// The longest `ProtectType` that is exposed, in bytes.
const MAX_WORD: usize = 128;

impl Collector for LicenseGeneral {
    fn name(&self) -> &'static str {
        "license_general"
    }

    fn metrics(&self) -> &'static [&'static MetricDef] {
        defs::ALL
    }

    fn series(&self) -> &'static [Series] {
        &*SERIES
    }

    fn request(&self) -> Request {
        Request {
            service: "cwp",
            action: "DescribeLicenseGeneral",
            version: "2018-02-28",
            body: Bytes::from_static(b"{}"),
            secret: None,
        }
    }

    fn parse(&self, fields: &Fields) -> Parsed {
        let mut samples = Samples::none(self.series());
        let mut drift = Vec::new();
        let mut recognized = false;
        let mut walk = fields.walk();
        for (place, field) in BY_NAME.iter() {
            let kind = match walk.find(field.name) {
                Some(json) if field.kind.read(json, *place, &mut samples) => {
                    recognized |= field.documented;
                    continue;
                }
                Some(_) => DriftKind::Invalid,
                None if field.documented => DriftKind::Missing,
                None => continue,
            };
            drift.push(Drift {
                field: field.name.into(),
                kind,
            });
        }
        let unknown = walk.others().take(MAX_UNKNOWN_FIELDS);
        drift.extend(unknown.map(|name| Drift {
            field: shortened(name).to_owned().into(),
            kind: DriftKind::Unknown,
        }));
        drift.sort();
        drift.dedup();
        Parsed {
            samples,
            drift,
            recognized,
        }
    }
}

impl FieldKind {
    /// Takes over what a field's JSON stands for. Says whether it is valid.
    fn read(self, json: &str, place: usize, samples: &mut Samples) -> bool {
        match self {
            Count => count(json).map(|count| samples.set(place, count)),
            Switch => switch(json).map(|on| samples.set(place, on)),
            Word => word(json).map(|word| samples.set_word(place, word)),
        }
        .is_some()
    }
}

/// It is JSON, so that this takes digits and no other way to write a number.
fn count(json: &str) -> Option<f64> {
    let count: u64 = json.parse().ok()?;
    #[expect(clippy::cast_precision_loss, reason = "at most MAX_EXACT")]
    (count <= MAX_EXACT).then_some(count as f64)
}

fn switch(json: &str) -> Option<f64> {
    match json {
        "true" => Some(1.0),
        "false" => Some(0.0),
        _ => None,
    }
}

fn word(json: &str) -> Option<Cow<'static, str>> {
    let word: String = serde_json::from_str(json).ok()?;
    let known = WORDS.into_iter().find(|known| *known == word);
    let word = known.map_or(Cow::Owned(word), Cow::Borrowed);
    (word.len() <= MAX_WORD).then_some(word)
}

fn shortened(name: &str) -> &str {
    let end = (0..=MAX_FIELD_NAME.min(name.len()))
        .rev()
        .find(|end| name.is_char_boundary(*end))
        .unwrap_or(0);
    name.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::Sample;

    fn parse(json: &str) -> Parsed {
        LicenseGeneral.parse(&serde_json::from_str(json).unwrap())
    }

    /// Parses an answer in which all documented fields but `LicenseCnt` are missing.
    fn parse_license_count(json: &str) -> (Vec<f64>, Vec<DriftKind>) {
        let parsed = parse(&format!(
            r#"{{"LicenseCnt": {json}, "AutoOpenStatus": true}}"#
        ));
        let values = parsed
            .samples
            .iter()
            .filter(|sample| sample.metric == defs::LICENSES)
            .map(|sample| sample.value);
        let drift = parsed
            .drift
            .iter()
            .filter(|drift| drift.field == "LicenseCnt")
            .map(|drift| drift.kind);
        (values.collect(), drift.collect())
    }

    #[test]
    fn counts_are_exact_up_to_the_largest_that_a_float_holds() {
        for (json, value) in [
            ("0", 0.0),
            ("7", 7.0),
            ("9007199254740992", 9_007_199_254_740_992.0),
        ] {
            assert_eq!(parse_license_count(json), (vec![value], vec![]), "{json}");
        }
    }

    #[test]
    fn a_malformed_count_is_drift_and_never_a_number() {
        let digits = "9".repeat(400);
        for json in [
            "null",
            "\"7\"",
            "\"\"",
            "-1",
            "-0",
            "7.0",
            "7.5",
            "7e0",
            "1e400",
            "9007199254740993",
            "18446744073709551616",
            &digits,
            "true",
            "[7]",
            "{\"a\": 7}",
        ] {
            let expected = (vec![], vec![DriftKind::Invalid]);
            assert_eq!(parse_license_count(json), expected, "{json}");
        }
    }

    #[test]
    fn a_malformed_switch_is_drift_and_never_off() {
        for json in ["null", "0", "1", "\"true\"", "[]"] {
            let parsed = parse(&format!(
                r#"{{"LicenseCnt": 1, "RepurchaseRenewSwitch": {json}}}"#
            ));
            assert_eq!(parsed.samples.iter().count(), 1, "{json}");
            assert!(parsed.drift.contains(&Drift {
                field: "RepurchaseRenewSwitch".into(),
                kind: DriftKind::Invalid
            }));
        }
    }

    #[test]
    fn a_missing_newer_field_is_no_drift() {
        let missing: Vec<Cow<'_, str>> = parse("{}")
            .drift
            .into_iter()
            .map(|drift| {
                assert_eq!(drift.kind, DriftKind::Missing);
                drift.field
            })
            .collect();
        assert_eq!(missing.len(), 19);
        assert!(!missing.contains(&"AutoBindRaspSwitch".into()));
    }

    #[test]
    fn an_unknown_protect_type_is_exposed_in_the_apis_own_word() {
        let parsed = parse(r#"{"ProtectType": "旗舰版\"NEW\""}"#);
        let samples: Vec<Sample<'_>> = parsed.samples.iter().collect();
        assert_eq!(
            samples,
            [Sample {
                metric: defs::PROTECT_TYPE,
                label: "旗舰版\"NEW\"",
                value: 1.0
            }]
        );
    }

    #[test]
    fn an_answer_without_a_valid_documented_field_is_not_recognized() {
        assert!(!parse("{}").recognized);
        assert!(!parse(r#"{"LicenseCnt": "7"}"#).recognized);
        assert!(!parse(r#"{"AutoBindRaspSwitch": true}"#).recognized);
        assert!(parse(r#"{"DestroyOrderNum": 0}"#).recognized);
    }

    #[test]
    fn unknown_fields_are_drift_of_bounded_number_and_length() {
        let fields: Vec<String> = (0..1000)
            .map(|number| format!(r#""{number:04}{}": 1"#, "é".repeat(100)))
            .collect();
        let drift = parse(&format!("{{{}}}", fields.join(","))).drift;
        let unknown: Vec<&Drift> = drift
            .iter()
            .filter(|drift| drift.kind == DriftKind::Unknown)
            .collect();
        assert_eq!(unknown.len(), MAX_UNKNOWN_FIELDS);
        assert!(
            unknown
                .iter()
                .all(|drift| drift.field.len() <= MAX_FIELD_NAME)
        );
    }
}
