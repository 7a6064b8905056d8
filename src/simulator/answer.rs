//! The answers that a scenario can give.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::refusal::Refusal;

/// The fields of an answer: the `Response` object without its `RequestId`.
pub type AnswerFields = Map<String, Value>;

/// How deep an answer can be nested; each level is two bytes.
pub(crate) const MAX_NESTED: usize = 10_000_000;

/// How an authentic, permitted request within the rate limit is answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The fields of the account's timeline.
    Ok,
    /// The same, with `Content-Encoding: gzip`, whether asked for or not.
    Gzip,
    /// These fields instead of the timeline's.
    Fields(AnswerFields),
    /// An API error, with HTTP status 200 like all of them.
    Error {
        /// The dotted code, such as `InternalError`.
        code: String,
        /// Text for people.
        message: String,
    },
    /// An error in the shape of the old (API 2.0) gateway:
    /// `{"code":4000,"message":"…","codeDesc":"…"}`.
    LegacyError {
        /// The number, such as 4000.
        code: i64,
        /// Text for people.
        message: String,
        /// The code as a word.
        code_desc: String,
    },
    /// An answer of a gateway, such as 502.
    Http {
        /// The status, 200 to 599.
        status: StatusCode,
        /// The body as it is.
        body: String,
        /// `Content-Type`; `text/html` when absent.
        content_type: Option<String>,
        /// `Location`; not sent when absent.
        location: Option<String>,
    },
    /// Nothing, and the connection stays open.
    Hang,
    /// The connection is reset (TCP RST) without an answer.
    Reset,
    /// The timeline's fields, but only so many bytes of the body that
    /// `Content-Length` promises, at most all but one; then the connection ends.
    Cut(usize),
    /// Status 200 with this text, whatever it is, as `application/json`.
    Body(String),
    /// Status 200 and valid JSON of about this many bytes, streamed without `Content-Length`.
    Oversized(u64),
    /// Status 200 and JSON with arrays nested this deep, 10,000,000 levels at most.
    Nested(usize),
    /// Another answer, so much later.
    Delayed(Duration, Box<Answer>),
}

impl Answer {
    /// The kind of answer, for logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Gzip => "gzip",
            Self::Fields(_) => "fields",
            Self::Error { .. } => "error",
            Self::LegacyError { .. } => "legacy_error",
            Self::Http { .. } => "http",
            Self::Hang => "hang",
            Self::Reset => "reset",
            Self::Cut(_) => "cut",
            Self::Body(_) => "body",
            Self::Oversized(_) => "oversized",
            Self::Nested(_) => "nested",
            Self::Delayed(_, answer) => answer.name(),
        }
    }

    /// Whether the answer has, wholly or in part, the content of a good answer.
    pub(crate) fn is_good(&self) -> bool {
        match self {
            Self::Ok | Self::Gzip | Self::Cut(_) | Self::Oversized(_) => true,
            Self::Delayed(_, answer) => answer.is_good(),
            _ => false,
        }
    }
}

/// The page of a list that a request asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    pub(crate) offset: usize,
    pub(crate) limit: u64,
}

impl Page {
    /// The `Limit` of a request without the parameter.
    const LIMIT: u64 = 10;

    /// Reads `Limit` and `Offset`, the only parameters of lists that are known here.
    pub(crate) fn read(parameters: &Map<String, Value>) -> Result<Self, Refusal> {
        Refusal::check_names(parameters, &["Limit", "Offset"])?;
        let number = |name, default| match parameters.get(name) {
            None => Ok(default),
            Some(value) => value
                .as_u64()
                .ok_or_else(|| Refusal::invalid_value(name, value)),
        };
        Ok(Self {
            offset: usize::try_from(number("Offset", 0)?).unwrap_or(usize::MAX),
            limit: number("Limit", Self::LIMIT)?,
        })
    }

