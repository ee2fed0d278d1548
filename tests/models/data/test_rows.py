"""A row is what the service would ask: byte for byte, and read back as it was written."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.data.collect import Built
from models.data.rows import (
    MANIFEST,
    Manifest,
    Row,
    read_dataset,
    read_rows,
    write_manifest,
    write_rows,
)
from models.data.seeds import Cite, Seed
from models.data.vary import rendered
from models.suite.suite import CaseTurn
from services.answer.contract import Turn as Said
from services.answer.pipeline import Parts
from tests.model_server import GOOD, ModelServer, says
from tests.models.data.shop import collected, shop
from tests.services.answer.asking import QUESTION, hear, with_model
from twofold.errors import InvalidInput, NotFound

SECRETS = Cite("help/secrets.md")
HISTORY = (
    CaseTurn(role="user", text="Rolling a signing secret?"),
    CaseTurn(role="assistant", text="It keeps both secrets. [1]"),
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with shop(tmp_path_factory.mktemp("rows")) as parts:
        yield parts


def seed(question: str = QUESTION, history: tuple[CaseTurn, ...] = ()) -> Seed:
    facts = (("12 hours",),)
    return Seed("suite", "roll", question, "ANSWER", history, gold=(SECRETS,), facts=facts)


def row_of(parts: Parts, each: Seed) -> Row:
    built: Built = asyncio.run(collected(parts, each))
    (row,) = built.rows
    return rendered(row, parts.house)


@pytest.mark.parametrize("history", [(), HISTORY])
def test_a_row_is_byte_for_byte_what_a_model_is_asked(
    parts: Parts, history: tuple[CaseTurn, ...]
) -> None:
    row = row_of(parts, seed(history=history))

    async def serve() -> ModelServer:
        async with ModelServer(says(GOOD)) as server:
            turns = tuple(Said(turn.role, turn.text) for turn in history)
            await hear(with_model(parts, server.url, "tuned"), QUESTION, history=turns)
            return server

    (asked,) = asyncio.run(serve()).requests
    assert [message.model_dump() for message in row.messages] == asked.body["messages"]
    assert row.target == (
        "ANSWER\nRolling a signing secret keeps both secrets valid for 12 hours. [1]"
    )
    assert (row.gold, row.documents[0].document) == ((1,), "help/secrets.md")


def _manifest(**files: Row) -> Manifest:
    return Manifest(
        created=1.0, profile="tuned", prompt="p", house="h", fingerprint="f", files={},
        wanted={}, reached={}, left_out={}, masked=0, seed=7,
    )  # fmt: skip


def test_a_dataset_is_read_as_it_was_written(parts: Parts, tmp_path: Path) -> None:
    row = row_of(parts, seed())
    files = {"train.jsonl": write_rows(tmp_path / "train.jsonl", [row])}
    with pytest.raises(NotFound, match="no finished dataset"):
        read_dataset(tmp_path)
    write_manifest(tmp_path, _manifest().model_copy(update={"files": files}))
    found = read_dataset(tmp_path)
    assert found.rows == {"train": [row], "eval": [], "heldout": []}
    assert found.manifest.files["train.jsonl"].actions == {"ANSWER": 1}


def test_a_dataset_that_somebody_touched_is_refused(parts: Parts, tmp_path: Path) -> None:
    row = row_of(parts, seed())
    files = {"train.jsonl": write_rows(tmp_path / "train.jsonl", [row])}
    write_manifest(tmp_path, _manifest().model_copy(update={"files": files}))
    write_rows(tmp_path / "train.jsonl", [row.model_copy(update={"question": "Else?"})])
    with pytest.raises(InvalidInput, match="changed after it was written"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ({"origin": "dream"}, "line 2: origin"),
        ({"more": 1}, "line 2: more"),
        ({"documents": [{"n": 0}]}, r"line 2: documents\.0"),
    ],
)
def test_a_bad_row_names_its_line(
    parts: Parts, tmp_path: Path, edit: dict[str, object], says: str
) -> None:
    path = tmp_path / "train.jsonl"
    row = row_of(parts, seed())
    write_rows(path, [row])
    bad = json.dumps(row.model_dump(mode="json") | edit)
    path.write_text(path.read_text() + bad + "\n")
    with pytest.raises(InvalidInput, match=says):
        read_rows(path)


def test_no_dataset_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="twofold dataset build"):
        read_rows(tmp_path / "train.jsonl")
    assert MANIFEST == "manifest.json"
