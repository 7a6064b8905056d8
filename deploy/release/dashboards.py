#!/usr/bin/env python3
"""dashboards.py FOLDER: writes the dashboards as grafana.com takes them.

Whoever imports one there is asked for a data source, and it is the first choice of the
dashboard's own variable. What a dashboard needs of Grafana is listed, as Grafana's own export
lists it.
"""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
INPUT = "DS_PROMETHEUS"
# The oldest Grafana that they are for, as docs/dashboards.md says.
GRAFANA = "10.3.0"


def panels(dashboard):
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def exported(dashboard):
    [source] = [each for each in dashboard["templating"]["list"] if each["type"] == "datasource"]
    source["current"] = {"text": f"${{{INPUT}}}", "value": f"${{{INPUT}}}"}
    kinds = sorted({panel["type"] for panel in panels(dashboard) if panel["type"] != "row"})
    return {
        "__inputs": [
            {
                "name": INPUT,
                "label": "Prometheus",
                "description": "What scrapes the exporter",
                "type": "datasource",
                "pluginId": "prometheus",
                "pluginName": "Prometheus",
            }
        ],
        "__elements": {},
        "__requires": [
            {"type": "grafana", "id": "grafana", "name": "Grafana", "version": GRAFANA},
            {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
            *({"type": "panel", "id": kind, "name": kind, "version": ""} for kind in kinds),
        ],
        **dashboard,
        "id": None,
    }


def main():
    folder = pathlib.Path(sys.argv[1])
    for path in sorted((ROOT / "grafana").glob("*.json")):
        text = json.dumps(exported(json.loads(path.read_text())), ensure_ascii=False, indent=2)
        (folder / f"grafana-{path.name}").write_text(text + "\n")


main()
