//! Why a collection failed: the closed set that metrics, logs and alerts share,
//! how the cloud's many error codes map onto it, and what an operator does about each.

use std::{fmt, iter};

use http::StatusCode;

/// Names the reasons, each with its label value, whether the same request may well succeed in
/// a moment, and what an operator does, as an instruction, in English and in Chinese.
macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident $name:literal $transient:literal $remedy:literal $chinese:literal)*) => {
        /// Why a collection failed. The names are label values and never grow without notice.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $reason,)*
        }

        impl Reason {
            /// Every reason, in the order of their names.
            pub const ALL: [Self; 9] = [$(Self::$reason),*];

            /// The value of the label `reason`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$reason => $name,)*
                }
            }

            /// Whether the same request may well succeed in a moment.
            #[must_use]
            pub fn is_transient(self) -> bool {
                match self {
                    $(Self::$reason => $transient,)*
                }
            }

            /// The remedy, as an instruction for an operator.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self {
                    $(Self::$reason => $remedy,)*
                }
            }

            /// The same in Chinese.
            #[must_use]
            pub fn remedy_in_chinese(self) -> &'static str {
                match self {
                    $(Self::$reason => $chinese,)*
                }
            }
        }
    };
}

reasons! {
    /// The local clock and the API's differ too much for a signature to hold.
    Clock "clock" false
        "set this machine's clock (NTP): the API refuses a difference of more than 300 s"
        "校准本机时钟（NTP）：时间相差超过 300 秒时，API 会拒绝请求"
    /// The key or its role is unknown, disabled, mismatched or expired, or could not be read.
    Credentials "credentials" false
        "check in the CAM console that the key exists and is enabled; check that the secret id, the secret key and the token of the account's `credentials` belong to one key"
        "在“访问管理”控制台的“访问密钥 > API 密钥管理”中确认密钥存在且已启用，并确认账号的 `credentials` 中的 SecretId、SecretKey 和 Token 属于同一个密钥"
    /// No connection, or one that broke before an answer came.
    Network "network" true
        "check name resolution, routes, firewall, proxy and TLS certificates between this machine and the endpoint"
        "检查本机到接入点的域名解析、路由、防火墙、代理和 TLS 证书"
    /// The key is good, but may not call this action.
    Permission "permission" false
        "give the key's user or role a CAM policy that allows the action named in the message; `cwp-exporter doctor` prints this policy"
        "为密钥所属的用户或角色关联访问策略，允许信息中所列的接口；`cwp-exporter doctor` 会输出该策略"
    /// The API says that the request itself was wrong.
    Request "request" false
        "check the account's endpoint and region; if both are right, report this with the RequestId"
        "检查账号的接入点和地域；如果都正确，请报告此问题，并附上 RequestId"
    /// The answer was unreadable, cut, oversized, empty or of another shape.
    Response "response" true
        "check that the endpoint is the CWP API and that no proxy rewrites its answers; the exporter tries again at the next interval"
        "确认接入点是主机安全的 API，且没有代理改写应答；exporter 会在下一个间隔重试"
    /// The API failed on its side, or gave a code nobody has documented.
    Server "server" true
        "wait: the exporter tries again at each interval; if the failure lasts, open a ticket with Tencent Cloud and quote the RequestId"
        "请等待，exporter 每个间隔都会重试；如果持续失败，请向腾讯云提交工单，并附上 RequestId"
    /// The API counts more requests than it allows.
    Throttled "throttled" true
        "lower api.rate_limit or raise poll.interval: other callers of the same sub-account count too"
        "调小 api.rate_limit 或调大 poll.interval：同一子用户的其他调用也计入配额"
    /// No whole answer within the time allowed for one request, or no end of the collection
    /// within its deadline.
    Timeout "timeout" true
        "check the network path to the endpoint, or raise poll.timeout; the exporter tries again at the next interval"
        "检查到接入点的网络，或调大 poll.timeout；exporter 会在下一个间隔重试"
}

impl Reason {
    /// The reason behind an API error code such as `AuthFailure.SignatureFailure`.
    ///
    /// The longest dotted prefix that is known decides; an unknown code is `server`.
    #[must_use]
    pub fn from_code(code: &str) -> Self {
        if code.split('.').any(|part| part == "RequestLimitExceeded") {
            return Self::Throttled;
        }
        let mut prefixes = iter::successors(Some(code), |code| Some(code.rsplit_once('.')?.0));
        let known = prefixes.find_map(|prefix| CODES.iter().find(|(code, _)| *code == prefix));
        known.map_or(Self::Server, |(_, reason)| *reason)
    }

