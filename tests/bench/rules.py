#!/usr/bin/env python3
"""Measures what the rules cost Prometheus: `rules.py ACCOUNTS [MINUTES]`, with prometheus and
promtool on PATH.

At first a job with so many accounts is scraped every five seconds, for ten minutes unless told
otherwise: a span of an hour then has as many samples as with a scrape every 30 seconds. A week
of what is recorded once an hour is written beforehand. Then come the rules, and the scrapes and
evaluations are as far apart as in deploy/prometheus/prometheus.yml, so that the measurement does
not compete with the scrapes. For ten minutes each group's time is read, as Prometheus says it,
and the median is printed.
"""

import http.server
import json
import pathlib
import statistics
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
# The collectors that are on by default, and their intervals.
COLLECTORS = {"license_general": 60, "license_list": 300}
# The orders of an account. A sixth of them ends within 60 days.
ORDERS = 2
# Where a scrape has the present time.
NOW = "@now"


def exposition(accounts):
    """What an exporter says of its accounts: most are well, a twentieth has licences that expire
    or run out, a hundredth fails."""
    now = int(time.time())
    lines = [
        'cwp_exporter_build_info{version="1",revision="1",rustc="1"} 1',
        f"cwp_exporter_accounts {accounts}",
        "cwp_exporter_config_last_reload_successful 1",
        "cwp_exporter_clock_skew_seconds 0",
        'cwp_exporter_api_requests_total{action="DescribeLicenseGeneral"} 1000',
        'cwp_exporter_api_request_failures_total{action="DescribeLicenseGeneral",reason="server"} 1',
        'cwp_exporter_api_rate_limit_wait_seconds_total{action="DescribeLicenseGeneral"} 1',
    ]
    for collector, interval in COLLECTORS.items():
        lines.append(f'cwp_exporter_collector_interval_seconds{{collector="{collector}"}} {interval}')
        lines.append(f'cwp_exporter_collector_max_age_seconds{{collector="{collector}"}} {10 * interval}')
    for number in range(accounts):
        account = f'account="account-{number}"'
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
            f'tencentcloud_cwp_orders{{{account},status="normal"}} {ORDERS}',
            f'tencentcloud_cwp_orders{{{account},status="isolated"}} 0',
            f'tencentcloud_cwp_orders{{{account},status="destroyed"}} 0',
            f'tencentcloud_cwp_account_info{{{account},endpoint="cwp",region="",label_team="team-{number % 30}"}} 1',
        ]
        for collector in COLLECTORS:
            collector = f'{account},collector="{collector}"'
            lines += [
                f"cwp_exporter_collector_success{{{collector}}} {int(not fails)}",
                f"cwp_exporter_collector_failures_total{{{collector}}} {number % 7}",
                f"cwp_exporter_collector_duration_seconds{{{collector}}} 0.1",
                f"cwp_exporter_collector_last_attempt_timestamp_seconds{{{collector}}} {NOW}",
                f"cwp_exporter_collector_last_success_timestamp_seconds{{{collector}}} {now if fails else NOW}",
            ]
            if fails:
                lines.append(f'cwp_exporter_collector_failure_reason{{{collector},reason="server"}} 1')
        for order in range(ORDERS):
            days = (number + 180 * order) % 360
            info = 'type="1",edition="professional",payment="prepaid",source="paid"'
            info += f',status="normal",renewal="{["manual", "auto"][number % 2]}",alias=""'
            order = f'{account},order="cwp-order-{number}-{order}"'
            lines += [
                f"tencentcloud_cwp_order_info{{{order},{info}}} 1",
                f"tencentcloud_cwp_order_deadline_timestamp_seconds{{{order}}} {now + 86400 * days}",
                f"tencentcloud_cwp_order_purchase_timestamp_seconds{{{order}}} {now - 86400 * 90}",
                f"tencentcloud_cwp_order_licenses{{{order}}} 50",
                f"tencentcloud_cwp_order_licenses_used{{{order}}} 40",
                f"tencentcloud_cwp_order_licenses_frozen{{{order}}} 0",
            ]
    return "\n".join(lines).encode() + b"\n"


