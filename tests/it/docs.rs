//! The README says what the code does: each of its tables and snippets is checked here.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use clap::{Arg, CommandFactory as _};
use cwp_exporter::cli::Cli;
use cwp_exporter::collector;
use cwp_exporter::config::{
    Config, ConfigError, Environment, SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE, TOKEN_VARIABLES,
};
use cwp_exporter::doctor;
use cwp_exporter::exposition::catalogue;
use cwp_exporter::reason::Reason;
use cwp_exporter::simulator::{Answer, Scenario};
use serde_json::{Value, json};

use crate::doctor::Diagnosis;
use crate::harness::{Cloud, Exporter, Program, client, config_for, repository_file, run, within};
use crate::prometheus::promtool;

/// A key that no reader of settings knows, nor takes for a misspelling.
const UNKNOWN: &str = "zzzzzzzz";

/// A table of the README, by the first word of its head.
struct Table {
    name: String,
    rows: Vec<Vec<String>>,
}

/// A fenced block of the README, by the words behind its fence.
struct Snippet {
    kind: String,
    text: String,
}

/// The README taken apart.
struct Readme {
    text: String,
    /// The lines that are neither tables nor snippets.
    prose: Vec<String>,
    tables: Vec<Table>,
    snippets: Vec<Snippet>,
}

fn readme() -> Readme {
    let text = repository_file("README.md");
    let mut readme = Readme {
        text: text.clone(),
        prose: Vec::new(),
        tables: Vec::new(),
        snippets: Vec::new(),
    };
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            readme.snippets.push(Snippet {
                kind: kind.to_owned(),
                text: block.join("\n") + "\n",
            });
        } else if line.starts_with('|') {
            assert!(lines.next().unwrap().starts_with("|---"), "{line}");
            let head = cells(line);
            let mut rows = Vec::new();
            while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                let row = cells(row);
                assert_eq!(row.len(), head.len(), "{row:?}");
                rows.push(row);
            }
            let name = head[0].clone();
            readme.tables.push(Table { name, rows });
        } else {
            readme.prose.push(line.to_owned());
        }
    }
    readme
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.strip_prefix('|').unwrap().strip_suffix('|').unwrap();
    inner
        .split('|')
        .map(|cell| cell.trim().to_owned())
        .collect()
}

/// What is between backticks in `text`.
fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The only thing between backticks in `text`; nothing if it is empty.
fn only_code(text: &str) -> &str {
    let found = code(text);
    assert!(found.len() <= 1, "{text}");
    found.first().copied().unwrap_or_default()
}

impl Readme {
    /// The rows of all tables of this name.
    fn rows(&self, name: &str) -> Vec<&[String]> {
        let tables = self.tables.iter().filter(|table| table.name == name);
        let rows = tables.flat_map(|table| table.rows.iter().map(Vec::as_slice));
        let rows: Vec<&[String]> = rows.collect();
        assert!(!rows.is_empty(), "the README has no table of {name}");
        rows
    }

    /// The snippets of this kind.
    fn snippets(&self, kind: &str) -> Vec<&str> {
        let snippets = self.snippets.iter();
        let snippets = snippets.filter(|snippet| snippet.kind == kind);
        let snippets: Vec<&str> = snippets.map(|snippet| snippet.text.as_str()).collect();
        assert!(!snippets.is_empty(), "the README has no snippet of {kind}");
        snippets
    }

    /// The text between two others.
    fn between(&self, start: &str, end: &str) -> &str {
        let (_, rest) = self.text.split_once(start).unwrap();
        rest.split_once(end).unwrap().0
    }
}

#[test]
fn every_table_and_snippet_has_a_test_here() {
    let readme = readme();
    let tables = readme.tables.iter().map(|table| table.name.as_str());
    let tables: BTreeSet<&str> = tables.collect();
    assert_eq!(
        tables,
        BTreeSet::from([
            "API field",
            "Check",
            "Command",
            "Exit code",
            "Flag",
            "Key",
            "Metric",
            "Path",
            "Reason",
            "Step"
        ])
    );
    let kinds = readme.snippets.iter().map(|snippet| snippet.kind.as_str());
    let kinds: BTreeSet<&str> = kinds.collect();
    assert_eq!(
        kinds,
        BTreeSet::from([
            "json doctor",
            "json policy",
            "sh",
            "text doctor",
            "yaml config",
            "yaml prometheus",
            "yaml scenario"
        ])
    );
}

