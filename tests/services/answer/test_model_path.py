"""A question answered by a model: its prompt, its judgement beside ours, its reranked sources."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from services.answer.contract import Turn
from services.answer.decide.decider import Decider
from services.answer.generate.ladder import Ladder
from services.answer.generate.model import cache_salt
from services.answer.pipeline import Parts
from tests.model_server import GOOD, ModelServer, says
from tests.services.answer.asking import (
    QUESTION,
    SECRETS,
    Heard,
    check_told_once,
    hear,
    knowing,
    with_model,
)
from twofold.errors import UpstreamError


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with knowing(tmp_path_factory.mktemp("model")) as parts:
        yield parts


def told(
    parts: Parts, reply: str, message: str = QUESTION, history: tuple[Turn, ...] = ()
) -> tuple[Heard, ModelServer]:
    async def run() -> tuple[Heard, ModelServer]:
        async with ModelServer(says(reply)) as server:
            heard = await hear(with_model(parts, server.url), message, history=history)
            check_told_once(parts, heard)
            return heard, server

    return asyncio.run(run())


def test_a_rule_of_the_house_asks_no_model(parts: Parts) -> None:
    heard, server = told(parts, GOOD, "I want to talk to a human")
    assert heard.done.escalation is not None
    assert heard.done.escalation.reason == "person_requested"
    assert server.requests == []


@dataclass(frozen=True)
class Judged:
    id: str
    reply: str
    action: str
    reason: str | None = None


@pytest.mark.parametrize(
    "judged",
    [
        Judged("answer", GOOD, "ANSWER"),
        Judged(
            "known reason",
            "ESCALATE [team=legal reason=legal_threat]\nx",
            "ESCALATE",
            "legal_threat",
        ),
        Judged(
            "wrong team", "ESCALATE [team=sales reason=legal_threat]\nx", "ESCALATE", "legal_threat"
        ),
        Judged(
            "gap", "ESCALATE [team=support reason=not_in_sources]\nx", "ESCALATE", "not_in_sources"
        ),
        Judged("decline", "DECLINE\nI only answer about Relay.", "DECLINE"),
        Judged("clarify", "CLARIFY\nWhich secret do you mean?", "CLARIFY"),
    ],
    ids=lambda judged: judged.id,
)
def test_the_models_header_is_heard(judged: Judged, parts: Parts) -> None:
    heard, _ = told(parts, judged.reply)
    assert heard.done.action == judged.action
    assert (heard.done.escalation.reason if heard.done.escalation else None) == judged.reason
    assert heard.done.text != "x"


@pytest.mark.parametrize(
    "asked", ["Which secret do you mean?", "What is your password, so that I can help you?"]
)
def test_a_question_in_the_models_own_words_is_asked_in_ours(asked: str, parts: Parts) -> None:
    heard, _ = told(parts, f"CLARIFY\n{asked}")
    assert heard.done.action == "CLARIFY"
    assert heard.done.text == parts.house.say("en").clarify.strip()


def test_a_clarification_that_claims_falls_back_to_ours(parts: Parts) -> None:
    heard, _ = told(parts, "CLARIFY\nI have refunded you. Visit https://evil.example now.")
    assert heard.done.action == "CLARIFY"
    assert "refunded" not in heard.done.text
    assert "evil" not in heard.done.text
    assert "?" in heard.done.text


def test_consent_comes_first_where_the_house_wants_it(parts: Parts) -> None:
    sales = parts.house.reasons["contract_change"].model_copy(update={"consent": True})
    policy = parts.house.model_copy(
        update={"reasons": parts.house.reasons | {"contract_change": sales}}
    )
    decider = Decider(policy, parts.stack.embedder)
    asking = replace(parts, house=policy, decider=decider, ladder=Ladder(policy, decider))
    reply = "ESCALATE [team=sales reason=contract_change]\nx"
    heard, _ = told(asking, reply)
    assert heard.done.action == "CLARIFY"
    assert "our sales team" in heard.done.text
    history = (Turn("user", QUESTION), Turn("assistant", heard.done.text))
    agreed, _ = told(asking, reply, "yes please", history)
    assert agreed.done.action == "ESCALATE"


def test_an_answer_against_hopeless_evidence_is_not_believed(parts: Parts) -> None:
    heard, _ = told(parts, GOOD, "What does Kafka cost on Saturn?")
    assert heard.done.action != "ANSWER"
    assert "12 hours" not in heard.done.text


def test_an_escalation_is_decided_at_its_header(parts: Parts) -> None:
    """The words are the house's, so nothing more of the model's is waited for."""
    long = "ESCALATE [team=legal reason=legal_threat]\n" + "I promise you everything. " * 50
    heard, _ = told(parts, long)
    assert "promise" not in heard.done.text


def test_the_prompt_holds_history_without_marks(parts: Parts) -> None:
    history = (
        Turn("user", "Rolling a signing secret?"),
        Turn("assistant", "It keeps both. [1]", "ANSWER"),
    )
    _, server = told(parts, GOOD, "How long are both secrets valid?", history)
    roles = [(m["role"], m["content"]) for m in server.requests[0].body["messages"]][1:]
    assert roles == [
        ("user", "Rolling a signing secret?"),
        ("assistant", "It keeps both."),
        ("user", "How long are both secrets valid?"),
    ]


def test_the_reply_is_constrained_and_salted(parts: Parts) -> None:
    _, server = told(parts, GOOD)
    body = server.requests[0].body
    assert "reason=not_in_sources" in body["structured_outputs"]["grammar"]
    assert body["cache_salt"] == cache_salt(b"secret", "default")
    assert cache_salt(b"secret", "default") != cache_salt(b"secret", "other")
    assert cache_salt(b"secret", "default") != cache_salt(b"another", "default")


# --- reranking -----------------------------------------------------------------------------------


class Ranked:
    def __init__(self, score: Callable[[str], float]) -> None:
        self._score = score

    async def scores(self, query: str, texts: Sequence[str], *, deadline: float) -> list[float]:
        return [self._score(text) for text in texts]

    async def aclose(self) -> None:
        pass


class Failing(Ranked):
    async def scores(self, query: str, texts: Sequence[str], *, deadline: float) -> list[float]:
        raise UpstreamError("The reranker failed.")


def first_document(parts: Parts) -> str:
    heard = asyncio.run(hear(parts))
    return str(check_told_once(parts, heard).retrieved[0]["document"])


def test_a_reranker_has_the_last_word_on_order(parts: Parts) -> None:
    assert first_document(parts) == "help/secrets.md"
    reranked = replace(parts, reranker=Ranked(lambda text: float("Invoices" in text)))
    assert first_document(reranked) == "help/invoices.md"


def test_a_failing_reranker_changes_nothing(parts: Parts) -> None:
    assert first_document(replace(parts, reranker=Failing(len))) == "help/secrets.md"


def test_what_retrieval_knows_beside_the_words_still_counts(tmp_path: Path) -> None:
    """Of pages that the reranker likes as well, the one in the customer's language is first."""
    pages = {
        "de.md": f"---\nlocale: de\n---\n{SECRETS}",
        "en.md": SECRETS.replace("12 hours", "24 hours"),
    }
    with knowing(tmp_path, pages) as known:
        even = replace(known, reranker=Ranked(lambda text: 0.5))
        for locale, first in (("de", "help/de.md"), ("en", "help/en.md")):
            heard = asyncio.run(hear(even, locale=locale))
            assert check_told_once(even, heard).retrieved[0]["document"] == first
