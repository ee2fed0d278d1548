"""The customer suite is well formed, as large as promised, and its facts stand in its pages."""

import json
import re
import unicodedata
from collections import Counter
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "examples" / "brackwater"
CUSTOMER = EXAMPLE / "customer"
DATA = REPOSITORY.parent / "shared" / "data"
FILES = ["suite", "magento", "policies"]
# Where a file's gold paths begin, and the least number of turns that it holds.
ROOTS = {"suite": EXAMPLE / "help-center", "magento": DATA, "policies": DATA}
LEAST = {"suite": 250, "magento": 60, "policies": 60}
KINDS = {"unrelated": 40, "followup": 30, "double": 20, "unanswerable": 25, "german": 20}
ACTIONS = {"ANSWER", "CLARIFY", "ESCALATE", "DECLINE"}
FIELDS: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "split": str,
    "tags": list,
    "conversation": (str, type(None)),
    "turn": int,
    "message": str,
    "audience": list,
    "locale": str,
    "action": (str, list),
    "gold": list,
    "required": list,
    "forbidden": list,
    "max_words": int,
}

Turn = dict[str, Any]


@cache
def turns(name: str) -> list[Turn]:
    """Returns the turns of one file, in order."""
    text = (CUSTOMER / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.removesuffix("\n").split("\n")]


def actions(turn: Turn) -> list[str]:
    """Returns the actions that are right for a turn."""
    return turn["action"] if isinstance(turn["action"], list) else [turn["action"]]


def fold(text: str) -> str:
    """Returns text in lower case without marks, as customer/README.md says facts are compared."""
    text = unicodedata.normalize("NFKC", text).lower()
    text = re.sub(r"[*`\"'\u2018\u2019\u201c\u201d\u201e]", "", text)
    text = re.sub(r"[^\w$%@.,:/+]", " ", text)
    text = re.sub(r"(?<![^\W_])[.,:/]|[.,:/](?![^\W_])", " ", text)
    return " ".join(text.split())


def holds(folded: str, fact: str) -> bool:
    """Returns whether a folded text says a fact, as whole words and whole numbers."""
    words = re.escape(fold(fact))
    return re.search(rf"(?<![\w$])(?<!\d[.,]){words}(?!\w)(?![.,]\d)", folded) is not None


def root(name: str) -> Path:
    """Returns where a file's gold pages lie; skips the test where they are absent."""
    if not ROOTS[name].is_dir():
        pytest.skip(f"{name}: its pages are not here (no shared/data beside the repository)")
    return ROOTS[name]


@cache
def page(path: Path) -> str:
    """Returns a gold page, folded."""
    return fold(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", FILES)
def test_each_turn_follows_the_schema(name: str) -> None:
    for turn in turns(name):
        assert turn.keys() == FIELDS.keys(), turn["id"]
        wrong = [field for field, kind in FIELDS.items() if not isinstance(turn[field], kind)]
        assert not wrong, (turn["id"], wrong)
        assert turn["split"] in {"tune", "report"}, turn["id"]
        assert turn["locale"] in {"en", "de"}, turn["id"]
        assert actions(turn), turn["id"]
        assert ACTIONS.issuperset(actions(turn)), turn["id"]
        assert turn["message"].strip(), turn["id"]
        assert turn["max_words"] > 0, turn["id"]
        assert all(turn["required"]), turn["id"]
        assert all(fold(variant) for fact in turn["required"] for variant in fact), turn["id"]
        assert all(fold(text) for text in turn["forbidden"]), turn["id"]
        assert actions(turn) != ["ANSWER"] or (turn["gold"] and turn["required"]), turn["id"]


def test_ids_and_messages_are_unique() -> None:
    every = [turn for name in FILES for turn in turns(name)]
    assert [key for key, n in Counter(turn["id"] for turn in every).items() if n > 1] == []
    alone = Counter(turn["message"].casefold() for turn in every if turn["conversation"] is None)
    assert [message for message, n in alone.items() if n > 1] == []


@pytest.mark.parametrize("name", FILES)
def test_conversations_are_whole_and_in_order(name: str) -> None:
    own = groupby(turns(name), key=lambda turn: turn["conversation"] or turn["id"])
    groups = [list(group) for _, group in own]
    seen = [group[0]["conversation"] or group[0]["id"] for group in groups]
    assert len(set(seen)) == len(seen)
    for group in groups:
        assert [turn["turn"] for turn in group] == list(range(1, len(group) + 1)), group[0]["id"]
        assert len({turn["split"] for turn in group}) == 1, group[0]["id"]
        assert (group[0]["conversation"] is None) == (len(group) == 1), group[0]["id"]


@pytest.mark.parametrize("name", FILES)
def test_the_counts_are_those_asked_for(name: str) -> None:
    rows = turns(name)
    assert len(rows) >= LEAST[name]
    report = sum(turn["split"] == "report" for turn in rows)
    assert 0.4 <= report / len(rows) <= 0.6
    if name == "suite":
        kinds = Counter(tag for turn in rows for tag in turn["tags"])
        assert {kind: kinds[kind] for kind, least in KINDS.items() if kinds[kind] < least} == {}
        in_conversation = sum(turn["conversation"] is not None for turn in rows)
        assert 0.4 <= in_conversation / len(rows) <= 0.6


@pytest.mark.parametrize("name", FILES)
def test_no_page_is_the_first_gold_of_both_splits(name: str) -> None:
    first: dict[str, set[str]] = {"tune": set(), "report": set()}
    for turn in turns(name):
        first[turn["split"]].update(turn["gold"][:1])
    assert first["tune"] & first["report"] == set()


@pytest.mark.parametrize("name", FILES)
def test_gold_pages_exist_and_hold_the_facts(name: str) -> None:
    base = root(name)
    for turn in turns(name):
        missing = [path for path in turn["gold"] if not (base / path).is_file()]
        assert not missing, (turn["id"], missing)
        if actions(turn) != ["ANSWER"]:
            continue
        pages = [page(base / path) for path in turn["gold"]]
        for fact in turn["required"]:
            found = any(holds(text, variant) for text in pages for variant in fact)
            assert found, (turn["id"], fact)


@pytest.mark.parametrize("name", FILES)
def test_nothing_required_is_forbidden(name: str) -> None:
    for turn in turns(name):
        said = [fold(variant) for fact in turn["required"] for variant in fact]
        clash = [text for text in turn["forbidden"] if any(holds(fact, text) for fact in said)]
        assert not clash, (turn["id"], clash)
