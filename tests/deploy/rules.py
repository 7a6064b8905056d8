#!/usr/bin/env python3
"""Compares deploy/prometheus/rules.yml with its source, or with --write makes it anew.

The source is the rule file of the chart, in which `${name}` is a setting. The plain rules have
the chart's own values in their places, without the lines whose setting is empty there.
"""

import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/cwp-exporter"
SOURCE = CHART / "files/rules.yml"
PLAIN = ROOT / "deploy/prometheus/rules.yml"
HEAD = """\
# Made of deploy/helm/cwp-exporter/files/rules.yml with the chart's own values by
# tests/deploy/rules.py --write: change those, not this.
"""


def settings():
    """The chart's own values of what the source calls `${name}`."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())["prometheusRule"]
    return {**values, **values["thresholds"]}


def plain():
    """The text of the plain rules."""
    values = settings()

    text = SOURCE.read_text()
    for name in values["thresholds"]:
        if f"${{{name}}}" not in text:
            sys.exit(f"{SOURCE.relative_to(ROOT)}: no rule uses the threshold {name}")
    # The first comment is about the source, and what ends it is only for who sets something.
    text = text.split("\n\n", 1)[1].split("\naccountLabels:\n")[0]
    kept = []
    for line in text.splitlines(keepends=True):
        names = re.findall(r"\$\{(\w*)\}", line)
        for name in names:
            if name not in values:
                sys.exit(f"{SOURCE.relative_to(ROOT)}: values.yaml has no setting {name}")
            line = line.replace(f"${{{name}}}", str(values[name]))
        if "" not in [values[name] for name in names]:
            kept.append(line)
    return HEAD + "".join(kept)


if __name__ == "__main__":
    expected = plain()
    if sys.argv[1:] == ["--write"]:
        PLAIN.write_text(expected)
    if PLAIN.read_text() != expected:
        sys.exit(f"{PLAIN.relative_to(ROOT)} is not of its source: run tests/deploy/rules.py --write")
