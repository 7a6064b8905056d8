#!/usr/bin/env python3
"""Compares deploy/prometheus/rules.yml and rules.zh.yml with their source, or with --write makes them anew.

The source is the rule file of the chart, in which `${name}` is a setting. The plain rules have
the chart's own values in their places, without the lines whose setting is empty there. Those in
Chinese differ in the texts of the alerts alone, which files/rules.zh.yml has.
"""

import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/cwp-exporter"
SOURCE = CHART / "files/rules.yml"
CHINESE = CHART / "files/rules.zh.yml"
PLAIN = {language: ROOT / f"deploy/prometheus/rules{language}.yml" for language in ["", ".zh"]}
HEAD = """\
# Made of deploy/helm/cwp-exporter/files/rules.yml with the chart's own values by
# tests/deploy/rules.py --write: change those, not this.
"""


def settings():
    """The chart's own values of what the source calls `${name}`."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())["prometheusRule"]
    return {**values, **values["thresholds"]}


def chinese(text):
    """The source with the texts of its alerts in Chinese."""
    texts = yaml.safe_load(CHINESE.read_text())
    unused = dict(texts)
    lines = []
    for line in text.splitlines(keepends=True):
        start, key, value = re.fullmatch(r"( *(?:- )?)(\w*)(?:: )?(.*\n)", line, re.S).groups()
        if key == "alert":
            alert = value.strip()
        elif key == "severity":
            name = f"{alert}/{value.strip()}"
            unused.pop(name, None)
        elif key in ["summary", "description"]:
            if name not in texts:
                sys.exit(f"{CHINESE.relative_to(ROOT)}: {name} is missing")
            line = f"{start}{key}: {json.dumps(texts[name][key], ensure_ascii=False)}\n"
        elif key == "runbook_url":
            line = line.replace("${runbooksUrl}", "${runbooksUrl}/zh")
        lines.append(line)
    if unused:
        sys.exit(f"{CHINESE.relative_to(ROOT)}: no such alert: {', '.join(unused)}")
    return "".join(lines)


def plain(language):
    """The text of the plain rules."""
    values = settings()

    text = SOURCE.read_text()
    if language:
        text = chinese(text)
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
    for language, path in PLAIN.items():
        expected = plain(language)
        if sys.argv[1:] == ["--write"]:
            path.write_text(expected)
        if path.read_text() != expected:
            sys.exit(f"{path.relative_to(ROOT)} is not of its source: run tests/deploy/rules.py --write")
