//! The status page: facts about the exporter, and one page of the accounts.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::account;
use super::words::{HOME, ago, count, fact, health, known_fact, relative};
use crate::server::status::{AccountReport, FailureKind, Health, Query, Sort, StatusReport};
use crate::system::words::span;

/// The one style sheet, which the Content-Security-Policy names by its hash.
pub(super) const STYLE: &str = include_str!("style.css");

/// A circle in the colour of the most urgent health of any account.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='7' fill='%23COLOUR'/%3E%3C/svg%3E";

/// Links to other paths, relative to this page, as a proxy may serve the exporter below
/// another path.
const LINKS: [(&str, &str); 6] = [
    ("api/v1/status", "JSON"),
    ("calendar.ics", "Calendar"),
    ("config", "Configuration"),
    ("sd", "Service discovery"),
    ("-/healthy", "Health"),
    ("-/ready", "Readiness"),
];

/// The page of `report`, which answers `query`.
pub(super) fn render(report: &StatusReport, query: &Query, telemetry_path: &str) -> Markup {
    let failing = report.health.of(Health::Failing);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { @if failing > 0 { "(" (failing) ") " } "CWP exporter" }
                link rel="icon" href=(icon(report));
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    div.wide {
                        h1 { a href=(HOME) { "CWP exporter" } }
                        p { "Licences of Tencent Cloud Workload Protection, for Prometheus" }
                        nav aria-label="Elsewhere" {
                            a href=(relative(telemetry_path)) { "Metrics" }
                            @for (path, name) in LINKS { " " a href=(relative(path)) { (name) } }
                        }
                    }
                }
                main.wide {
                    (warnings(report))
                    (facts(report))
                    (filter(report, query))
                    (list(report, query))
                }
            }
        }
    }
}

fn icon(report: &StatusReport) -> String {
    let colour = match Health::ALL
        .into_iter()
        .find(|health| report.health.of(*health) > 0)
    {
        Some(Health::Failing | Health::Expired) => "d1242f",
        Some(Health::OrderEnding | Health::NearExpiry | Health::Exhausted) => "bf8700",
        Some(Health::Ok) => "1a7f37",
        Some(Health::Waiting) | None => "8c959f",
    };
    ICON.replace("COLOUR", colour)
}

/// Problems of the exporter itself.
fn warnings(report: &StatusReport) -> Markup {
    html! {
        @if !report.exporter.healthy {
            section.warning role="alert" {
                h2 { "The scheduler has stopped" }
                p { "Nothing is collected any more. Restart the exporter and report this." }
            }
        }
        @if let Some(refused) = &report.configuration.refused {
            section.warning role="alert" {
                h2 { "The configuration was not reloaded" }
                p {
                    "Tried " (ago(refused.at, report.time)) ". The previous configuration stays in use."
                }
                pre { (refused.error) }
            }
        }
    }
}

fn facts(report: &StatusReport) -> Markup {
    let (exporter, configuration) = (&report.exporter, &report.configuration);
    let time = html! {
        time datetime=(format!("{:.0}", report.time)) {
            (report.time.strftime("%Y-%m-%d %H:%M:%S")) " UTC"
        }
    };
    let budget = format!(
        "{} requests/s for each key and action",
        configuration.rate_limit_per_second
    );
    let shard = exporter.shard;
    let shard = shard.map(|own| format!("{} of {}, counted from 0", own.index(), own.total()));
    html! {
        dl.facts {
            (fact("As of", time))
            div { dt { "Version" } dd title=(exporter.revision) { (exporter.version) } }
            (fact("Started", ago(exporter.started_at, report.time)))
            (fact("Configuration", html! { "loaded " (ago(configuration.since, report.time)) }))
            (fact("Ready", if exporter.ready { "yes" } else { "not yet" }))
            (fact("Polled", format!("every {}", span(configuration.poll_interval_seconds))))
            (fact("Values kept", format!("for {}", span(configuration.max_age_seconds))))
            (fact("Budget", budget))
            (known_fact("Shard", shard))
            (known_fact("Replicas", (exporter.replicas > 1).then_some(exporter.replicas)))
        }
    }
}

/// A link to this page for another query.
fn link(query: &Query) -> String {
    match query.to_url() {
        url if url.is_empty() => HOME.to_owned(),
        url => format!("{HOME}?{url}"),
    }
}

/// The orders that accounts can be in.
const ORDERS: [(Sort, &str); 3] = [
    (Sort::Attention, "urgency"),
    (Sort::Name, "name"),
    (Sort::Deadline, "next deadline"),
];

