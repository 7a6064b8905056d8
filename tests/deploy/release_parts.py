"""release_parts.py DIST VERSION: checks the parts of a release that are not run."""

import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tarfile

import helm_python
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

DIST, VERSION = pathlib.Path(sys.argv[1]), sys.argv[2]
ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = "deploy/helm/cwp-exporter"
TARGET = "x86_64-unknown-linux-gnu"


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout


def sums_are_of_every_part():
    lines = (DIST / "sha256sums.txt").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert len(sums) == 11, sums
    for name, digest in sums.items():
        assert hashlib.sha256((DIST / name).read_bytes()).hexdigest() == digest, name


def archive_is_the_same_for_everybody():
    with tarfile.open(DIST / f"cwp-exporter-{VERSION}.linux-amd64.tar.gz") as archive:
        members = archive.getmembers()
    assert len({member.mtime for member in members}) == 1
    for member in members:
        assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", ""), member.name
        assert member.mode in (0o644, 0o755), member.name
    names = [member.name.split("/") for member in members]
    assert names == sorted(names)


def chart_is_whole_and_renders():
    path = DIST / f"cwp-exporter-{VERSION}.tgz"
    with tarfile.open(path) as archive:
        packed = {member.name for member in archive.getmembers() if member.isfile()}
    files = run("git", "ls-files", "--cached", "--others", "--exclude-standard", CHART).splitlines()
    # .helmignore leaves these out.
    files = {file.removeprefix("deploy/helm/") for file in files if "/ci/" not in file and "/." not in file}
    assert packed == files, packed ^ files
    chart = helm_python.Chart.load(path)
    values = {"image": {"registry": "registry.example.com"}}
    manifests = chart.render(values, name="cwp-exporter", namespace="monitoring")
    texts = (text for path, text in manifests.items() if path.endswith(".yaml"))
    kinds = {each["kind"] for text in texts for each in yaml.safe_load_all(text) if each}
    assert {"Deployment", "Service", "ConfigMap"} <= kinds, kinds


def ingredients_are_those_that_cargo_links():
    path = DIST / f"cwp-exporter-{VERSION}.linux-amd64.cdx.json"
    text = path.read_text()
    problem = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
    assert problem is None, problem
    found = json.loads(text)
    crates = {(each["name"], each["version"]) for each in found["components"]}
    assert len(crates) == len(found["components"])
    lock = re.findall(r'name = "(.*)"\nversion = "(.*)"\n', (ROOT / "Cargo.lock").read_text())
    assert crates <= set(lock), crates - set(lock)
    lines = run(
        *["cargo", "tree", "--locked", "--target", TARGET, "--prefix", "none"],
        *["--edges", "normal,no-proc-macro", "--format", "{p}"],
    ).splitlines()
    # NAME vVERSION, and of some crates that they are (proc-macro), or are here: (*).
    named = (line.split() for line in lines if "(proc-macro)" not in line)
    tree = {(words[0], words[1].removeprefix("v")) for words in named}
    assert crates == tree - {("cwp-exporter", VERSION)}, crates ^ tree
    with tarfile.open(DIST / f"cwp-exporter-{VERSION}.linux-amd64.tar.gz") as archive:
        [member] = [each for each in archive.getmembers() if each.name.endswith("/THIRD-PARTY-LICENSES")]
        licences = archive.extractfile(member).read().decode()
    for name, version in crates:
        assert f"{name} {version}" in licences, name


def program_names_no_folder_of_this_machine():
    with tarfile.open(DIST / f"cwp-exporter-{VERSION}.linux-amd64.tar.gz") as archive:
        [member] = [each for each in archive.getmembers() if each.name.endswith("/cwp-exporter") and each.isfile()]
        program = archive.extractfile(member).read()
    # What the crates are called by instead.
    assert b"/cargo/registry/src/" in program
    for folder in (ROOT, pathlib.Path.home() / ".cargo"):
        assert str(folder).encode() not in program, folder


def dashboards_ask_for_a_data_source():
    paths = sorted(DIST.glob("grafana-*.json"))
    assert len(paths) == 4, paths
    for path in paths:
        dashboard = json.loads(path.read_text())
        [asked] = dashboard["__inputs"]
        [variable] = [each for each in dashboard["templating"]["list"] if each["type"] == "datasource"]
        assert variable["current"]["value"] == f"${{{asked['name']}}}", path
        assert dashboard["id"] is None, path


sums_are_of_every_part()
archive_is_the_same_for_everybody()
chart_is_whole_and_renders()
ingredients_are_those_that_cargo_links()
program_names_no_folder_of_this_machine()
dashboards_ask_for_a_data_source()