    /// The fields of an answer with this page of its `List`. Other fields stay, and
    /// `TotalCount` is the length of the list unless they have a `TotalCount`.
    pub(crate) fn of(self, fields: &AnswerFields) -> AnswerFields {
        let mut page = fields.clone();
        if let Some(Value::Array(list)) = fields.get("List") {
            let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
            let items = list.iter().skip(self.offset).take(limit);
            page.insert("List".to_owned(), items.cloned().collect());
            page.entry("TotalCount").or_insert(list.len().into());
        }
        page
    }
}

/// The fields of an account without `fields` in the scenario.
///
/// All 25 fields, with the contradictory figures of the API's documentation:
/// expired licences and a destroyed order where there are no licences at all.
/// Readers of this answer must not assume that one count follows from another.
#[must_use]
pub fn documented_example() -> AnswerFields {
    object(json!({
        "LicenseCnt": 0, "AvailableLicenseCnt": 0, "UsedLicenseCnt": 0,
        "NotExpiredLicenseCnt": 0, "NearExpiryLicenseCnt": 0, "ExpireLicenseCnt": 10,
        "ProVersionLicenseCnt": 0, "AvailableProVersionLicenseCnt": 0,
        "FlagshipVersionLicenseCnt": 0, "AvailableFlagshipVersionLicenseCnt": 0,
        "AISecurityVersionLicenseCnt": 0, "AvailableAISecurityLicenseCnt": 0,
        "CwpVersionLicenseCnt": 0, "AvailableLHLicenseCnt": 0,
        "ApplicationAvailableLicenseCnt": 0, "DestroyOrderNum": 1,
        "AutoOpenStatus": false, "IsOpenStatusHistory": false,
        "AutoRepurchaseSwitch": false, "AutoRepurchaseRenewSwitch": false,
        "RepurchaseRenewSwitch": false, "AutoBindRaspSwitch": false,
        "AutoOpenRaspSwitch": false, "AutoDowngradeSwitch": false,
        "ProtectType": "FLAGSHIP_PREPAY",
    }))
}

/// The answers to further actions of an account that has none in the scenario: nothing was
/// bought beside the licences, and there are no servers.
pub(crate) fn nothing_bought() -> BTreeMap<Arc<str>, AnswerFields> {
    let answers = [
        ("DescribeLicenseList", json!({"TotalCount": 0, "List": []})),
        (
            "DescribeGeneralStat",
            json!({
                "MachinesAll": 0, "MachinesUninstalled": 0, "AgentsAll": 0,
                "AgentsOnline": 0, "AgentsOffline": 0, "Shutdown": 0, "Offline": 0,
                "AgentsBasic": 0, "AgentsPro": 0, "FlagshipMachineCnt": 0,
                "AgentsProExpireWithInSevenDays": 0, "RiskMachine": 0, "ProtectDays": 0,
                "AddedOnTheFifteen": 0,
            }),
        ),
        (
            "DescribeHistoryService",
            json!({
                "BuyStatus": 1, "InquireNum": 0, "StartTime": "", "EndTime": "",
                "IsAutoOpenRenew": 0, "ResourceId": "", "Status": 0,
            }),
        ),
        (
            "DescribeLogStorageStatistic",
            json!({"TotalSize": 0, "UsedSize": 0}),
        ),
    ];
    let answers = answers.into_iter();
    answers
        .map(|(action, fields)| (action.into(), object(fields)))
        .collect()
}

/// The fields of a JSON object.
pub(crate) fn object(value: Value) -> AnswerFields {
    match value {
        Value::Object(fields) => fields,
        _ => AnswerFields::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_example_has_all_25_fields_and_its_contradiction() {
        let fields = documented_example();
        assert_eq!(fields.len(), 25);
        assert_eq!(fields["LicenseCnt"], 0);
        assert_eq!(fields["ExpireLicenseCnt"], 10);
        assert_eq!(fields["DestroyOrderNum"], 1);
    }

    #[test]
    fn the_example_is_the_documents() {
        let document =
            include_str!("../../tests/fixtures/api/license_general/documented-example.json");
        let mut document: Value = serde_json::from_str(document).unwrap();
        let response = document["Response"].as_object_mut().unwrap();
        response.remove("RequestId");
        assert_eq!(*response, documented_example());
    }
}
