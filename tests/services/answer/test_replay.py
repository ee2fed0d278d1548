"""A question asked again in another world: by other reply makers, with other pages, and nothing of
it is recorded."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from services.answer.app import admitting, bare_app
from services.answer.pipeline import Parts
from tests.ingestion.helpers import WORKSPACE
from tests.model_server import CACHED, GOOD, PROMPT, ModelServer, says
from tests.services.answer.asking import QUESTION, knowing, with_model
from twofold.ledger.models import Answer, Document, Version


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with knowing(tmp_path_factory.mktemp("replay")) as parts:
        yield parts


def replayed(parts: Parts, reply: str = GOOD, **world: Any) -> tuple[int, dict[str, Any], int]:
    """Status, answer, and how often the base model was asked."""

    async def run() -> tuple[int, dict[str, Any], int]:
        async with ModelServer(says(reply)) as server:
            app = admitting(bare_app(with_model(parts, server.url)), WORKSPACE)
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
                answered = await http.post("/v1/replays", json={"message": QUESTION, **world})
                return answered.status_code, answered.json(), len(server.requests)

    return asyncio.run(run())


def test_the_world_as_it_is_and_nothing_is_recorded(parts: Parts) -> None:
    status, told, asked = replayed(parts)
    assert (status, told["action"], asked) == (200, "ANSWER", 1)
    assert told["served_by"] in ("base", "tuned")
    assert "12 hours" in told["text"]
    assert {each["chunk"] for each in told["candidates"]} >= set(told["packed"])
    with parts.stack.ledger.session() as session:
        assert session.scalar(select(func.count()).select_from(Answer)) == 0


def test_another_reply_maker_is_asked_and_no_other(parts: Parts) -> None:
    _, told, asked = replayed(parts, maker="composer")
    assert (told["served_by"], asked) == ("composer", 0)
    status, problem, _ = replayed(parts, maker=_absent(parts))
    assert status == 404
    assert "is served here" in problem["detail"]


def test_a_model_without_sources_is_taken_at_its_word(parts: Parts) -> None:
    there = _there(parts)
    _, told, asked = replayed(parts, "ANSWER\nForty-two days, I think.", maker=there, sources=False)
    assert (told["text"], told["packed"], asked) == ("Forty-two days, I think.", [], 1)
    _, told, _ = replayed(parts, "ANSWER\nForty-two days, I think.", maker=there)
    assert "Forty-two" not in told["text"]


def test_every_model_that_was_asked_is_told_with_what_it_read_and_wrote(parts: Parts) -> None:
    there = _there(parts)
    _, told, _ = replayed(parts)
    whole = {"prompt_tokens": PROMPT, "cached_tokens": CACHED, "completion_tokens": 42}
    assert told["calls"] == [{"step": there, "outcome": "served", **whole}]
    # Of a reply that nothing holds, though the composer's is told.
    _, told, _ = replayed(parts, "ANSWER\nForty-two days, I think. [1]")
    assert told["served_by"] == "composer"
    assert told["calls"] == [{"step": there, "outcome": "replaced", **whole}]
    # Of one that is ended at its first line; what came from the cache is then not known.
    _, told, _ = replayed(parts, "ESCALATE [team=security reason=security]\n" + "So it goes. " * 50)
    assert (told["action"], told["served_by"]) == ("ESCALATE", there)
    assert told["calls"][0]["prompt_tokens"] == PROMPT
    assert told["calls"][0]["completion_tokens"] > 0
    assert told["calls"][0]["cached_tokens"] is None
    _, told, _ = replayed(parts, maker="composer")
    assert told["calls"] == []


def test_pages_are_given_whatever_their_state(parts: Parts) -> None:
    page = _page(parts, "secret")
    alone = {"maker": "composer", "pages": [{"document": page}]}
    _, told, _ = replayed(parts, **alone)
    assert {each["document"] for each in told["candidates"]} == {page}
    _, without, _ = replayed(parts, maker="composer", without=[page])
    assert page not in {each["document"] for each in without["candidates"]}
    assert without["action"] != "ANSWER" or "12 hours" not in without["text"]
    own = {"document": page, "text": "Rolling a signing secret keeps both valid for 99 hours."}
    _, other, _ = replayed(parts, maker="composer", pages=[own], place="first", without=[page])
    assert other["candidates"][0]["text"].endswith("99 hours.")
    status, _, _ = replayed(parts, maker="composer", pages=[{"document": "help/none.md"}])
    assert status == 404


def test_what_is_known_of_a_page_is_told_though_it_is_hidden(parts: Parts) -> None:
    page = _page(parts, "secret")

    async def states() -> dict[str, Any]:
        transport = httpx.ASGITransport(admitting(bare_app(parts), WORKSPACE))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
            name = page.partition("/")[2]
            found = (await http.get(f"/v1/replays/documents?name={name}")).json()["documents"]
            assert len(found) == 1
            return dict(found[0])

    state = asyncio.run(states())
    assert (state["document"], state["live"], state["failure"]) == (page, 1, None)
    assert state["points"] == len(state["passages"]) > 0
    assert "12 hours" in state["versions"][0]["text"]


def _page(parts: Parts, word: str) -> str:
    with parts.stack.ledger.session() as session:
        for document, text in session.execute(
            select(Document, Version.title).join(Version, Version.document_id == Document.id)
        ):
            if word in text.lower():
                return f"{document.source}/{document.external_id}"
    raise AssertionError(word)


def _there(parts: Parts) -> str:
    return next(maker.step for maker in with_model(parts, "http://x").ladder.models)


def _absent(parts: Parts) -> str:
    return "base" if _there(parts) == "tuned" else "tuned"
