"""What is trained on, and what `twofold train` refuses: all that needs no torch."""

import json
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from models.data.pairs import write
from models.data.rows import Rejected, Row, Split, read_dataset, write_rows
from models.recipes import load_recipe, shipped
from models.training.finetune import TrainingJob, finetune
from models.training.rows import MASKED, encode, encode_all, encode_pairs, prompt_ids
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


def _rejecting(row: Row, *replies: str) -> Row:
    rejected = tuple(Rejected(by="composer", reply=reply) for reply in replies)
    return row.model_copy(update={"rejected": rejected})


def test_a_pair_is_a_prompt_and_both_replies_with_their_ends(
    tokenizer: ChatTokenizer, house: HousePolicy
) -> None:
    row = _rejecting(make_row(house, 3), "DECLINE", "CLARIFY\nWhich?")
    pairs = encode_pairs(tokenizer, [row], load_recipe("tiny-cpu"))
    for (ids, labels, approved), reply in zip(pairs, row.rejected, strict=True):
        taught = [label for label in labels if label != MASKED]
        assert ids == prompt_ids(tokenizer, row) + taught
        assert tokenizer.decode(taught[:approved]) == f"{row.target}<|im_end|>"
        assert tokenizer.decode(taught[approved:]) == f"{reply.reply}<|im_end|>"


def test_pairs_that_teach_nothing_are_counted_and_named(
    tokenizer: ChatTokenizer, house: HousePolicy
) -> None:
    recipe = load_recipe("tiny-cpu")
    row, other = make_row(house, 1), make_row(house, 2)
    with pytest.raises(InvalidInput, match=r"1 of 2 rows: no rejected reply: suite:case-1"):
        encode_pairs(tokenizer, [row, _rejecting(other, "DECLINE")], recipe)
    with pytest.raises(InvalidInput, match=r"1 of 2 pairs: the rejected reply .*: suite:case-1"):
        encode_pairs(tokenizer, [_rejecting(row, "DECLINE", f"{row.target} ")], recipe)
    long = _rejecting(other, "ANSWER\n" + "Logs are kept. [1] " * 600)
    with pytest.raises(InvalidInput, match=r"longer than the 1,536 tokens .*suite:case-2 \("):
        encode_pairs(tokenizer, [_rejecting(row, "DECLINE"), long], recipe)


def test_pairs_need_an_adapter_and_a_recipe_that_knows_them(
    base: Path, house: HousePolicy, tmp_path: Path
) -> None:
    found = read_dataset(make_dataset(tmp_path / "rows", house))
    pairs: dict[Split, list[Row]] = {
        "train": [_rejecting(row, "DECLINE") for row in found.rows["train"]],
        "eval": [],
    }
    write(tmp_path / "pairs", found, pairs, Counter())
    with pytest.raises(InvalidInput, match=r"no eval rows.*twofold dataset pairs --out"):
        finetune(_job(tmp_path / "pairs", base, tmp_path, house), print)
    write(tmp_path / "pairs", found, pairs | {"eval": pairs["train"]}, Counter())
    job = _job(tmp_path / "pairs", base, tmp_path, house)
    with pytest.raises(InvalidInput, match=r"holds pairs.* --start"):
        finetune(job, print)
    bare = job.recipe.model_copy(update={"preference": None})
    with pytest.raises(InvalidInput, match=r"does not say how pairs are trained on"):
        finetune(job._replace(start=tmp_path, recipe=bare), print)
    assert not (tmp_path / "out").exists()


def test_on_pairs_a_recipe_has_what_it_says_of_them() -> None:
    recipe = load_recipe("qwen3-4b-instruct")
    assert recipe.packing
    on_pairs = recipe.on_pairs()
    assert recipe.preference is not None
    assert on_pairs.learning_rate == recipe.preference.learning_rate < recipe.learning_rate
    assert (on_pairs.batch, on_pairs.packing, on_pairs.epochs) == (1, False, 1)
    assert (on_pairs.rank, on_pairs.alpha) == (recipe.rank, recipe.alpha)
    other = recipe.model_copy(update={"attention": "eager"})
    with pytest.raises(InvalidInput, match=r"attention: sdpa; .* has eager"):
        other.on_pairs()


def test_rows_that_are_too_long_are_counted_and_named(
    tokenizer: ChatTokenizer, house: HousePolicy, tmp_path: Path
) -> None:
    rows = [make_row(house, number) for number in range(5)]
    rows[2] = rows[2].model_copy(update={"target": "ANSWER\n" + "Logs are kept. [1] " * 60})
    recipe = load_recipe(str(make_recipe(tmp_path, max_length=300)))
    with pytest.raises(InvalidInput, match=r"1 of 5 rows: .* 300 tokens .* suite:case-2 \("):
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
