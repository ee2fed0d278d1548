"""What the service itself says in a reply is nobody's claim; whoever else says it is judged."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from functools import cache
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.diagnosis.checks import formed, read
from models.diagnosis.live import attribute_live
from models.diagnosis.replays import ReplayedCase, outcome_of
from models.diagnosis.verdicts import Verdict
from models.suite.client import AnswerClient
from models.suite.suite import Case, Expected
from services.answer.contract import Candidate, Decision, Evidence, Found, Question
from services.answer.decide.decider import Decider, Witnesses
from services.answer.decide.wording import (
    MEANWHILE,
    NEAREST,
    SILENT_ON,
    THE_REST,
    UNSURE_OF,
    YOURS,
)
from services.answer.generate import AnswerContext, ReplyResult
from services.answer.generate.composer import AS_OF, BEFORE
from services.answer.generate.ladder import Ladder
from services.answer.search import Searched
from services.answer.search.match import Match
from services.answer.search.pack import Terms
from services.answer.search.units import cut
from services.answer.verify import Sources
from tests.fakes import HashingEmbedder
from tests.services.answer.asking import house
from twofold.index.contract import Chunk, Scope
from twofold.index.sparse import Bm25Encoder
from twofold.reply import OURS, judged
from twofold.text.statements import statements

WORDS = (SILENT_ON, UNSURE_OF, NEAREST, MEANWHILE, YOURS, THE_REST, house().templates)
LANGUAGES = sorted({"ja"}.union(*WORDS))
"""Those that there are words in, and one that there are none in."""
SPARSE = Bm25Encoder()
NOW = int(datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp())
WRITTEN = int(datetime(2025, 5, 3, 12, tzinfo=UTC).timestamp())
ROLLED = "Rolling a secret keeps both secrets valid for 12 hours. Deploy the new one by then."
HOURS, MAIL = "How long do both secrets stay valid?", "Can I roll it by mail?"
INVENTED = "Members of the Aurora circle receive 17 free workshops every quarter."


def page(text: str, locale: str = "en", title: str = "Roll a secret", **more: Any) -> Candidate:
    chunk = Chunk(
        id="c1", workspace="w", source="help", document="d1", key="help/page.md", since=1,
        title=title, heading_path=("Overview",), text=text, position=0, locale=locale, **more,
    )  # fmt: skip
    return Candidate(chunk, version=1, dense=1.0, keywords=1.0, fused=1.0, score=1.0)


@cache
def _decider() -> Decider:
    return Decider(house(), HashingEmbedder())


def composed(
    message: str, packed: Candidate, odds: Mapping[str, float], locale: str = "en"
) -> ReplyResult:
    """What the service tells without a model, where a reader holds every piece of the page for an
    answer to each question by those log odds; none where there are no `odds`."""
    question = Question(message, message, locale, Scope("w", NOW), None)
    vector = HashingEmbedder().embed([message])[0]
    found = Found((packed,), np.asarray(vector, np.float32), SPARSE.query(message))
    pieces = cut([packed])[0].headed
    matched = {text: {piece: Match(0.9, by) for piece in pieces} for text, by in odds.items()}
    evidence = Evidence(min(odds.values(), default=1.0))
    searched = Searched(question, found, (packed,), Terms(SPARSE, "en", found), evidence, matched)
    seen = AnswerContext(
        searched, Sources(searched.packed, searched.terms), Witnesses(question, None)
    )
    decision = Decision("ANSWER", None, "the sources cover it", {})
    ladder = Ladder(house(), _decider())

    async def run() -> ReplyResult:
        async with aclosing(ladder.tell(seen, lambda _: decision, np.inf, "")) as events:
            *_, last = [each async for each in events]
        assert isinstance(last, ReplyResult)
        return last

    told = asyncio.run(run())
    assert (told.served_by, told.decision.action) == ("composer", "ANSWER")
    return told


def replayed(
    text: str, ours: Sequence[str], packed: Candidate, locale: str = "en", step: str = ""
) -> ReplayedCase:
    """An answer as a diagnosis reads it; `step` is the model that was asked."""
    chunk = packed.chunk
    seen = {"chunk": chunk.id, "document": chunk.key, "text": chunk.text, "title": chunk.title,
            "heading_path": list(chunk.heading_path), "score": 1.0}  # fmt: skip
    told = {
        "action": "ANSWER", "escalation": None, "text": text, "served_by": step or "composer",
        "why": "", "seconds": 0.1, "signals": {OURS: list(ours)} if ours else {},
        "citations": [{"n": 1, "chunk": chunk.id, "document": chunk.key, "version": 1,
                       "quote": chunk.text[:20]}],
        "candidates": [seen], "overruled": [], "packed": [chunk.id], "calls": _calls(step),
        "repairs": [], "answerable": 0.8,
    }  # fmt: skip
    case = Case(
        id="a1", question=HOURS, locale=locale,
        expect=Expected(action="ANSWER", documents=("page.md",)),
    )  # fmt: skip
    return ReplayedCase(outcome_of(case, told), told)


def _calls(step: str) -> list[dict[str, Any]]:
    call = {"outcome": "served", "prompt_tokens": 9, "cached_tokens": 0, "completion_tokens": 9}
    return [call | {"step": step}] if step else []


def _ours(told: ReplyResult) -> list[str]:
    return list(told.decision.signals.get(OURS, ()))


def _unsupported(found: ReplayedCase) -> list[str]:
    return [each.detail for each in formed(found, house()) if each.kind == "unsupported"]


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize("odds", [{HOURS: -0.5}, {HOURS: 3.0, MAIL: -4.0}])
def test_doubt_silence_and_the_offer_of_a_person_are_nobodys_claims(
    locale: str, odds: dict[str, float]
) -> None:
    packed = page(ROLLED)
    told = composed(" ".join(odds), packed, odds, locale)
    *opening, closing = _ours(told)
    assert told.text.startswith("".join(f"{each}\n\n" for each in opening))
    assert told.text.endswith(f"\n\n{closing}")
    say = house().say(locale)
    team = say.teams[house().reasons["not_in_sources"].team]
    assert closing.endswith(say.consent.format(team=team).strip())
    assert formed(replayed(told.text, [*opening, closing], packed, locale), house()) == []
    # A model that writes the very same is judged, sentence by sentence.
    imitated = replayed(told.text, (), packed, locale, step="tuned")
    said = {each.bare.strip() for each in statements("\n\n".join([*opening, closing]))}
    assert said & {*_unsupported(imitated)}


@pytest.mark.parametrize(
    ("locale", "text", "asked"),
    [
        ("en", "The export of reports will end on 30 June 2025.", "does the export end"),
        ("de", "Der Export der Berichte wird am 30. Juni 2025 enden.", "endet der Export"),
    ],
)
@pytest.mark.parametrize(("day", "words"), [(WRITTEN, AS_OF), (0, BEFORE)])
def test_of_when_a_page_is_is_nobodys_claim(
    locale: str, text: str, asked: str, day: int, words: Mapping[str, str]
) -> None:
    packed = page(text, locale, updated_at=day)
    told = composed(asked, packed, {}, locale)
    (lead,) = _ours(told)
    assert lead.startswith(words[locale].split("{")[0])
    assert told.text == f"{lead} {text} [1]"
    assert formed(replayed(told.text, [lead], packed, locale), house()) == []
    smuggled = f"{lead} {text} [1] {lead} {INVENTED} [1]"
    assert _unsupported(replayed(smuggled, [lead], packed, locale))


TABLE = "| Plan | Price | Endpoints |\n|---|---|---|\n| Brook | free | 2 |\n| Creek | $49 | 25 |"
ITEMS = "- Delete endpoints and their secrets for good\n- Read logs of all deliveries"


@pytest.mark.parametrize(
    ("text", "asked", "added"),
    [
        ("There is no Windows installer. Use the package.", "Is there a Windows installer?", "No."),
        (TABLE, "What is the price of the plan Creek?", "| Plan | Price |"),
        (ITEMS, "who may read the logs of all deliveries", "Overview:"),
    ],
)
def test_verdicts_headers_and_headings_are_held_by_what_they_stand_above(
    text: str, asked: str, added: str
) -> None:
    packed = page(text)
    told = composed(asked, packed, {})
    assert told.text.startswith(added)
    assert formed(replayed(told.text, _ours(told), packed), house()) == []


@given(st.sampled_from(LANGUAGES), st.sampled_from(["before", "after", "within"]))
def test_a_claim_beside_our_words_is_judged(locale: str, place: str) -> None:
    packed = page(ROLLED)
    told = composed(HOURS, packed, {HOURS: -0.5}, locale)
    opening, closing = _ours(told)
    said = {
        "before": told.text.replace(closing, f"{INVENTED} [1]\n\n{closing}"),
        "after": f"{told.text} {INVENTED}",
        "within": told.text.replace(closing, f"{closing[:-1]} because {INVENTED}"),
    }[place]
    found = replayed(said, [opening, closing], packed, locale)
    assert any(INVENTED in each for each in _unsupported(found))
    assert read(found).claims >= 2


def test_of_what_a_page_says_in_our_words_nothing_is_hidden_but_those_words() -> None:
    ours = "I am not sure that this answers your question."
    text = f"{ours} It costs 9 euros. [1]\n\n{ours}"
    assert judged(text, [ours]) == f"{ours} It costs 9 euros. [1]\n\n"
    assert judged(text, []) == text
    assert judged("It costs 9 euros.", [ours]) == "It costs 9 euros."


def test_what_we_repeat_of_a_question_is_no_fact_that_was_told() -> None:
    packed = page(ROLLED)
    asked = "Can I roll it by fax?"
    told = composed(f"{HOURS} {asked}", packed, {HOURS: 3.0, asked: -4.0})
    found = replayed(told.text, _ours(told), packed)
    expect = Expected(action="ANSWER", documents=("page.md",), facts=(("by fax",),))
    case = found.case.model_copy(update={"expect": expect})
    assert "by fax" in told.text
    assert outcome_of(case, found.told).missing_facts


def attributed(found: ReplayedCase, packed: Sequence[Mapping[str, Any]] | None = None) -> Verdict:
    """What is found of a live answer whose passages are there still, or those in `packed`."""
    told, case = found.told, found.case
    answer = {"answer_id": "a1", "conversation_id": "v1", **told}
    record = {
        **told, "answer": answer, "question": case.question, "audience": [], "locale": case.locale,
        "verdicts": [], "retrieved": told["candidates"],
    }  # fmt: skip
    now = told if packed is None else {**told, "candidates": [], "packed": []}
    replies: dict[str, Any] = {
        "/v1/conversations/v1": {"turns": []},
        "/v1/answers/a1/packed": {
            "packed": 1, "passages": told["candidates"] if packed is None else packed
        },
        "/v1/replays": {**now, "verdicts": []},
    }  # fmt: skip

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=replies[request.url.path])

    async def run() -> Verdict:
        transport = httpx.MockTransport(handle)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
            return await attribute_live(AnswerClient(http), record, "", house())

    return asyncio.run(run())


def test_a_live_answer_fails_by_its_makers_words_and_not_by_ours() -> None:
    packed = page(ROLLED)
    told = composed(HOURS, packed, {HOURS: -0.5})
    assert attributed(replayed(told.text, _ours(told), packed)).cause == "unknown"
    invented = f"{told.text} {INVENTED} [1]"
    found = attributed(replayed(invented, _ours(told), packed))
    assert (found.cause, found.evidence) == ("unsupported_claim", INVENTED)


@pytest.mark.parametrize(("step", "remedy"), [("", "no_training"), ("tuned", "fine_tune")])
def test_training_is_named_only_where_a_model_is_asked(step: str, remedy: str) -> None:
    packed = page(ROLLED)
    found = attributed(replayed(f"{ROLLED} [1] {INVENTED} [1]", (), packed, step=step))
    assert (found.cause, found.remedy) == ("unsupported_claim", remedy)


def test_of_an_answer_whose_passages_are_gone_no_sentence_is_judged() -> None:
    packed = page(ROLLED)
    found = replayed(f"{ROLLED} [1]", (), packed)
    assert attributed(found, []).cause == "unknown"
    assert attributed(found, found.told["candidates"]).cause == "unknown"
