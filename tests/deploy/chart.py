"""Lints the chart, renders it with each file of its folder ci/, and validates every object.

`chart.py RENDERED` leaves all objects as JSON in the file RENDERED, and works beside it. With
--write it also writes the plain manifests anew, which otherwise must be as committed.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import helm_python
import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/cwp-exporter"
PLAIN = ROOT / "deploy/kubernetes/cwp-exporter.yaml"
# Objects whose schemas Kubernetes itself does not have.
OTHERS = ("monitoring.coreos.com/", "gateway.networking.k8s.io/")
# The first version that the chart supports, and the last that is known here.
VERSIONS = ["1.25.0", kubernetes_validate.latest_version()]
# kubectl apply and Argo CD keep an object in an annotation of itself, which holds 262,144 bytes.
LARGEST = 250_000
REGISTRY = {"image": {"registry": "registry.example.com"}}
HEAD = """\
# What the chart in deploy/helm renders with its own values, in the namespace monitoring, of an
# image in a registry of yours. Made by tests/deploy/run --write: change the chart, not this.
"""


def fail(text):
    sys.exit(f"{CHART.relative_to(ROOT)}: {text}")


def expect(condition, text):
    if not condition:
        fail(text)


def lint(values):
    report = helm_python.lint(CHART, values, strict=True)
    for message in report["messages"]:
        # An icon is for people who browse a catalogue of charts.
        if message["error"] != "icon is recommended":
            report["errors"].append(message["error"])
    if report["errors"]:
        fail("; ".join(report["errors"]))


def render(chart, values, namespace="monitoring"):
    """The manifests by template, without those that are empty or no manifest."""
    manifests = chart.render(values, name="cwp-exporter", namespace=namespace)
    return {
        path: text
        for path, text in sorted(manifests.items())
        if path.endswith(".yaml") and text.strip()
    }


def objects(chart, values):
    """The objects that the chart renders."""
    texts = render(chart, values).values()
    return [found for text in texts for found in yaml.safe_load_all(text) if found]


def of_kind(found, kind):
    return [each for each in found if each["kind"] == kind]


def merged(*maps):
    """The values of several files, the last of which wins."""
    result = {}
    for values in maps:
        for key, value in values.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


def validate(found, where):
    size = len(json.dumps(found))
    expect(size < LARGEST, f"{where} has {size} bytes, more than kubectl apply can store")
    if found["apiVersion"].startswith(OTHERS):
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(found, version, strict=True)
        except Exception as error:
            fail(f"{where} is not valid in Kubernetes {version}: {error}")


def rules_are_those_of_prometheus(chart):
    """Whether the chart's own values make the rules that those without Helm have."""
    (rule,) = of_kind(objects(chart, merged(REGISTRY, {"prometheusRule": {"enabled": True}})), "PrometheusRule")
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())
    if rule["spec"]["groups"] != rules["groups"]:
        fail("the PrometheusRule is not deploy/prometheus/rules.yml")


def every_setting_of_the_rules_has_a_value(found):
    """Whether nothing is left of what is to be replaced, nor of the examples of it."""
    for rest in ["${", "example.org"]:
        if rest in json.dumps(found):
            fail(f"the PrometheusRule has {rest} in it")


def plain(manifests):
    """The manifests without what only Helm may say or do."""
    kept = []
    for path, text in manifests.items():
        if "/tests/" in path:
            continue
        lines = text.strip().splitlines()
        helm = ("helm.sh/chart:", "app.kubernetes.io/managed-by:")
        lines = [line for line in lines if not line.strip().startswith(helm)]
        kept.append("---\n" + "\n".join(lines) + "\n")
    return HEAD + "".join(kept)


