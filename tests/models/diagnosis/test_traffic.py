"""Live answers as a diagnosis: what nobody looked into is neither passed nor failed."""

import asyncio
from collections.abc import Mapping
from io import StringIO
from typing import Any

import httpx
import pytest
from rich.console import Console

from models.diagnosis.page import render_html, render_markdown, render_terminal
from models.diagnosis.page.questions import questions
from models.diagnosis.traffic import looked_into, traffic
from models.diagnosis.verdicts import LAYERS, Verdict
from models.suite.client import AnswerClient
from twofold.errors import UpstreamError

WANTING = Verdict(
    case="a", layer=LAYERS["stale"], cause="stale", flipped_by=None, confidence=0.9, evidence="e"
).model_dump(mode="json")
OLD = WANTING | {"cause": "a_cause_of_another_version"}


def _asked(id: int, state: str = "", verdict: Mapping[str, Any] | None = None) -> dict[str, Any]:
    found = {"signal": "sample", "state": state, "verdict": verdict} if state else None
    answer = {
        "answer_id": f"a{id}", "conversation_id": f"c{id}", "action": "ANSWER", "text": "t",
        "served_by": "composer", "citations": [],
    }  # fmt: skip
    return {
        "answer": answer, "question": "q", "comment": "", "rating": None, "diagnosed": found,
    }  # fmt: skip


def _pages(*asked: Mapping[str, Any]) -> list[str]:
    found = traffic(asked, 0.0)
    out = StringIO()
    render_terminal(Console(file=out, width=10_000), found)
    return [render_html(found), render_markdown(found), out.getvalue()]


def test_what_nobody_looked_into_is_not_passed() -> None:
    unknown = [_asked(n) for n in range(25)]
    more = [_asked(30, "waiting"), _asked(31, "failed"), _asked(32, "done", OLD)]
    sound = [_asked(n, "done") for n in range(40, 47)]
    wanting = _asked(50, "done", WANTING)
    assert not any(map(looked_into, [*unknown, *more]))

    found = traffic([*unknown, *more, *sound], 0.0)
    assert [case.id for case in found.cases] == [f"a{n}" for n in range(40, 47)]
    assert (found.facts["looked_into"], found.facts["not_looked_into"]) == (7, 28)
    assert found.recommendation.text.startswith("Of 7 answers that were looked into none fails")

    found = traffic([*unknown, *more, *sound, wanting], 0.0)
    assert [case.passed for case in found.cases] == [True] * 7 + [False]
    assert found.recommendation.text.startswith("Of 8 answers that were looked into 1 fails")
    assert found.passed.value == 7 / 8


def test_where_nothing_or_little_was_looked_into_nothing_is_said() -> None:
    found = traffic([_asked(1), _asked(2, "waiting")], 0.0)
    assert found.recommendation.advice == "cannot_tell"
    assert {each.word for each in questions(found)} == {"cannot tell"}
    few = traffic([_asked(1, "done"), _asked(2, "done", WANTING)], 0.0)
    assert few.recommendation.advice == "cannot_tell"
    assert "yes" not in {each.word for each in questions(few)}
    assert traffic([_asked(1, "done")], 0.0).recommendation.advice == "cannot_tell"
    for page in _pages(_asked(1)):
        assert "pass" not in page.replace("passage", "").replace("passes", "").split("<body>")[-1]
        assert "No answer was looked into yet." in page


def test_who_has_no_key_hears_what_to_do() -> None:
    said = {"detail": "A key is needed here."}
    transport = httpx.MockTransport(lambda _: httpx.Response(401, json=said))

    async def ask() -> None:
        async with httpx.AsyncClient(transport=transport, base_url="http://x:1") as http:
            await AnswerClient(http).questions(1795526250.7357934)

    with pytest.raises(UpstreamError) as refused:
        asyncio.run(ask())
    for told in ("http://x:1", "A key is needed here.", "--key or TWOFOLD_API_KEY",
                 "`twofold key create NAME --scope read --scope admin`"):  # fmt: skip
        assert told in refused.value.message
    assert "1795526250" not in refused.value.message


def test_pages_of_live_answers_speak_of_no_suite_and_of_no_labels_that_there_were_not() -> None:
    for page in _pages(_asked(1, "done", WANTING), _asked(2, "done"), _asked(3)):
        assert "this suite" not in page
        assert "The suite" not in page
        assert "the suite is" not in page
        assert "Recorded answers" not in page
        assert "against people's labels" not in page
        assert "planted faults, example suite" in page
