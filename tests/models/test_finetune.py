"""The real `twofold train`: from a dataset to an adapter that PEFT loads."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from models.manifest import MANIFEST, WEIGHTS, AdapterManifest, file_sha256, read_adapter
from models.recipes import load_recipe
from models.training.finetune import TrainingJob, finetune
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
from twofold.errors import Conflict
from twofold.house_file import load_house
from twofold.policy import HousePolicy

EXAMPLE = Path(__file__).parents[2] / "examples/brackwater/house.yaml"

_LOAD = """
import json, sys
from peft import PeftModel
from transformers import AutoModelForCausalLM
base, adapter = sys.argv[1:]
plain = AutoModelForCausalLM.from_pretrained(base)
tuned = PeftModel.from_pretrained(plain, adapter)
found = {name: each.abs().sum().item() for name, each in tuned.named_parameters()}
print(json.dumps({name: size for name, size in found.items() if "lora" in name}))
"""

_PACKED = """
import json, sys
from pathlib import Path
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
from models.data.rows import read_dataset
from models.training.passes import reply_loss
from models.training.rows import encode
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
torch.manual_seed(1)
for each in model.parameters():
    each.data += torch.randn_like(each) * 0.1  # so that it matters what is attended to
rows = [encode(tokenizer, row)._asdict() for row in read_dataset(Path(sys.argv[2])).rows["eval"]]
join = {key: sum((row[key] for row in rows), []) for key in rows[0]}
join["seq_lengths"] = [len(row["input_ids"]) for row in rows]
with torch.no_grad():
    single = [{key: torch.tensor([value]) for key, value in row.items()} for row in rows]
    alone = sum(reply_loss(model, each)[0] for each in single)
    packed = DataCollatorForLanguageModeling(tokenizer.pad_token_id, padding_free=True)([join])
    together = reply_loss(model, packed)[0]
    mixed = reply_loss(model, {key: packed[key] for key in ("input_ids", "labels")})[0]
print(json.dumps([float(alone), float(together), float(mixed)]))
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
    return make_recipe(tmp_path_factory.mktemp("recipe"))


def job(dataset: Path, base: Path, recipe: Path, out: Path, **more: Any) -> TrainingJob:
    return TrainingJob(
        dataset, str(base), load_recipe(str(recipe)), out, load_house(EXAMPLE), **more
    )


class Run:
    def __init__(self, process: "subprocess.CompletedProcess[str]", out: Path) -> None:
        assert process.returncode == 0, process.stderr
        self.out = out
        self.manifest = AdapterManifest.model_validate_json(process.stdout)
        lines = [line for line in process.stderr.splitlines() if line.startswith("{")]
        self.events: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [each for each in self.events if each["event"] == event]