def wrong_values_are_refused_with_what_to_do(chart):
    own = {"accounts": [{"name": "a"}]}
    for values, words in [
        ({"image": {"registry": ""}}, "set image.registry=registry.example.com"),
        ({"replicas": 0}, "replicas"),
        ({"replica": 2}, "replica"),
        ({"replicas": 2, "sharding": {"enabled": True}}, "leave replicas at 1"),
        ({"existingConfigMap": "a", "existingConfigSecret": "b"}, "are both set"),
        ({"accountsFrom": [{"configMap": {"name": "a"}}]}, "set config.accounts_files to"),
        ({"config": {**own, "api": {"endpoint": "a" * (LARGEST - 3_000)}}}, "several ConfigMaps"),
        ({"persistence": {"enabled": True}, "replicas": 2}, "use sharding"),
        (
            {"persistence": {"enabled": True, "existingClaim": "a"}, "sharding": {"enabled": True}},
            "each pod needs its own",
        ),
        ({"ingress": {"enabled": True}}, "ingress.hosts is empty"),
        ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs is empty"),
        ({"dashboards": {"enabled": True, "languages": ["de"]}}, "languages"),
        (
            {"serviceMonitor": {"enabled": True, "jobLabel": "team"}, "prometheusRule": {"enabled": True}},
            "set prometheusRule.selector",
        ),
    ]:
        try:
            chart.render(merged(REGISTRY, values))
        except helm_python.HelmError as error:
            expect(words in str(error), f"{values} is refused without {words!r}: {error}")
        else:
            fail(f"{values} is not refused")


def images_come_from_the_registry_that_is_named(chart):
    reloader = {"configReloader": {"enabled": True}}
    for values, registries in [
        (REGISTRY, {"registry.example.com"}),
        ({"image": {"repository": "team/cwp-exporter"}}, {"team"}),
        (merged(REGISTRY, reloader), {"registry.example.com", "quay.io"}),
        (merged(REGISTRY, reloader, {"global": {"imageRegistry": "mirror.example.com"}}), {"mirror.example.com"}),
    ]:
        text = json.dumps(objects(chart, values))
        found = {image.split("/")[0] for image in re.findall(r'"image": "([^"]*)"', text)}
        expect(found == registries, f"{values}: the images are from {found}")


def clusters_and_namespaces_can_be_chosen_where_there_are_several(chart):
    for several in [False, True]:
        shown = {"dashboards": {"enabled": True, "showMultiCluster": several, "languages": ["en", "zh"]}}
        for configuration in of_kind(objects(chart, merged(REGISTRY, shown)), "ConfigMap"):
            for name, text in configuration["data"].items():
                if name.endswith(".json"):
                    variables = json.loads(text)["templating"]["list"]
                    hidden = {each["name"]: each["hide"] for each in variables}
                    expected = 0 if several else 2
                    expect(
                        hidden["cluster"] == hidden["namespace"] == expected and hidden["job"] == 0,
                        f"{name} hides {hidden}",
                    )