#[test]
fn the_versions_are_those_of_the_crate() {
    let rust = concat!("Rust ", env!("CARGO_PKG_RUST_VERSION"), " or newer");
    assert!(readme().text.contains(rust), "{rust}");
    let version = concat!("\n## ", env!("CARGO_PKG_VERSION"), " ");
    assert!(
        repository_file("CHANGELOG.md").contains(version),
        "{version}"
    );
}

#[test]
fn every_link_leads_somewhere() {
    let readme = readme();
    let headings: BTreeSet<String> = readme
        .prose
        .iter()
        .filter_map(|line| Some(line.strip_prefix('#')?.trim_start_matches('#').trim()))
        .map(|heading| heading.to_lowercase().replace(' ', "-"))
        .collect();
    let targets = readme.text.split("](").skip(1);
    let targets: Vec<&str> = targets
        .map(|rest| rest.split(')').next().unwrap())
        .collect();
    assert!(targets.len() > 5);
    for target in targets {
        match target.strip_prefix('#') {
            Some(heading) => assert!(headings.contains(heading), "no heading {heading}"),
            None => assert!(
                Path::new(env!("CARGO_MANIFEST_DIR")).join(target).exists(),
                "no file {target}"
            ),
        }
    }
}

/// A documented metric: its labels in order, and its type.
type Documented = (Vec<String>, String);

fn documented_metrics(readme: &Readme) -> BTreeMap<String, Documented> {
    let mut metrics = BTreeMap::new();
    for row in readme.rows("Metric") {
        let labels = code(&row[1]).into_iter().map(str::to_owned).collect();
        let documented = (labels, row[2].clone());
        let name = only_code(&row[0]).to_owned();
        assert_eq!(metrics.insert(name, documented), None, "{} twice", row[0]);
        assert!(!row[3].is_empty(), "{} has no meaning", row[0]);
    }
    metrics
}

#[test]
fn the_metric_tables_are_the_catalogue() {
    let expected: BTreeMap<String, Documented> = catalogue()
        .into_iter()
        .map(|metric| {
            let labels = metric.labels.iter().map(|&label| label.to_owned());
            let documented = (labels.collect(), metric.kind.as_str().to_owned());
            (metric.name.to_owned(), documented)
        })
        .collect();
    assert_eq!(documented_metrics(&readme()), expected);
}

#[tokio::test]
async fn the_demo_exposes_exactly_the_documented_metrics() {
    let mut demo = Program::start(&["demo", "--web.listen-address=127.0.0.1:0"], &[]);
    let page = page_once_ready(&demo.url().await).await;

    let mut exposed: BTreeMap<&str, &str> = BTreeMap::new();
    let metrics = documented_metrics(&readme());
    for line in page.lines() {
        if let Some(line) = line.strip_prefix("# TYPE ") {
            exposed.extend(line.split_once(' '));
        }
        if line.starts_with('#') {
            continue;
        }
        let series = line.rsplit_once(' ').unwrap().0;
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}').unwrap();
        let mut names: BTreeSet<&str> = labels
            .split("\",")
            .filter_map(|label| Some(label.split_once('=')?.0))
            .collect();
        let parts = ["_bucket", "_sum", "_count"];
        let family = parts.iter().find_map(|part| name.strip_suffix(part));
        let family = family.filter(|family| exposed.get(family) == Some(&"histogram"));
        if family.is_some() {
            names.remove("le");
        }
        let (documented, _) = &metrics[family.unwrap_or(name)];
        let documented: BTreeSet<&str> = documented.iter().map(String::as_str).collect();
        assert_eq!(names, documented, "{line}");
    }
    let documented: BTreeMap<&str, &str> = metrics
        .iter()
        .map(|(name, (_, kind))| (name.as_str(), kind.as_str()))
        // The demo's API answers as documented, and it has no shards and no past.
        .filter(|(name, _)| {
            !matches!(
                *name,
                "cwp_exporter_collector_restored"
                    | "cwp_exporter_schema_drift"
                    | "cwp_exporter_shard_index"
                    | "cwp_exporter_shard_total"
            )
        })
        .collect();
    assert_eq!(exposed, documented);
}

