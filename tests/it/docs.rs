//! The README and the pages of `docs` say what the code does: what they take from it is
//! generated, and their other tables and snippets are tried.

mod alerts;
mod chinese;
mod deployment;
mod formats;
mod generated;
mod performance;
mod scraping;
mod status;
mod web;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use clap::{Arg, CommandFactory as _};
use std::time::Duration;

use cwp_exporter::collectors;
use cwp_exporter::commands::Cli;
use cwp_exporter::commands::doctor;
use cwp_exporter::config::{
    CREDENTIALS_FILE_VARIABLE, CollectorDefaults, CollectorSettings, Config, ConfigError,
    Environment, SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE, TKE_VARIABLES, TOKEN_VARIABLES,
};
use cwp_exporter::metrics::MetricDef;
use cwp_exporter::metrics::reason::Reason;
use cwp_exporter::server::router::PATHS;
use cwp_exporter::simulator::{Answer, Received, Scenario};
use serde_json::{Value, json};

pub(crate) use self::scraping::scrape_configurations;

use self::generated::{as_code, assert_table, assert_text, assert_words};
use crate::doctor::Diagnosis;
use crate::harness::{
    Cloud, Exporter, LICENSES_ALONE, Program, catalogue, client, config_for, documents, eventually,
    page_once_ready, repository_file, run,
};
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
    let pages: Vec<String> = documents().into_iter().map(|(_, text)| text).collect();
    let text = pages.join("\n");
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
fn every_kind_of_snippet_has_a_test_here() {
    let readme = readme();
    let kinds = readme.snippets.iter().map(|snippet| snippet.kind.as_str());
    let kinds: BTreeSet<&str> = kinds.collect();
    assert_eq!(
        kinds,
        BTreeSet::from([
            "json doctor",
            "json policy",
            "json source policy",
            "json trust policy",
            // What tests/deploy/settings.py evaluates with Jsonnet, and renders with Helm.
            "jsonnet",
            "sh",
            "sh deployment",
            "text doctor",
            "yaml chart",
            "yaml config",
            "yaml credentials",
            "yaml prometheus",
            "yaml rehearsal",
            "yaml scenario",
            "yaml web"
        ])
    );
}

#[test]
fn the_versions_are_those_of_the_crate() {
    assert_text("version of Rust", env!("CARGO_PKG_RUST_VERSION"));
    let version = concat!("\n## ", env!("CARGO_PKG_VERSION"), " ");
    assert!(
        repository_file("CHANGELOG.md").contains(version),
        "{version}"
    );
}

/// The anchors of the headings in a document.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let headings = text.lines().filter(|line| {
        is_code ^= line.starts_with("```");
        !is_code && line.starts_with('#')
    });
    let headings = headings.map(|line| line.trim_start_matches('#').trim());
    headings
        .map(|heading| heading.to_lowercase().replace(' ', "-"))
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut links = 0;
    for (document, text) in documents().into_iter().chain(chinese::pages()) {
        let targets = text.split("](").skip(1);
        for target in targets.map(|rest| rest.split(')').next().unwrap()) {
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = match path {
                "" => root.join(&document),
                path => root.join(&document).parent().unwrap().join(path),
            };
            assert!(file.exists(), "{document}: no file {target}");
            if !heading.is_empty() {
                let headings = anchors(&std::fs::read_to_string(&file).unwrap());
                assert!(
                    headings.contains(heading),
                    "{document}: no heading {target}"
                );
            }
            links += 1;
        }
    }
    assert!(links > 50, "{links}");
}

#[test]
fn the_readme_leads_to_every_page() {
    let readme = repository_file("README.md");
    for (page, _) in documents() {
        assert!(
            page == "README.md" || readme.contains(&format!("]({page})")),
            "{page}"
        );
    }
}

#[test]
fn the_metric_tables_are_the_catalogue() {
    let table_of = |metric: &str| {
        let mut collectors = collectors::all().iter();
        let has_it = |each: &MetricDef| each.name == metric;
        let collector = collectors.find(|each| each.metrics().iter().any(|each| has_it(each)));
        match collector.map(|each| each.name()) {
            Some("license_general") => "licence metrics".to_owned(),
            Some(collector) => format!("{collector} metrics"),
            None if metric.starts_with("process_") => "process metrics".to_owned(),
            None => "health metrics".to_owned(),
        }
    };
    for table in [
        "licence metrics",
        "license_list metrics",
        "general_stat metrics",
        "history_service metrics",
        "log_storage_statistic metrics",
        "health metrics",
        "process metrics",
    ] {
        let metrics = catalogue().into_iter();
        let metrics = metrics.filter(|metric| table_of(metric.name) == table);
        let rows = metrics.map(|metric| {
            let labels: Vec<String> = metric.labels.iter().map(|label| as_code(label)).collect();
            [
                Some(as_code(metric.name)),
                Some(labels.join(", ")),
                Some(metric.kind.as_str().to_owned()),
                None,
            ]
        });
        assert_table(table, rows);
    }
}

