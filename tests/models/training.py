"""A base of random weights and a small dataset: enough for every step of training."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Template

from models.data.rows import (
    Document,
    Manifest,
    Row,
    RowMessage,
    write_manifest,
    write_rows,
)
from models.recipes import load_recipe
from tools.tiny.tokenizer import CHAT_TEMPLATE, make_tokenizer
from twofold.policy import HousePolicy
from twofold.prompt import prompt_digest, render_prompt

ROOT = Path(__file__).parents[2]
PATIENCE = 900.0
"""Seconds after which a child hangs, however busy the machine is."""

_BASE = """
import sys
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from tools.tiny.tokenizer import make_tokenizer, save
from pathlib import Path

folder, corpus = Path(sys.argv[1]), Path(sys.argv[2])
tokenizer = make_tokenizer([path.read_text() for path in sorted(corpus.glob("**/*.md"))], 1024)
save(tokenizer, folder, 2048)
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=1024, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2048,
    tie_word_embeddings=True, bos_token_id=None, eos_token_id=2, pad_token_id=0,
)
LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
"""


def train_python() -> str:
    """Where torch and trl are; without it the test is skipped, or fails where CI insists."""
    python = os.environ.get("TWOFOLD_TRAIN_PYTHON") or str(ROOT / ".venv-train/bin/python")
    if Path(python).exists():
        return python
    message = f"no training environment at {python}; make it with: make .venv-train/.ready"
    if os.environ.get("TWOFOLD_REQUIRE_SERVERS") == "1":
        pytest.fail(message)
    pytest.skip(message)


def environment(**more: str) -> dict[str, str]:
    """Of a child: our code, the example house, and a thread for itself."""
    house = str(ROOT / "examples/brackwater/house.yaml")
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TWOFOLD_HOUSE": house}
    return os.environ | own | more


def make_base(folder: Path) -> Path:
    corpus = ROOT / "examples/brackwater/help-center"
    run = [train_python(), "-c", _BASE, str(folder), str(corpus)]
    subprocess.run(run, env=environment(), check=True, capture_output=True, timeout=PATIENCE)
    return folder


def make_row(house: HousePolicy, number: int, **changed: Any) -> Row:
    """A question about one document, and the sentence of it that answers."""
    product, days = f"Plan {number}", 10 + number
    sentence = f"{product} keeps logs for {days} days."
    document = Document(
        n=1,
        document=f"help/plan-{number}.md",
        version=1,
        chunk=f"chunk-{number}",
        title=product,
        heading_path=(),
        kind="article",
        text=f"{sentence} It costs {number} euros a month.",
    )
    question = f"How long does {product} keep logs?"
    messages = render_prompt(house, "tuned", [document.as_chunk()], [], question)
    row = Row(
        id=f"suite:case-{number}",
        origin="suite",
        ref=f"case-{number}",
        messages=tuple(RowMessage(role=role, content=content) for role, content in messages),
        target=f"ANSWER\n{sentence} [1]",
        documents=(document,),
        history=(),
        question=question,
        locale="en",
        audience="public",
        profile="tuned",
        prompt=prompt_digest(house, "tuned"),
        house=house.digest,
    )
    return row.model_copy(update=changed)


def make_dataset(
    folder: Path,
    policy: HousePolicy,
    train: int = 24,
    evals: int = 6,
    **changed: Any,
) -> Path:
    """`changed` replaces keys of the manifest."""
    rows = [make_row(policy, number) for number in range(train + evals)]
    splits = {"train.jsonl": rows[:train], "eval.jsonl": rows[train:]}
    files = {name: write_rows(folder / name, each) for name, each in splits.items()}
    said: dict[str, Any] = {
        "created": 1.0,
        "profile": "tuned",
        "prompt": prompt_digest(policy, "tuned"),
        "house": policy.digest,
        "fingerprint": "f" * 12,
        "files": files,
        "wanted": {},
        "reached": {},
        "left_out": {},
        "masked": 0,
        "seed": 0,
    }
    write_manifest(folder, Manifest(**(said | changed)))
    return folder


def make_recipe(folder: Path, **changed: Any) -> Path:
    """tiny-cpu, and less of it."""
    small = {"rank": 8, "epochs": 4, "evals": 2, "format_sample": 2, "max_new_tokens": 8}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.yaml"
    data = load_recipe("tiny-cpu").model_dump(mode="json", exclude={"name"}) | small | changed
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def train(*arguments: str | Path, **more: str) -> "subprocess.CompletedProcess[str]":
    """`twofold train … --json` in the training environment."""
    return subprocess.run(
        command(*arguments),
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def command(*arguments: str | Path) -> list[str]:
    return [train_python(), "-m", "twofold", "train", *map(str, arguments), "--json"]


class ChatTokenizer:
    """A tokenizer with a chat template, without transformers: what rows are encoded with here."""

    chat_template = CHAT_TEMPLATE
    eos_token_id = 2

    def __init__(self) -> None:
        texts = sorted((ROOT / "examples/brackwater/help-center").glob("**/*.md"))
        self._tokens = make_tokenizer([path.read_text(encoding="utf-8") for path in texts], 1024)

    def apply_chat_template(
        self,
        conversation: list[dict[str, str]],
        *,
        add_generation_prompt: bool,
        tokenize: bool,
        return_dict: bool,
    ) -> list[int]:
        assert tokenize
        assert not return_dict
        template = Template(self.chat_template)
        text = template.render(messages=conversation, add_generation_prompt=add_generation_prompt)
        return self.encode(text, add_special_tokens=False)

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        ids: list[int] = self._tokens.encode(text, add_special_tokens=add_special_tokens).ids
        return ids

    def decode(self, ids: list[int]) -> str:
        text: str = self._tokens.decode(ids, skip_special_tokens=False)
        return text
