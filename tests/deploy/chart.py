"""Lints the chart, renders it with each file of its folder ci/, and validates every object.

`chart.py RENDERED` leaves all objects as JSON in the file RENDERED. With --write it also
writes the plain manifests anew, which otherwise must be as committed.
"""

import json
import pathlib
import sys

import helm_python
import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/cwp-exporter"
PLAIN = ROOT / "deploy/kubernetes/cwp-exporter.yaml"
OPERATOR = "monitoring.coreos.com/v1"
# The first version that the chart supports, and the last that is known here.
VERSIONS = ["1.25.0", kubernetes_validate.latest_version()]
HEAD = """\
# What the chart in deploy/helm renders with its own values, in the namespace monitoring.
# Made by tests/deploy/run --write: change the chart, not this.
"""


def fail(text):
    sys.exit(f"{CHART.relative_to(ROOT)}: {text}")


def lint(values):
    report = helm_python.lint(CHART, values, strict=True)
    for message in report["messages"]:
        # An icon is for people who browse a catalogue of charts.
        if message["error"] != "icon is recommended":
            report["errors"].append(message["error"])
    if report["errors"]:
        fail("; ".join(report["errors"]))


def render(chart, values, namespace):
    """The manifests by template, without those that are empty or no manifest."""
    manifests = chart.render(values, name="cwp-exporter", namespace=namespace)
    return {
        path: text
        for path, text in sorted(manifests.items())
        if path.endswith(".yaml") and text.strip()
    }


def validate(found, where):
    if found["apiVersion"] == OPERATOR:
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(found, version, strict=True)
        except Exception as error:
            fail(f"{where} is not valid in Kubernetes {version}: {error}")


def rules_are_those_of_prometheus(chart):
    """Whether the chart's own values make the rules that those without Helm have."""
    manifests = render(chart, {"prometheusRule": {"enabled": True}}, "monitoring")
    (text,) = (text for path, text in manifests.items() if path.endswith("/prometheusrule.yaml"))
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())
    if yaml.safe_load(text)["spec"]["groups"] != rules["groups"]:
        fail("the PrometheusRule is not deploy/prometheus/rules.yml")


def every_setting_of_the_rules_has_a_value(found):
    """Whether nothing is left of what is to be replaced, nor of the examples of it."""
    for rest in ["${", "example.org"]:
        if rest in json.dumps(found):
            fail(f"the PrometheusRule has {rest} in it")


def plain(manifests):
    """The manifests without what only Helm may say or do."""
    kept = []
    for path, text in manifests.items():
        if "/tests/" in path:
            continue
        lines = text.strip().splitlines()
        helm = ("helm.sh/chart:", "app.kubernetes.io/managed-by:")
        lines = [line for line in lines if not line.strip().startswith(helm)]
        kept.append("---\n" + "\n".join(lines) + "\n")
    return HEAD + "".join(kept)


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--write"]
    write = len(arguments) < len(sys.argv) - 1
    # As users get it: an archive, in which links have become files.
    target = pathlib.Path(arguments[0]).resolve()
    archive = helm_python.package(CHART, destination=target.parent)
    chart = helm_python.Chart.load(archive)
    objects = []
    for file in sorted((CHART / "ci").glob("*.yaml")):
        values = yaml.safe_load(file.read_text()) or {}
        lint(values)
        for path, text in render(chart, values, "monitoring").items():
            for found in yaml.safe_load_all(text):
                where = f"{path} with {file.name}"
                validate(found, where)
                if found["kind"] == "PrometheusRule":
                    every_setting_of_the_rules_has_a_value(found)
                objects.append({"where": where, "object": found})
    rules_are_those_of_prometheus(chart)
    try:
        chart.render({"replicas": 0})
        fail("values.schema.json does not refuse replicas: 0")
    except helm_python.HelmError as error:
        if "replicas" not in str(error):
            raise

    expected = plain(render(chart, {}, "monitoring"))
    if write:
        PLAIN.parent.mkdir(exist_ok=True)
        PLAIN.write_text(expected)
    if not PLAIN.exists() or PLAIN.read_text() != expected:
        fail(f"{PLAIN.relative_to(ROOT)} is not what it renders: run tests/deploy/run --write")
    target.write_text(json.dumps(objects))
    kinds = sorted({found["object"]["kind"] for found in objects})
    print(f"{len(objects)} objects are valid: {', '.join(kinds)}")


main()