@pytest.fixture(scope="module")
def finished(
    base: Path, dataset: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("out") / "brackwater"
    return Run(train(dataset, "--base", base, "--recipe", recipe, "--out", out), out)


def test_an_adapter_is_complete_and_says_what_it_was_made_of(
    finished: Run, dataset: Path, house: HousePolicy
) -> None:
    made = finished.manifest
    assert read_adapter(finished.out) == made
    files = {path.name for path in finished.out.iterdir()}
    assert files == {"adapter_config.json", "chat_template.jinja", WEIGHTS, MANIFEST}
    newest = max(finished.out.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert newest.name == MANIFEST
    assert (made.name, made.profile, made.house) == ("brackwater", "tuned", house.digest)
    assert made.dataset.sha256 == file_sha256(dataset / "manifest.json")
    assert (made.rows.train, made.rows.eval) == (24, 6)
    assert made.recipe.name == "small"
    assert set(made.versions) == {"torch", "transformers", "trl", "peft"}
    assert made.metrics.completion_format is not None


def test_the_loss_falls_and_the_best_eval_is_kept(finished: Run) -> None:
    steps = finished.of("progress")
    first, last = steps[0]["loss"], finished.manifest.metrics.train_loss
    assert last < first - 0.3
    evals = [step["eval_loss"] for step in steps if step["eval_loss"] is not None]
    assert finished.manifest.metrics.eval_loss == min(evals) < evals[0]


def test_what_it_needs_is_told_before_the_first_step(finished: Run) -> None:
    kinds = [each["event"] for each in finished.events]
    assert kinds.index("estimate") < kinds.index("progress")
    [told] = finished.of("estimate")
    assert told["trained"] < told["parameters"]
    assert told["weights"] >= 2 * (told["parameters"] - told["trained"])
    assert told["activations"] > told["longest"] > 0
    assert told["tokens"] == finished.manifest.tokens
    assert told["tokens_per_second"] > 0
    assert finished.of("progress")[-1]["seconds_left"] == 0


def test_peft_loads_it_and_every_layer_learned(finished: Run, base: Path) -> None:
    loaded = subprocess.run(
        [train_python(), "-c", _LOAD, str(base), str(finished.out)],
        env=environment(),
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    weights = json.loads(loaded.stdout)
    assert len(weights) == 2 * 2 * 7  # layers, A and B, linear layers in one
    assert all(weights.values())


def test_a_killed_run_goes_on_to_the_same_adapter(
    finished: Run, base: Path, dataset: Path, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    given = [dataset, "--base", base, "--recipe", recipe, "--out", out]
    with subprocess.Popen(
        command(*given), env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith('{"event": "progress"') and json.loads(line)["step"] > 10:
                os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (out / MANIFEST).exists()

    with pytest.raises(Conflict, match=r"unfinished run.*--resume"):
        finetune(job(dataset, base, recipe, out), print)

    # What a kill in the middle of a checkpoint leaves.
    torn = out / "checkpoints/checkpoint-999"
    torn.mkdir()
    (torn / "adapter_model.safetensors").write_bytes(b"half")

    again = Run(train(*given, "--resume"), out)
    assert again.of("progress")[0]["step"] > 1
    ours, theirs = again.manifest, finished.manifest
    assert ours.sha256 == theirs.sha256
    assert (ours.steps, ours.tokens) == (theirs.steps, theirs.tokens)
    assert ours.metrics.eval_loss == pytest.approx(theirs.metrics.eval_loss, rel=1e-6)

    # Finished: nothing is trained any more, and what is not the same run is refused.
    events: list[Any] = []
    assert finetune(job(dataset, base, recipe, out, resume=True), events.append) == ours
    assert events == []
    with pytest.raises(Conflict, match="another seed"):
        finetune(job(dataset, base, recipe, out, resume=True, seed=7), print)
    with pytest.raises(Conflict, match="a finished adapter"):
        finetune(job(dataset, base, recipe, out), print)


def test_two_runs_do_not_share_a_folder(
    base: Path, dataset: Path, recipe: Path, tmp_path: Path
) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        refused = train(dataset, "--base", base, "--recipe", recipe, "--out", tmp_path)
    finally:
        os.close(folder)
    assert refused.returncode != 0
    assert "Another process trains into" in refused.stderr
    assert not list(tmp_path.iterdir())


def test_packed_rows_are_kept_apart(base: Path, dataset: Path) -> None:
    """In one sequence without padding, they lose what they lose one by one."""
    done = subprocess.run(
        [train_python(), "-c", _PACKED, str(base), str(dataset)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    alone, packed, mixed_up = json.loads(done.stdout)
    assert packed == pytest.approx(alone, rel=1e-4)
    assert mixed_up != pytest.approx(alone, rel=1e-4)


def test_a_base_without_chat_template_is_refused(
    base: Path, dataset: Path, recipe: Path, tmp_path: Path
) -> None:
    untaught = shutil.copytree(base, tmp_path / "untaught")
    (untaught / "chat_template.jinja").unlink()
    out = tmp_path / "out"
    refused = train(dataset, "--base", untaught, "--recipe", recipe, "--out", out)
    assert refused.returncode == 2
    assert "has no chat template" in refused.stderr
    assert not out.exists()