def week(path, accounts):
    """Writes a week of the series that are recorded once an hour, as OpenMetrics."""
    now = int(time.time()) // 3600 * 3600
    since = now - 7 * 86400
    with path.open("w") as file:
        for name, value in [
            (f"{LEVEL}:hourly", lambda number, hour: 100),
            (f"{LEVEL}_expired:hourly", lambda number, hour: 2 * (number % 50 == 0)),
            (f"{LEVEL}_available:hourly", lambda number, hour: 15 + (168 - hour) * (number % 20 == 1)),
            (f"{LEVEL}_near_expiry:since_timestamp_seconds", lambda number, hour: since * (number % 20 == 0)),
        ]:
            file.write(f"# TYPE {name} gauge\n")
            for number in range(accounts):
                if "since" in name and not value(number, 0):
                    continue
                labels = f'{{job="cwp",account="account-{number}"}}'
                file.writelines(
                    f"{name}{labels} {value(number, hour)} {now - (168 - hour) * 3600}\n" for hour in range(168)
                )
        file.write("# EOF\n")


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


class Configuration:
    """The configuration of Prometheus."""

    def __init__(self, path, port):
        self.path, self.port = path, port

    def write(self, interval, rules):
        """Writes it, with this interval of scrapes."""
        job = {"job_name": "cwp", "static_configs": [{"targets": [f"127.0.0.1:{self.port}"]}]}
        times = {"scrape_interval": interval, "scrape_timeout": "5s", "evaluation_interval": "30s"}
        config = {"global": times, "rule_files": rules, "scrape_configs": [job]}
        self.path.write_text(json.dumps(config))


def report(readings):
    """Prints the time that each group takes, and its rules that take most."""
    total = 0
    for groups in zip(*readings, strict=True):
        group = groups[0]
        interval = 3600 if group["name"] == "cwp-forecast" else group["interval"]
        seconds = statistics.median(each["evaluationTime"] for each in groups)
        total += seconds / interval
        wrong = [rule["name"] for rule in groups[-1]["rules"] if rule["health"] != "ok"]
        print(
            f"{group['name']}: {seconds:.2f} s every {interval:.0f} s,",
            f"{100 * seconds / interval:.1f} %{'; wrong: ' + str(wrong) if wrong else ''}",
        )
        of_rules = zip(*(each["rules"] for each in groups), strict=True)
        times = [(statistics.median(rule["evaluationTime"] for rule in rules), rules[0]["name"]) for rules in of_rules]
        for slow, name in sorted(times, reverse=True)[:8]:
            print(f"    {slow:.2f} s {name}")
    print(f"all: {100 * total:.1f} % of the time")


def main(accounts, minutes):
    text = exposition(accounts)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.replace(NOW.encode(), b"%d" % time.time()))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        week(folder / "week", accounts)
        blocks = ["tsdb", "create-blocks-from", "openmetrics", "--quiet", "--max-block-duration=24h"]
        subprocess.run(["promtool", *blocks, folder / "week", folder / "data"], check=True)
        # Each group within the time there is.
        rules = (ROOT / "deploy/prometheus/rules.yml").read_text()
        (folder / "rules.yml").write_text(rules.replace("interval: 1h", "interval: 4m"))
        configure = Configuration(folder / "prometheus.yml", server.server_port).write
        configure("5s", [])
        port = 20000 + time.time_ns() % 10000
        url = f"http://127.0.0.1:{port}"
        prometheus = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                "--web.enable-lifecycle",
                "--log.level=error",
            ]
        )
        try:
            time.sleep(minutes * 60)
            configure("30s", ["rules.yml"])
            urllib.request.urlopen(urllib.request.Request(f"{url}/-/reload", method="POST"), timeout=60)
            # What is evaluated for the first time makes the series, which costs more.
            time.sleep(5 * 60)
            readings = []
            for _ in range(10):
                time.sleep(30)
                readings.append(json.loads(get(f"{url}/api/v1/rules"))["data"]["groups"])
            report(readings)
            recorded = json.loads(get(url + "/api/v1/query?query=" + 'count({__name__=~".%2B:.%2B"})'))
            print("recorded series:", recorded["data"]["result"][0]["value"][1])
        finally:
            prometheus.terminate()
            prometheus.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 10)
