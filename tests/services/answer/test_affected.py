"""A document changes: which answers rested on it, and which would now say something else."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from services.answer.affected import find, replay, said
from services.answer.app import create_app
from services.answer.contract import Ask
from services.answer.events import Meta
from services.answer.pipeline import Parts, answer
from tests.ingestion.helpers import WORKSPACE, run_sync, write_tree
from tests.services.answer.asking import QUESTION, SECRETS, counted, hear, knowing
from tests.services.answer.edge import Client, key_for
from twofold.errors import NotFound
from twofold.index.contract import PUBLIC
from twofold.reply import OURS

DOCUMENT = "help/secrets.md"


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with knowing(tmp_path) as parts:
        yield parts


def edit(parts: Parts, tmp_path: Path, old: str, new: str) -> None:
    write_tree(tmp_path / "tree", {"secrets.md": SECRETS.replace(old, new)})
    run_sync(parts.stack, tmp_path / "tree")


def asked(parts: Parts) -> str:
    heard = asyncio.run(hear(parts))
    assert [each.document for each in heard.done.citations] == [DOCUMENT]
    return heard.done.answer_id


def test_answers_are_affected_once_what_they_cited_has_a_successor(
    parts: Parts, tmp_path: Path
) -> None:
    id = asked(parts)
    assert find(parts.stack.ledger, WORKSPACE, DOCUMENT).answers == ()
    edit(parts, tmp_path, "12 hours", "6 hours")
    later = asked(parts)
    for name in (DOCUMENT, "secrets.md"):
        found = find(parts.stack.ledger, WORKSPACE, name)
        assert ([each.id for each in found.answers], found.before_version) == ([id], 2)
    everything = find(parts.stack.ledger, WORKSPACE, DOCUMENT, before=3)
    assert [each.id for each in everything.answers] == [later, id]
    assert find(parts.stack.ledger, WORKSPACE, DOCUMENT, before=1).answers == ()
    with pytest.raises(NotFound):
        find(parts.stack.ledger, "other", DOCUMENT)


def test_a_metric_counts_answers_whose_source_changed_under_them(
    parts: Parts, tmp_path: Path
) -> None:
    def superseded() -> float:
        value = REGISTRY.get_sample_value("twofold_knowledge_superseded_answers_total")
        assert value is not None
        return value

    async def disturbed() -> None:
        async for event in answer(Ask(QUESTION, WORKSPACE), parts):
            if isinstance(event, Meta):
                edit(parts, tmp_path, "12 hours", "6 hours")

    before = superseded()
    asked(parts)
    assert superseded() == before
    asyncio.run(disturbed())
    assert superseded() == before + 1
    asked(parts)
    assert superseded() == before + 1


def test_a_document_that_is_gone_affects_whatever_cited_it(parts: Parts, tmp_path: Path) -> None:
    id = asked(parts)
    (tmp_path / "tree" / "secrets.md").unlink()
    run_sync(parts.stack, tmp_path / "tree")
    found = find(parts.stack.ledger, WORKSPACE, DOCUMENT)
    assert ([each.id for each in found.answers], found.before_version) == ([id], None)
    (replayed,) = asyncio.run(replay(parts, found.answers))
    assert "documents" in replayed.changes


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        pytest.param("12 hours", "6 hours", ("numbers",), id="another number"),
        pytest.param("Deploy the new", "Bring the new", (), id="other words, the same meaning"),
        pytest.param("# Roll a", "# Rolling a", (), id="another title"),
    ],
)
def test_only_answers_whose_meaning_changed_are_shown_and_nothing_is_recorded(
    parts: Parts, tmp_path: Path, old: str, new: str, changes: tuple[str, ...]
) -> None:
    asked(parts)
    edit(parts, tmp_path, old, new)
    before = counted(parts.stack)
    found = find(parts.stack.ledger, WORKSPACE, DOCUMENT)
    assert len(found.answers) == 1
    replayed = asyncio.run(replay(parts, found.answers))
    assert [each.changes for each in replayed] == ([changes] if changes else [])
    assert counted(parts.stack) == before


def test_what_the_service_itself_said_changes_no_meaning(parts: Parts, tmp_path: Path) -> None:
    id = asked(parts)
    edit(parts, tmp_path, "# Roll a", "# Rolling a")
    ours = "I am not sure that this answers “may I pay 900 dollars on 5 May 2031”."
    (answer,) = find(parts.stack.ledger, WORKSPACE, DOCUMENT).answers
    answer.text = f"{answer.text}\n\n{ours}"
    (changed,) = asyncio.run(replay(parts, [answer]))
    assert (changed.answer.id, changed.changes) == (id, ("numbers", "days"))
    answer.signals = {**answer.signals, OURS: [ours]}
    assert asyncio.run(replay(parts, [answer])) == []


def test_what_counts_as_meaning() -> None:
    then = said("ANSWER", "It costs $1,000 until 1 March 2026. [1]", ["help/a.md"], "en")
    assert (then.numbers, then.days) == ({"1000"}, {"2026-03-01"})
    assert (
        then.changes(said("ANSWER", "Until 1 March 2026: 1,000 dollars. [2]", ["help/a.md"], "en"))
        == ()
    )
    assert then.changes(said("ANSWER", "$1,000 until 2 March 2026. [1]", ["help/b.md"], "en")) == (
        "days",
        "documents",
    )
    assert then.changes(said("ESCALATE", "", [], "en"))[0] == "action"


def test_over_http_a_key_sees_the_answers_of_its_own_audiences(
    parts: Parts, tmp_path: Path
) -> None:
    asked(parts)
    asyncio.run(hear(parts, audiences=frozenset({"internal"})))
    edit(parts, tmp_path, "12 hours", "6 hours")
    app = create_app(parts)
    path = f"/v1/answers?document={DOCUMENT}"
    everything = Client(app)("GET", path).json()
    assert (len(everything["answers"]), everything["before_version"]) == (2, 2)
    assert everything["answers"][0]["versions"] == [1]
    limited = Client(app, key_for(parts, "all", "admin", audiences=[PUBLIC]))
    assert len(limited("GET", path).json()["answers"]) == 1
    replayed = Client(app)("GET", f"{path}&replay=true").json()
    assert replayed["replayed"] == 2
    assert {tuple(each["now"]["changes"]) for each in replayed["answers"]} == {("numbers",)}
    assert Client(app)("GET", "/v1/answers?document=help/none.md").status_code == 404
    assert Client(app, key_for(parts, "ask", "answer"))("GET", path).status_code == 403
