"""docker-compose.yml: what Compose makes of it, for every profile, and what must hold of it.

No Docker engine is needed: `config` resolves the file and refuses what it does not know.
"""

import json
import re
import stat
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.tools import OPS, ROOT, need, run

PROFILES = ("", "gpu", "cpu")
ENDS = {"secrets", "migrations", "example"}
BARE = {"redis-exporter", "postgres-exporter"}
"""Images that hold their program alone: nothing in them can probe it, and Prometheus sees it."""


@cache
def _project(profile: str) -> dict[str, Any]:
    compose = need(OPS / "docker-compose")
    done = run(compose, "config", "--format", "json", env={"COMPOSE_PROFILES": profile})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _services(profile: str) -> dict[str, dict[str, Any]]:
    return _project(profile)["services"]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_is_valid(profile: str) -> None:
    names = _services(profile).keys()
    assert {"answer", "widget", "worker", "beat", "edge", "postgres", "redis", "qdrant"} <= names
    assert {name for name in names if "vllm" in name} == ({f"vllm-{profile}"} if profile else set())


@pytest.mark.parametrize("profile", PROFILES)
def test_containers_have_no_more_than_they_need(profile: str) -> None:
    for name, service in _services(profile).items():
        user, _, group = service["user"].partition(":")
        assert int(user) > 0, name
        assert group.isdigit(), name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        assert service.get("network_mode") != "host", name
        limits = service["deploy"]["resources"]["limits"]
        assert limits.keys() >= {"cpus", "memory", "pids"}, name


@pytest.mark.parametrize("profile", PROFILES)
def test_images_do_not_move(profile: str) -> None:
    for name, service in _services(profile).items():
        assert re.search(r":v?\d+\.\d+(\.\d+)?[\w.-]*$", service["image"]), (name, service["image"])


@pytest.mark.parametrize("profile", PROFILES)
def test_the_edge_alone_is_published(profile: str) -> None:
    published = {name: service["ports"] for name, service in _services(profile).items()
                 if service.get("ports")}  # fmt: skip
    assert published.keys() == {"edge"}
    assert {port["host_ip"] for port in published["edge"]} == {"127.0.0.1"}


@pytest.mark.parametrize("profile", PROFILES)
def test_who_waits_waits_for_health(profile: str) -> None:
    services = _services(profile)
    for name, service in services.items():
        assert ("healthcheck" in service) == (name not in ENDS | BARE), name
        for other, how in (service.get("depends_on") or {}).items():
            ends = other in ENDS
            wanted = "service_completed_successfully" if ends else "service_healthy"
            assert how["condition"] == wanted, (name, other)


def test_stores_and_models_cannot_be_reached_from_outside() -> None:
    project = _project("gpu")
    inside = {name for name, network in project["networks"].items() if network.get("internal")}
    for store in ("postgres", "redis", "qdrant", "prometheus"):
        assert set(project["services"][store]["networks"]) <= inside, store
    talks = {name for name, service in project["services"].items()
             if "model" in service.get("networks", {})}  # fmt: skip
    assert talks == {"answer", "vllm-gpu"}


def test_no_secret_stands_in_the_environment_or_a_command() -> None:
    for name, service in _services("gpu").items():
        for key, value in (service.get("environment") or {}).items():
            secret = re.search(r"(KEY|PASS|SECRET|TOKEN)(?!S)", key)
            path = value is None or value == "" or value.startswith("/run/secrets/")
            assert not secret or path, (name, key)
        assert not re.search(r"(--requirepass|--api-key|password=)", str(service.get("command")))


def test_every_setting_of_the_example_file_is_used() -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    named = re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert named
    for name in set(named) - {"COMPOSE_PROFILES"}:
        assert "${" + name in compose, name


def test_prometheus_scrapes_services_that_there_are() -> None:
    services = _services("gpu")
    aliases = {alias for each in services.values()
               for network in each.get("networks", {}).values()
               for alias in (network or {}).get("aliases", ())}  # fmt: skip
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    for job in config["scrape_configs"]:
        hosts = [target.partition(":")[0] for each in job.get("static_configs", ())
                 for target in each["targets"]]  # fmt: skip
        hosts += [name for each in job.get("dns_sd_configs", ()) for name in each["names"]]
        for host in hosts:
            assert host in services.keys() | aliases | {"localhost"}, host
            if host in services:
                assert "metrics" in services[host]["networks"] or host == "prometheus", host


def test_secrets_are_made_once_and_are_nobody_elses(tmp_path: Path) -> None:
    make = ROOT / "deploy" / "docker" / "make-secrets"
    assert run(sys.executable, make, tmp_path).returncode == 0
    first = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert run(sys.executable, make, tmp_path).returncode == 0
    assert {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == first
    for path in first:
        assert not path.stat().st_mode & stat.S_IRWXO, path
    password = (tmp_path / "postgres/password").read_text()
    assert len(password) == 64
    assert password in (tmp_path / "twofold/TWOFOLD_LEDGER_URL").read_text()
    folders = {path.name for path in tmp_path.iterdir()}
    mounted = {
        volume["volume"]["subpath"]
        for service in _services("gpu").values()
        for volume in service.get("volumes", ())
        if volume.get("source") == "secrets" and "subpath" in volume.get("volume", {})
    }
    assert mounted == folders


def test_a_container_holds_the_secrets_that_it_needs(tmp_path: Path) -> None:
    """Whoever gets into a monitor gets into no store by it that it does not ask itself."""
    assert run(sys.executable, ROOT / "deploy/docker/make-secrets", tmp_path).returncode == 0
    of = {name: (tmp_path / name / "password").read_text() for name in ("postgres", "redis")}
    of["qdrant"] = (tmp_path / "twofold/TWOFOLD_QDRANT_KEY").read_text()
    of["model"] = (tmp_path / "vllm/key").read_text()
    held: dict[str, set[str]] = {}
    for name, service in _services("gpu").items():
        for volume in service.get("volumes", ()):
            folder = tmp_path / volume.get("volume", {}).get("subpath", "none")
            said = "".join(path.read_text() for path in folder.glob("*"))
            held.setdefault(name, set()).update(each for each, key in of.items() if key in said)
    ours = {"answer", "widget", "worker", "beat", "migrations", "example"}
    assert {name: found for name, found in held.items() if found and name not in ours} == {
        "postgres": {"postgres"},
        "postgres-exporter": {"postgres"},
        "redis": {"redis"},
        "redis-exporter": {"redis"},
        "qdrant": {"qdrant"},
        "prometheus": {"qdrant"},
        "vllm-gpu": {"model"},
    }


def test_a_secret_of_the_operators_own_is_kept(tmp_path: Path) -> None:
    own = tmp_path / "postgres" / "password"
    own.parent.mkdir()
    own.write_text("of-the-operator")
    assert run(sys.executable, ROOT / "deploy/docker/make-secrets", tmp_path).returncode == 0
    assert "of-the-operator" in (tmp_path / "twofold/TWOFOLD_LEDGER_URL").read_text()


def test_the_dockerfile_is_clean_and_has_the_targets_that_compose_builds() -> None:
    done = run(need(OPS / "hadolint"), "deploy/docker/Dockerfile")
    assert done.returncode == 0, done.stdout
    text = (ROOT / "deploy/docker/Dockerfile").read_text()
    targets = set(re.findall(r"^FROM \S+ AS (\w+)", text, re.MULTILINE))
    wanted = {
        service["build"]["target"] for service in _services("").values() if "build" in service
    }
    assert wanted <= targets
    assert "USER 10001:10001" in text
