#!/usr/bin/env python3
"""Compares the chart's copies of other files with these, or with --write makes them anew.

The chart's dashboards are those of grafana/, on one line each. The table of values in the chart's
README is made of values.yaml: a comment above a key, with or without the `--` of helm-docs, is its
description.
"""

import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/cwp-exporter"
DASHBOARDS = CHART / "files/dashboards"
README = CHART / "README.md"
START, END = "<!-- table: values -->\n", "<!-- end -->"


def dashboards():
    """The path and the text of each dashboard of the chart."""
    texts = {}
    for path in sorted((ROOT / "grafana").glob("*.json")):
        dashboard = json.loads(path.read_text())
        # What has panels is a dashboard; a translation of its words is not.
        if "panels" in dashboard:
            text = json.dumps(dashboard, ensure_ascii=False, separators=(",", ":"))
            texts[DASHBOARDS / path.name] = text + "\n"
    return texts


def keys(text):
    """The path of each key of a YAML file of maps, and the comment above it, in their order."""
    above, comment, found = [], [], []
    for line in text.splitlines():
        if said := re.fullmatch(r" *# ?(?:-- )?(.*)", line):
            comment.append(said[1])
            continue
        if key := re.match(r"( *)(\w+):", line):
            del above[len(key[1]) // 2 :]
            above.append(key[2])
            found.append((tuple(above), " ".join(comment)))
        comment = []
    return found


def table():
    """The rows of the table of values."""
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    described = {path: comment for path, comment in keys(text) if comment}
    parents = {path[:depth] for path in described for depth in range(1, len(path))}
    rows = ["| Value | Default | Meaning |", "|---|---|---|"]
    for path, comment in keys(text):
        name = ".".join(path)
        if comment:
            value = values
            for key in path:
                value = value[key]
            default = "" if path in parents else f"`{json.dumps(value, ensure_ascii=False)}`"
            row = [f"`{name}`", default, comment]
            cells = (f" {cell} " if cell else " " for cell in (cell.replace("|", "\\|") for cell in row))
            rows.append(f"|{'|'.join(cells)}|")
        elif path not in parents and not any(path[:depth] in described.keys() - parents for depth in range(len(path))):
            sys.exit(f"values.yaml: {name} has no comment that says what it means")
    return "\n".join(rows) + "\n"


def files():
    """The path and the text of each file that is made."""
    before, rest = README.read_text().split(START)
    _, behind = rest.split(END, 1)
    return {**dashboards(), README: f"{before}{START}{table()}{END}{behind}"}


def main():
    expected = files()
    if sys.argv[1:] == ["--write"]:
        DASHBOARDS.mkdir(exist_ok=True)
        for path in set(DASHBOARDS.iterdir()) - expected.keys():
            path.unlink()
        for path, text in expected.items():
            path.write_text(text)
    wrong = [path for path, text in expected.items() if not path.exists() or path.read_text() != text]
    wrong += set(DASHBOARDS.glob("*")) - expected.keys()
    if wrong:
        names = ", ".join(sorted(str(path.relative_to(ROOT)) for path in wrong))
        sys.exit(f"{names}: not as it is made: run tests/deploy/chart_files.py --write")


main()
