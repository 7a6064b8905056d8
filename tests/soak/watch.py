"""What is watched of the exporter: once a second its values, and the process from outside."""

import collections
import os
import pathlib
import re
import threading
import time

from cloud import SCHEDULES, SHOWN

SAMPLE = re.compile(r'(\w+)\{account="([^"]*)"(?:,(?:collector|status|order)="([^"]*)")?.*\} (\S+)$')
COUNTER = re.compile(
    r'cwp_exporter_(state_saves|credential_refreshes|api_request_failures)_total\{(.*)\} (\d+)$'
)
SUCCESS = "cwp_exporter_collector_last_success_timestamp_seconds"
ATTEMPT = "cwp_exporter_collector_last_attempt_timestamp_seconds"
DURATION = "cwp_exporter_collector_duration_seconds"
COLLECTOR_OF = {metric: collector for collector, metric in SHOWN.items()}
# How much later than it happens something is seen.
SEEN_WITHIN = 1.5


class Process:
    """A process as the kernel describes it."""

    def __init__(self, pid):
        self.folder = pathlib.Path(f"/proc/{pid}")

    def anonymous(self):
        """The anonymous memory that is resident, in KiB."""
        text = (self.folder / "smaps_rollup").read_text()
        return int(re.search(r"^Anonymous:\s+(\d+) kB", text, re.M)[1])

    def descriptors(self):
        return len(os.listdir(self.folder / "fd"))

    def threads(self):
        return len(os.listdir(self.folder / "task"))

    def cpu_seconds(self):
        fields = (self.folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Requests:
    """The requests of each second, as the simulator's log has them."""

    LINE = re.compile(r'time=\S+T(\S+)Z level=debug msg=request (?:account=(\S+) )?action=(\S+) verdict=(\S+)')

    def __init__(self, log):
        self.lock = threading.Lock()
        self.recent = {}
        self.count, self.most, self.refused = 0, 0, []
        self.thread = threading.Thread(target=self._read, args=[log], daemon=True)
        self.thread.start()

    def _read(self, log):
        for line in log:
            found = self.LINE.match(line)
            if not found:
                continue
            hours, minutes, seconds = found[1].split(":")
            at = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
            with self.lock:
                self.count += 1
                if not found[3].startswith("/"):
                    # In the second that ends with this request; midnight begins anew.
                    times = self.recent.setdefault((found[2], found[3]), [])
                    times[:] = [time for time in times if 0 <= at - time < 1] + [at]
                    self.most = max(self.most, len(times))
                if found[4] == "RequestLimitExceeded":
                    self.refused.append(line.strip())

    def take(self):
        """Since the last time: requests, the most in a second of an account and action, and those
        that the simulator refused as too many."""
        with self.lock:
            taken = (self.count, self.most, self.refused)
            self.count, self.most, self.refused = 0, 0, []
        return taken


class Values:
    """The ages of the values, and when collections started."""

    def __init__(self):
        self.started = {}
        self.oldest, self.too_old, self.late, self.shown = 0.0, [], [], 0
        self.latest = 0.0
        # When all schedules began anew, and running collections were given up, the last time.
        self.rescheduled = 0.0
        # What is counted since the start: saves, renewed keys, and failures by their reasons.
        self.counts = {}

    def see(self, text, asked, ahead):
        """Takes in a scrape that was asked for at `asked`, of an exporter whose clock is so many
        seconds `ahead`; None where the clock was set meanwhile."""
        succeeded, attempted, durations, shown, counts = {}, {}, {}, set(), collections.Counter()
        for line in text.splitlines():
            if counter := COUNTER.match(line):
                label = re.search(r'(?:result|reason)="(\w+)"', counter[2])[1]
                counts[f"{counter[1]} {label}"] += int(counter[3])
            found = SAMPLE.match(line)
            if not found:
                continue
            metric, account, second, value = found.groups()
            if metric in COLLECTOR_OF:
                shown.add((account, COLLECTOR_OF[metric]))
            elif metric == SUCCESS:
                succeeded[account, second] = float(value)
            elif metric == ATTEMPT:
                attempted[account, second] = float(value)
            elif metric == DURATION:
                durations[account, second] = float(value)
        self.shown, self.counts = len(shown), counts
        if ahead is None:
            return
        now = asked + ahead
        for key in shown:
            max_age = SCHEDULES[key[1]][1]
            age = now - succeeded[key]
            self.oldest = max(self.oldest, age)
            if age > max_age:
                self.too_old.append(f"{key[0]} {key[1]}: {age:.1f} s at {time.strftime('%T')}")
        # An account that is gone begins anew when it comes back.
        self.started = {key: self.started[key] for key in self.started if key in attempted}
        for key, ended in attempted.items():
            interval = SCHEDULES[key[1]][0]
            start = ended - ahead - durations[key]
            before = self.started.get(key)
            # The same one, whose time of day is told to the millisecond.
            if before is None or start - before < 0.5:
                late = now - max(ended, self.rescheduled + ahead) - 2 * interval
            elif before > self.rescheduled:
                late = start - before - interval
            else:
                late = 0
            self.started[key] = start
            self.latest = max(self.latest, late)
            if late > interval + SEEN_WITHIN:
                self.late.append(f"{key[0]} {key[1]}: {late:.1f} s at {time.strftime('%T')}")

    def take(self):
        """Since the last time: the age of the oldest value, those that were too old, by how much
        the latest collection was late, those that were too late, and how many are shown now."""
        taken = (self.oldest, self.too_old, self.latest, self.late, self.shown)
        self.oldest, self.too_old, self.latest, self.late = 0.0, [], 0.0, []
        return taken