#[tokio::test]
async fn the_demo_exposes_exactly_the_metrics_of_the_catalogue() {
    let mut demo = Program::start(&["demo", "--web.listen-address=127.0.0.1:0"], &[]);
    let page = page_once_ready(&demo.url().await).await;

    let mut exposed: BTreeMap<&str, &str> = BTreeMap::new();
    let metrics = catalogue().into_iter();
    let metrics = metrics.map(|metric| (metric.name, metric));
    let metrics: BTreeMap<&str, &MetricDef> = metrics.collect();
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
        let labels = metrics[family.unwrap_or(name)].labels.iter().copied();
        assert_eq!(names, labels.collect(), "{line}");
    }
    let expected: BTreeMap<&str, &str> = metrics
        .iter()
        .map(|(name, metric)| (*name, metric.kind.as_str()))
        // The demo's API answers as documented, its keys do not expire, and it has no
        // shards, no state folder and no past.
        .filter(|(name, _)| {
            !matches!(
                *name,
                "cwp_exporter_collector_restored"
                    | "cwp_exporter_credential_expiry_timestamp_seconds"
                    | "cwp_exporter_schema_drift"
                    | "cwp_exporter_shard_index"
                    | "cwp_exporter_shard_total"
                    | "cwp_exporter_state_saves_total"
            )
        })
        .collect();
    assert_eq!(exposed, expected);
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
    let rows = Reason::ALL.map(|reason| {
        let (first, rest) = reason.remedy().split_at(1);
        let remedy = format!("{}{rest}.", first.to_uppercase());
        [Some(as_code(reason.as_str())), None, Some(remedy)]
    });
    assert_table("reasons", rows);

    let retried = Reason::ALL
        .into_iter()
        .filter(|reason| reason.is_transient());
    let retried: Vec<&str> = retried.map(Reason::as_str).collect();
    assert_words("retried reasons", &retried, "or");
}

/// Loads settings from YAML alone.
fn load(yaml: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yml");
    std::fs::write(&file, yaml).unwrap();
    Config::load(Some(&file), &Environment::default(), &known_collectors())
}

