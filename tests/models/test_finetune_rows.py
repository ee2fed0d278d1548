"""What is trained on, and what `twofold train` refuses: all that needs no torch."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from models.data.rows import write_rows
from models.recipes import load_recipe, shipped
from models.training.finetune import TrainingJob, finetune
from models.training.rows import MASKED, encode, encode_all, prompt_ids
from tests.models.training import ChatTokenizer, make_dataset, make_recipe, make_row
from twofold.errors import InvalidInput, NotFound, SetupError
from twofold.house_file import load_house
from twofold.policy import HousePolicy

EXAMPLE = Path(__file__).parents[2] / "examples/brackwater/house.yaml"


@pytest.fixture(scope="module")
def house() -> HousePolicy:
    return load_house(EXAMPLE)


@pytest.fixture(scope="module")
def tokenizer() -> ChatTokenizer:
    return ChatTokenizer()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """What of a base is read before torch is needed."""
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 2048}))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_loss_is_on_the_reply_and_its_end_alone(
    tokenizer: ChatTokenizer, house: HousePolicy
) -> None:
    row = make_row(house, 3)
    ids, labels = encode(tokenizer, row)
    taught = [label for label in labels if label != MASKED]
    assert tokenizer.decode(taught) == row.target + "<|im_end|>"
    masked = len(labels) - len(taught)
    assert labels == [MASKED] * masked + ids[masked:]
    assert ids[:masked] == prompt_ids(tokenizer, row)
    assert tokenizer.decode(ids[:masked]).endswith(
        f"{row.question}<|im_end|>\n<|im_start|>assistant\n"
    )


def test_other_words_in_the_prompt_change_no_label(
    tokenizer: ChatTokenizer, house: HousePolicy
) -> None:
    row = make_row(house, 3)
    said = row.messages[-1].model_copy(update={"content": "Tell me about log retention, please."})
    other = row.model_copy(update={"messages": (*row.messages[:-1], said)})
    one, two = encode(tokenizer, row), encode(tokenizer, other)
    assert one.input_ids != two.input_ids
    assert [x for x in one.labels if x != MASKED] == [x for x in two.labels if x != MASKED]


def test_rows_that_are_too_long_are_counted_and_named(
    tokenizer: ChatTokenizer, house: HousePolicy, tmp_path: Path
) -> None:
    rows = [make_row(house, number) for number in range(5)]
    rows[2] = rows[2].model_copy(update={"target": "ANSWER\n" + "Logs are kept. [1] " * 60})
    recipe = load_recipe(str(make_recipe(tmp_path, max_length=300)))
    with pytest.raises(InvalidInput, match=r"1 of 5 rows .* 300 tokens .* suite:case-2 \("):
        encode_all(tokenizer, rows, recipe)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"prompt": "0" * 12}, "The prompt changed since .* dataset build"),
        ({"house": "0" * 12}, "The house policy changed since .* dataset build"),
    ],
)
def test_a_dataset_of_another_prompt_is_refused(
    changed: dict[str, Any], said: str, base: Path, house: HousePolicy, tmp_path: Path
) -> None:
    dataset = make_dataset(tmp_path / "data", house, **changed)
    with pytest.raises(InvalidInput, match=said):
        finetune(_job(dataset, base, tmp_path, house), print)
    assert not (tmp_path / "out").exists()


def test_a_dataset_without_manifest_or_eval_rows_is_refused(
    base: Path, house: HousePolicy, tmp_path: Path
) -> None:
    unfinished = tmp_path / "unfinished"
    write_rows(unfinished / "train.jsonl", [make_row(house, 1)])
    with pytest.raises(NotFound, match="no finished dataset"):
        finetune(_job(unfinished, base, tmp_path, house), print)
    one_half = make_dataset(tmp_path / "data", house, evals=0)
    with pytest.raises(InvalidInput, match="no eval rows"):
        finetune(_job(one_half, base, tmp_path, house), print)


def test_a_base_must_be_there_and_attend_far_enough(
    base: Path, house: HousePolicy, tmp_path: Path
) -> None:
    dataset = make_dataset(tmp_path / "data", house)
    with pytest.raises(NotFound, match="holds no model"):
        finetune(_job(dataset, dataset, tmp_path, house), print)
    (base / "config.json").write_text(json.dumps({"max_position_embeddings": 512}))
    with pytest.raises(InvalidInput, match="1,536 tokens, but base attends to 512"):
        finetune(_job(dataset, base, tmp_path, house), print)


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is installed here")
def test_without_torch_it_says_how_to_get_it(
    base: Path, house: HousePolicy, tmp_path: Path
) -> None:
    dataset = make_dataset(tmp_path / "data", house)
    with pytest.raises(SetupError, match=r"torch.*make \.venv-train"):
        finetune(_job(dataset, base, tmp_path, house), print)


def test_every_shipped_recipe_is_valid() -> None:
    assert shipped() == ["qlora-8b", "qwen3-4b-instruct", "smollm2-cpu", "tiny-cpu"]
    assert all(load_recipe(name).name == name for name in shipped())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"learning_rat": 1e-3, "ranks": 8}, "unknown keys: learning_rat, ranks"),
        ({"rank": 0}, "rank: Input should be greater than 0"),
        ({"batch": 4}, "padded to the longest"),
    ],
)
def test_a_wrong_recipe_is_refused_by_key(
    changed: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=said):
        load_recipe(str(make_recipe(tmp_path, **changed)))


def test_an_unknown_recipe_names_those_there_are() -> None:
    with pytest.raises(NotFound, match="qwen3-4b-instruct, smollm2-cpu, tiny-cpu"):
        load_recipe("huge")


def _job(dataset: Path, base: Path, folder: Path, house: HousePolicy) -> TrainingJob:
    return TrainingJob(dataset, str(base), load_recipe("tiny-cpu"), folder / "out", house)
