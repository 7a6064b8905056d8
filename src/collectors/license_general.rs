//! `DescribeLicenseGeneral`: the licence counts and switches of an account.

use bytes::Bytes;

use super::field::{self, Field, fields};
use super::{Collected, Collector, Reading};
use crate::cloud::{Fields, Request};
use crate::config::CollectorDefaults;
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
            "The protection of new servers, in the API's own word (ProtectType); always 1. Polled \
             and cached."
    }
}

/// The collector `license_general`.
#[derive(Debug, Clone, Copy)]
pub struct LicenseGeneral;

/// All fields of the answer.
static FIELDS: &[Field] = fields! {
    Later Count  ApplicationAvailableLicenseCnt => APPLICATION_AVAILABLE;
    Yes   Count  ProVersionLicenseCnt => EDITION "professional";
    Yes   Count  FlagshipVersionLicenseCnt => EDITION "ultimate";
    Yes   Count  CwpVersionLicenseCnt => EDITION "inclusive";
    Later Count  AISecurityVersionLicenseCnt => EDITION "ai_security";
    Yes   Count  AvailableProVersionLicenseCnt => EDITION_AVAILABLE "professional";
    Yes   Count  AvailableFlagshipVersionLicenseCnt => EDITION_AVAILABLE "ultimate";
    Yes   Count  AvailableLHLicenseCnt => EDITION_AVAILABLE "inclusive";
    Later Count  AvailableAISecurityLicenseCnt => EDITION_AVAILABLE "ai_security";
    Yes   Count  LicenseCnt => LICENSES;
    Yes   Count  AvailableLicenseCnt => AVAILABLE;
    Yes   Count  ExpireLicenseCnt => EXPIRED;
    Yes   Count  NearExpiryLicenseCnt => NEAR_EXPIRY;
    Yes   Count  NotExpiredLicenseCnt => NOT_EXPIRED;
    Yes   Count  UsedLicenseCnt => USED;
    Yes   Count  DestroyOrderNum => ORDERS_DESTROYED;
    Yes   Word   ProtectType => PROTECT_TYPE;
    Yes   Switch AutoOpenStatus => SWITCH "auto_upgrade";
    Yes   Switch IsOpenStatusHistory => SWITCH "auto_upgrade_ever";
    Yes   Switch AutoRepurchaseSwitch => SWITCH "auto_purchase";
    Yes   Switch AutoRepurchaseRenewSwitch => SWITCH "auto_purchase_renewal";
    Yes   Switch RepurchaseRenewSwitch => SWITCH "auto_renewal";
    Later Switch AutoBindRaspSwitch => SWITCH "auto_bind_rasp";
    Later Switch AutoOpenRaspSwitch => SWITCH "auto_open_rasp";
    Later Switch AutoDowngradeSwitch => SWITCH "auto_downgrade";
};

impl Collector for LicenseGeneral {
    fn name(&self) -> &'static str {
        "license_general"
    }

    fn metrics(&self) -> &'static [&'static MetricDef] {
        defs::ALL
    }

    fn defaults(&self) -> Option<CollectorDefaults> {
        None
    }

    fn request(&self) -> Request {
        Request::cwp("DescribeLicenseGeneral", Bytes::from_static(b"{}"))
    }

    fn reading(&self) -> Box<dyn Reading> {
        Box::new(read)
    }
}

fn read(answer: &Fields) -> Collected {
    field::read(answer, FIELDS, &[])
}

#[cfg(test)]
mod tests {
    use super::super::{Drift, DriftKind};
    use std::borrow::Cow;

    use super::*;
    use crate::collectors::Sample;

    fn parse(json: &str) -> Collected {
        read(&serde_json::from_str(json).unwrap())
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
            assert_eq!(parsed.samples.len(), 1, "{json}");
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
        assert_eq!(
            parsed.samples,
            [Sample::new(
                defs::PROTECT_TYPE,
                ["旗舰版\"NEW\"".into()],
                1.0
            )]
        );
    }

    #[test]
    fn a_word_of_128_bytes_is_a_label_and_a_longer_word_is_drift() {
        for (letters, samples) in [(128, 1), (129, 0)] {
            let parsed = parse(&format!(r#"{{"ProtectType": "{}"}}"#, "x".repeat(letters)));
            assert_eq!(parsed.samples.len(), samples, "{letters}");
            let invalid = |drift: &&Drift| drift.kind == DriftKind::Invalid;
            let invalid = parsed.drift.iter().filter(invalid).count();
            assert_eq!(invalid, 1 - samples, "{letters}");
        }
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
        assert_eq!(unknown.len(), 20);
        assert!(unknown.iter().all(|drift| drift.field.len() == 64));
    }
}