/// The metrics of an exporter once every account was collected.
async fn page_once_ready(url: &str) -> String {
    let http = client();
    within("readiness", async {
        loop {
            let ready = http.get(format!("{url}/-/ready")).send().await.unwrap();
            if ready.status() == 200 {
                let page = http.get(format!("{url}/metrics")).send().await.unwrap();
                return page.text().await.unwrap();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn each_api_field_becomes_the_documented_series() {
    let readme = readme();
    let rows = readme.rows("API field");
    // One account for each field, which has it and only one other.
    let accounts: Vec<Value> = rows
        .iter()
        .enumerate()
        .map(|(number, row)| {
            let value = match only_code(&row[1]) {
                "tencentcloud_cwp_switch_enabled" => json!(true),
                "tencentcloud_cwp_protect_type" => json!("…"),
                _ => json!(7),
            };
            let mut fields = json!({"LicenseCnt": 1});
            fields[only_code(&row[0])] = value;
            json!({
                "name": format!("a{number}"),
                "secret_id": format!("AKIDa{number}"),
                "secret_key": format!("key-a{number}"),
                "fields": fields,
            })
        })
        .collect();
    let cloud = Cloud::start(&json!({ "accounts": accounts }).to_string()).await;
    let exporter = Exporter::of(&cloud, rows.len()).await;
    let scrape = exporter.ready().await;

    for (number, row) in rows.iter().enumerate() {
        let account = format!("a{number}");
        let more = code(&row[2])
            .first()
            .map_or(String::new(), |label| format!(",{label}"));
        let series = format!("{}{{account=\"{account}\"{more}}}", only_code(&row[1]));
        let mut expected = vec![format!(
            "tencentcloud_cwp_licenses{{account=\"{account}\"}}"
        )];
        expected.push(series.clone());
        expected.sort();
        expected.dedup();
        assert_eq!(scrape.licence_series(&account), expected, "{}", row[0]);
        let value = if accounts[number]["fields"][only_code(&row[0])] == 7 {
            7.0
        } else {
            1.0
        };
        assert_eq!(scrape.value(&series), Some(value), "{series}");
    }

    // Of a field that is not there, only one of the older document is missed.
    let of_the_first: BTreeSet<&str> = scrape
        .samples
        .keys()
        .filter_map(|series| {
            let start =
                "cwp_exporter_schema_drift{account=\"a0\",collector=\"license_general\",field=\"";
            series
                .strip_prefix(start)?
                .strip_suffix("\",kind=\"missing\"}")
        })
        .collect();
    let older: BTreeSet<&str> = rows
        .iter()
        .filter(|row| row[3] != "newer")
        .map(|row| only_code(&row[0]))
        .filter(|field| *field != "LicenseCnt")
        .collect();
    assert_eq!(only_code(&rows[0][0]), "LicenseCnt");
    assert_eq!(of_the_first, older);
}

#[test]
fn the_reasons_are_those_of_the_code_with_its_remedies() {
    let readme = readme();
    let documented: Vec<(&str, &str)> = readme
        .rows("Reason")
        .into_iter()
        .map(|row| {
            assert!(!row[1].is_empty());
            (only_code(&row[0]), row[2].as_str())
        })
        .collect();
    let sentences = Reason::ALL.map(|reason| {
        let (first, rest) = reason.remedy().split_at(1);
        format!("{}{rest}.", first.to_uppercase())
    });
    let expected: Vec<(&str, &str)> = Reason::ALL
        .iter()
        .zip(&sentences)
        .map(|(reason, sentence)| (reason.as_str(), sentence.as_str()))
        .collect();
    assert_eq!(documented, expected);

    let retried = Reason::ALL
        .into_iter()
        .filter(|reason| reason.is_transient());
    let retried: Vec<&str> = retried.map(Reason::as_str).collect();
    let documented = readme.between("A request that failed with ", " is sent again");
    assert_eq!(code(documented), retried);
}

/// Loads settings from YAML alone.
fn load(yaml: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yml");
    std::fs::write(&file, yaml).unwrap();
    Config::load(Some(&file), &Environment::default())
}

/// The words that an error offers in place of [`UNKNOWN`].
fn offered(error: &str) -> Vec<String> {
    let offers = error.lines().filter(|line| line.contains("unknown"));
    let offers: Vec<&str> = offers
        .filter_map(|line| line.split("use one of ").nth(1))
        .collect();
    assert_eq!(offers.len(), 1, "{error}");
    offers[0].split(", ").map(str::to_owned).collect()
}

#[test]
fn the_configuration_table_has_exactly_the_keys_that_are_read() {
    let section = |yaml: String| offered(&load(&yaml).unwrap_err().to_string());
    let mut known = BTreeSet::new();
    for group in section(format!("{UNKNOWN}: 1")) {
        let yaml = match group.as_str() {
            "accounts" => format!("accounts: [{{{UNKNOWN}: 1}}]"),
            group => format!("{group}: {{{UNKNOWN}: 1}}"),
        };
        let path = group.replace("accounts", "accounts[]");
        for key in section(yaml) {
            if key == "credentials" {
                let credentials = |kind: &str| {
                    format!("accounts: [{{name: a, credentials: {{type: {kind}, {UNKNOWN}: 1}}}}]")
                };
                for kind in supported_types() {
                    for key in section(credentials(&kind)) {
                        known.insert(format!("{path}.credentials.{key}"));
                    }
                }
            } else {
                known.insert(format!("{path}.{key}"));
            }
        }
    }
    let readme = readme();
    let rows = readme.rows("Key");
    let documented: BTreeSet<String> = rows
        .iter()
        .map(|row| only_code(&row[0]).to_owned())
        .collect();
    assert_eq!(documented, known);
    assert_eq!(documented.len(), rows.len(), "a key is documented twice");

    let kinds = rows.iter().find(|row| row[0].ends_with(".type`")).unwrap();
    assert_eq!(code(&kinds[2]), supported_types());
}

/// The types of credentials that this version reads.
fn supported_types() -> Vec<String> {
    let yaml = format!("accounts: [{{name: a, credentials: {{type: {UNKNOWN}}}}}]");
    let error = load(&yaml).unwrap_err().to_string();
    let kinds = code(&error).into_iter();
    kinds
        .filter_map(|kind| Some(kind.strip_prefix("type: ")?.to_owned()))
        .collect()
}

/// The variable that sets a key, by the README's rule.
fn variable(key: &str) -> String {
    let name = key.replace("[]", ".0").replace('.', "__");
    format!("CWP_EXPORTER_{}", name.to_uppercase())
}

/// Variables for one account, to which `key` can be added.
fn base_for(key: &str) -> BTreeMap<String, String> {
    let mut base = BTreeMap::from([
        ("accounts[].name", "a"),
        ("accounts[].credentials.type", "static"),
        ("accounts[].credentials.secret_id", "AKIDexample"),
        ("accounts[].credentials.secret_key_env", "KEY"),
    ]);
    match key.strip_prefix("accounts[].credentials.") {
        Some("type") => base.retain(|other, _| !other.contains("secret")),
        Some(part) if part.starts_with("secret_") => {
            let stem: String = part.split_inclusive('_').take(2).collect();
            let stem = stem.trim_end_matches('_').to_owned();
            base.retain(|other, _| !other.contains(&stem));
        }
        _ => {}
    }
    let base = base.into_iter();
    let mut base: BTreeMap<String, String> = base
        .map(|(key, value)| (variable(key), value.to_owned()))
        .collect();
    for name in ["KEY", "OTHER", SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE] {
        base.insert(name.to_owned(), "secret".to_owned());
    }
    base
}

fn load_variables(variables: &BTreeMap<String, String>) -> Config {
    let environment = Environment::from_iter(variables.clone());
    Config::load(None, &environment).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_documented_default_is_the_default() {
    let readme = readme();
    let mut checked = 0;
    for row in readme.rows("Key") {
        let (key, default) = (only_code(&row[0]), only_code(&row[1]));
        if default.is_empty() {
            continue;
        }
        let mut variables = base_for(key);
        let without = load_variables(&variables);
        variables.insert(variable(key), default.to_owned());
        assert_eq!(load_variables(&variables), without, "{key}");
        checked += 1;
    }
    assert!(checked >= 8, "{checked}");
}

#[test]
fn every_documented_key_takes_effect_through_its_variable() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "secret").unwrap();
    let file = file.path().to_str().unwrap();
    let whole = load_variables(&base_for(""));
    let readme = readme();
    for row in readme.rows("Key") {
        let key = only_code(&row[0]);
        let value = match key.rsplit('.').next().unwrap() {
            "interval" => "30s",
            "timeout" => "5s",
            "max_age" => "1h30m",
            "rate_limit" | "max_in_flight" => "3",
            "proxy_url" | "metadata_endpoint" => "http://127.0.0.1:9",
            "endpoint" | "sts_endpoint" => "https://example.com",
            "name" => "b",
            "region" => "ap-shanghai",
            "labels" => "{team=security}",
            "type" => "env",
            "secret_id" => "AKIDother",
            name if name.ends_with("_file") => file,
            name if name.ends_with("_env") => "OTHER",
            name => panic!("give {name} a value to be tried with"),
        };
        let mut variables = base_for(key);
        variables.insert(variable(key), value.to_owned());
        assert_ne!(load_variables(&variables), whole, "{key} had no effect");
    }
}

#[test]
fn the_configuration_examples_load() {
    for yaml in readme().snippets("yaml config") {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cwp-exporter.yml");
        std::fs::write(&file, yaml).unwrap();
        let mut variables = vec![
            (SECRET_ID_VARIABLE.to_owned(), "AKIDexample"),
            (SECRET_KEY_VARIABLE.to_owned(), "secret"),
        ];
        for line in yaml.lines() {
            let Some((key, value)) = line.trim().split_once(": ") else {
                continue;
            };
            if key.ends_with("_file") {
                std::fs::write(folder.path().join(value), "secret\n").unwrap();
            } else if key.ends_with("_env") {
                variables.push((value.to_owned(), "secret"));
            }
        }
        let environment = Environment::from_iter(variables);
        let config = Config::load(Some(&file), &environment);
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.warnings(), Vec::<String>::new());
        assert!(config.accounts.len() >= 2);
    }
}

#[tokio::test]
async fn prometheus_accepts_the_scrape_configuration() {
    for yaml in readme().snippets("yaml prometheus") {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), yaml).unwrap();
        let path = file.path().to_str().unwrap();
        let (accepted, words) = promtool(&["check", "config", path], "").await;
        assert!(accepted, "{words}");
        assert!(yaml.contains("127.0.0.1:10064"));
    }
}

#[test]
fn the_policy_allows_what_the_collectors_do_and_no_more() {
    let readme = readme();
    let policies = readme.snippets("json policy");
    assert_eq!(policies.len(), 1);
    let policy: Value = serde_json::from_str(policies[0]).unwrap();
    let actions: Vec<String> = collector::all()
        .iter()
        .map(|collector| {
            let request = collector.request();
            format!("{}:{}", request.service, request.action)
        })
        .collect();
    let expected = json!({
        "version": "2.0",
        "statement": [{"effect": "allow", "action": actions, "resource": ["*"]}],
    });
    assert_eq!(policy, expected);
    let printed = serde_json::to_value(doctor::Policy::of_collectors()).unwrap();
    assert_eq!(printed, expected);
}

/// What `doctor` says of a simulated cloud's accounts, the last of which may do nothing.
async fn diagnosis_of(cloud: &Cloud, accounts: &[&str]) -> Diagnosis {
    let accounts: String = accounts
        .iter()
        .map(|name| format!("  - {{name: {name}, credentials: {{type: static, secret_id: AKID{name}, secret_key_env: KEY}}}}\n"))
        .collect();
    let config = format!("api: {{endpoint: '{}'}}\naccounts:\n{accounts}", cloud.url);
    Diagnosis::of(&config, &[("KEY", "key")]).await
}

#[tokio::test]
async fn the_doctor_says_what_the_examples_show() {
    let cloud = Cloud::start(
        "accounts:
  - {name: production, secret_id: AKIDproduction, secret_key: key}
  - {name: partner, secret_id: AKIDpartner, secret_key: key, allow: []}",
    )
    .await;
    let readme = readme();

    // But for what differs from run to run.
    let steady = |text: &str| -> Vec<String> {
        let text = text.replace(&cloud.url.replace("http://", ""), "127.0.0.1:10065");
        let ends = [", clock ", "this machine is ", " in ", "RequestId "];
        let lines = text.lines().map(|line| {
            let ends = ends.iter().filter_map(|end| line.find(end));
            line[..ends.min().unwrap_or(line.len())].to_owned()
        });
        lines.collect()
    };
    let both = diagnosis_of(&cloud, &["production", "partner"]).await;
    let example = steady(readme.snippets("text doctor")[0]);
    assert_eq!(steady(&both.text)[..example.len()], example);

    let mut found = diagnosis_of(&cloud, &["partner"]).await.json;
    let mut example: Value = serde_json::from_str(readme.snippets("json doctor")[0]).unwrap();
    let steps = found["accounts"][0]["steps"].as_array_mut().unwrap();
    let checks: Vec<Value> = steps.iter().map(|step| step["step"].clone()).collect();
    let documented = readme.rows("Check");
    let documented: Vec<&str> = documented.iter().map(|row| only_code(&row[0])).collect();
    assert_eq!(checks, documented);
    steps.retain(|step| step["status"] == "failed");
    let account = &mut example["accounts"][0];
    account["endpoint"] = found["accounts"][0]["endpoint"].clone();
    account["steps"][0]["request_id"] = found["accounts"][0]["steps"][0]["request_id"].clone();
    assert_eq!(found, example);
}

/// A flag as the README writes it: `--log.level LEVEL`.
fn flag(argument: &Arg) -> String {
    let long = argument.get_long().unwrap();
    match argument.get_value_names() {
        Some([name]) if argument.get_action().takes_values() => format!("--{long} {name}"),
        _ => format!("--{long}"),
    }
}

fn default(argument: &Arg) -> String {
    let values = argument.get_default_values().iter();
    let values: Vec<&str> = values.map(|value| value.to_str().unwrap()).collect();
    if argument.get_action().takes_values() {
        values.concat()
    } else {
        String::new()
    }
}

#[test]
fn the_flags_are_those_of_the_program() {
    let mut command = Cli::command();
    command.build();
    let readme = readme();
    let rows = readme.rows("Flag");
    let documented: Vec<(String, String)> = rows
        .iter()
        .map(|row| (only_code(&row[0]).to_owned(), only_code(&row[1]).to_owned()))
        .collect();
    let expected: Vec<(String, String)> = command
        .get_arguments()
        .map(|argument| (flag(argument), default(argument)))
        .collect();
    assert_eq!(documented, expected);
    for (row, argument) in rows.iter().zip(command.get_arguments()) {
        if !argument.get_action().takes_values() {
            continue;
        }
        let words = argument.get_possible_values();
        let words: Vec<&str> = words.iter().map(|word| word.get_name()).collect();
        if !words.is_empty() {
            assert_eq!(code(&row[2]), words);
        }
    }
}

#[test]
fn the_commands_are_those_of_the_program_with_their_flags() {
    let mut command = Cli::command();
    command.build();
    let readme = readme();
    let rows = readme.rows("Command");
    let documented: Vec<&str> = rows.iter().map(|row| only_code(&row[0])).collect();
    let expected: Vec<&str> = command
        .get_subcommands()
        .map(clap::Command::get_name)
        .collect();
    assert_eq!(documented, expected);
    for (row, command) in rows.iter().zip(command.get_subcommands()) {
        let own = command.get_arguments();
        let own = own.filter(|argument| !argument.is_global_set() && argument.get_id() != "help");
        let expected: Vec<String> = own
            .flat_map(|argument| [flag(argument), default(argument)])
            .filter(|text| !text.is_empty())
            .collect();
        assert_eq!(code(&row[1]), expected, "{}", row[0]);
    }
}

#[tokio::test]
async fn the_exit_codes_are_as_documented() {
    let readme = readme();
    let codes = readme.rows("Exit code");
    let codes: Vec<&str> = codes.iter().map(|row| only_code(&row[0])).collect();
    assert_eq!(codes, ["0", "1", "2"]);

    let unreachable = [
        (SECRET_ID_VARIABLE, "AKIDexample"),
        (SECRET_KEY_VARIABLE, "secret"),
        ("CWP_EXPORTER_API__ENDPOINT", "http://127.0.0.1:9"),
        ("CWP_EXPORTER_POLL__INTERVAL", "1s"),
    ];
    let occupant = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = occupant.local_addr().unwrap();
    let taken = format!("--web.listen-address={address}");
    for (arguments, expected) in [
        (&["--config.check"][..], 0),
        (&["--version"], 0),
        (&["once"], 1),
        (&[taken.as_str()], 1),
        (&["--no-such-flag"], 2),
        (&["--config.file=/nowhere"], 2),
    ] {
        let output = run(arguments, &unreachable).await;
        assert_eq!(output.status.code(), Some(expected), "{arguments:?}");
    }
    drop(occupant);
    let mut asked = Program::start(&["--web.listen-address=127.0.0.1:0"], &unreachable);
    asked.url().await;
    asked.signal("TERM").await;
    assert_eq!(asked.ended().await.code(), Some(0));
}

#[tokio::test]
async fn every_path_answers_as_documented() {
    let cloud = Cloud::with_accounts(1).await;
    cloud.handle.play("a0", Answer::Hang).unwrap();
    let exporter = Exporter::of(&cloud, 1).await;
    let readme = readme();
    let rows = readme.rows("Path");
    assert_eq!(exporter.get("/-/ready").await.status(), 503);
    cloud.handle.resume("a0").unwrap();
    exporter.ready().await;
    for row in &rows {
        let path = only_code(&row[0]);
        let wrong = match only_code(&row[1]) {
            "GET" => http::Method::POST,
            _ => http::Method::GET,
        };
        let method = only_code(&row[1]).parse().unwrap();
        for (method, status) in [(method, only_code(&row[2])), (wrong, "405")] {
            let request = client().request(method, format!("{}{path}", exporter.url));
            let response = request.send().await.unwrap();
            assert_eq!(response.status().as_str(), status, "{path}");
            let content_type = &response.headers()[http::header::CONTENT_TYPE];
            if status == "200" {
                assert_eq!(content_type, only_code(&row[3]), "{path}");
            }
        }
        // What is only sometimes so is said with its status.
        let unavailable = row[4].contains("`503`");
        assert_eq!(
            unavailable,
            matches!(path, "/-/healthy" | "/-/ready"),
            "{path}"
        );
    }
    // The page for people links to the others that can be looked at.
    let page = exporter.get("/").await.text().await.unwrap();
    let linked: Vec<&str> = rows
        .iter()
        .filter(|row| only_code(&row[1]) == "GET" && only_code(&row[2]) == "200")
        .map(|row| only_code(&row[0]))
        .filter(|path| *path != "/")
        .collect();
    for path in &linked {
        let link = format!("href=\"{path}\"");
        assert!(page.contains(&link), "{link} is not in {page}");
    }
    let links = page.matches("href=").count();
    assert_eq!(links, linked.len(), "a path is not documented: {page}");
    assert_eq!(exporter.get("/other").await.status(), 404);
}

#[test]
fn the_shell_snippets_use_what_there_is() {
    let readme = readme();
    let keys = readme.rows("Key");
    let keys: Vec<String> = keys
        .iter()
        .map(|row| variable(only_code(&row[0])))
        .collect();
    let mut commands = 0;
    for line in readme.snippets("sh").iter().flat_map(|text| text.lines()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let arguments = match words.as_slice() {
            ["export", setting] => {
                let (name, value) = setting.split_once('=').unwrap();
                let known = [SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE];
                let usual = known
                    .iter()
                    .chain(&TOKEN_VARIABLES)
                    .any(|known| *known == name);
                assert!(usual || keys.iter().any(|key| key == name), "{line}");
                assert!(!value.is_empty(), "{line}");
                continue;
            }
            ["tests/run"] => {
                let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run");
                let mode = script.metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o111, 0o111, "tests/run is not executable");
                continue;
            }
            ["cargo", "build", "--release", "--locked"] => continue,
            ["cargo", "run", "--release", "--", arguments @ ..]
            | [
                "cwp-exporter" | "target/release/cwp-exporter",
                arguments @ ..,
            ] => arguments,
            _ => panic!("what is `{line}`?"),
        };
        let arguments = ["cwp-exporter"].iter().chain(arguments);
        if let Err(error) = Cli::command().try_get_matches_from(arguments) {
            panic!("`{line}` is no command of ours: {error}");
        }
        commands += 1;
    }
    assert!(commands >= 5, "{commands}");
}

