"""An adapter worked into its base: one model, as fast as the base alone, in the format of both.

Where a server computes adapters beside the base (vLLM does), each costs time: on a CPU several
times that of the base. What is live and alone is served merged; canaries stay adapters.
"""

import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import Final

from models.manifest import MANIFEST, WEIGHTS, read_adapter, weights_sha256
from models.tensors import Tensor, read_tensors, write_tensors
from twofold.errors import Conflict, InvalidInput

MERGED: Final = "merged.json"
"""What a merged folder was made of; written last."""
_TEMPLATE: Final = "chat_template.jinja"
_PREFIX: Final = "base_model.model."
_LEFT: Final = ".lora_A.weight"
_RIGHT: Final = ".lora_B.weight"


def merge(adapter: Path, base: Path, out: Path) -> bool:
    """Writes the base with the adapter worked in to `out`; False where it is there already.

    Raises NotFound or InvalidInput on files that are not whole, and Conflict where the adapter was
    made upon other weights, or has layers that this base lacks.
    """
    manifest = read_adapter(adapter)
    made = {"adapter": manifest.sha256, "base": manifest.base.sha256}
    if _made(out) == made:
        return False
    if (found := weights_sha256(base)) != manifest.base.sha256:
        raise Conflict(
            f"{adapter} was made upon {manifest.base.name} with weights"
            f" {manifest.base.sha256[:12]}, and {base} has {found[:12]}: merged, it would be"
            " another model."
        )
    deltas = _Deltas(adapter)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".merged-") as place:
        folder = Path(place) / "model"
        folder.mkdir()
        for path in sorted(base.iterdir()):
            if path.name.startswith("model") and path.suffix == ".safetensors":
                tensors = {name: deltas.on(name, each) for name, each in read_tensors(path)}
                write_tensors(folder / path.name, tensors)
            elif path.is_file() and path.name != MANIFEST:
                shutil.copyfile(path, folder / path.name)
        if deltas.left:
            raise Conflict(f"{base} has no {min(deltas.left)}, which {adapter} changes.")
        if (adapter / _TEMPLATE).exists():
            shutil.copyfile(adapter / _TEMPLATE, folder / _TEMPLATE)
        (folder / MERGED).write_text(json.dumps(made) + "\n", encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        folder.rename(out)
    return True


class _Deltas:
    """Adds to each weight what an adapter has for it. `left` are those it was not yet asked for."""

    def __init__(self, adapter: Path) -> None:
        config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        rank = config["r"]
        self._scale = config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)
        self._tensors = dict(read_tensors(adapter / WEIGHTS))
        self.left = {name for name in map(_weight, self._tensors) if name}

    def on(self, name: str, weight: Tensor) -> Tensor:
        if name not in self.left:
            return weight
        self.left.remove(name)
        stem = _PREFIX + name.removesuffix(".weight")
        left, right = self._tensors[stem + _LEFT], self._tensors[stem + _RIGHT]
        return weight.holding(weight.floats() + self._scale * right.floats() @ left.floats())


def _weight(name: str) -> str:
    """Returns the weight of the base that a part of an adapter changes; "" for its second part.
    Raises InvalidInput on a part of another kind than LoRA's."""
    if name.endswith(_RIGHT):
        return ""
    if not (name.startswith(_PREFIX) and name.endswith(_LEFT)):
        raise InvalidInput(f"The adapter holds {name}, which is no part of a LoRA on a weight.")
    return name.removeprefix(_PREFIX).removesuffix(_LEFT) + ".weight"


def _made(out: Path) -> dict[str, str] | None:
    try:
        made: dict[str, str] = json.loads((out / MERGED).read_bytes())
    except (OSError, ValueError):
        return None
    return made
