"""The preference step of `twofold train`: from pairs and an adapter to the next adapter."""

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.data.pairs import write
from models.data.rows import Rejected, Row, Split, read_dataset
from models.manifest import AdapterManifest, file_sha256
from tests.models.training import (
    PATIENCE,
    command,
    environment,
    make_base,
    make_dataset,
    make_recipe,
    train,
    train_python,
)
from twofold.house_file import load_house
from twofold.policy import HousePolicy

EXAMPLE = Path(__file__).parents[2] / "examples/brackwater/house.yaml"
LIVELY = 0.01
"""A learning rate at which a model of random weights learns a reply in seconds."""

_ALONE = """
import json, sys
from pathlib import Path
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from models.data.rows import read_dataset
from models.recipes import load_recipe
from models.training.passes import pair_log_probs, reply_loss
from models.training.rows import encode, encode_pairs
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
torch.manual_seed(1)
for each in model.parameters():
    each.data += torch.randn_like(each) * 0.1  # so that it matters what is attended to
row = read_dataset(Path(sys.argv[2])).rows["eval"][0]
other = row.model_copy(update={"target": row.rejected[0].reply})
pair = encode_pairs(tokenizer, [row], load_recipe("tiny-cpu"))[0]
with torch.no_grad():
    plain = [encode(tokenizer, each)._asdict() for each in (row, other)]
    alone = [
        -reply_loss(model, {key: torch.tensor([value]) for key, value in each.items()})[0]
        for each in plain
    ]
    given = {"input_ids": torch.tensor([pair.input_ids]), "labels": torch.tensor([pair.labels])}
    beside = pair_log_probs(model, given | {"approved": pair.approved})
print(json.dumps([[float(each) for each in said] for said in (alone, beside)]))
"""

_GATE = """
import asyncio, json, sys
from dataclasses import replace
from pathlib import Path
from models.data.rows import read_dataset
from models.gate.run import run_gate
from models.serve.merge import merge
from tools.smollm2.evaluate import Local
from twofold.house_file import load_house
base, data, house, start, *adapters = sys.argv[1:]
def arm(adapter):
    merged = Path(adapter) / "merged"
    merge(Path(adapter), Path(base), merged)
    local = Local(merged, load_house(Path(house)))
    local.name = Path(adapter).name
    return local
dataset = read_dataset(Path(data))
dataset = replace(dataset, rows={**dataset.rows, "heldout": dataset.rows["eval"]})
live = arm(start)
for adapter in adapters:
    report = asyncio.run(run_gate(arm(adapter), [live], dataset, lambda *_: None))
    print(json.dumps(report.data()))
"""


@pytest.fixture(scope="module")
def house() -> HousePolicy:
    return load_house(EXAMPLE)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, house: HousePolicy) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"), house)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_recipe(
        tmp_path_factory.mktemp("recipe"),
        learning_rate=LIVELY, epochs=12, evals=1, patience=99, accumulate=2, max_new_tokens=40,
        preference={"learning_rate": LIVELY, "epochs": 4, "accumulate": 4},
    )  # fmt: skip


