"""The simulated cloud of the soak test: its scenario, the exporter's configuration for it, and
what happens at which second of a round."""

import json
import os
import time

# The timelines repeat after so many seconds.
ROUND = 600
# What the exporter may send, and what the simulator takes, for each account and action.
REQUESTS_A_SECOND = 8
TIMEOUT = 1
# Of each collector: from one collection to the next, and how long its values are shown.
SCHEDULES = {
    "license_general": (5, 25),
    "license_list": (10, 40),
    "general_stat": (10, 40),
    "history_service": (20, 60),
    "log_storage_statistic": (20, 60),
}
# A metric that is there whenever values of the collector are shown.
SHOWN = {
    "license_general": "tencentcloud_cwp_licenses",
    "license_list": "tencentcloud_cwp_orders",
    "general_stat": "tencentcloud_cwp_servers",
    "history_service": "tencentcloud_cwp_log_service_info",
    "log_storage_statistic": "tencentcloud_cwp_log_storage_bytes",
}

# A collection fails, or takes longer, by each of these. The exporter reads 4 MiB of an answer.
FAULTS = [
    {"error": {"code": "InternalError", "message": "An internal error has occurred."}},
    {"error": {"code": "RequestLimitExceeded", "message": "too many"}},
    {"error": {"code": "AuthFailure.UnauthorizedOperation", "message": "not permitted"}},
    {"legacy_error": {"code": 4000, "message": "text", "codeDesc": "InvalidParameter"}},
    {"http": {"status": 502, "body": "<html>Bad Gateway</html>", "content_type": "text/html"}},
    {"http": {"status": 302, "location": "http://127.0.0.1:9/"}},
    {"hang": True},
    {"reset": True},
    {"cut": 40},
    {"body": "this is no JSON"},
    {"oversized": "5MiB"},
    {"oversized": "3MiB"},
    {"nested": 20000},
    {"delay": "700ms"},
    {"delay": "1500ms"},
    {"gzip": True},
]
# A fault holds longer than the values of licences are shown, then all is well for a while.
FAULT, WELL = 40, 35

FURTHER = {
    "DescribeGeneralStat": {"MachinesAll": 190, "AgentsOnline": 180, "Shutdown": 5, "Offline": 1},
    "DescribeHistoryService": {"EndTime": "in 165d", "ResourceId": "cwplog-1", "Status": 1},
    "DescribeLogStorageStatistic": {"TotalSize": 1 << 40, "UsedSize": 1 << 38},
}
INTERNAL = {"code": "InternalError", "message": "text"}