/// What a configuration may set of collectors.
fn known_collectors() -> Vec<CollectorDefaults> {
    collectors::defaults(collectors::all())
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

/// The keys that settings offer in place of [`UNKNOWN`].
fn keys(yaml: &str) -> Vec<String> {
    offered(&load(yaml).unwrap_err().to_string())
}

/// The types of credentials that this version reads.
fn supported_types() -> Vec<String> {
    keys(&format!(
        "accounts: [{{name: a, credentials: {{type: {UNKNOWN}}}}}]"
    ))
}

/// Each key of credentials but `type`, with the types that have it.
fn credential_keys() -> BTreeMap<String, Vec<String>> {
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for kind in supported_types() {
        let credentials = format!("{{type: {kind}, {UNKNOWN}: 1}}");
        let known = keys(&format!(
            "accounts: [{{name: a, credentials: {credentials}}}]"
        ));
        let source = keys(&format!(
            "accounts: [{{name: a, credentials: {{type: assume_role, source: {credentials}}}}}]"
        ));
        assert_eq!(source, known, "a source has the same keys");
        for key in known.into_iter().filter(|key| key != "type") {
            owners.entry(key).or_default().push(kind.clone());
        }
    }
    owners
}

/// The types that a row says its key belongs to; any type for a key of something else.
fn types(row: &[String]) -> Vec<&str> {
    match row {
        [_, _, types, _] if types != "all" => code(types),
        _ => vec!["static"],
    }
}

#[test]
fn the_configuration_tables_have_exactly_the_keys_that_are_read() {
    let mut known = BTreeSet::new();
    for group in keys(&format!("{UNKNOWN}: 1")) {
        if group == "accounts_files" {
            known.insert(format!("{group}[]"));
            continue;
        }
        if group == "collectors" {
            for collector in keys(&format!("{group}: {{{UNKNOWN}: 1}}")) {
                let settings = keys(&format!("{group}: {{{collector}: {{{UNKNOWN}: 1}}}}"));
                known.extend(settings.iter().map(|key| format!("{group}.<name>.{key}")));
            }
            continue;
        }
        let yaml = match group.as_str() {
            "accounts" => format!("accounts: [{{{UNKNOWN}: 1}}]"),
            group => format!("{group}: {{{UNKNOWN}: 1}}"),
        };
        let path = group.replace("accounts", "accounts[]");
        known.extend(keys(&yaml).iter().map(|key| format!("{path}.{key}")));
    }
    assert!(known.remove("accounts[].credentials"));
    let rows = known.iter().map(|key| [Some(as_code(key)), None, None]);
    assert_table("configuration keys", rows);

    let owners = credential_keys().into_iter().map(|(key, types)| {
        let types: Vec<String> = types.iter().map(|kind| as_code(kind)).collect();
        (key, types.join(", "))
    });
    let rows = [("type".to_owned(), "all".to_owned())]
        .into_iter()
        .chain(owners);
    let rows = rows.map(|(key, types)| {
        let key = as_code(&format!("accounts[].credentials.{key}"));
        [Some(key), None, Some(types), None]
    });
    assert_table("credential keys", rows);
}

#[test]
fn the_collectors_are_those_of_the_program_with_its_defaults() {
    let rows = collectors::all().iter().map(|collector| {
        let settings = collector.defaults().map(|defaults| defaults.settings);
        let of = |show: &dyn Fn(&CollectorSettings) -> String| {
            let settings = settings.as_ref();
            settings.map(|settings| as_code(&show(settings)))
        };
        let time = |time: Duration| match time.as_secs() {
            seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
            seconds => format!("{}m", seconds / 60),
        };
        let poll = |key: &str| Some(as_code(&format!("poll.{key}")));
        [
            Some(as_code(collector.name())),
            Some(as_code(collector.request().action)),
            of(&|settings| settings.enabled.to_string()).or(Some("always".to_owned())),
            of(&|settings| time(settings.interval)).or(poll("interval")),
            of(&|settings| time(settings.max_age)).or(poll("max_age")),
            settings
                .as_ref()
                .and_then(|settings| Some(as_code(&settings.max_rows?.to_string())))
                .or(Some(String::new())),
        ]
    });
    assert_table("collectors", rows);
}

/// The variable that sets a key, by the README's rule.
fn variable(key: &str) -> String {
    let name = key.replace("[]", ".0").replace("<name>", "license_list");
    let name = name.replace('.', "__");
    format!("CWP_EXPORTER_{}", name.to_uppercase())
}

/// What everything secret is on a [`Machine`]; the README's scenarios know it.
const SECRET: &str = "not-a-secret";

/// The role in the README.
const ROLE: &str = "qcs::cam::uin/100000000001:roleName/CwpExporter";

/// A machine on which every type of credentials finds a key.
struct Machine {
    folder: tempfile::TempDir,
    variables: BTreeMap<String, String>,
}

impl Machine {
    fn new() -> Self {
        let mut machine = Self {
            folder: tempfile::tempdir().unwrap(),
            variables: BTreeMap::new(),
        };
        let section = |name| format!("[{name}]\nsecret_id = AKIDexample\nsecret_key = {SECRET}\n");
        let profiles = section("default") + &section("other");
        let tccli = json!({"secretId": "AKIDexample", "secretKey": SECRET}).to_string();
        for (path, text) in [
            ("etc/tencentcloud/credentials", profiles.as_str()),
            (".tencentcloud/credentials", &profiles),
            (".tccli/default.credential", &tccli),
            (".tccli/other.credential", &tccli),
            ("secret", SECRET),
            ("more.yml", "- name: more\n"),
        ] {
            machine.write(path, text);
        }
        let (home, secret) = (machine.path(""), machine.path("secret"));
        let [region, provider, token_file, role] = TKE_VARIABLES;
        for (name, value) in [
            ("HOME", home.as_str()),
            ("KEY", SECRET),
            ("OTHER", SECRET),
            (SECRET_ID_VARIABLE, "AKIDexample"),
            (SECRET_KEY_VARIABLE, SECRET),
            (region, "ap-guangzhou"),
            (provider, "cls-example"),
            (token_file, &secret),
            (role, ROLE),
        ] {
            let before = machine.variables.insert(name.to_owned(), value.to_owned());
            assert_eq!(before, None);
        }
        machine
    }

    /// What is at `path` below the machine's folder, which is also its home.
    fn path(&self, path: &str) -> String {
        let path = self.folder.path().join(path);
        path.into_os_string().into_string().unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Makes `yaml` the configuration, with the files and variables that it names.
    fn configure(&mut self, yaml: &str) -> String {
        let yaml = yaml.replace(": /etc/", &format!(": {}/", self.path("etc")));
        self.write("cwp-exporter.yml", &yaml);
        for line in yaml.lines() {
            let Some((key, value)) = line.trim().split_once(": ") else {
                continue;
            };
            if key.ends_with("_file") {
                self.write(value, SECRET);
            } else if key.ends_with("_env") {
                self.variables.insert(value.to_owned(), SECRET.to_owned());
            }
        }
        self.path("cwp-exporter.yml")
    }

    /// Loads settings from the configuration `yaml`, without a warning.
    fn load(&mut self, yaml: &str) -> Config {
        let file = self.configure(yaml);
        let environment = Environment::from_iter(self.variables.clone());
        let config = Config::load(Some(Path::new(&file)), &environment, &known_collectors());
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.warnings(), Vec::<String>::new());
        config
    }

    /// Loads settings from variables alone: those of `settings`, by their keys.
    fn load_variables(&self, settings: &BTreeMap<&str, String>) -> Config {
        let set = settings.iter();
        let set = set.map(|(key, value)| (variable(key), value.clone()));
        let environment = Environment::from_iter(self.variables.clone().into_iter().chain(set));
        Config::load(None, &environment, &known_collectors())
            .unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Settings of one account with credentials of type `kind`, to which `key` can be added.
fn base_for(kind: &str, key: &str) -> BTreeMap<&'static str, String> {
    let mut base = BTreeMap::from([("accounts[].name", "a".to_owned())]);
    if key == "accounts[].credentials.type" {
        return base;
    }
    base.insert("accounts[].credentials.type", kind.to_owned());
    let needed: &[(&str, &str)] = match kind {
        "static" => &[
            ("accounts[].credentials.secret_id", "AKIDexample"),
            ("accounts[].credentials.secret_key_env", "KEY"),
        ],
        "assume_role" => &[("accounts[].credentials.role_arn", ROLE)],
        _ => &[],
    };
    // `secret_id_file` takes the place of `secret_id`.
    let part = key.rsplit('.').next().unwrap();
    let stem: String = part.split_inclusive('_').take(2).collect();
    let stem = stem.trim_end_matches('_');
    let needed = needed.iter();
    let needed = needed.filter(|(other, _)| stem.is_empty() || !other.contains(stem));
    base.extend(needed.map(|(key, value)| (*key, (*value).to_owned())));
    base
}

#[test]
fn every_documented_default_is_the_default() {
    let machine = Machine::new();
    let readme = readme();
    let mut checked = 0;
    for row in readme.rows("Key") {
        let (key, default) = (only_code(&row[0]), only_code(&row[1]));
        if default.is_empty() {
            continue;
        }
        let mut settings = base_for(types(row)[0], key);
        let without = machine.load_variables(&settings);
        // A variable writes `=` in a map.
        settings.insert(key, default.replace(": ", "="));
        assert_eq!(machine.load_variables(&settings), without, "{key}");
        checked += 1;
    }
    assert!(checked >= 13, "{checked}");
}

#[test]
fn every_documented_key_takes_effect_through_its_variable() {
    let machine = Machine::new();
    let profiles = machine.path("etc/tencentcloud/credentials");
    let secret = machine.path("secret");
    let more = machine.path("more.yml");
    let readme = readme();
    for row in readme.rows("Key") {
        let key = only_code(&row[0]);
        let value = match key.rsplit('.').next().unwrap() {
            "interval" => "30s",
            "timeout" => "5s",
            "max_age" | "duration" => "1h30m",
            "rate_limit" | "max_in_flight" | "max_rows" => "3",
            "enabled" => "false",
            "proxy_url" | "metadata_endpoint" => "http://127.0.0.1:9",
            "endpoint" | "sts_endpoint" => "https://example.com",
            "name" => "b",
            "region" => "ap-shanghai",
            "labels" => "{team=security}",
            "type" => "env",
            "secret_id" => "AKIDother",
            "profile" | "role" | "session_name" => "other",
            "file" => &profiles,
            "accounts_files[]" => &more,
            "role_arn" => "qcs::cam::uin/100000000001:role/4611686018427397919",
            "source" => "{type=cvm_role}",
            "ca_file" => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/config/ca.pem"),
            name if name.ends_with("_file") => &secret,
            name if name.ends_with("_env") => "OTHER",
            name => panic!("give {name} a value to be tried with"),
        };
        for kind in types(row) {
            let whole = match key.ends_with(".type") {
                true => base_for(kind, key),
                false => base_for(kind, ""),
            };
            let mut settings = base_for(kind, key);
            settings.insert(key, value.to_owned());
            assert_ne!(
                machine.load_variables(&settings),
                machine.load_variables(&whole),
                "{key} had no effect on {kind}"
            );
        }
    }
}

#[test]
fn the_configuration_examples_load() {
    let readme = readme();
    let [shortest, example, of_files] = readme.snippets("yaml config").try_into().unwrap();
    let config = Machine::new().load(shortest);
    assert_eq!(config.accounts.len(), 1);

    let config = Machine::new().load(example);
    assert!(config.accounts.len() >= 2);

    let mut machine = Machine::new();
    machine.write("accounts.d/partner.yml", "- name: partner\n");
    let config = machine.load(of_files);
    let names: Vec<&str> = config.accounts.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["production", "partner"]);
}

/// Each type of credentials with the text of its section.
fn credential_sections(readme: &Readme) -> Vec<(&str, &str)> {
    let sections = readme.between("\n# Credentials\n", "\n## Rotation\n");
    let sections = sections.split("\n## ").skip(1);
    sections
        .map(|section| section.split_once('\n').unwrap())
        .collect()
}

/// The snippet that shows credentials of type `kind`.
fn credential_snippet(section: &str) -> &str {
    let (_, rest) = section.split_once("```yaml credentials\n").unwrap();
    rest.split_once("```\n").unwrap().0
}

#[test]
fn every_type_of_credentials_has_a_section_with_its_variables_and_a_snippet() {
    let readme = readme();
    let sections = credential_sections(&readme);
    let kinds: Vec<&str> = sections.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, supported_types());
    assert_eq!(readme.snippets("yaml credentials").len(), kinds.len());
    for (kind, section) in sections {
        let snippet = credential_snippet(section);
        assert!(snippet.contains(&format!("\n      type: {kind}\n")));
        assert_eq!(Machine::new().load(snippet).accounts.len(), 1);

        let prose = section.split("```").step_by(2);
        let is_variable = |word: &&str| word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        let variables: Vec<&str> = prose.flat_map(code).filter(is_variable).collect();
        let expected = match kind {
            "env" => [
                &[SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE],
                &TOKEN_VARIABLES[..],
            ]
            .concat(),
            "profile" => vec![CREDENTIALS_FILE_VARIABLE],
            "tke_oidc" => TKE_VARIABLES.to_vec(),
            _ => vec![],
        };
        assert_eq!(variables, expected, "{kind}");
    }
}

