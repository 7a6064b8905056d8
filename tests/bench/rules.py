#!/usr/bin/env python3
"""Measures what the rules cost Prometheus: `rules.py ACCOUNTS [MINUTES]`, with prometheus and
promtool on PATH.

A job with so many accounts is scraped every five seconds, for ten minutes unless told
otherwise: a span of an hour then has as many samples as with a scrape every 30 seconds. A week
of what is recorded once an hour is written beforehand. At the end each group is evaluated
once more, and its time printed, as Prometheus says it.
"""

import http.server
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
LEVEL = "cluster_namespace_job_account:tencentcloud_cwp_licenses"
EDITIONS = ["professional", "ultimate", "inclusive", "ai_security"]
SWITCHES = ["auto_upgrade", "auto_upgrade_ever", "auto_purchase", "auto_purchase_renewal"]
SWITCHES += ["auto_renewal", "auto_bind_rasp", "auto_open_rasp", "auto_downgrade"]


def exposition(accounts):
    """What an exporter says of its accounts: most are well, a hundredth of them fails."""
    now = time.time()
    lines = [
        'cwp_exporter_build_info{version="1",revision="1",rustc="1"} 1',
        f"cwp_exporter_accounts {accounts}",
        "cwp_exporter_config_last_reload_successful 1",
        "cwp_exporter_clock_skew_seconds 0",
        'cwp_exporter_collector_interval_seconds{collector="license_general"} 60',
        'cwp_exporter_collector_max_age_seconds{collector="license_general"} 600',
        'cwp_exporter_api_requests_total{action="DescribeLicenseGeneral"} 1000',
        'cwp_exporter_api_request_failures_total{action="DescribeLicenseGeneral",reason="server"} 1',
        'cwp_exporter_api_rate_limit_wait_seconds_total{action="DescribeLicenseGeneral"} 1',
    ]
    for number in range(accounts):
        account = f'account="account-{number}"'
        collector = f'{account},collector="license_general"'
        fails = number % 100 == 99
        values = {"": 100, "_available": 15, "_used": 85, "_not_expired": 100}
        values |= {"_near_expiry": 3 * (number % 20 == 0), "_expired": 2 * (number % 50 == 0)}
        for name, value in values.items():
            lines.append(f"tencentcloud_cwp_licenses{name}{{{account}}} {value}")
        for edition in EDITIONS:
            for name, value in [("", 25), ("_available", 3)]:
                lines.append(f'tencentcloud_cwp_edition_licenses{name}{{{account},edition="{edition}"}} {value}')
        for switch in SWITCHES:
            lines.append(f'tencentcloud_cwp_switch_enabled{{{account},switch="{switch}"}} {number % 2}')
        lines += [
            f'tencentcloud_cwp_protect_type{{{account},type="FLAGSHIP_PREPAY"}} 1',
            f"tencentcloud_cwp_orders_destroyed{{{account}}} 0",
            f"tencentcloud_cwp_up{{{account}}} {int(not fails)}",
            f'tencentcloud_cwp_account_info{{{account},endpoint="cwp",region="",label_team="team-{number % 30}"}} 1',
            f"cwp_exporter_collector_success{{{collector}}} {int(not fails)}",
            f"cwp_exporter_collector_failures_total{{{collector}}} {number % 7}",
            f"cwp_exporter_collector_duration_seconds{{{collector}}} 0.1",
            f"cwp_exporter_collector_last_attempt_timestamp_seconds{{{collector}}} {now:.0f}",
            f"cwp_exporter_collector_last_success_timestamp_seconds{{{collector}}} {now:.0f}",
        ]
        if fails:
            lines.append(f'cwp_exporter_collector_failure_reason{{{collector},reason="server"}} 1')
    return "\n".join(lines).encode() + b"\n"


def week(path, accounts):
    """Writes a week of the series that are recorded once an hour, as OpenMetrics."""
    now = int(time.time()) // 3600 * 3600
    with path.open("w") as file:
        for name, value in [
            (f"{LEVEL}:hourly", lambda hour: 100),
            (f"{LEVEL}_expired:hourly", lambda hour: 0),
            (f"{LEVEL}_available:hourly", lambda hour: 100 - hour // 2),
            (f"{LEVEL}_near_expiry:since_timestamp_seconds", lambda hour: 0),
        ]:
            file.write(f"# TYPE {name} gauge\n")
            for number in range(accounts):
                labels = f'{{job="cwp",account="account-{number}"}}'
                file.writelines(
                    f"{name}{labels} {value(hour)} {now - (168 - hour) * 3600}\n" for hour in range(168)
                )
        file.write("# EOF\n")


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


def main(accounts, minutes):
    text = exposition(accounts)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        week(folder / "week", accounts)
        blocks = ["tsdb", "create-blocks-from", "openmetrics", "--quiet"]
        subprocess.run(["promtool", *blocks, folder / "week", folder / "data"], check=True)
        # Each group within the time there is.
        rules = (ROOT / "deploy/prometheus/rules.yml").read_text()
        (folder / "rules.yml").write_text(rules.replace("interval: 1h", "interval: 2m"))
        config = {
            "global": {"scrape_interval": "5s", "scrape_timeout": "5s", "evaluation_interval": "30s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [
                {
                    "job_name": "cwp",
                    "static_configs": [{"targets": [f"127.0.0.1:{server.server_port}"]}],
                }
            ],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))
        port = 20000 + time.time_ns() % 10000
        url = f"http://127.0.0.1:{port}"
        prometheus = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=error",
            ]
        )
        try:
            time.sleep(minutes * 60)
            groups = json.loads(get(f"{url}/api/v1/rules"))["data"]["groups"]
            total = 0
            for group in groups:
                interval = 3600 if group["name"] == "cwp-forecast" else group["interval"]
                total += group["evaluationTime"] / interval
                slowest = max(group["rules"], key=lambda rule: rule["evaluationTime"])
                wrong = [rule["name"] for rule in group["rules"] if rule["health"] != "ok"]
                print(
                    f"{group['name']}: {group['evaluationTime']:.2f} s every {interval:.0f} s; the slowest rule is",
                    f"{slowest['name']}, {slowest['evaluationTime']:.2f} s{'; wrong: ' + str(wrong) if wrong else ''}",
                )
            print(f"all: {100 * total:.1f} % of the time")
            recorded = json.loads(get(url + "/api/v1/query?query=" + 'count({__name__=~".%2B:.%2B"})'))
            print("recorded series:", recorded["data"]["result"][0]["value"][1])
        finally:
            prometheus.terminate()
            prometheus.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 10)
