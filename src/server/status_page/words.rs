//! The words of the status page in each language, and how each writes numbers, times and
//! states.

use std::fmt::Display;

use jiff::Timestamp;
use jiff::civil::Date;
use maud::{Markup, Render, html};

use crate::server::language::Language;
use crate::server::status::Health;
use crate::server::status::orders::{Attention, Moment};
use crate::system::words::{counted, span, span_in};

/// This page.
pub(super) const HOME: &str = "./";

/// The page for a reader: the language, and the time that it shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    pub(super) words: Language,
    pub(super) now: Timestamp,
}

/// Defines texts, each in English and in Chinese.
macro_rules! texts {
    ($($name:ident: $english:literal, $chinese:literal;)*) => {
        impl Language {
            $(pub(super) const fn $name(self) -> &'static str {
                match self {
                    Self::English => $english,
                    Self::Chinese => $chinese,
                }
            })*
        }
    };
}

/// Defines texts with values in them, each in English and in Chinese.
macro_rules! phrases {
    ($($name:ident($($value:ident),*): $english:literal, $chinese:literal;)*) => {
        impl Language {
            $(pub(super) fn $name(self, $($value: impl Display),*) -> String {
                match self {
                    Self::English => format!($english),
                    Self::Chinese => format!($chinese),
                }
            })*
        }
    };
}

// The head of the page, and the exporter itself.
texts! {
    own_name: "English", "中文";
    about: "Licences of Tencent Cloud Workload Protection, for Prometheus", "腾讯云主机安全的授权，供 Prometheus 抓取";
    elsewhere: "Elsewhere", "其他地址";
    metrics: "Metrics", "指标";
    calendar: "Calendar", "日历";
    configuration: "Configuration", "配置";
    service_discovery: "Service discovery", "服务发现";
    is_healthy: "Health", "健康检查";
    is_ready: "Readiness", "就绪检查";
    scheduler_stopped: "The scheduler has stopped", "调度器已停止";
    nothing_collected: "Nothing is collected any more. Restart the exporter and report this.", "不再采集任何数据。请重启 exporter 并报告此问题。";
    not_reloaded: "The configuration was not reloaded", "配置没有重新加载";
    tried: "Tried ", "尝试时间：";
    previous_stays: ". The previous configuration stays in use.", "。继续使用之前的配置。";
    as_of: "As of", "当前时间";
    version: "Version", "程序版本";
    started: "Started", "启动时间";
    loaded: "loaded ", "加载于 ";
    ready: "Ready", "就绪";
    yes: "yes", "是";
    not_yet: "not yet", "尚未";
    polled: "Collected", "采集间隔";
    values_kept: "Values kept", "数值保留";
    budget: "Budget", "限额";
    shard: "Shard", "分片";
    replicas: "Replicas", "副本数";
}

phrases! {
    every(span): "every {span}", "{span}";
    lasting(span): "for {span}", "{span}";
    rate_limit(number): "{number} requests/s for each key and action", "每个密钥的每个接口每秒 {number} 次请求";
    shard_of(index, total): "{index} of {total}, counted from 0", "{index} / {total}（从 0 数起）";
}

// The choice of accounts.
texts! {
    by_health: "Accounts by health", "按状态选择账号";
    all: "All", "全部";
    searched: "Account, region, label, reason or code", "账号、地域、标签、原因或错误码";
    filter: "Filter", "筛选";
    clear: "Clear", "清除";
    by: "By ", "排序：";
    urgency: "urgency", "紧急程度";
    name: "name", "名称";
    by_deadline: "next deadline", "最近到期";
    accounts: "Accounts", "账号";
    no_accounts: "This process has no accounts.", "此进程没有账号。";
    none_fits: "No account fits. ", "没有符合条件的账号。";
    show_all: "Show all", "显示全部";
    pages: "Pages", "分页";
    first: "First", "首页";
    previous: "Previous", "上一页";
    next: "Next", "下一页";
    last: "Last", "末页";
}

phrases! {
    fail_alike(reason): "Accounts that fail: {reason}", "采集失败的账号：{reason}";
    show_all_accounts(number): "Show all {number} accounts", "显示全部 {number} 个账号";
    places(first, last, all): "{first}–{last} of {all}", "第 {first}–{last} 个，共 {all} 个";
}

