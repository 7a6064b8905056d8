//! The status page: facts about the exporter, and one page of the accounts.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::account;
use super::words::{HOME, View, count, fact, known_fact, relative};
use crate::server::language::Language;
use crate::server::status::{AccountReport, FailureKind, Health, Query, Sort, StatusReport};

/// The one style sheet, which the Content-Security-Policy names by its hash.
pub(super) const STYLE: &str = include_str!("style.css");

/// A circle in the colour of the most urgent health of any account.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='7' fill='%23COLOUR'/%3E%3C/svg%3E";

/// Links to other paths, relative to this page, as a proxy may serve the exporter below
/// another path.
fn links(words: Language) -> [(&'static str, &'static str); 6] {
    [
        ("api/v1/status", "JSON"),
        ("calendar.ics", words.calendar()),
        ("config", words.configuration()),
        ("sd", words.service_discovery()),
        ("-/healthy", words.is_healthy()),
        ("-/ready", words.is_ready()),
    ]
}

/// The page of `report`, which answers `query`, in the language `words`.
pub(super) fn render(
    report: &StatusReport,
    query: &Query,
    words: Language,
    telemetry_path: &str,
) -> Markup {
    let view = View {
        words,
        now: report.time,
    };
    let failing = report.health.of(Health::Failing);
    html! {
        (DOCTYPE)
        html lang=(words.tag()) {
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
                        h1 { a href=(home(query)) { "CWP exporter" } }
                        p { (words.about()) }
                        nav aria-label=(words.elsewhere()) {
                            a href=(relative(telemetry_path)) { (words.metrics()) }
                            @for (path, name) in links(words) { " " a href=(relative(path)) { (name) } }
                            " " (in_other_language(query, words.other()))
                        }
                    }
                }
                main.wide {
                    (warnings(report, view))
                    (facts(report, view))
                    (filter(report, query, words))
                    (list(report, query, view))
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

/// A link to this page in the language `other`, with the name of that language in itself.
fn in_other_language(query: &Query, other: Language) -> Markup {
    let link = link(&Query {
        language: Some(other),
        ..query.clone()
    });
    html! { a href=(link) lang=(other.tag()) hreflang=(other.tag()) { (other.own_name()) } }
}

/// Problems of the exporter itself.
fn warnings(report: &StatusReport, view: View) -> Markup {
    let words = view.words;
    html! {
        @if !report.exporter.healthy {
            section.warning role="alert" {
                h2 { (words.scheduler_stopped()) }
                p { (words.nothing_collected()) }
            }
        }
        @if let Some(refused) = &report.configuration.refused {
            section.warning role="alert" {
                h2 { (words.not_reloaded()) }
                p { (words.tried()) (view.ago(refused.at)) (words.previous_stays()) }
                pre { (refused.error) }
            }
        }
    }
}

fn facts(report: &StatusReport, view: View) -> Markup {
    let (exporter, configuration) = (&report.exporter, &report.configuration);
    let words = view.words;
    let time = html! {
        time datetime=(format!("{:.0}", report.time)) {
            (report.time.strftime("%Y-%m-%d %H:%M:%S")) " UTC"
        }
    };
    let loaded = html! { (words.loaded()) (view.ago(configuration.since)) };
    let ready = if exporter.ready {
        words.yes()
    } else {
        words.not_yet()
    };
    let interval = words.span(configuration.poll_interval_seconds);
    let max_age = words.span(configuration.max_age_seconds);
    let budget = words.rate_limit(configuration.rate_limit_per_second);
    let shard = exporter.shard;
    let shard = shard.map(|own| words.shard_of(own.index(), own.total()));
    html! {
        dl.facts {
            (fact(words.as_of(), time))
            div { dt { (words.version()) } dd title=(exporter.revision) { (exporter.version) } }
            (fact(words.started(), view.ago(exporter.started_at)))
            (fact(words.configuration(), loaded))
            (fact(words.ready(), ready))
            (fact(words.polled(), words.every(interval)))
            (fact(words.values_kept(), words.lasting(max_age)))
            (fact(words.budget(), budget))
            (known_fact(words.shard(), shard))
            (known_fact(words.replicas(), (exporter.replicas > 1).then_some(exporter.replicas)))
        }
    }
}

/// The first page of all accounts, in the language that `query` has chosen.
fn home(query: &Query) -> String {
    link(&Query {
        language: query.language,
        ..Query::default()
    })
}

/// A link to this page for another query.
fn link(query: &Query) -> String {
    match query.to_url() {
        url if url.is_empty() => HOME.to_owned(),
        url => format!("{HOME}?{url}"),
    }
}

/// The orders that accounts can be in.
fn orders(words: Language) -> [(Sort, &'static str); 3] {
    [
        (Sort::Attention, words.urgency()),
        (Sort::Name, words.name()),
        (Sort::Deadline, words.by_deadline()),
    ]
}

fn filter(report: &StatusReport, query: &Query, words: Language) -> Markup {
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
        nav.healths aria-label=(words.by_health()) {
            a href=(of_health(None)) aria-current=[query.health.is_none().then_some("true")] {
                b { (count(report.health.all() as u64)) } " " (words.all())
            }
            @for each in Health::ALL {
                @let (sign, word) = words.health(each);
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
                aria-label=(words.searched()) placeholder=(words.searched());
            @if let Some(health) = query.health {
                input type="hidden" name="health" value=(health.as_str());
            }
            @if query.sort != Sort::default() {
                input type="hidden" name="sort" value=(query.sort.as_str());
            }
            @if let Some(language) = query.language {
                input type="hidden" name="lang" value=(language.as_str());
            }
            button type="submit" { (words.filter()) }
            @if !query.text.is_empty() {
                a href=(without_text) { (words.clear()) }
            }
            span.sort {
                (words.by())
                @for (index, (each, name)) in orders(words).into_iter().enumerate() {
                    @if index > 0 { " · " }
                    @if query.sort == each { b { (name) } } @else { a href=(sorted(each)) { (name) } }
                }
            }
        }
    }
}

fn list(report: &StatusReport, query: &Query, view: View) -> Markup {
    let words = view.words;
    html! {
        section.accounts aria-label=(words.accounts()) {
            @if report.accounts.is_empty() {
                p.empty {
                    @if report.health.all() == 0 { (words.no_accounts()) }
                    @else { (words.none_fits()) a href=(home(query)) { (words.show_all()) } }
                }
            }
            @else { (account::heads(words)) }
            @for alike in report.accounts.chunk_by(fail_alike) { (accounts(alike, report, query, view)) }
        }
        @if report.pages > 1 { (pages(report, query, words)) }
    }
}

/// Whether the accounts fail for the same reason.
fn fail_alike(a: &AccountReport, b: &AccountReport) -> bool {
    a.failure_kind.is_some() && a.failure_kind == b.failure_kind
}

/// One account, or several that fail alike, with their failure shown once.
fn accounts(alike: &[AccountReport], report: &StatusReport, query: &Query, view: View) -> Markup {
    let [first, others @ ..] = alike else {
        return html! {};
    };
    let Some((failure, kind)) = first.failure().zip(first.failure_kind.as_ref()) else {
        return account::render(first, view);
    };
    let left_out = report.left_out.get(kind).copied().unwrap_or_default();
    if others.is_empty() && left_out == 0 {
        return account::render(first, view);
    }
    let all = alike.len() + left_out;
    let (words, link) = (view.words, link(&all_alike(kind, query)));
    let reason = words.term(failure.reason);
    html! {
        section.alike.failing aria-label=(words.fail_alike(reason)) {
            (account::failed_alike(all, &first.account, failure, words))
            @for each in alike { (account::render_alike(each, view)) }
            @if left_out > 0 {
                p.all { a href=(link) { (words.show_all_accounts(count(all as u64))) } }
            }
        }
    }
}

/// The query for all accounts with this failure.
fn all_alike(kind: &FailureKind, query: &Query) -> Query {
    Query {
        text: kind.code.as_deref().unwrap_or(kind.reason).to_owned(),
        health: Some(Health::Failing),
        language: query.language,
        ..Query::default()
    }
}

fn pages(report: &StatusReport, query: &Query, words: Language) -> Markup {
    let to = |page| {
        link(&Query {
            page,
            ..query.clone()
        })
    };
    let first = (report.page - 1) * report.per_page + 1;
    let last = first + report.accounts.len() - 1;
    html! {
        nav.pages aria-label=(words.pages()) {
            @if report.page > 1 {
                a href=(to(1)) { "« " (words.first()) }
                a rel="prev" href=(to(report.page - 1)) { "‹ " (words.previous()) }
            }
            span { (words.places(count(first as u64), count(last as u64), count(report.selected as u64))) }
            @if report.page < report.pages {
                a rel="next" href=(to(report.page + 1)) { (words.next()) " ›" }
                a href=(to(report.pages)) { (words.last()) " »" }
            }
        }
    }
}