fn filter(report: &StatusReport, query: &Query) -> Markup {
    let query = Query {
        page: 1,
        ..query.clone()
    };
    let of_health = |health| {
        link(&Query {
            health,
            ..query.clone()
        })
    };
    let sorted = |sort| {
        link(&Query {
            sort,
            ..query.clone()
        })
    };
    let without_text = link(&Query {
        text: String::new(),
        ..query.clone()
    });
    html! {
        nav.healths aria-label="Accounts by health" {
            a href=(of_health(None)) aria-current=[query.health.is_none().then_some("true")] {
                b { (count(report.health.all() as u64)) } " All"
            }
            @for each in Health::ALL {
                @let (sign, word) = health(each);
                @let number = report.health.of(each);
                a.(each.as_str()).none[number == 0] href=(of_health(Some(each)))
                    aria-current=[(query.health == Some(each)).then_some("true")] {
                    span.sign aria-hidden="true" { (sign) }
                    b { (count(number as u64)) } " " (word)
                }
            }
        }
        form.filter method="get" action=(HOME) role="search" {
            input type="search" name="q" value=(query.text) maxlength="200"
                aria-label="Account, region, label, reason or code"
                placeholder="Account, region, label, reason or code";
            @if let Some(health) = query.health {
                input type="hidden" name="health" value=(health.as_str());
            }
            @if query.sort != Sort::default() {
                input type="hidden" name="sort" value=(query.sort.as_str());
            }
            button type="submit" { "Filter" }
            @if !query.text.is_empty() {
                a href=(without_text) { "Clear" }
            }
            span.sort {
                "By "
                @for (index, (each, name)) in ORDERS.into_iter().enumerate() {
                    @if index > 0 { " · " }
                    @if query.sort == each { b { (name) } } @else { a href=(sorted(each)) { (name) } }
                }
            }
        }
    }
}

fn list(report: &StatusReport, query: &Query) -> Markup {
    html! {
        section.accounts aria-label="Accounts" {
            @if report.accounts.is_empty() {
                p.empty {
                    @if report.health.all() == 0 { "This process has no accounts." }
                    @else { "No account fits. " a href=(HOME) { "Show all" } }
                }
            }
            @else { (account::heads()) }
            @for alike in report.accounts.chunk_by(fail_alike) { (accounts(alike, report)) }
        }
        @if report.pages > 1 { (pages(report, query)) }
    }
}

/// Whether the accounts fail for the same reason.
fn fail_alike(a: &AccountReport, b: &AccountReport) -> bool {
    a.failure_kind.is_some() && a.failure_kind == b.failure_kind
}

/// One account, or several that fail alike, with their failure shown once.
fn accounts(alike: &[AccountReport], report: &StatusReport) -> Markup {
    let [first, others @ ..] = alike else {
        return html! {};
    };
    let Some((failure, kind)) = first.failure().zip(first.failure_kind.as_ref()) else {
        return account::render(first, report.time);
    };
    let left_out = report.left_out.get(kind).copied().unwrap_or_default();
    if others.is_empty() && left_out == 0 {
        return account::render(first, report.time);
    }
    let all = alike.len() + left_out;
    html! {
        section.alike.failing aria-label={ "Accounts that fail: " (failure.reason) } {
            (account::failed_alike(all, &first.account, failure))
            @for each in alike { (account::render_alike(each, report.time)) }
            @if left_out > 0 {
                p.all { a href=(link(&all_alike(kind))) { "Show all " (count(all as u64)) " accounts" } }
            }
        }
    }
}

/// The query for all accounts with this failure.
fn all_alike(kind: &FailureKind) -> Query {
    Query {
        text: kind.code.as_deref().unwrap_or(kind.reason).to_owned(),
        health: Some(Health::Failing),
        ..Query::default()
    }
}

fn pages(report: &StatusReport, query: &Query) -> Markup {
    let to = |page| {
        link(&Query {
            page,
            ..query.clone()
        })
    };
    let first = (report.page - 1) * report.per_page + 1;
    let last = first + report.accounts.len() - 1;
    html! {
        nav.pages aria-label="Pages" {
            @if report.page > 1 {
                a href=(to(1)) { "« First" }
                a rel="prev" href=(to(report.page - 1)) { "‹ Previous" }
            }
            span { (count(first as u64)) "–" (count(last as u64)) " of " (count(report.selected as u64)) }
            @if report.page < report.pages {
                a rel="next" href=(to(report.page + 1)) { "Next ›" }
                a href=(to(report.pages)) { "Last »" }
            }
        }
    }
}