// An account.
texts! {
    account: "Account", "账号";
    licences: "Licences", "授权";
    available: "Available", "可用";
    used: "Used", "已使用";
    near_expiry: "Near expiry", "即将到期";
    expired: "Expired", "已到期";
    next_deadline: "Next deadline", "最近到期";
    renewal: "Renewal", "自动续费";
    age: "Data age", "数据延迟";
    next_poll: "Next collection", "下次采集";
    fails: "failing: ", "采集失败：";
    too_old: "its values are too old", "数值太旧";
    none_available: "none available", "无可用授权";
    not_collected_yet: "not collected yet", "尚未采集";
    fine: "fine", "正常";
    withdrawn: "values withdrawn", "数值已撤下";
    restored: "restored", "沿用旧值";
    now: "now", "现在";
    on: "on", "开启";
    off: "off", "关闭";
    not_known: "not known", "未知";
    colon: ": ", "：";
    comma: ", ", "，";
    full_stop: ".", "。";
    for_example: "For example ", "例如 ";
    to_do: "To do: ", "处理：";
    code: "Code", "错误码";
    last_success: "Last success", "上次成功";
    never: "never", "从未";
    key: "Key", "密钥";
    expires: ", expires ", "，过期时间：";
    endpoint: "Endpoint", "接入点";
    region: "Region", "地域";
    new_servers_get: "New servers get", "新增主机的防护";
    not_expired: "Not expired", "未到期";
    for_applications: "For applications", "应用防护";
    orders_destroyed: "Orders destroyed", "已销毁订单";
    collector: "Collector", "采集器";
    under_way: "under way for ", "采集中，已用时 ";
    last_poll: "Last collection", "上次采集";
    failed_polls: "Failed collections", "失败次数";
    odd_field: "Schema drift", "字段变化";
}

phrases! {
    some_expired(number): "{number} expired", "{number} 个已到期";
    some_near_expiry(number): "{number} near expiry", "{number} 个即将到期";
    some_near_expiry_unrenewed(number): "{number} near expiry, not renewed by themselves", "{number} 个即将到期，不会自动续费";
    some_available(number): "{number} available", "{number} 个可用";
    some_licences(number): "{number} licences", "{number} 个授权";
    accounts_fail(number, reason): "{number} accounts: {reason}", "{number} 个账号：{reason}";
    label(name): "Label {name}", "标签 {name}";
    edition(name): "Edition {name}", "{name}";
    switch(name): "Switch {name}", "{name}";
    took(seconds): ", took {seconds} s", "，耗时 {seconds} 秒";
    budget_use(used, limit, per_day): "{used} of this key in the last minute, {limit}/s allowed; {per_day} a day for this account", "此密钥最近一分钟 {used}，每秒允许 {limit} 次；此账号每天 {per_day} 次";
}

// Orders, the log service and servers.
texts! {
    orders: "Orders", "订单";
    an_order: "an order", "订单";
    last_read: "last read ", "上次读取：";
    too_long_ago: ", too long ago to be shown", "，太旧，不再显示";
    read: "read ", "读取于 ";
    not_read: "could not be read yet", "尚未读取成功";
    not_read_yet: "not read yet", "尚未读取";
    no_orders: "There are none.", "没有订单。";
    deadline: "Deadline", "到期时间";
    order: "Order", "订单";
    no_deadline: "none", "无";
    drawing: "When the orders end within twelve months; the table below says the same", "未来十二个月内到期的订单，与下表相同";
    ends_here: "ends", "到期";
    renews_itself: "renews itself", "自动续费";
    trial_or_gift: "trial or gift", "试用或赠送";
    isolated: "isolated", "已隔离";
    is_isolated: "is isolated", "已隔离";
    ends_later: "ends later", "更晚到期";
    today: "today", "今天";
    not_renewed_yet: "not renewed yet", "尚未续费";
    nothing_renews: "nothing renews it", "不自动续费";
    log_service: "Log service", "日志分析";
    log_storage: "Log storage", "日志存储";
    not_bought: "not bought", "未购买";
    servers: "Servers", "主机";
    without_agent: "Without an agent", "未安装客户端";
    protection_ends: "Protection ends within 7 days", "防护 7 天内到期";
}

phrases! {
    order_of(id): "order {id}", "订单 {id}";
    order_is_isolated(order): "{order} is isolated", "{order} 已隔离";
    order_ends(order, due): "{order} ends {due}", "{order} 将于 {due}到期";
    order_ended(order, due): "{order} ended {due}", "{order} 已于 {due}到期";
    late_order_ends(order, due): "{order} was not renewed yet, ends {due}", "{order} 尚未续费，将于 {due}到期";
    late_order_ended(order, due): "{order} was not renewed yet, ended {due}", "{order} 尚未续费，已于 {due}到期";
    reading_fails(reason): "; reading fails: {reason}, see below", "；读取失败：{reason}，见下方";
    later_orders(number): "{number} orders with later deadlines are in the JSON only.", "另有 {number} 个到期更晚的订单，只在 JSON 中。";
    hidden_orders(number): "{number} orders are left out, as there are more than max_rows allows.", "有 {number} 个订单未显示，因为订单数超过 max_rows。";
    undrawn_orders(number): "{number} orders with later deadlines are not drawn.", "另有 {number} 个到期更晚的订单没有画出。";
    kind(number): "type {number}", "类型 {number}";
    frozen(number): ", {number} frozen", "，冻结 {number}";
    other_status(status): "status {status}", "状态 {status}";
    ends(due): ", ends {due}", "，{due}到期";
    agent(state): "Agent {state}", "客户端{state}";
    servers_on(edition): "Servers on {edition}", "{edition}主机";
}

