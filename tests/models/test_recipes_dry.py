"""The shipped recipes with their arguments, on small random models of their architectures."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from models.manifest import read_adapter
from models.recipes import load_recipe
from models.serve.merge import merge
from models.tensors import read_tensors
from tests.models.training import (
    PATIENCE,
    environment,
    make_base,
    make_dataset,
    make_recipe,
    train,
    train_python,
)
from twofold.house_file import load_house

EXAMPLE = Path(__file__).parents[2] / "examples/brackwater/house.yaml"

_MODEL = """
import sys, torch
from transformers import AutoConfig, AutoModelForCausalLM
torch.manual_seed(0)
config = AutoConfig.for_model(
    sys.argv[2], vocab_size=1024, hidden_size=64, intermediate_size=128, num_hidden_layers=3,
    num_attention_heads=4, num_key_value_heads=2, head_dim=16, max_position_embeddings=8192,
    tie_word_embeddings=False, bos_token_id=None, eos_token_id=2, pad_token_id=0,
)
AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(sys.argv[1])
"""


def random_model(base: Path, folder: Path, architecture: str) -> Path:
    shutil.copytree(base, folder)
    subprocess.run(
        [train_python(), "-c", _MODEL, str(folder), architecture],
        env=environment(),
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    return folder


@pytest.mark.parametrize(
    ("architecture", "recipe", "changed"),
    [
        ("qwen3", "qwen3-4b-instruct", {}),
        ("llama", "qlora-8b", {"quantize": "none"}),
        ("llama", "smollm2-cpu", {"frozen_layers": 2, "max_length": 1024}),
    ],
)
def test_a_recipe_trains_and_its_adapter_merges(
    architecture: str, recipe: str, changed: dict[str, object], tmp_path: Path
) -> None:
    base = random_model(make_base(tmp_path / "tiny"), tmp_path / "base", architecture)
    dataset = make_dataset(tmp_path / "data", load_house(EXAMPLE), train=6, evals=2)
    small = {"epochs": 1, "evals": 1, "format_sample": 0} | changed
    path = tmp_path / "small.yaml"
    whole = load_recipe(recipe).model_dump(mode="json", exclude={"name"}) | small
    path.write_text(yaml.safe_dump(whole))
    done = train(dataset, "--base", base, "--recipe", path, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    estimate = next(
        event
        for line in done.stderr.splitlines()
        if line.startswith("{") and (event := json.loads(line))["event"] == "estimate"
    )
    assert estimate["weights"] > 0
    assert estimate["optimizer"] == 16 * estimate["trained"]
    assert read_adapter(tmp_path / "out").recipe.rank == whole["rank"]
    layers = {name.split(".layers.")[1][0] for name, _ in _weights(tmp_path / "out")}
    assert layers == ({"2"} if recipe == "smollm2-cpu" else {"0", "1", "2"})
    assert merge(tmp_path / "out", base, tmp_path / "merged")


def test_a_run_goes_on_from_an_adapter_of_the_same_base(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    dataset = make_dataset(tmp_path / "data", load_house(EXAMPLE), train=12, evals=2)
    recipe = make_recipe(tmp_path / "recipe", epochs=1, evals=1, format_sample=0, accumulate=2)
    options = (dataset, "--base", base, "--recipe", recipe)
    first = train(*options, "--out", tmp_path / "first")
    assert first.returncode == 0, first.stderr
    done = train(*options, "--start", tmp_path / "first", "--out", tmp_path / "second")
    assert done.returncode == 0, done.stderr
    one, two = read_adapter(tmp_path / "first"), read_adapter(tmp_path / "second")
    assert two.start == one.sha256 != two.sha256
    assert two.metrics.train_loss < one.metrics.train_loss
    other = make_recipe(
        tmp_path / "other", epochs=1, evals=1, format_sample=0, accumulate=2, rank=4
    )
    refused = train(
        dataset, "--base", base, "--recipe", other, "--start", tmp_path / "first",
        "--out", tmp_path / "third",
    )  # fmt: skip
    assert refused.returncode == 2
    assert "has rank 8" in refused.stderr


def _weights(folder: Path) -> list[tuple[str, object]]:
    return list(read_tensors(folder / "adapter_model.safetensors"))


def test_four_bits_without_a_gpu_say_what_is_missing(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    dataset = make_dataset(tmp_path / "data", load_house(EXAMPLE), train=4, evals=2)
    path = tmp_path / "four.yaml"
    whole = load_recipe("qlora-8b").model_dump(mode="json", exclude={"name"})
    path.write_text(yaml.safe_dump(whole | {"max_length": 1024}))
    done = train(dataset, "--base", base, "--recipe", path, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "needs a GPU and bitsandbytes" in done.stderr
    assert not (tmp_path / "out").exists()