#[tokio::test]
async fn every_type_of_credentials_signs_in_with_its_snippet_and_the_policies() {
    let readme = readme();
    let scenarios = readme.snippets("yaml scenario");
    let roles = scenarios.iter().find(|text| text.contains("\nmetadata:"));
    let cloud = Cloud::start(roles.unwrap()).await;
    let mut asked = BTreeMap::new();
    for (kind, section) in credential_sections(&readme) {
        let snippet = credential_snippet(section);
        let mut machine = Machine::new();
        let file = format!("--config.file={}", machine.configure(snippet));
        for key in ["api.endpoint", "api.sts_endpoint", "api.metadata_endpoint"] {
            machine.variables.insert(variable(key), cloud.url.clone());
        }
        let variables = machine.variables.iter();
        let variables: Vec<(&str, &str)> = variables
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let alone = [("CWP_EXPORTER_COLLECTORS__LICENSE_LIST__ENABLED", "false")];
        let variables = [variables, alone.to_vec()].concat();
        let before = cloud.handle.received().len();
        let output = run(&[&file, "once"], &variables).await;
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{kind}: {log}");
        let received = cloud.handle.received();
        let actions = received[before..].iter();
        let actions: Vec<String> = actions.filter_map(|each| each.action.clone()).collect();
        asked.insert(kind, actions);
    }

    let own = collectors::all()[0].request().action;
    assert_eq!(asked["static"], [own]);
    let roles = "/latest/meta-data/cam/security-credentials/";
    let role = format!("{roles}CwpExporter");
    assert_eq!(asked["cvm_role"], [roles, &role, own]);
    assert_eq!(asked["tke_oidc"], ["AssumeRoleWithWebIdentity", own]);
    let [action, last] = asked["assume_role"].as_slice() else {
        panic!("{asked:?}");
    };
    assert_eq!(last, own);

    // What was asked for is what the policies allow.
    let policy = |kind: &str| -> Value {
        let policies = readme.snippets(kind);
        assert_eq!(policies.len(), 1);
        serde_json::from_str(policies[0]).unwrap()
    };
    let action = format!("sts:{action}");
    let statement = json!({"effect": "allow", "action": [action], "resource": [ROLE]});
    let expected = json!({"version": "2.0", "statement": [statement]});
    assert_eq!(policy("json source policy"), expected);
    let principal = json!({"qcs": ["qcs::cam::uin/100000000002:root"]});
    let action = format!("name/{action}");
    let statement = json!({"effect": "allow", "action": action, "principal": principal});
    let expected = json!({"version": "2.0", "statement": [statement]});
    assert_eq!(policy("json trust policy"), expected);
    assert!(readme.text.contains("here 100000000002:"));
}