/// The API's and this program's own words, which English readers see as they are. Grafana's
/// dashboards have the same in Chinese.
const TERMS: [(&str, &str); 42] = [
    ("professional", "专业版"),
    ("ultimate", "旗舰版"),
    ("inclusive", "惠普版"),
    ("ai_security", "AI 防护版"),
    ("AI security", "AI 防护版"),
    ("basic", "基础版"),
    ("prepaid", "包年包月"),
    ("postpaid", "按量计费"),
    ("paid", "付费"),
    ("trial", "试用"),
    ("gift", "赠送"),
    ("gift_ssl", "赠送（SSL）"),
    ("gift_cvm", "赠送（CVM）"),
    ("experience", "体验"),
    ("normal", "正常"),
    ("isolated", "已隔离"),
    ("destroyed", "已销毁"),
    ("online", "在线"),
    ("offline", "离线"),
    ("shutdown", "已关机"),
    ("auto_upgrade", "自动升级"),
    ("auto_upgrade_ever", "曾自动升级"),
    ("auto_purchase", "自动加购"),
    ("auto_purchase_renewal", "加购订单续费"),
    ("auto_renewal", "自动续费"),
    ("auto_bind_rasp", "自动绑定 RASP"),
    ("auto_open_rasp", "自动开启 RASP"),
    ("auto_downgrade", "自动缩容"),
    ("unknown", "未知"),
    ("missing", "缺失"),
    ("invalid", "无效"),
    ("clock", "时钟（clock）"),
    ("credentials", "凭证（credentials）"),
    ("network", "网络（network）"),
    ("permission", "权限（permission）"),
    ("request", "请求（request）"),
    ("response", "应答（response）"),
    ("server", "服务端（server）"),
    ("throttled", "限流（throttled）"),
    ("timeout", "超时（timeout）"),
    ("auto", "自动"),
    ("manual", "手动"),
];

impl Language {
    /// `word` as people say it; the word itself where nobody has another.
    pub(super) fn term(self, word: &str) -> &str {
        let known = match self {
            Self::English => None,
            Self::Chinese => TERMS.iter().find(|(known, _)| *known == word),
        };
        known.map_or(word, |(_, term)| *term)
    }

    /// A duration in its two largest units.
    pub(super) fn span(self, seconds: f64) -> String {
        match self {
            Self::English => span(seconds),
            Self::Chinese => span_in(seconds, ["天", "小时", "分钟", "秒"]),
        }
    }

    pub(super) fn requests(self, number: usize) -> String {
        match self {
            Self::English => counted(number, "request"),
            Self::Chinese => format!("{number} 次请求"),
        }
    }

    pub(super) fn odd_fields(self, number: usize) -> String {
        match self {
            Self::English => format!("{} with drift", counted(number, "field")),
            Self::Chinese => format!("{number} 个字段变化"),
        }
    }

    /// How much is used of all.
    pub(super) fn used_of(self, used: impl Render, all: impl Render, unit: &str) -> Markup {
        html! {
            @match self {
                Self::English => { (used) " of " (all) (unit) " used" }
                Self::Chinese => { "已使用 " (used) " / " (all) (unit) }
            }
        }
    }

    pub(super) fn month(self, date: Date) -> String {
        match self {
            Self::English => date.strftime("%b %Y").to_string(),
            Self::Chinese => format!("{} 年 {} 月", date.year(), date.month()),
        }
    }

    /// A health as a sign and a word, as not everybody can tell colours apart.
    pub(super) fn health(self, health: Health) -> (&'static str, &'static str) {
        let (sign, english, chinese) = match health {
            Health::Failing => ("✕", "Failing", "采集失败"),
            Health::Expired => ("■", "Expired", "已到期"),
            Health::OrderEnding => ("●", "Order ends", "订单到期"),
            Health::NearExpiry => ("▲", "Near expiry", "即将到期"),
            Health::Exhausted => ("◆", "None available", "无可用授权"),
            Health::Waiting => ("○", "Waiting", "等待采集"),
            Health::Ok => ("✓", "Fine", "正常"),
        };
        match self {
            Self::English => (sign, english),
            Self::Chinese => (sign, chinese),
        }
    }

