"""Checks what the settings of the rules do, in the chart and in the mixin.

`settings.py FOLDER [PROMTOOL...]` writes rules with other settings to FOLDER and has each of
these programs check and test them.
"""

import json
import pathlib
import re
import subprocess
import sys

import _jsonnet
import helm_python
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = helm_python.Chart.load(ROOT / "deploy/helm/cwp-exporter")
MIXIN = ROOT / "deploy/mixin/mixin.libsonnet"
SOURCE = yaml.safe_load((ROOT / "deploy/helm/cwp-exporter/files/rules.yml").read_text())
CHINESE = yaml.safe_load((ROOT / "deploy/helm/cwp-exporter/files/rules.zh.yml").read_text())
PLAIN = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())["groups"]

# Every setting, with another value than its own.
OTHER = {
    # Marks that mean something to YAML, JSON and Helm.
    "selector": 'job=~"cwp|a\\\\.b: c",team!="<#>&{{x}}"',
    "language": "zh",
    "grafanaUrl": "https://grafana.example.com/sub/",
    "runbooksUrl": "http://runbooks.example.com",
    "disabled": ["TencentCloudCWPSchemaUnknownField", "TencentCloudCWPBudgetSaturated/warning"],
    # The name that says more wins.
    "severities": {
        "TencentCloudCWPReloadFailed": "info",
        "TencentCloudCWPReloadFailed/warning": "critical",
        "TencentCloudCWPClockSkew": "info",
    },
    # One that has a `for`, and one that has none.
    "pendingPeriods": {"TencentCloudCWPClockSkew": "2h", "TencentCloudCWPCredentialExpiring/warning": "1d"},
    "accountLabels": ["team", "cost_centre"],
    "additionalRuleLabels": {"owner": "security"},
    "additionalRuleAnnotations": {"contact": "not a setting: ${selector}"},
    "groupIntervals": {"cwp-accounts": "90s"},
    "keepFiringFor": False,
    "additionalGroups": [{"name": "ours", "rules": [{"record": "a:b:c", "expr": "vector(1)"}]}],
    "thresholds": {"clockSkewSeconds": 12.5},
}

# What is refused, and words of the message.
WRONG = [
    ({"disabled": ["TencentCloudCWPNone"]}, ["TencentCloudCWPNone", "TencentCloudCWPClockSkew"]),
    ({"disabled": ["TencentCloudCWPOther", "TencentCloudCWPClockSkew"]}, ["TencentCloudCWPOther"]),
    ({"disabled": ["TencentCloudCWPClockSkew/info"]}, ["TencentCloudCWPClockSkew/info"]),
    ({"severities": {"ClockSkew": "info"}}, ['"ClockSkew"', "TencentCloudCWPClockSkew"]),
    ({"pendingPeriods": {"TencentCloudCWPNone": "1m"}}, ["TencentCloudCWPNone", "ClockSkew"]),
    ({"groupIntervals": {"cwp": "1m"}}, ['"cwp"', "cwp-accounts"]),
    ({"thresholds": {"clockSkewSeconds": "30s"}}, ["clockSkewSeconds", "number"]),
    ({"thresholds": {"skew": 30}}, ["skew"]),
    ({"language": "de"}, ["language", "zh"]),
]
# What only the schema of the chart refuses.
WRONG_VALUES = [
    ({"severities": {"TencentCloudCWPClockSkew": "page"}}, ["severities", "warning"]),
    ({"thresholds": {"useHighPercent": 0}}, ["useHighPercent"]),
    ({"additionalRuleLabels": {"severity": "info"}}, ["severity"]),
    ({"grafanaUrl": "grafana.example.com"}, ["grafanaUrl", "https?"]),
    ({"groupIntervals": {"cwp-accounts": "2 minutes"}}, ["groupIntervals"]),
    ({"accountLabels": "team"}, ["accountLabels", "array"]),
    ({"disable": []}, ["disable"]),
]


def of_chart(settings):
    """The groups that the chart renders."""
    values = {"prometheusRule": {"enabled": True, **settings}, "image": {"registry": "registry.example.com"}}
    manifests = CHART.render(values, name="cwp-exporter", namespace="monitoring")
    (text,) = (text for path, text in manifests.items() if path.endswith("/prometheusrule.yaml"))
    return yaml.safe_load(text)["spec"]["groups"]


def of_mixin(settings):
    """What the mixin consists of."""
    program = f"""
        local mixin = (import '{MIXIN}') {{ _config+:: {json.dumps(settings)} }};
        {{
          alerts: mixin.prometheusAlerts.groups,
          recordings: mixin.prometheusRules.groups,
          dashboards: mixin.grafanaDashboards,
        }}
    """
    return json.loads(_jsonnet.evaluate_snippet("settings", program))