#[tokio::test]
async fn the_scenario_plays_and_shows_every_setting() {
    let readme = readme();
    let scenarios = readme.snippets("yaml scenario");
    assert_eq!(scenarios.len(), 1);
    let scenario = scenarios[0];
    let settings = [
        format!("{UNKNOWN}: 1\naccounts: []"),
        format!("accounts: [{{name: a, secret_id: b, secret_key: c, {UNKNOWN}: 1}}]"),
    ];
    for yaml in settings {
        let error = Scenario::parse(&yaml).unwrap_err().to_string();
        for key in offered(&error) {
            let key = format!("{key}:");
            assert!(scenario.contains(&key), "the scenario does not show {key}");
        }
    }

    // The commands below it, but for the ports.
    let cloud = Cloud::start(scenario).await;
    let variables = readme.snippets("sh").join("");
    let variables: BTreeMap<&str, &str> = variables
        .lines()
        .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
        .filter(|(name, _)| name.starts_with("TENCENTCLOUD_"))
        .chain([("CWP_EXPORTER_API__ENDPOINT", cloud.url.as_str())])
        .collect();
    let variables: Vec<(&str, &str)> = variables.into_iter().collect();
    let output = run(&["once"], &variables).await;
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{page}");
    assert!(
        page.contains("\ntencentcloud_cwp_licenses{account=\"default\"} 100\n"),
        "{page}"
    );
    assert!(!page.contains("process_"), "{page}");
}