#[test]
fn roles_have_the_documented_limits() {
    let readme = readme();
    let rows = readme.rows("Key");
    let row = rows
        .iter()
        .find(|row| row[0].ends_with(".duration`"))
        .unwrap();
    let role = |more: &str| {
        load(&format!(
            "accounts: [{{name: a, credentials: {{type: assume_role, role_arn: '{ROLE}', {more}}}}}]"
        ))
    };
    for (life, good) in [
        ("1m", true),
        ("59s", false),
        ("12h", true),
        ("12h1s", false),
    ] {
        assert!(!good || code(&row[3]).contains(&life), "{life}");
        assert_eq!(role(&format!("duration: {life}")).is_ok(), good, "{life}");
    }
    let by = |source: &str| format!("source: {{type: assume_role, role_arn: '{ROLE}', {source}}}");
    assert!(role(&by("source: {type: default}")).is_ok());
    assert!(role(&by(&by("source: {type: default}"))).is_err());
}

#[tokio::test]
#[ignore = "needs Prometheus"]
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
    let policies = policies
        .iter()
        .map(|text| serde_json::from_str(text).unwrap());
    let policies: Vec<Value> = policies.collect();
    let all = collectors::all();
    let needed = [all, &all[..1]].map(|collectors| {
        let policy = doctor::Policy::of(collectors.iter().copied());
        serde_json::to_value(policy).unwrap()
    });
    assert_eq!(policies, needed);
}

/// What `doctor` says of a simulated cloud's accounts, with these `collectors`.
async fn diagnosis_of(cloud: &Cloud, collectors: &str, accounts: &[&str]) -> Diagnosis {
    let accounts: String = accounts
        .iter()
        .map(|name| format!("  - {{name: {name}, credentials: {{type: static, secret_id: AKID{name}, secret_key_env: KEY}}}}\n"))
        .collect();
    let config = format!(
        "{collectors}api: {{endpoint: '{}'}}\naccounts:\n{accounts}",
        cloud.url
    );
    Diagnosis::of(&config, &[("KEY", "key")]).await
}

