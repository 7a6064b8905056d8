"""Checks that deploy/cam/main.tf is HCL which gives the role one of the two policies."""

import pathlib
import sys

import hcl2

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILE = ROOT / "deploy/cam/main.tf"


def blocks(module, kind):
    """The blocks of a kind, by the names behind it."""
    found = {}
    for block in module.get(kind, []):
        for first, inner in block.items():
            for second, body in inner.items():
                found[f"{first}.{second}".replace('"', "")] = body
    return found


def main():
    with FILE.open() as file:
        module = hcl2.load(file)
    resources = blocks(module, "resource")
    policy = resources["tencentcloud_cam_policy.cwp_exporter"]["document"]
    wanted = 'file("${path.module}/../${local.policy_file}")'
    if wanted not in policy:
        sys.exit(f"{FILE.relative_to(ROOT)}: the policy's document is {policy}, not {wanted}")
    files = [entry["policy_file"] for entry in module["locals"] if "policy_file" in entry]
    for name in ["cam-policy.json", "cam-policy-least.json"]:
        if name not in files[0] or not (ROOT / "deploy" / name).is_file():
            sys.exit(f"{FILE.relative_to(ROOT)}: {name} is not in {files[0]}, or does not exist")
    attachment = resources["tencentcloud_cam_role_policy_attachment.cwp_exporter"]
    for key, resource in [("role_id", "tencentcloud_cam_role"), ("policy_id", "tencentcloud_cam_policy")]:
        if f"{resource}.cwp_exporter.id" not in attachment[key]:
            sys.exit(f"{FILE.relative_to(ROOT)}: {key} is {attachment[key]}")
    print(f"{len(resources)} resources: {', '.join(sorted(resources))}")


main()
