#!/usr/bin/env python3
"""ingredients.py TARGET REVISION BUILT SBOM LICENCES: writes what the program for TARGET is made of.

BUILT is what Cargo said of each crate that it compiled. SBOM is a CycloneDX document of the crates that are linked. LICENCES has the texts of their
licences, and of those of Rust's standard library and the C library, which are linked too.
"""

import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import uuid

OURS = "cwp-exporter"
TEXTS = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
C_LIBRARY = pathlib.Path("/usr/share/doc/libc6-dev/copyright")


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def linked(target, built):
    """The id of each crate that is linked. Procedural macros, and what only a build script needs,
    run while the program is compiled, so they are compiled for this machine and not for TARGET."""
    artifacts = [json.loads(line) for line in pathlib.Path(built).read_text().splitlines()]
    return {
        artifact["package_id"]
        for artifact in artifacts
        if artifact["reason"] == "compiler-artifact"
        and any(f"/{target}/" in file for file in artifact["filenames"])
    }


def checksums():
    """The checksum of each crate in Cargo.lock."""
    crates = re.findall(
        r'name = "(.*)"\nversion = "(.*)"\nsource = ".*"\nchecksum = "(.*)"\n',
        pathlib.Path("Cargo.lock").read_text(),
    )
    return {(name, version): checksum for name, version, checksum in crates}


def purl(crate):
    return f"pkg:cargo/{crate[0]}@{crate[1]}"


def component(package, checksum):
    crate = (package["name"], package["version"])
    made = {
        "type": "application" if package["name"] == OURS else "library",
        "bom-ref": purl(crate),
        "name": package["name"],
        "version": package["version"],
        "description": " ".join((package["description"] or "").split()),
        "licenses": [{"expression": re.sub(r"\s*/\s*", " OR ", package["license"])}],
        "purl": purl(crate),
    }
    if checksum:
        made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["repository"]:
        made["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return made


def bill(packages, depends, revision):
    """The CycloneDX document."""
    sums = checksums()
    ours = next(crate for crate in packages if crate[0] == OURS)
    time = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{purl(ours)}#{revision}')}",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": component(packages[ours], None),
            "properties": [
                {"name": "cwp-exporter:revision", "value": revision},
                {"name": "cwp-exporter:rustc", "value": run("rustc", "--version").strip()},
            ],
        },
        "components": [
            component(package, sums[crate]) for crate, package in sorted(packages.items()) if crate != ours
        ],
        "dependencies": [
            {"ref": purl(crate), "dependsOn": sorted(map(purl, depends[crate]))} for crate in sorted(packages)
        ],
    }


def texts(packages):
    """Each text of a licence, with the crates that it came with."""
    found = {}
    for crate, package in packages.items():
        if crate[0] == OURS:
            continue
        name = " ".join(crate)
        folder = pathlib.Path(package["manifest_path"]).parent
        files = sorted(file for file in folder.iterdir() if file.is_file() and TEXTS.match(file.name))
        read = [file.read_text(errors="replace").strip() for file in files]
        # Some crates name their licence, and leave its text to the repository they come from.
        for text in read or [f"{package['license']}\n\nThe crate has no text of its own: {package['repository']}"]:
            found.setdefault(text, set()).add(name)
    # Whoever passes it on chooses between two licences, and one of them is ours. What Rust's
    # installer leaves of their texts depends on what was installed.
    found.setdefault(pathlib.Path("LICENSE").read_text().strip(), set()).add("Rust's standard library")
    found.setdefault(C_LIBRARY.read_text().strip(), set()).add("the GNU C library")
    return sorted((sorted(names), text) for text, names in found.items())


def main():
    target, revision, built, sbom, licences = sys.argv[1:]
    metadata = json.loads(
        run("cargo", "metadata", "--locked", "--format-version=1", "--filter-platform", target)
    )
    ids = linked(target, built)
    named = {
        package["id"]: (package["name"], package["version"])
        for package in metadata["packages"]
        if package["id"] in ids
    }
    packages = {named[package["id"]]: package for package in metadata["packages"] if package["id"] in ids}
    depends = {
        named[node["id"]]: {named[each] for each in node["dependencies"] if each in ids}
        for node in metadata["resolve"]["nodes"]
        if node["id"] in ids
    }
    pathlib.Path(sbom).write_text(json.dumps(bill(packages, depends, revision), indent=2) + "\n")
    rule = "-" * 80
    parts = [f"{rule}\n{', '.join(names)}\n{rule}\n\n{text}\n" for names, text in texts(packages)]
    head = "cwp-exporter is linked with the following, whose licences ask for these texts.\n"
    pathlib.Path(licences).write_text("\n".join([head, *parts]))


main()