#[tokio::test]
async fn the_doctor_says_what_the_examples_show() {
    let cloud = Cloud::start(
        "accounts:
  - {name: production, secret_id: AKIDproduction, secret_key: key}
  - {name: partner, secret_id: AKIDpartner, secret_key: key, allow: []}
  - {name: upgraded, secret_id: AKIDupgraded, secret_key: key, allow: [\"cwp:DescribeLicenseGeneral\"]}",
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
    let both = diagnosis_of(&cloud, LICENSES_ALONE, &["production", "partner"]).await;
    let example = steady(readme.snippets("text doctor")[0]);
    // Each account is printed as it ends: the one with fewer lines may be the last.
    let mut said = steady(&both.text);
    said.truncate(example.len());
    let first = said
        .iter()
        .position(|line| line.starts_with("production: "));
    said.rotate_left(first.unwrap());
    assert_eq!(said, example);

    let upgraded = steady(&diagnosis_of(&cloud, "", &["upgraded"]).await.text);
    let example = steady(readme.snippets("text doctor")[1]);
    assert_eq!(upgraded[..example.len()], example);

    let mut found = diagnosis_of(&cloud, LICENSES_ALONE, &["partner"])
        .await
        .json;
    let mut example: Value = serde_json::from_str(readme.snippets("json doctor")[0]).unwrap();
    let steps = found["accounts"][0]["steps"].as_array_mut().unwrap();
    let checks: Vec<Value> = steps.iter().map(|step| step["step"].clone()).collect();
    let checks = checks.iter().map(|check| check.as_str().unwrap());
    assert_table("checks", checks.map(|check| [Some(as_code(check)), None]));
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

/// The commands of the program, as clap knows them.
fn commands(command: &clap::Command) -> Vec<&str> {
    let commands = command.get_subcommands();
    commands.map(clap::Command::get_name).collect()
}

/// The commands that take the flag `argument`, before them and behind.
fn takers<'c>(argument: &Arg, commands: &[&'c str]) -> Vec<&'c str> {
    let flag = match flag(argument).split_once(' ') {
        None => flag(argument),
        Some((flag, value)) => {
            let value = match value {
                "ADDRESS" => ":1",
                "COUNT" | "TOTAL" => "1",
                "FORMAT" => "json",
                "INDEX" => "0",
                "LEVEL" => "info",
                _ => "/x",
            };
            format!("{flag}={value}")
        }
    };
    let takes = |command: &&str| {
        let before = Cli::read(["cwp-exporter", &flag, command]);
        let behind = Cli::read(["cwp-exporter", command, &flag]);
        match (before, behind) {
            (Ok(_), Ok(_)) => true,
            (Err(before), Err(behind)) => match (before.exit_code(), behind.exit_code()) {
                // The help, and the version, which no command tells.
                (0, 0) => true,
                (0 | 2, 2) => false,
                codes => panic!("{flag} {command}: {codes:?}"),
            },
            (before, behind) => panic!("{flag} {command}: {before:?}, {behind:?}"),
        }
    };
    commands.iter().copied().filter(takes).collect()
}

#[test]
fn the_flags_are_those_of_the_program_and_each_command_takes_its_own() {
    let mut command = Cli::command();
    command.build();
    let commands = commands(&command);
    let rows = command.get_arguments().map(|argument| {
        let takers = takers(argument, &commands);
        let takers = match takers == commands {
            true => "all".to_owned(),
            false => takers
                .iter()
                .map(|name| as_code(name))
                .collect::<Vec<_>>()
                .join(", "),
        };
        let (flag, default) = (as_code(&flag(argument)), as_code(&default(argument)));
        [Some(flag), Some(default), Some(takers), None]
    });
    assert_table("flags", rows);

    let readme = readme();
    let named = command
        .get_arguments()
        .filter(|each| each.get_action().takes_values());
    for words in named
        .map(Arg::get_possible_values)
        .filter(|words| !words.is_empty())
    {
        let words: Vec<&str> = words.iter().map(|word| word.get_name()).collect();
        assert!(
            readme.text.contains(&format!("`{}`", words.join("`, `"))),
            "{words:?}"
        );
    }
}

#[test]
fn the_commands_are_those_of_the_program_with_their_flags() {
    let mut command = Cli::command();
    command.build();
    let rows = command.get_subcommands().map(|command| {
        let own = command.get_arguments();
        let own = own.filter(|argument| !argument.is_global_set() && argument.get_id() != "help");
        let flags: Vec<String> = own
            .map(|argument| match default(argument).as_str() {
                "" => as_code(&flag(argument)),
                default => format!("{} (`{default}`)", as_code(&flag(argument))),
            })
            .collect();
        [
            Some(as_code(command.get_name())),
            Some(flags.join(", ")),
            None,
        ]
    });
    assert_table("commands", rows);
}

#[tokio::test]
async fn the_exit_codes_are_as_documented() {
    assert_table(
        "exit codes",
        ["0", "1", "2"].map(|code| [Some(as_code(code)), None]),
    );

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
    let (config, variables) = config_for(&cloud, 1);
    let config = config.replace(LICENSES_ALONE, "");
    let exporter = Exporter::start(&config, variables).await;
    assert_eq!(exporter.get("/-/ready").await.status(), 503);
    cloud.handle.resume("a0").unwrap();
    exporter.ready().await;
    let has_calendar = async || {
        let status = exporter.get("/calendar.ics").await.status();
        (status == 200).then_some(())
    };
    eventually("the calendar", has_calendar).await;
    let ask = async |method: http::Method, path: &str| {
        let request = client().request(method, format!("{}{path}", exporter.url));
        request.send().await.unwrap()
    };
    let (mut rows, mut pages) = (Vec::new(), Vec::new());
    for path in ["/metrics"].into_iter().chain(PATHS) {
        let mut method = http::Method::GET;
        let mut answer = ask(method.clone(), path).await;
        let other = ask(http::Method::POST, path).await;
        if answer.status() == 405 {
            (method, answer) = (http::Method::POST, other);
        } else {
            assert_eq!(other.status(), 405, "{path}");
        }
        if method == http::Method::GET && answer.status() == 200 && path != "/" {
            pages.push(path);
        }
        let content_type = answer.headers()[http::header::CONTENT_TYPE]
            .to_str()
            .unwrap();
        let status = answer.status().as_u16().to_string();
        let told = [path, method.as_str(), &status, content_type];
        let [path, method, status, content_type] = told.map(|cell| Some(as_code(cell)));
        rows.push([path, method, status, content_type, None]);
    }
    assert_table("paths", rows);
    // The page for people links to the others that can be looked at, and to nothing else.
    let page = exporter.get("/").await.text().await.unwrap();
    let links = page.split("href=\".").skip(1);
    let links = links.filter_map(|rest| rest.split(['"', '?']).next());
    let links: BTreeSet<&str> = links.filter(|path| *path != "/").collect();
    assert_eq!(links, BTreeSet::from_iter(pages), "{page}");
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
            ["cargo", "build", "--release", "--locked"]
            | ["mv", _, _]
            | ["sudo", "apt-get", "install", ..] => continue,
            ["echo", _, file] if file.starts_with('>') => continue,
            ["curl", "-s", url] => {
                status::check_url(&readme, url.trim_matches('\''));
                continue;
            }
            ["cargo", "run", "--release", "--", arguments @ ..]
            | ["cargo", "run", "--", arguments @ ..]
            | [
                "cwp-exporter" | "target/release/cwp-exporter",
                arguments @ ..,
            ] => arguments,
            _ => panic!("what is `{line}`?"),
        };
        let arguments = ["cwp-exporter"].iter().chain(arguments);
        if let Err(error) = Cli::read(arguments) {
            panic!("`{line}` is no command of ours: {error}");
        }
        commands += 1;
    }
    assert!(commands >= 5, "{commands}");
}