def divided(groups):
    """The groups as the mixin has them: alerts, and recording rules in groups of their own."""
    alerts, recordings = [], []
    for group in groups:
        for kind, suffix, divided_groups in [("alert", "", alerts), ("record", ".rules", recordings)]:
            rules = [rule for rule in group["rules"] if kind in rule]
            # Groups of the user stay as they are.
            if group["name"] == "ours":
                rules, suffix = group["rules"] if kind == "alert" else [], ""
            if rules:
                divided_groups.append({**group, "name": group["name"] + suffix, "rules": rules})
    return {"alerts": alerts, "recordings": recordings}


def name_of(rule):
    return rule.get("alert") or rule["record"]


def by_name(groups):
    """The rules by name: several alerts may share one."""
    found = {}
    for group in groups:
        for rule in group["rules"]:
            found.setdefault(name_of(rule), []).append(rule)
    return found


def the_defaults_make_the_plain_rules():
    assert of_chart({}) == PLAIN


def the_mixin_makes_the_rules_of_the_chart():
    for settings in [{}, OTHER]:
        mixin = of_mixin(settings)
        dashboards = mixin.pop("dashboards")
        assert mixin == divided(of_chart(settings)), settings
        assert sorted(board["uid"] for board in dashboards.values()) == ["cwp-exporter", "cwp-licences"]


def the_mixin_shows_clusters_and_namespaces_where_there_are_several():
    for several in [False, True]:
        dashboards = of_mixin({"showMultiCluster": several})["dashboards"]
        for dashboard in dashboards.values():
            hidden = {each["name"]: each["hide"] for each in dashboard["templating"]["list"]}
            assert hidden["job"] == 0
            assert hidden["cluster"] == hidden["namespace"] == (0 if several else 2), hidden


def each_setting_does_what_it_says():
    chart = CHART.values["prometheusRule"]
    unused = chart.keys() - OTHER.keys() - {"enabled", "namespace", "labels", "annotations"}
    assert not unused, unused
    groups = of_chart(OTHER)
    before, after = by_name(PLAIN), by_name(groups)
    account_info = SOURCE["accountLabels"]["group"]["rules"][0]["record"]
    assert before.keys() - after.keys() == {name.split("/")[0] for name in OTHER["disabled"]}
    assert after.keys() - before.keys() == {"a:b:c", account_info}

    text = json.dumps(groups)
    assert not any('"cwp"' in rule["expr"] for rules in after.values() for rule in rules)
    for absent in after["TencentCloudCWPExporterAbsent"]:
        assert absent["expr"] == f"absent(up{{{OTHER['selector']}}})", absent
    assert "12.5" in after["TencentCloudCWPClockSkew"][0]["expr"]
    assert "keep_firing_for" in json.dumps(PLAIN) and "keep_firing_for" not in text
    assert [group.get("interval") for group in groups if group["name"] == "cwp-accounts"] == ["90s"]
    assert "label_team, label_cost_centre" in after[account_info][0]["expr"]

    joined = 0
    for name, rules in after.items():
        for rule, old in zip(rules, before.get(name, [])):
            if "record" in rule:
                assert rule == old, rule
                continue
            own = old["labels"]["severity"]
            severity, pending = (
                OTHER[setting].get(f"{name}/{own}") or OTHER[setting].get(name, default)
                for setting, default in [("severities", own), ("pendingPeriods", old.get("for"))]
            )
            assert rule["labels"] == {**old["labels"], "severity": severity, "owner": "security"}
            assert rule.get("for") == pending, rule
            links = {key: rule["annotations"].pop(key) for key in ["runbook_url", "dashboard_url"]}
            assert links["runbook_url"] == f"http://runbooks.example.com/zh/{name}.md"
            assert links["dashboard_url"].startswith("https://grafana.example.com/sub/d/cwp-")
            assert rule["annotations"].pop("contact") == "not a setting: ${selector}"
            assert rule["annotations"].keys() == old["annotations"].keys() - {"runbook_url"}
            beginning = CHINESE[f"{name}/{own}"]["summary"].split("${")[0]
            assert rule["annotations"]["summary"].startswith(beginning), rule
            if account_info in rule["expr"]:
                joined += 1
                assert rule["expr"].count(f"({old['expr']})") == 2, rule
                assert "$labels.account" in rule["annotations"]["description"]
            else:
                assert "$labels.account" not in rule["annotations"]["description"]
    assert joined > 5, joined


def what_is_wrong_is_refused_with_what_to_write():
    for settings, words in WRONG + WRONG_VALUES:
        try:
            of_chart(settings)
        except helm_python.HelmError as error:
            assert all(word in str(error) for word in words), error
        else:
            sys.exit(f"the chart does not refuse {settings}")
    for settings, words in WRONG:
        try:
            of_mixin(settings)
        except RuntimeError as error:
            assert all(word.strip('"') in str(error) for word in words), error
        else:
            sys.exit(f"the mixin does not refuse {settings}")


def accepted_by_the_schema(name, value):
    try:
        of_chart({"thresholds": {name: value}})
    except helm_python.HelmError:
        return False
    return True