#[test]
fn the_steps_are_those_that_a_scenario_may_have() {
    let scenario = |step: &str| {
        Scenario::parse(&format!(
            "accounts: [{{name: a, secret_id: b, secret_key: c, timeline: [{{at: 1s, {step}}}]}}]"
        ))
    };
    let error = scenario(&format!("{UNKNOWN}: 1")).unwrap_err().to_string();
    let mut known: BTreeSet<String> = offered(&error).into_iter().collect();
    assert!(known.remove("at"));
    let readme = readme();
    let mut documented = BTreeSet::new();
    for row in readme.rows("Step") {
        let step = only_code(&row[0]);
        scenario(step).unwrap_or_else(|error| panic!("{step}: {error}"));
        documented.insert(step.split(':').next().unwrap().to_owned());
    }
    assert_eq!(documented, known);
}

#[tokio::test]
async fn the_budgets_example_is_what_the_program_reckons() {
    let readme = readme();
    let example = readme.between("So ", " requests a day");
    assert_eq!(example, "3 accounts every 60 s cost 4,320");
    assert_eq!(
        collector::all().len(),
        1,
        "the README says that there is one collector"
    );

    let cloud = Cloud::with_accounts(3).await;
    let (config, variables) = config_for(&cloud, 3);
    let config = config.replace("interval: 1s", "interval: 60s");
    let config = config.replace("max_age: 2s", "max_age: 60s");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let path = format!("--config.file={}", file.path().display());
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let mut program = Program::start(&[&path, "--web.listen-address=127.0.0.1:0"], &variables);
    let line = program.logged("msg=collecting").await;
    assert!(line.contains("requests_per_day=4320"), "{line}");
}