@pytest.fixture(scope="module")
def start(
    base: Path, dataset: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An adapter that has learnt from rows."""
    out = tmp_path_factory.mktemp("start") / "supervised"
    done = train(dataset, "--base", base, "--recipe", recipe, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def make_pairs(folder: Path, dataset: Path, pair: Callable[[Row], Row]) -> Path:
    found = read_dataset(dataset)
    splits: tuple[Split, ...] = ("train", "eval")
    rows = {name: [pair(row) for row in found.rows[name]] for name in splits}
    write(folder, found, rows, Counter())
    return folder


def other_sentence(row: Row) -> Row:
    """Rejects a reply that says something else that the document holds."""
    sentence = row.documents[0].text.rpartition(". ")[2]
    return _rejecting(row, f"ANSWER\n{sentence} [1]")


def backwards(row: Row) -> Row:
    """Prefers a reply that breaks the contract."""
    bare = row.target.partition("\n")[2].partition(" [")[0]
    return _rejecting(row.model_copy(update={"target": bare}), row.target)


def _rejecting(row: Row, reply: str) -> Row:
    return row.model_copy(update={"rejected": (Rejected(by="composer", reply=reply),)})


@pytest.fixture(scope="module")
def pairs(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pairs(tmp_path_factory.mktemp("pairs"), dataset, other_sentence)


@pytest.fixture(scope="module")
def preferred(
    base: Path,
    pairs: Path,
    recipe: Path,
    start: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> "tuple[Path, subprocess.CompletedProcess[str]]":
    """A preference step that nothing disturbed."""
    out = tmp_path_factory.mktemp("preferred") / "preferred"
    done = train(pairs, "--base", base, "--recipe", recipe, "--start", start, "--out", out)
    assert done.returncode == 0, done.stderr
    return out, done


def test_two_replies_behind_one_prompt_are_read_as_if_alone(base: Path, pairs: Path) -> None:
    done = subprocess.run(
        [train_python(), "-c", _ALONE, str(base), str(pairs)],
        env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    alone, beside = json.loads(done.stdout)
    assert beside == pytest.approx(alone, rel=1e-5)


def test_the_approved_reply_of_unseen_pairs_becomes_likelier_than_the_rejected(
    preferred: "tuple[Path, subprocess.CompletedProcess[str]]", pairs: Path, start: Path
) -> None:
    out, done = preferred
    made = AdapterManifest.model_validate_json(done.stdout)
    assert made.metrics.margins is not None
    before, after = made.metrics.margins
    assert after > before + 1
    assert made.start == file_sha256(start / "adapter_model.safetensors") != made.sha256
    assert made.dataset.sha256 == file_sha256(pairs / "manifest.json")
    assert (made.rows.train, made.rows.eval) == (24, 6)
    assert not (out / "checkpoints").exists()
    told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith('{"event')]
    compared = [each for each in told if each["event"] == "compared"]
    assert compared[-1] == {"event": "compared", "done": 30, "total": 30}
    [needs] = [each for each in told if each["event"] == "estimate"]
    assert needs["tokens"] == made.tokens


def test_a_killed_step_goes_on_to_the_same_adapter(
    preferred: "tuple[Path, subprocess.CompletedProcess[str]]",
    base: Path,
    pairs: Path,
    recipe: Path,
    start: Path,
    tmp_path: Path,
) -> None:
    """What its loss is held against is the adapter as it first began, and is not read again."""
    out = tmp_path / "killed"
    given: list[str | Path] = [
        pairs, "--base", base, "--recipe", recipe, "--start", start, "--out", out,
    ]  # fmt: skip
    with subprocess.Popen(
        command(*given), env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith('{"event": "progress"') and json.loads(line)["step"] > 8:
                os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL

    again = train(*given, "--resume")
    assert again.returncode == 0, again.stderr
    events = [json.loads(line) for line in again.stderr.splitlines() if line.startswith("{")]
    kinds = {each["event"] for each in events}
    assert "compared" not in kinds
    assert next(each["step"] for each in events if each["event"] == "progress") > 1
    ours = AdapterManifest.model_validate_json(again.stdout)
    theirs = AdapterManifest.model_validate_json(preferred[1].stdout)
    assert ours.sha256 == theirs.sha256
    assert ours.metrics.margins == theirs.metrics.margins


def test_a_preference_that_costs_the_contract_is_refused_by_the_gate(
    preferred: "tuple[Path, subprocess.CompletedProcess[str]]",
    base: Path,
    dataset: Path,
    recipe: Path,
    start: Path,
    tmp_path: Path,
) -> None:
    bad = tmp_path / "backwards"
    pairs = make_pairs(tmp_path / "pairs", dataset, backwards)
    done = train(pairs, "--base", base, "--recipe", recipe, "--start", start, "--out", bad)
    assert done.returncode == 0, done.stderr
    asked = [base, dataset, EXAMPLE, start, preferred[0], bad]
    judged = subprocess.run(
        [train_python(), "-c", _GATE, *map(str, asked)],
        env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stderr
    kept, lost = (_contract(json.loads(line)) for line in judged.stdout.splitlines())
    assert kept == []
    assert any("at least 0.95 is needed" in reason for reason in lost)
    assert any("against supervised" in reason for reason in lost)


def _contract(report: dict[str, Any]) -> list[str]:
    return [each for each in report["reasons"] if "keeps the reply contract" in each]
