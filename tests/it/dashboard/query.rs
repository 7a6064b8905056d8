//! Queries taken apart, as far as tests look at them. That they are valid is for promtool to
//! say.

/// A selector such as `name{matchers}[range]`.
#[derive(Debug)]
pub(super) struct Selector<'a> {
    pub(super) name: &'a str,
    /// Each as written: `label=~"value"`.
    pub(super) matchers: Vec<&'a str>,
    /// The function whose first argument it is; otherwise empty.
    pub(super) function: &'a str,
    /// Empty if there is none.
    pub(super) range: &'a str,
}

fn is_name(each: char) -> bool {
    each.is_ascii_alphanumeric() || matches!(each, '_' | ':')
}

/// `text` without the name at its end, and that name.
fn split_name(text: &str) -> (&str, &str) {
    let before = text.trim_end_matches(is_name);
    (before, &text[before.len()..])
}

/// The selectors with braces.
pub(super) fn selectors(query: &str) -> Vec<Selector<'_>> {
    let selectors = query.match_indices('{').map(|(at, _)| {
        let (before, name) = split_name(&query[..at]);
        let function = before.strip_suffix('(').map_or("", |it| split_name(it).1);
        let (matchers, rest) = query[at + 1..].split_once('}').unwrap();
        let range = rest.strip_prefix('[').and_then(|it| it.split(']').next());
        Selector {
            name,
            matchers: matchers.split(", ").collect(),
            function,
            range: range.unwrap_or_default(),
        }
    });
    selectors.collect()
}

/// The words that are neither text, nor matchers, nor numbers.
pub(super) fn words(query: &str) -> Vec<&str> {
    let mut outside = Vec::new();
    for (number, part) in query.split('"').enumerate() {
        if number % 2 == 0 {
            outside.extend(part.split(|each| !is_name(each)));
        }
    }
    outside.retain(|word| word.starts_with(|first: char| first.is_ascii_alphabetic()));
    outside
}

/// Labels that no series has: a query makes them, and groups by them what it has chosen.
pub(super) const MADE: [&str; 3] = ["in", "spans", "task"];

/// The labels by which the query groups and joins.
pub(super) fn grouping(query: &str) -> Vec<&str> {
    let lists = ["by (", "on (", "ignoring ("].into_iter();
    let lists = lists.flat_map(|start| lists_after(query, start));
    let labels = lists.flat_map(|list| list.split(", "));
    labels.filter(|label| !label.is_empty()).collect()
}

/// The lists of labels that follow each `start`, as written.
pub(super) fn lists_after<'a>(query: &'a str, start: &str) -> Vec<&'a str> {
    let parts = query.split(start).skip(1);
    parts.filter_map(|rest| rest.split(')').next()).collect()
}

/// The query as Grafana sends it when all is chosen.
pub(crate) fn filled_in(query: &str) -> String {
    let query = query.replace("$__rate_interval", "1m");
    let query = query.replace("$__range", "1h");
    // What any of them may be is said by the variable `job`.
    let query = query.replace("$label", "job");
    let variables = [
        "$cluster",
        "$namespace",
        "$job",
        "$instance",
        "$value",
        "$account",
        "$edition",
        "$due_orders",
        "$next_orders",
        "$most_near_expiry",
        "$fewest_available",
        "$most_used",
        "$failing",
        "$oldest",
        "$slowest",
    ];
    // Labels that nobody has set match too.
    let may_be_absent = ["$cluster", "$namespace", "$value"];
    variables.into_iter().fold(query, |query, variable| {
        let any = if may_be_absent.contains(&variable) {
            ".*"
        } else {
            ".+"
        };
        query.replace(variable, any)
    })
}

#[test]
fn a_query_is_taken_apart() {
    let query =
        r#"sum by (account, le) (rate(a_total{job=~"$job", x="y"}[5m])) / on (job) b{} > c"#;
    let found = selectors(query);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].name, "a_total");
    assert_eq!(found[0].matchers, [r#"job=~"$job""#, r#"x="y""#]);
    assert_eq!((found[0].function, found[0].range), ("rate", "5m"));
    assert_eq!((found[1].function, found[1].range), ("", ""));
    assert_eq!(grouping(query), ["account", "le", "job"]);
    assert!(words(query).contains(&"c") && !words(query).contains(&"y"));
    assert_eq!(
        filled_in(r#"a{job=~"$job|"}[$__range]"#),
        r#"a{job=~".+|"}[1h]"#
    );
}