def kube_prometheus_stack_selects_what_the_notes_name(chart):
    """Targets, alerts and dashboards, by the selectors that its own values make."""
    notes = chart.render(REGISTRY, name="cwp-exporter", namespace="security")["cwp-exporter/templates/NOTES.txt"]
    settings = re.findall(r"^ +--set (\S+)$", notes, re.MULTILINE)
    expect(len(settings) == 4, f"the notes name {settings}")
    values = helm_python.parse_set_string(",".join(settings).replace("RELEASE", "kps"))
    found = objects(chart, merged(REGISTRY, values))
    for kind in ["ServiceMonitor", "PrometheusRule"]:
        (selected,) = of_kind(found, kind)
        expect(selected["metadata"]["labels"].get("release") == "kps", f"{kind} is not selected")
    names = {
        name
        for configuration in of_kind(found, "ConfigMap")
        # A ConfigMap of the sidecar's label, in any namespace.
        if configuration["metadata"]["labels"].get("grafana_dashboard") == "1"
        for name in configuration["data"]
    }
    expect(names == {"exporter.json", "licences.json"}, f"the dashboards are {names}")

    (monitor,) = of_kind(found, "ServiceMonitor")
    (service,) = of_kind(found, "Service")
    (workload,) = of_kind(found, "Deployment")
    (test,) = of_kind(found, "Pod")
    selector = monitor["spec"]["selector"]["matchLabels"].items()
    expect(selector <= service["metadata"]["labels"].items(), "the ServiceMonitor selects no Service")
    expect(service["metadata"]["namespace"] in monitor["spec"]["namespaceSelector"]["matchNames"], "it looks elsewhere")
    expect(monitor["spec"]["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]], "no port")
    pods = service["spec"]["selector"].items()
    expect(pods <= workload["spec"]["template"]["metadata"]["labels"].items(), "the Service selects no pod")
    expect(not pods <= test["metadata"]["labels"].items(), "the Service selects the pod of the test")


def the_notes_tell_of_a_target_that_is_not_selected(chart):
    def tells(values):
        notes = chart.render(merged(REGISTRY, {"serviceMonitor": {"enabled": True}}, values))
        return "has no label `release`" in notes["cwp-exporter/templates/NOTES.txt"]

    expect(tells({}), "the notes do not tell of it")
    for values in [{"releaseLabel": "a"}, {"serviceMonitor": {"labels": {"release": "a"}}}]:
        expect(not tells(values), f"the notes tell of it with {values}")


def releases_have_jobs_of_their_own_that_the_rules_look_for(chart):
    def render_release(release, values):
        values = merged(REGISTRY, {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}, values)
        texts = chart.render(values, name=release, namespace="monitoring")
        monitor, rule = (
            yaml.safe_load(texts[f"cwp-exporter/templates/{name}.yaml"])["spec"]
            for name in ["servicemonitor", "prometheusrule"]
        )
        relabelings = monitor["endpoints"][0].get("relabelings", [])
        jobs = [each["replacement"] for each in relabelings if each["targetLabel"] == "job"]
        selectors = set(re.findall(r'up\{(.*?)\}', json.dumps(rule).replace('\\"', '"')))
        return jobs, selectors

    for values, jobs, selector in [
        ({}, ["eu-cwp-exporter"], 'job="eu-cwp-exporter",namespace="monitoring"'),
        ({"serviceMonitor": {"jobName": "licences"}}, ["licences"], 'job="licences",namespace="monitoring"'),
        ({"prometheusRule": {"selector": 'job=~".*cwp.*"'}}, ["eu-cwp-exporter"], 'job=~".*cwp.*"'),
        ({"serviceMonitor": {"jobLabel": "a"}, "prometheusRule": {"selector": 'job="b"'}}, [], 'job="b"'),
    ]:
        found = render_release("eu", values)
        expect(found == (jobs, {selector}), f"with {values} jobs and selectors are {found}")


def a_web_configuration_is_known_to_all_who_ask(chart):
    values = {"webConfigSecret": "web", "serviceMonitor": {"enabled": True}, "configReloader": {"enabled": True}}
    found = objects(chart, merged(REGISTRY, values))
    (workload,) = of_kind(found, "Deployment")
    exporter, reloader = workload["spec"]["template"]["spec"]["containers"]
    expect("--web.health-without-auth" in exporter["args"], "the kubelet needs a password")
    for flag in ["--web.health-without-auth", "--web.enable-lifecycle"]:
        (workload,) = of_kind(objects(chart, merged(REGISTRY, values, {"extraArgs": [flag]})), "Deployment")
        arguments = workload["spec"]["template"]["spec"]["containers"][0]["args"]
        expect(arguments.count(flag) == 1, f"{flag}, which may be given once, is there {arguments.count(flag)} times")
    for probe in ["livenessProbe", "readinessProbe"]:
        expect(exporter[probe]["httpGet"]["scheme"] == "HTTPS", f"the {probe} asks without TLS")
    expect("--reload-url=https://127.0.0.1:10064/-/reload" in reloader["args"], "the reloader asks without TLS")
    (endpoint,) = of_kind(found, "ServiceMonitor")[0]["spec"]["endpoints"]
    expect(endpoint["scheme"] == "https", "Prometheus asks without TLS")
    expect(endpoint["tlsConfig"] == {"serverName": "cwp-exporter.monitoring.svc"}, "Prometheus expects another name")


def a_changed_configuration_replaces_pods_only_where_nothing_reads_it(chart):
    def annotations(values):
        (workload,) = of_kind(objects(chart, merged(REGISTRY, values)), "Deployment")
        return workload["spec"]["template"]["metadata"].get("annotations")

    expect(annotations({}) != annotations({"config": {"poll": {"interval": "5m"}}}), "nothing reads the change")
    reloader = {"configReloader": {"enabled": True}}
    changed = annotations(merged(reloader, {"config": {"poll": {"interval": "5m"}}}))
    expect(annotations(reloader) == changed, "the pods are replaced although they read the change")


def a_configuration_of_a_thousand_accounts_can_be_stored(chart):
    files = {"type": "static", "secret_id_file": "/etc/cwp-exporter/keys/id", "secret_key_file": "/etc/cwp-exporter/keys/key"}
    accounts = [{"name": f"account-{number}", "credentials": files} for number in range(1_000)]
    found = objects(chart, merged(REGISTRY, {"config": {"accounts": accounts}}))
    validate(of_kind(found, "ConfigMap")[0], "the configuration of a thousand accounts")


def the_test_runs_where_the_exporter_does(chart):
    values = yaml.safe_load((CHART / "ci/everything-values.yaml").read_text())
    found = objects(chart, merged(values, {"podAnnotations": {"example.com/mesh": "no"}}))
    (workload,) = of_kind(found, "Deployment")
    template, (test,) = workload["spec"]["template"], of_kind(found, "Pod")
    only_exporter = {"containers", "initContainers", "volumes", "terminationGracePeriodSeconds"}
    expected = {key: value for key, value in template["spec"].items() if key not in only_exporter}
    found_there = {key: test["spec"].get(key) for key in expected}
    expect(found_there == expected, f"the test's pod differs: {found_there}")
    expect(test["metadata"]["labels"]["example.com/tier"] == "monitoring", "it lacks podLabels")
    (policy,) = of_kind(found, "NetworkPolicy")
    (names,) = policy["spec"]["podSelector"]["matchExpressions"]
    for labels in [template["metadata"]["labels"], test["metadata"]["labels"]]:
        expect(labels[names["key"]] in names["values"], "the NetworkPolicy leaves a pod out")


def shards_have_no_address_in_common(chart):
    values = {"sharding": {"enabled": True}, "service": {"type": "LoadBalancer", "clusterIP": "192.0.2.1", "nodePort": 30064}}
    (service,) = of_kind(objects(chart, merged(REGISTRY, values)), "Service")
    expect(service["spec"]["clusterIP"] == "None", "a shard would stand for all")
    expect("type" not in service["spec"] and "nodePort" not in service["spec"]["ports"][0], "a shard would stand for all")


def a_map_or_list_may_be_taken_away(chart):
    """With `null`, which is how Helm leaves out a default."""
    for name, value in chart.values.items():
        if value in ({}, []) or name.endswith(("ecurityContext", "resources")):
            render(chart, merged(REGISTRY, {name: None}))


def an_umbrella_chart_can_have_it(work):
    """With its condition, the registry that all charts share, and a name of its own."""
    umbrella = work / "umbrella"
    shutil.rmtree(umbrella, ignore_errors=True)
    shutil.copytree(CHART, umbrella / "charts/cwp-exporter")
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    dependency = {"name": "cwp-exporter", "version": version, "condition": "cwp-exporter.enabled"}
    metadata = {"apiVersion": "v2", "name": "platform", "version": "1.0.0", "dependencies": [dependency]}
    (umbrella / "Chart.yaml").write_text(yaml.safe_dump(metadata))
    shared = {"global": {"imageRegistry": "mirror.example.com", "imagePullSecrets": [{"name": "mirror"}], "other": 1}}
    (umbrella / "values.yaml").write_text(yaml.safe_dump(shared))
    chart = helm_python.Chart.load(umbrella)
    parts = ["serviceMonitor", "prometheusRule", "dashboards"]
    values = {"enabled": True, "releaseLabel": "platform", **{part: {"enabled": True} for part in parts}}
    found = objects(chart, {"cwp-exporter": values})
    kinds = {each["kind"] for each in found}
    expect({"Deployment", "PrometheusRule", "ServiceMonitor"} <= kinds, f"an umbrella chart has only {kinds}")
    (rule,) = of_kind(found, "PrometheusRule")
    expect(rule["spec"]["groups"], "an umbrella chart has no rules")
    (workload,) = of_kind(found, "Deployment")
    pod = workload["spec"]["template"]["spec"]
    expect(pod["containers"][0]["image"].startswith("mirror.example.com/"), "global.imageRegistry is ignored")
    expect(pod["imagePullSecrets"] == [{"name": "mirror"}], "global.imagePullSecrets is ignored")
    expect(not objects(chart, {"cwp-exporter": {"enabled": False}}), "the condition is ignored")


def a_checkout_without_links_is_the_same_chart(chart, work):
    """Git on Windows, archives and several GitOps tools make text files of links, or nothing."""
    copy = work / "checkout"
    shutil.rmtree(copy, ignore_errors=True)
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", str(CHART)]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        source, target = ROOT / name, copy / name
        if source.is_symlink():
            fail(f"{name} is a link")
        # A file that is deleted but not committed yet.
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    values = yaml.safe_load((CHART / "ci/operator-values.yaml").read_text())
    same = helm_python.Chart.load(copy / CHART.relative_to(ROOT))
    expect(render(same, values) == render(chart, values), "a checkout renders something else than the archive")


def a_chart_without_its_files_is_refused(work):
    """What renders nothing in silence looks as if there were nothing to alert on."""
    values = merged(REGISTRY, {"prometheusRule": {"enabled": True}, "dashboards": {"enabled": True}})
    for file, content in [("dashboards/licences.json", None), ("dashboards/exporter.json", "../x"), ("rules.yml", "")]:
        copy = work / "incomplete"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(CHART, copy)
        path = copy / "files" / file
        path.unlink()
        if content is not None:
            path.write_text(content)
        try:
            helm_python.Chart.load(copy).render(values)
        except helm_python.HelmError as error:
            expect(f"files/{file}" in str(error), f"without {file} it says {error}")
        else:
            fail(f"it renders without files/{file}")


def the_examples_of_the_readme_render(chart):
    snippets = re.findall(r"^```yaml\n(.*?)^```", (CHART / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    examples = [values for values in map(yaml.safe_load, snippets) if "dependencies" not in values]
    expect(len(examples) > 3, "README.md has no examples")
    for values in examples:
        for found in objects(chart, merged(REGISTRY, values)):
            validate(found, f"{found['kind']} of README.md")


def every_value_is_in_the_schema(chart):
    """Whether the schema knows each value, and would refuse one that it does not know."""
    schema = json.loads((CHART / "values.schema.json").read_text())

    def resolve(part):
        while "$ref" in part:
            part = schema["definitions"][part["$ref"].split("/")[-1]]
        return part

    def compare(values, part, path):
        part = resolve(part)
        if not isinstance(values, dict) or "properties" not in part:
            return
        if path != ["global"]:
            expect(part.get("additionalProperties", True) is not True, f"the schema allows anything in {'.'.join(path)}")
        for key, value in values.items():
            expect(key in part["properties"], f"the schema has no {'.'.join([*path, key])}")
            compare(value, part["properties"][key], [*path, key])

    compare(chart.values, schema, [])
    missing = schema["properties"].keys() - chart.values.keys()
    # A parent chart sets it, and here it would do nothing.
    expect(missing == {"enabled"}, f"values.yaml lacks {missing - {'enabled'}}")


def leaves(values, defaults, path=()):
    """The paths of the values that are no maps of further ones."""
    for key, value in values.items():
        known = defaults.get(key)
        if isinstance(value, dict) and isinstance(known, dict) and known:
            yield from leaves(value, known, (*path, key))
        else:
            yield (*path, key)


def without(values, path):
    """The values without the one at this path."""
    key, *rest = path
    if rest:
        return {**values, key: without(values[key], rest)}
    return {name: value for name, value in values.items() if name != key}


def every_value_does_something(chart):
    """Whether the files of ci/ have every value, and none that could as well be left out."""
    used = set()
    for file in sorted((CHART / "ci").glob("*.yaml")):
        values = yaml.safe_load(file.read_text())
        rendered = render(chart, values)
        for path in leaves(values, chart.values):
            used.add(path)
            # tests/deploy/settings.py is about what the rules have.
            if path[0] == "prometheusRule":
                continue
            try:
                same = render(chart, without(values, path)) == rendered
            except helm_python.HelmError:
                same = False
            expect(not same, f"{'.'.join(path)} of {file.name} does nothing")
    unused = {".".join(path) for path in leaves(chart.values, chart.values) if path not in used}
    unused = {name for name in unused if not name.startswith("prometheusRule.")}
    expect(not unused, f"no file of ci/ has {', '.join(sorted(unused))}")


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--write"]
    write = len(arguments) < len(sys.argv) - 1
    target = pathlib.Path(arguments[0]).resolve()
    work = target.parent / "chart"
    work.mkdir(exist_ok=True)
    # As users get it: an archive.
    chart = helm_python.Chart.load(helm_python.package(CHART, destination=work))
    expect(any(file["name"] == "README.md" for file in chart.files), "the archive has no README.md")
    found_all = []
    for file in sorted((CHART / "ci").glob("*.yaml")):
        values = yaml.safe_load(file.read_text())
        lint(values)
        for path, text in render(chart, values).items():
            for found in filter(None, yaml.safe_load_all(text)):
                where = f"{path} with {file.name}"
                validate(found, where)
                if found["kind"] == "PrometheusRule":
                    every_setting_of_the_rules_has_a_value(found)
                found_all.append({"where": where, "object": found})
    rules_are_those_of_prometheus(chart)
    every_value_is_in_the_schema(chart)
    every_value_does_something(chart)
    the_examples_of_the_readme_render(chart)
    wrong_values_are_refused_with_what_to_do(chart)
    images_come_from_the_registry_that_is_named(chart)
    clusters_and_namespaces_can_be_chosen_where_there_are_several(chart)
    kube_prometheus_stack_selects_what_the_notes_name(chart)
    the_notes_tell_of_a_target_that_is_not_selected(chart)
    releases_have_jobs_of_their_own_that_the_rules_look_for(chart)
    a_web_configuration_is_known_to_all_who_ask(chart)
    a_changed_configuration_replaces_pods_only_where_nothing_reads_it(chart)
    a_configuration_of_a_thousand_accounts_can_be_stored(chart)
    the_test_runs_where_the_exporter_does(chart)
    shards_have_no_address_in_common(chart)
    a_map_or_list_may_be_taken_away(chart)
    an_umbrella_chart_can_have_it(work)
    a_checkout_without_links_is_the_same_chart(chart, work)
    a_chart_without_its_files_is_refused(work)

    expected = plain(render(chart, REGISTRY))
    if write:
        PLAIN.parent.mkdir(exist_ok=True)
        PLAIN.write_text(expected)
    if not PLAIN.exists() or PLAIN.read_text() != expected:
        fail(f"{PLAIN.relative_to(ROOT)} is not what it renders: run tests/deploy/run --write")
    target.write_text(json.dumps(found_all))
    kinds = sorted({found["object"]["kind"] for found in found_all})
    print(f"{len(found_all)} objects are valid: {', '.join(kinds)}")


main()