/// Adds the keys that a scenario may have at `path`; `around` puts one there.
fn scenario_keys(path: &str, around: &dyn Fn(&str) -> String, known: &mut BTreeSet<String>) {
    let unknown = format!("{UNKNOWN}: 1");
    let error = Scenario::parse(&around(&unknown)).unwrap_err().to_string();
    for key in offered(&error) {
        let inside = |inner: &str| match (path, key.as_str()) {
            ("", "accounts") => {
                format!("accounts: [{{name: a, secret_id: b, secret_key: c, {inner}}}]")
            }
            _ => around(&format!("{key}: {{{inner}}}")),
        };
        let tried = Scenario::parse(&inside(&unknown));
        if tried.is_err_and(|error| error.to_string().contains("unknown key")) {
            let list = if key == "accounts" { "[]" } else { "" };
            scenario_keys(&format!("{path}{key}{list}."), &inside, known);
        } else {
            known.insert(format!("{path}{key}"));
        }
    }
}

/// Adds the path of every key in `value`, which is at `path`.
fn note_keys(path: &str, value: &Value, known: &mut BTreeSet<String>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let path = format!("{path}{key}");
                note_keys(&format!("{path}."), value, known);
                known.insert(path);
            }
        }
        Value::Array(items) => {
            let path = format!("{}[].", path.trim_end_matches('.'));
            items.iter().for_each(|item| note_keys(&path, item, known));
        }
        _ => {}
    }
}

#[test]
fn the_scenario_table_has_exactly_the_keys_that_are_read_and_snippets_show_each() {
    let mut known = BTreeSet::new();
    let whole = |inner: &str| match inner.starts_with("accounts:") {
        true => inner.to_owned(),
        false => format!("{inner}\naccounts: [{{name: a, secret_id: b, secret_key: c}}]"),
    };
    scenario_keys("", &whole, &mut known);
    let readme = readme();
    let rows = known.iter().map(|key| [Some(as_code(key)), None, None]);
    assert_table("scenario keys", rows);
    let rows = readme.rows("Scenario key");
    let mut shown = BTreeSet::new();
    for scenario in readme.snippets("yaml scenario") {
        note_keys("", &serde_saphyr::from_str(scenario).unwrap(), &mut shown);
    }
    let unseen: Vec<&String> = known.difference(&shown).collect();
    assert_eq!(unseen, Vec::<&String>::new(), "no scenario shows them");

    let mut checked = 0;
    for row in rows {
        let default = only_code(&row[1]);
        if default.is_empty() {
            continue;
        }
        assert!(!row[2].is_empty());
        let scenario = |value: Option<&str>| {
            let key = only_code(&row[0]);
            let setting =
                |key: &str| value.map_or(String::new(), |value| format!("{key}: {value}"));
            let settings = match key.split_once('.') {
                Some(("metadata", key)) => format!("metadata: {{account: a, {}}}", setting(key)),
                Some((section, key)) => format!("{section}: {{{}}}", setting(key)),
                None => setting(key),
            };
            let accounts = format!("accounts: [{{name: a, role: {{arn: '{ROLE}'}}}}]");
            format!(
                "{:?}",
                Scenario::parse(&format!("{settings}\n{accounts}")).unwrap()
            )
        };
        let other = match default.parse::<u32>() {
            Ok(_) => "7",
            Err(_) => "7s",
        };
        assert_eq!(scenario(Some(default)), scenario(None), "{}", row[0]);
        assert_ne!(scenario(Some(other)), scenario(None), "{}", row[0]);
        checked += 1;
    }
    assert!(checked >= 4, "{checked}");
}

