"""What an adapter is: written last into its folder, so that its presence means completeness."""

import hashlib
import json
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.recipes import Recipe
from twofold.errors import InvalidInput, NotFound
from twofold.prompt import Profile

MANIFEST = "manifest.json"
WEIGHTS = "adapter_model.safetensors"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Base(_Model):
    """The model under the adapter. `sha256` is that of its weights, see `weights_sha256`."""

    name: str
    path: str
    sha256: str


class DatasetRef(_Model):
    """The dataset trained on; `sha256` is that of its own manifest.json."""

    path: str
    sha256: str


class Counts(_Model):
    train: int
    eval: int


class Metrics(_Model):
    """Losses are mean nats a token of replies; `train_loss` is the last epoch's mean, `eval_loss`
    None where no rows were kept apart for it."""

    train_loss: float
    eval_loss: float | None
    completion_format: float | None = Field(ge=0, le=1)
    """Share of greedy replies to eval prompts that keep the contract; None: none was asked for."""
    margins: tuple[float, float] | None = None
    """By how many nats the approved reply of an eval pair is likelier than the rejected, on
    average: before, and after; None where rows were trained on."""


class AdapterManifest(_Model):
    name: str
    created: float
    """Epoch seconds."""
    base: Base
    dataset: DatasetRef
    profile: Profile
    prompt: str
    """Digest of the prompt that the rows were rendered with: `twofold.prompt.prompt_digest`."""
    house: str
    fingerprint: str
    """Digest of the index fingerprint that the rows' documents came from."""
    recipe: Recipe
    seed: int
    start: str = ""
    """SHA-256 of the weights of the adapter that it went on from; "" for none."""
    rows: Counts
    tokens: int
    """Tokens passed through in training, padding left out."""
    steps: int
    """Optimizer steps taken; the weights kept are those of the best eval loss among them."""
    metrics: Metrics
    seconds: float
    versions: dict[str, str]
    """torch, transformers, trl, peft."""
    sha256: str
    """Of adapter_model.safetensors."""


def read_adapter(folder: Path) -> AdapterManifest:
    """Returns the manifest of a complete and unaltered adapter. Raises NotFound or InvalidInput."""
    path = folder / MANIFEST
    try:
        manifest = AdapterManifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise NotFound(
            f"{folder} holds no finished adapter (no {MANIFEST}). "
            "Finish it with: twofold train --resume …"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InvalidInput(f"{path}: {where}: {first['msg']}") from error
    weights = folder / WEIGHTS
    if not weights.exists() or file_sha256(weights) != manifest.sha256:
        raise InvalidInput(
            f"{weights} is not the file that {path} describes. Train the adapter again."
        )
    return manifest


def write_adapter(folder: Path, manifest: AdapterManifest) -> None:
    """Puts the manifest in place in one step: a reader sees none, or all of it."""
    data = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    partial = folder / f"{MANIFEST}.partial"
    with partial.open("w", encoding="utf-8") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / MANIFEST)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_sha256(folder: Path) -> str:
    """Returns the SHA-256 of a model's weights: of its one safetensors file, or over names and
    digests of all its shards. Raises NotFound where it has none."""
    shards = sorted(folder.glob("model*.safetensors"))
    if not shards:
        raise NotFound(f"{folder} holds no model*.safetensors: it is no model that can be tuned.")
    if len(shards) == 1:
        return file_sha256(shards[0])
    lines = "".join(f"{shard.name} {file_sha256(shard)}\n" for shard in shards)
    return hashlib.sha256(lines.encode()).hexdigest()
