"""Adapter folders as `twofold train` leaves them, with a few bytes for weights."""

import json
from pathlib import Path
from typing import Any

from models.manifest import (
    MANIFEST,
    WEIGHTS,
    AdapterManifest,
    Base,
    Counts,
    DatasetRef,
    Metrics,
    file_sha256,
    write_adapter,
)
from models.recipes import load_recipe
from twofold.ledger.releases import Release
from twofold.policy import HousePolicy
from twofold.prompt import prompt_digest

TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


def adapter(folder: Path, policy: HousePolicy, *, weights: bytes = b"", **changed: Any) -> Path:
    """Bytes of its own for weights, unless some are given or lie there already."""
    folder.mkdir(parents=True, exist_ok=True)
    if weights or not (folder / WEIGHTS).exists():
        (folder / WEIGHTS).write_bytes(weights or str(folder).encode())
    if not (folder / "adapter_config.json").exists():
        (folder / "adapter_config.json").write_text(json.dumps({"r": 8}))
    if not (folder / "chat_template.jinja").exists():
        (folder / "chat_template.jinja").write_text(TEMPLATE)
    said = {
        "name": "brackwater",
        "created": 1.0,
        "base": Base(name="tiny", path="/models/tiny", sha256="0" * 64),
        "dataset": DatasetRef(path="data", sha256="1" * 64),
        "profile": "tuned",
        "prompt": prompt_digest(policy, "tuned"),
        "house": policy.digest,
        "fingerprint": "f" * 12,
        "recipe": load_recipe("tiny-cpu"),
        "seed": 1,
        "rows": Counts(train=10, eval=2),
        "tokens": 1000,
        "steps": 5,
        "metrics": Metrics(train_loss=1.0, eval_loss=1.1, completion_format=1.0),
        "seconds": 1.0,
        "versions": {"torch": "2"},
        "sha256": file_sha256(folder / WEIGHTS),
    }
    (folder / MANIFEST).unlink(missing_ok=True)
    write_adapter(folder, AdapterManifest(**(said | changed)))
    return folder


def report(release: Release, *, passed: bool = True, **changed: Any) -> dict[str, Any]:
    """What the gate says of a release."""
    pins = {key: getattr(release, key) for key in ("adapter_sha256", "prompt", "house")}
    return {"passed": passed, **pins, "reasons": [] if passed else ["it leaks"], **changed}