#[tokio::test]
async fn the_first_scenario_plays() {
    let readme = readme();
    let scenario = readme.snippets("yaml scenario")[0];

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
    let mut only_of_accounts = BTreeSet::new();
    for row in readme.rows("Step") {
        let step = only_code(&row[0]);
        scenario(step).unwrap_or_else(|error| panic!("{step}: {error}"));
        let (name, value) = step.split_once(": ").unwrap();
        documented.insert(name.to_owned());
        if value.starts_with('{') && name != "set" {
            let unknown = format!("{name}: {{{UNKNOWN}: 1}}");
            let error = scenario(&unknown).unwrap_err().to_string();
            for key in offered(&error) {
                assert!(value.contains(&format!("{key}: ")), "{step} lacks {key}");
            }
        }
        let of_services = ["sts", "metadata"].map(|service| {
            let yaml = format!(
                "{service}: {{timeline: [{{at: 1s, {step}}}]}}\naccounts: [{{name: a, secret_id: b, secret_key: c}}]"
            );
            Scenario::parse(&yaml).is_ok()
        });
        assert_eq!(of_services[0], of_services[1], "{step}");
        if !of_services[0] {
            only_of_accounts.insert(name);
        }
    }
    assert_eq!(documented, known);
    let excepted: Vec<&str> = only_of_accounts.into_iter().collect();
    assert_words("steps of accounts", &excepted, "and");
}

#[tokio::test]
async fn the_rehearsal_of_a_rotation_loses_no_collection() {
    let readme = readme();
    let scenarios = readme.snippets("yaml scenario");
    let rotation = scenarios.iter().find(|text| text.contains("rotate:"));
    // The same in a few seconds.
    let mut scenario = (*rotation.unwrap()).to_owned();
    for (slow, fast) in [
        ("lifetime: 1m", "lifetime: 10s"),
        ("at: 30s", "at: 2s"),
        ("at: 90s", "at: 4s"),
    ] {
        assert_eq!(scenario.matches(slow).count(), 1, "{slow}");
        scenario = scenario.replace(slow, fast);
    }
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("operator.key");
    let commands = readme.snippets("sh").concat();
    let write = |command: &str, file: &Path| {
        let text = commands.split(&format!(" >{command}\n")).next().unwrap();
        std::fs::write(file, text.rsplit("echo ").next().unwrap()).unwrap();
    };
    write("operator.key", &key);

    let cloud = Cloud::start(&scenario).await;
    let config = readme.snippets("yaml rehearsal")[0]
        .replace("http://127.0.0.1:10065", &cloud.url)
        .replace("operator.key", key.to_str().unwrap());
    let exporter = Exporter::start(&config, vec![]).await;
    let expiry = "cwp_exporter_credential_expiry_timestamp_seconds{account=\"partner\"}";
    let first = exporter.ready().await.value(expiry).unwrap();
    let refused = async |code: &str| {
        let is_refusal = |each: &Received| each.verdict == code;
        eventually(code, async || {
            cloud.handle.received().into_iter().find(is_refusal)
        })
        .await;
    };
    refused("AuthFailure.TokenFailure").await;
    refused("AuthFailure.SignatureFailure").await;
    let new = folder.path().join("operator.new");
    write("operator.new", &new);
    assert!(commands.contains("mv operator.new operator.key\n"));
    std::fs::rename(&new, &key).unwrap();
    let keys = cloud.handle.issued_keys("partner");
    eventually("a key by the new key", async || {
        (cloud.handle.issued_keys("partner") != keys).then_some(())
    })
    .await;
    let last = exporter
        .until("the new key in use", |scrape| {
            scrape.value("cwp_exporter_credential_refreshes_total{result=\"success\"}") >= Some(2.0)
        })
        .await;
    assert!(last.value(expiry).unwrap() > first);
    let failures =
        "cwp_exporter_collector_failures_total{account=\"partner\",collector=\"license_general\"}";
    assert_eq!(last.value(failures), Some(0.0));
    // As the README says of the budget.
    let label = "action=\"AssumeRole\"";
    assert!(readme.text.contains(&format!("`{label}`")));
    let requests = format!("cwp_exporter_api_requests_total{{{label}}}");
    // For the first key, for one that was refused at least, and for the last. How many more
    // there were depends on how fast the machine is.
    assert!(last.value(&requests) >= Some(3.0));
}

#[tokio::test]
async fn the_budgets_example_is_what_the_program_reckons() {
    let cloud = Cloud::with_accounts(3).await;
    let (config, variables) = config_for(&cloud, 3);
    let config = config.replace("interval: 1s", "interval: 60s");
    let config = config.replace("max_age: 2s", "max_age: 60s");
    let config = config.replace(LICENSES_ALONE, "");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let path = format!("--config.file={}", file.path().display());
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let mut program = Program::start(&[&path, "--web.listen-address=127.0.0.1:0"], &variables);
    let line = program.logged("msg=collecting").await;
    let (_, requests) = line.split_once("requests_per_day=").unwrap();
    let requests = requests.split(' ').next().unwrap();
    let (thousands, rest) = requests.split_at(requests.len() - 3);
    assert_text("requests a day", &format!("{thousands},{rest}"));
}