def prometheus_accepts_them(folder, promtools):
    files = {"settings.yml": of_chart(OTHER)}
    # Thresholds that the schema allows make rules: a span, for one, has no fraction.
    for number, change in enumerate([lambda value: value + 0.5, lambda value: 0]):
        thresholds = CHART.values["prometheusRule"]["thresholds"].items()
        thresholds = {name: change(value) for name, value in thresholds}
        thresholds = {
            name: value for name, value in thresholds.items() if accepted_by_the_schema(name, value)
        }
        files[f"thresholds{number}.yml"] = of_chart({"thresholds": thresholds})
    for name, groups in files.items():
        (folder / name).write_text(json.dumps({"groups": groups}))
    # The pattern itself, of an alert that knows no other rule.
    labels = ("${accountLabels}", "label_team")
    alert = {
        "alert": "Expired",
        "expr": SOURCE["accountLabels"]["alert"]
        .replace(*labels)
        .replace("${expr}", "max by (cluster, namespace, job, account) (expired) > 0"),
        "for": "5m",
        "annotations": {"summary": "{{ $value }}"},
    }
    group = json.loads(json.dumps(SOURCE["accountLabels"]["group"]).replace(*labels))
    groups = [group, {"name": "alert", "rules": [alert]}]
    (folder / "account_labels.yml").write_text(json.dumps({"groups": groups}))
    tests = pathlib.Path(__file__).parent / "account_labels.test.yml"
    (folder / tests.name).write_text(tests.read_text())
    for promtool in promtools:
        run(folder, promtool, "check", "rules", "--lint=all", "--lint-fatal", *files)
        run(folder, promtool, "test", "rules", tests.name)


def alerts_are_the_same_where_no_account_has_the_label(folder, promtools):
    """The tests of these alerts hold with accountLabels too. Those of days take too long."""
    groups = of_chart({"accountLabels": ["team"]})
    copies = []
    for name, rules in by_name(groups).items():
        if "group_left (label_team)" in rules[0]["expr"]:
            text = (ROOT / f"tests/rules/{name}.yml").read_text()
            asked = {"groups": that_are_asked(groups, text)}
            (folder / f"labelled.{name}.rules.yml").write_text(json.dumps(asked))
            text = text.replace("../../deploy/prometheus/rules.yml", f"labelled.{name}.rules.yml")
            copies.append(f"labelled.{name}.yml")
            (folder / copies[-1]).write_text(text)
    assert len(copies) > 10, copies
    for promtool in promtools[:1]:
        run(folder, promtool, "test", "rules", *copies)


def that_are_asked(groups, test):
    """The groups with only the rules that a test names, and the rules that these build on. With
    all rules, the tests take five times as long."""
    rules = by_name(groups)
    needed, names = set(), rules.keys() & words(test)
    while names:
        needed |= names
        names = {word for name in names for rule in rules[name] for word in words(rule["expr"])}
        names = names & rules.keys() - needed
    return [
        {**group, "rules": [rule for rule in group["rules"] if name_of(rule) in needed]}
        for group in groups
    ]


def words(text):
    return set(re.findall(r"[\w:]+", text))


def run(folder, *command):
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"{' '.join(command)}: {ended.stdout}{ended.stderr}")


def the_examples_of_the_documentation_do_the_same():
    page = (ROOT / "docs/alerts.md").read_text()
    (values,) = re.findall(r"^```yaml chart\n(.*?)^```", page, re.M | re.S)
    (program,) = re.findall(r"^```jsonnet\n(.*?)^```", page, re.M | re.S)
    rules = by_name(of_chart(yaml.safe_load(values)["prometheusRule"]))
    files = json.loads(_jsonnet.evaluate_snippet(str(ROOT / "rules.jsonnet"), program))
    made = by_name([group for file in files.values() for group in file["groups"]])
    for name in ["TencentCloudCWPLicenseUseHigh", "TencentCloudCWPExporterAbsent"]:
        assert made[name][0]["expr"] == rules[name][0]["expr"]
    assert "95" in made["TencentCloudCWPLicenseUseHigh"][0]["expr"]

    # The command for older servers.
    lines = (ROOT / "deploy/prometheus/rules.yml").read_text().splitlines()
    assert "`grep -v keep_firing_for rules.yml`" in page
    rest = "\n".join(line for line in lines if "keep_firing_for" not in line)
    assert yaml.safe_load(rest)["groups"] == of_chart({"keepFiringFor": False})


if __name__ == "__main__":
    the_examples_of_the_documentation_do_the_same()
    the_defaults_make_the_plain_rules()
    the_mixin_makes_the_rules_of_the_chart()
    the_mixin_shows_clusters_and_namespaces_where_there_are_several()
    each_setting_does_what_it_says()
    what_is_wrong_is_refused_with_what_to_write()
    prometheus_accepts_them(pathlib.Path(sys.argv[1]), sys.argv[2:])
    alerts_are_the_same_where_no_account_has_the_label(pathlib.Path(sys.argv[1]), sys.argv[2:])