class Cloud:
    """What is written into `folder`, which a round then changes."""

    def __init__(self, folder):
        self.folder = folder
        self.simulated = []
        self.configured = []
        self.environment = {"HOME": str(folder / "home")}
        # Second of a round, and what is done then.
        self.events = []
        for name in ["home/.tccli", "accounts.d"]:
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._keys_in_variables()
        self._keys_in_files()
        self._roles()
        self._changes()

    def write_scenario(self):
        """The scenario's file, in JSON, which is YAML."""
        scenario = {
            "rate_limit": REQUESTS_A_SECOND,
            "repeat": f"{ROUND}s",
            "accounts": self.simulated,
            # Longer than a key lives, so that collections fail for want of a key.
            "sts": {
                "lifetime": "2m",
                "rate_limit": REQUESTS_A_SECOND,
                "timeline": [
                    {"at": "60s", "error": INTERNAL},
                    {"at": "80s", "hang": True},
                    {"at": "100s", "ok": True},
                    {"at": "300s", "reset": True},
                    {"at": "480s", "ok": True},
                ],
            },
            "metadata": {
                "account": "instance",
                "lifetime": "2m",
                "timeline": [
                    {"at": "200s", "http": {"status": 503}},
                    {"at": "230s", "cut": 40},
                    {"at": "250s", "ok": True},
                    {"at": "400s", "hang": True},
                    {"at": "560s", "ok": True},
                ],
            },
        }
        return self._write("scenario.yml", json.dumps(scenario))

    def write_configuration(self, api, max_in_flight=64, label="a"):
        """The exporter's configuration. Another label leaves all schedules as they are, another
        number of requests in flight begins them anew."""
        collectors = {
            name: {"enabled": True, "interval": f"{interval}s", "max_age": f"{max_age}s"}
            for name, (interval, max_age) in SCHEDULES.items()
            if name != "license_general"
        }
        interval, max_age = SCHEDULES["license_general"]
        configuration = {
            "poll": {
                "interval": f"{interval}s",
                "timeout": f"{TIMEOUT}s",
                "max_age": f"{max_age}s",
            },
            "api": {
                "endpoint": api,
                "sts_endpoint": api,
                "metadata_endpoint": api,
                "rate_limit": REQUESTS_A_SECOND,
                "max_in_flight": max_in_flight,
            },
            "collectors": collectors,
            "accounts_files": ["accounts.d/*.yml"],
            "accounts": [{**account, "labels": {"round": label}} for account in self.configured],
        }
        return self._write("cwp.yml", json.dumps(configuration, indent=1))

    def write_bad_configuration(self, number):
        """One of several that are refused."""
        bad = [
            "poll: [",
            "poll: {intervall: 5s}\naccounts: []\n",
            "accounts:\n  - {name: a}\n  - {name: a}\n",
            "accounts: []\n",
            "poll: {interval: 10ms}\naccounts: [{name: a}]\n",
        ]
        self._write("cwp.yml", bad[number % len(bad)])

    def write_further_accounts(self, count):
        """A file with so many further accounts, which come and go; all have one key."""
        credentials = {"type": "static", "secret_id": "AKIDshared", "secret_key_env": "KEY_shared"}
        further = [{"name": f"more-{n}", "credentials": credentials} for n in range(count)]
        self._write("accounts.d/more.yml", json.dumps(further))

    def _write(self, name, text):
        """Replaces a file as a whole, as an operator does."""
        path = self.folder / name
        new = path.with_name(f".{path.name}.new")
        new.write_text(text)
        os.replace(new, path)
        return path

    def _simulate(self, name, **settings):
        """An account of the cloud, with a key of its own."""
        key = {"name": name, "secret_id": f"AKID{name}", "secret_key": f"key-of-{name}"}
        orders = [{"ResourceId": f"cwplic-{name}", "Deadline": "in 6d"}]
        self.simulated.append({**key, "orders": orders, "answers": FURTHER, **settings})

    def _collect(self, name, **credentials):
        self.configured.append({"name": name, "credentials": credentials})

    def _variable(self, name, account, **settings):
        """An account of both whose key is in a variable."""
        self._simulate(account, **settings)
        self.environment[f"KEY_{account}"] = f"key-of-{account}"
        self._collect(
            name, type="static", secret_id=f"AKID{account}", secret_key_env=f"KEY_{account}"
        )

    def _keys_in_variables(self):
        for number in range(len(FAULTS)):
            timeline = []
            for step, at in enumerate(range(5 + 2 * number, ROUND - FAULT - WELL, FAULT + WELL)):
                fault = FAULTS[(number + step * 5) % len(FAULTS)]
                timeline += [{"at": f"{at}s", **fault}, {"at": f"{at + FAULT}s", "ok": True}]
            self._variable(f"fails-{number}", f"fails{number}", timeline=timeline)
        # So many orders that lists need several pages, and more than have series.
        many = [{"ResourceId": "cwplic-{n}", "count": 250, "Deadline": "in 40d"}]
        self._variable("shared-0", "shared", orders=many)
        for number in range(1, 6):
            account = {**self.configured[-1], "name": f"shared-{number}"}
            self.configured.append(account)
        most = [{"ResourceId": "cwplic-{n}", "count": 600, "Deadline": "in 40d"}]
        self._variable("many-orders", "manyorders", orders=most)
        self._simulate("env")
        self.environment["TENCENTCLOUD_SECRET_ID"] = "AKIDenv"
        self.environment["TENCENTCLOUD_SECRET_KEY"] = "key-of-env"
        self._collect("env", type="env")
        self._collect("default", type="default")

    def _keys_in_files(self):
        for number in range(6):
            name, at = f"file{number}", 60 + 80 * number
            self._rotates(name, at, token=number % 2 == 1)
            credentials = {"secret_id_file": f"{name}.id", "secret_key_file": f"{name}.key"}
            if number % 2 == 1:
                credentials["token_file"] = f"{name}.token"
            self._collect(f"file-{number}", type="static", **credentials)
        for number in range(2):
            name = f"profile{number}"
            self._rotates(name, 150 + 200 * number)
            self._collect(f"profile-{number}", type="profile", profile=name, file="credentials")
            name = f"tccli{number}"
            self._rotates(name, 250 + 200 * number, token=True)
            self._collect(f"tccli-{number}", type="tccli", profile=name)

    def _rotates(self, name, at, token=False):
        """An account of the cloud that has another key from that second of a round on."""
        first = {"secret_id": f"AKID{name}", "secret_key": f"key-of-{name}"}
        second = {"secret_id": f"AKID{name}2", "secret_key": f"key-2-of-{name}"}
        if token:
            first["token"], second["token"] = f"token-of-{name}", f"token-2-of-{name}"
        self._simulate(name, **first, timeline=[{"at": f"{at}s", "rotate": second}])
        for second_of_round, key in [(0, first), (at, second)]:
            self.events.append((second_of_round, lambda key=key: self._write_key(name, key)))
        self._write_key(name, first)

    def _write_key(self, name, key):
        """Puts a key where the account's credentials have it."""
        if name.startswith("tccli"):
            words = {"secretId": key["secret_id"], "secretKey": key["secret_key"]}
            self._write(f"home/.tccli/{name}.credential", json.dumps({**words, "token": key["token"]}))
        elif name.startswith("profile"):
            path = self.folder / "credentials"
            others = path.read_text() if path.exists() else ""
            sections = [f"[{part}" for part in others.split("[")[1:]]
            kept = [section for section in sections if not section.startswith(f"[{name}]")]
            lines = "".join(f"{word} = {value}\n" for word, value in key.items())
            self._write("credentials", "".join([*kept, f"[{name}]\n{lines}"]))
        else:
            for file, word in [("id", "secret_id"), ("key", "secret_key"), ("token", "token")]:
                if word in key:
                    self._write(f"{name}.{file}", f"{key[word]}\n")

    def _roles(self):
        def arn(uin):
            return f"qcs::cam::uin/{uin}:roleName/CwpExporter"

        self._simulate("operator", allow=["sts:AssumeRole"])
        self.environment["KEY_operator"] = "key-of-operator"
        operator = {"type": "static", "secret_id": "AKIDoperator", "secret_key_env": "KEY_operator"}
        for number in range(6):
            role = {"arn": arn(100000000001 + number), "trusts": ["operator"]}
            credentials = {"role_arn": role["arn"], "duration": "2m", "source": operator}
            if number % 2 == 0:
                role["external_id"] = f"external-id-{number}"
                self.environment[f"EXTERNAL_ID_{number}"] = role["external_id"]
                credentials["external_id_env"] = f"EXTERNAL_ID_{number}"
            # Of what is revoked, half is while no other key is to be had.
            revoked = [{"at": f"{140 + 60 * number}s", "revoke": True}]
            self._simulate(f"role{number}", role=role, timeline=revoked)
            self._collect(f"role-{number}", type="assume_role", **credentials)
        self._simulate("instance", role={"arn": arn(100000000011)})
        self._collect("instance", type="cvm_role")
        role = {"arn": arn(100000000012), "trusts": ["instance"]}
        self._simulate("beyond", role=role)
        self._collect(
            "beyond", type="assume_role", role_arn=role["arn"], duration="2m",
            source={"type": "cvm_role"},
        )
        identity = {"provider": "cls-example", "token": "web-identity"}
        self._simulate("pod", role={"arn": arn(100000000013)}, web_identity=identity)
        self._write("web-identity", identity["token"])
        self.environment |= {
            "TKE_REGION": "ap-guangzhou",
            "TKE_PROVIDER_ID": identity["provider"],
            "TKE_WEB_IDENTITY_TOKEN_FILE": str(self.folder / "web-identity"),
            "TKE_ROLE_ARN": arn(100000000013),
        }
        self._collect("pod", type="tke_oidc")

    def _changes(self):
        """Accounts whose answers and orders change, and one key without a permission."""
        order = {"ResourceId": "cwplic-b", "Deadline": "in 20d", "Alias": "added"}
        failing = {"action": "DescribeLicenseList", "error": INTERNAL}
        changes = [
            {"set": {"UsedLicenseCnt": 90, "Unheard": 1}},
            {"unset": ["AutoOpenStatus", "LicenseCnt"]},
            {"set": {"LicenseCnt": -1}},
            {"orders": [order]},
            {"orders": [{**order, "Deadline": "no date"}]},
            {"remove_orders": ["cwplic-b"]},
            failing,
            {"action": "DescribeLicenseList", "ok": True},
            {"gzip": True, "set": {"LicenseCnt": 100}},
        ]
        steps = [{"at": f"{20 + 60 * number}s", **step} for number, step in enumerate(changes)]
        self._variable("changes", "changes", timeline=steps)
        pages = [
            {"between_pages": True, "remove_orders": ["cwplic-7", "cwplic-150"]},
            {"between_pages": True, "orders": [{"ResourceId": "cwplic-c"}]},
            {"action": "DescribeLicenseList", "between_pages": True, "unset": ["TotalCount"]},
            {"action": "DescribeLicenseList", "reset": True},
            {"action": "DescribeLicenseList", "ok": True},
        ]
        steps = [{"at": f"{50 + 100 * number}s", **step} for number, step in enumerate(pages)]
        many = [{"ResourceId": "cwplic-{n}", "count": 250, "Deadline": "in 40d"}]
        self._variable("pages", "pages", orders=many, timeline=steps)
        self._variable("licences-only", "licencesonly", allow=["cwp:DescribeLicenseGeneral"])


def run_events(events, start, stop):
    """Does what is due at each second of each round, until `stop` is set."""
    events = sorted(events, key=lambda event: event[0])
    rounds = 0
    while True:
        for second, event in events:
            due = start + rounds * ROUND + second
            if stop.wait(max(0, due - time.monotonic())):
                return
            event()
        rounds += 1
        if not events:
            return