    /// The reason behind an HTTP status other than 200 whose body explains nothing.
    #[must_use]
    pub fn from_status(status: StatusCode) -> Self {
        match status {
            StatusCode::TOO_MANY_REQUESTS => Self::Throttled,
            StatusCode::REQUEST_TIMEOUT => Self::Server,
            _ if status.is_server_error() => Self::Server,
            _ if status.is_success() || status.is_informational() => Self::Response,
            _ => Self::Request,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// API codes, those of STS included, that are not simply `server`.
///
/// Source: the vendor's common error table and the SDKs' own lists.
const CODES: &[(&str, Reason)] = &[
    ("ActionOffline", Reason::Request),
    ("AuthFailure", Reason::Credentials),
    ("AuthFailure.SignatureExpire", Reason::Clock),
    ("AuthFailure.UnRealNameAuthenticated", Reason::Permission),
    ("AuthFailure.UnauthorizedOperation", Reason::Permission),
    ("AuthFailure.UnsupportedOperation", Reason::Permission),
    ("DryRunOperation", Reason::Request),
    ("FailedOperation.TempKeyNotAllowed", Reason::Credentials),
    ("InternalError.GetRoleError", Reason::Credentials),
    ("InternalError.IllegalRole", Reason::Credentials),
    ("InvalidAction", Reason::Request),
    ("InvalidParameter", Reason::Request),
    ("InvalidParameter.AccessKeyNotSupport", Reason::Credentials),
    ("InvalidParameter.AccountNotAvaliable", Reason::Credentials),
    ("InvalidParameter.OverLimit", Reason::Throttled),
    (
        "InvalidParameter.WebIdentityTokenError",
        Reason::Credentials,
    ),
    ("InvalidParameterValue", Reason::Request),
    ("InvalidRequest", Reason::Request),
    ("IpInBlacklist", Reason::Permission),
    ("IpNotInWhitelist", Reason::Permission),
    ("LimitExceeded", Reason::Request),
    ("MissingParameter", Reason::Request),
    ("NoSuchProduct", Reason::Request),
    ("NoSuchVersion", Reason::Request),
    ("OperationDenied", Reason::Permission),
    ("RequestSizeLimitExceeded", Reason::Request),
    ("ResourceNotFound", Reason::Request),
    ("ResourceNotFound.RoleNotFound", Reason::Credentials),
    ("ResponseSizeLimitExceeded", Reason::Request),
    ("UnauthorizedOperation", Reason::Permission),
    ("UnknownParameter", Reason::Request),
    ("UnsupportedOperation", Reason::Request),
    ("UnsupportedProtocol", Reason::Request),
    ("UnsupportedRegion", Reason::Request),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_the_contract() {
        let values: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(
            values,
            [
                "clock",
                "credentials",
                "network",
                "permission",
                "request",
                "response",
                "server",
                "throttled",
                "timeout"
            ]
        );
    }

    #[test]
    fn codes_map_by_their_longest_known_prefix() {
        for (code, reason) in [
            ("AuthFailure", Reason::Credentials),
            ("AuthFailure.SignatureFailure", Reason::Credentials),
            ("AuthFailure.SecretIdNotFound", Reason::Credentials),
            ("AuthFailure.TokenFailure", Reason::Credentials),
            ("AuthFailure.SignatureExpire", Reason::Clock),
            ("AuthFailure.UnauthorizedOperation", Reason::Permission),
            ("UnauthorizedOperation.CamNoAuth", Reason::Permission),
            ("IpNotInWhitelist", Reason::Permission),
            ("RequestLimitExceeded", Reason::Throttled),
            ("RequestLimitExceeded.UinLimitExceeded", Reason::Throttled),
            ("LimitExceeded.RequestLimitExceeded", Reason::Throttled),
            ("LimitExceeded.Quota", Reason::Request),
            ("InvalidParameter.OverLimit", Reason::Throttled),
            ("InvalidParameter.Other", Reason::Request),
            ("InternalError.MainDBFail", Reason::Server),
            ("InternalError.IllegalRole", Reason::Credentials),
            ("FailedOperation.APIServerFail", Reason::Server),
            ("ServiceUnavailable", Reason::Server),
            ("ResourceNotFound.RoleNotFound", Reason::Credentials),
            ("ResourceNotFound.Thing", Reason::Request),
            ("UnknownParameter", Reason::Request),
            ("NobodyHasSeenThis", Reason::Server),
            ("", Reason::Server),
        ] {
            assert_eq!(Reason::from_code(code), reason, "{code}");
        }
    }

    #[test]
    fn statuses_map_when_the_body_explains_nothing() {
        for (status, reason) in [
            (500, Reason::Server),
            (502, Reason::Server),
            (408, Reason::Server),
            (429, Reason::Throttled),
            (301, Reason::Request),
            (403, Reason::Request),
            (204, Reason::Response),
            (101, Reason::Response),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Reason::from_status(status), reason, "{status}");
        }
    }
}