    fn in_future(self, span: &str) -> String {
        match self {
            Self::English => format!("in {span}"),
            Self::Chinese => format!("{span}后"),
        }
    }

    fn in_past(self, span: &str) -> String {
        match self {
            Self::English => format!("{span} ago"),
            Self::Chinese => format!("{span}前"),
        }
    }
}

impl View {
    /// The value, or a dash.
    pub(super) fn known(self, value: Option<impl Render>) -> Markup {
        html! {
            @match value {
                Some(value) => (value),
                None => span.unknown title=(self.words.not_known()) { "–" }
            }
        }
    }

    /// How long `then` is ago, with the exact time as a tooltip.
    pub(super) fn ago(self, then: Timestamp) -> Markup {
        let seconds = self.now.duration_since(then).as_secs_f64();
        time(then, &self.words.in_past(&self.words.span(seconds)))
    }

    /// The time until `then`, with the exact time as a tooltip.
    pub(super) fn until(self, then: Timestamp) -> Markup {
        let seconds = then.duration_since(self.now).as_secs_f64();
        time(then, &self.words.in_future(&self.words.span(seconds)))
    }

    /// When a deadline is, in days or hours where there are several.
    pub(super) fn due(self, deadline: Moment) -> String {
        const HOUR: u64 = 3_600;
        const DAY: u64 = 24 * HOUR;
        let left = deadline.0.saturating_sub(self.now.as_second());
        let (days, hours) = match self.words {
            Language::English => ("d", "h"),
            Language::Chinese => ("天", "小时"),
        };
        let span = match left.unsigned_abs() {
            long if long >= 2 * DAY => format!("{} {days}", count(long / DAY)),
            long if long >= 2 * HOUR => format!("{} {hours}", long / HOUR),
            short => self.words.span(short as f64),
        };
        match left {
            0.. => self.words.in_future(&span),
            _ => self.words.in_past(&span),
        }
    }
}

/// A link from this page to a path of the exporter.
pub(super) fn relative(path: &str) -> String {
    // With the dot, no colon in the path makes it another scheme.
    format!("{HOME}{}", path.trim_start_matches('/'))
}

/// The class of what needs this attention.
pub(super) fn attention(attention: Attention) -> &'static str {
    match attention {
        Attention::None => "",
        Attention::Soon => "warn",
        Attention::Now => "bad",
    }
}

/// A fact in a list of facts.
pub(super) fn fact(name: impl Render, value: impl Render) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// The same, if the value is known.
pub(super) fn known_fact(name: impl Render, value: Option<impl Render>) -> Markup {
    html! { @if let Some(value) = value { (fact(name, value)) } }
}

/// `count` with a comma at each thousand.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn time(at: Timestamp, words: &str) -> Markup {
    let exact = format!("{at:.0}");
    html! { time datetime=(exact) title=(exact) { (words) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reason::Reason;

    fn view(words: Language) -> View {
        View {
            words,
            now: Timestamp::from_second(1_000_000_000).unwrap(),
        }
    }

    #[test]
    fn a_deadline_is_told_in_days_or_hours_unless_it_is_near() {
        for (left, english, chinese) in [
            (0, "in 0 s", "0 秒后"),
            (93_600, "in 26 h", "26 小时后"),
            (172_800, "in 2 d", "2 天后"),
            (100_000_000, "in 1,157 d", "1,157 天后"),
            (-90, "1 min 30 s ago", "1 分钟 30 秒前"),
            (-864_000, "10 d ago", "10 天前"),
        ] {
            let deadline = Moment(1_000_000_000 + left);
            assert_eq!(view(Language::English).due(deadline), english);
            assert_eq!(view(Language::Chinese).due(deadline), chinese);
        }
        let long_ago = view(Language::English).due(Moment(i64::MIN));
        assert!(long_ago.ends_with(" d ago"), "{long_ago}");
    }

    #[test]
    fn a_word_of_the_api_is_translated_where_it_is_known_and_is_itself_elsewhere() {
        for reason in Reason::ALL {
            let chinese = Language::Chinese.term(reason.as_str());
            assert!(chinese.ends_with(&format!("（{reason}）")), "{chinese}");
            assert_eq!(Language::English.term(reason.as_str()), reason.as_str());
        }
        assert_eq!(Language::Chinese.term("gift_cvm"), "赠送（CVM）");
        assert_eq!(Language::Chinese.term("17"), "17");
    }

    #[test]
    fn counts_have_a_comma_at_each_thousand() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), text);
        }
    }
}
