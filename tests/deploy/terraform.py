"""Checks that deploy/cam/main.tf is HCL which gives the role the policy of cam-policy.json."""

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
    wanted = 'file("${path.module}/../cam-policy.json")'
    if wanted not in policy:
        sys.exit(f"{FILE.relative_to(ROOT)}: the policy's document is {policy}, not {wanted}")
    attachment = resources["tencentcloud_cam_role_policy_attachment.cwp_exporter"]
    for key, resource in [("role_id", "tencentcloud_cam_role"), ("policy_id", "tencentcloud_cam_policy")]:
        if f"{resource}.cwp_exporter.id" not in attachment[key]:
            sys.exit(f"{FILE.relative_to(ROOT)}: {key} is {attachment[key]}")
    print(f"{len(resources)} resources: {', '.join(sorted(resources))}")


main()
