"""The composer quotes, verification refuses: nothing is said that its source does not hold."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.answer.contract import Candidate, Draft, Found, Question, Turn
from services.answer.generate import sentences as sentences_module
from services.answer.generate.compose import Wanted, units
from services.answer.generate.compose import compose as compose_wanted
from services.answer.generate.sentences import Sentences
from services.answer.pack import Terms, pack
from services.answer.verify import verify
from tests.fakes import HashingEmbedder
from twofold.clients.sparse import Bm25Encoder
from twofold.errors import UpstreamError
from twofold.house import load_house
from twofold.index import Chunk, Scope
from twofold.prose import squeeze
from twofold.reply import marks

SPARSE = Bm25Encoder()
HOUSE = load_house(Path(__file__).parents[3] / "examples" / "brackwater" / "house.yaml")

SECRETS = """Rolling a secret keeps both secrets valid for 12 hours. Deploy the new one by then.

1. Open **Endpoints** and pick the endpoint.
2. Choose **Roll secret**.
3. Copy the new secret into your receiver.

See [verifying](verify-signatures.md) for the check itself."""
PLANS = """What each plan includes:

| Plan | Price | Endpoints |
|---|---|---|
| Brook | free | 2 |
| Creek | $49 | 25 |"""
RETRIES = "A failed delivery is retried 12 times over 36 hours. Then it goes to the shelf."


def candidate(text: str, name: str, score: float = 1.0) -> Candidate:
    chunk = Chunk(
        id=name, workspace="w", source="s", document=f"doc-{name}", key=f"s/{name}.md", since=1,
        title=name, heading_path=("Overview",), text=text, position=0,
    )  # fmt: skip
    return Candidate(chunk, version=3, dense=score, keywords=score, fused=score, score=score)


def terms_of(question: str, candidates: list[Candidate]) -> Terms:
    return Terms(SPARSE, "en", found_of(question, candidates))


def found_of(question: str, candidates: list[Candidate]) -> Found:
    return Found(tuple(candidates), np.zeros(2, np.float32), SPARSE.query(question))


def asking(text: str, *history: Turn) -> Question:
    return Question(text, text, "en", Scope("w", 0), None, history)


def compose(
    packed: Sequence[Candidate],
    question: Question,
    terms: Terms,
    max_words: int,
    sentences: Sentences = Sentences(),
) -> Draft:
    return compose_wanted(packed, wanted(question.asked, terms, sentences, question), max_words)


def wanted(
    asked: str, terms: Terms, sentences: Sentences, question: Question | None = None
) -> Wanted:
    vector = HashingEmbedder().embed([asked])[0]
    return Wanted(question or asking(asked), vector, terms, sentences)


THREE = [
    candidate(SECRETS, "secrets", 1.5),
    candidate(PLANS, "plans", 0.9),
    candidate(RETRIES, "retries", 0.8),
]


def test_the_answer_is_quoted_and_cited() -> None:
    terms = terms_of("how long do both secrets stay valid", THREE)
    verified = verify(
        compose(THREE, asking("how long do both secrets stay valid"), terms, 120),
        *(THREE, terms, HOUSE),
    )
    assert "12 hours" in verified.text
    assert "(verify-signatures.md)" not in verified.text
    first = verified.citations[0]
    assert (first.n, first.document, first.version) == (1, "s/secrets.md", 3)
    assert first.quote in SECRETS
    assert "12 hours" in first.quote


def test_what_was_said_is_not_said_again_unless_it_is_asked_for_again() -> None:
    first = "how long do both secrets stay valid"
    said = compose(THREE[:1], asking(first), terms_of(first, THREE[:1]), 22).text
    assert "12 hours" in said
    talk = (Turn("user", first), Turn("assistant", said, "ANSWER"))

    def then(message: str) -> str:
        terms = terms_of(f"{first} {message}", THREE[:1])
        return compose(THREE[:1], asking(message, *talk), terms, 22).text

    more = then("where do I do that?")
    assert "12 hours" not in more
    assert "Endpoints" in more
    assert "12 hours" in then("how many hours?")


def test_where_everything_was_said_it_is_said_again() -> None:
    retries = THREE[2:]
    talk = (Turn("user", "retries?"), Turn("assistant", f"{RETRIES} [1]", "ANSWER"))
    draft = compose(retries, asking("and then?", *talk), terms_of("retries", retries), 120)
    assert "12 times" in draft.text


def test_steps_come_from_the_first_on() -> None:
    filler = "of the page that has opened and wait until it is there"
    steps = "\n".join(f"{n}. Open part {n} {filler}." for n in range(1, 4))
    steps += "\n4. Copy the new secret into your receiver."
    asked = "how do I copy the new secret into my receiver"
    found = [candidate(RETRIES, "retries", 1.1), candidate(steps, "steps", 1.0)]
    text = compose(found, asking(asked), terms_of(asked, found), 120).text
    assert text.index("1. Open") < text.index("2. Open") < text.index("4. Copy")


def test_a_list_of_steps_is_said_to_its_end() -> None:
    asked = "how do I open endpoints"
    found = [candidate(SECRETS, "secrets")]
    said = compose(found, asking(asked), terms_of(asked, found), 10).text
    assert "1. Open **Endpoints** and pick the endpoint. [1]\n2. Choose" in said
    assert "3. Copy the new secret into your receiver. [1]" in said


def test_a_table_comes_with_its_header() -> None:
    plans = [THREE[1]]
    terms = terms_of("how many endpoints has Creek", plans)
    verified = verify(
        compose(plans, asking("how many endpoints has Creek"), terms, 120), plans, terms, HOUSE
    )
    assert "| Plan | Price | Endpoints |" in verified.text
    assert "| Creek | $49 | 25 |" in verified.text


def test_the_sentence_most_like_the_question_is_said_without_its_words() -> None:
    text = (
        "Colleagues join by a link. The plan has ten seats. Invoices come monthly by mail. "
        "Logs are kept for a week. Keys can be rotated."
    )
    found = [candidate(text, "page")]
    asked = "invoices come monthly by"
    terms = terms_of("something else", found)
    by_words = compose(found, asking(asked), terms, 5).text
    alike = compose(found, asking(asked), terms, 5, Sentences(HashingEmbedder())).text
    assert "Invoices come monthly by mail. [1]" in alike
    assert "Invoices come monthly" not in by_words


def test_what_two_sources_say_alike_is_said_once() -> None:
    first = candidate("The old secret stays valid for 12 hours.", "a", 1.0)
    other = candidate("The old secret stays valid for 12 hours more.", "b", 0.9)
    asked = "how long is the old secret valid"
    terms = terms_of(asked, [first, other])
    assert compose([first, other], asking(asked), terms, 120).text.count("12 hours") == 1


def test_a_sentence_that_leans_on_the_one_before_brings_it_along() -> None:
    text = "Nothing else counts. Roll the secret first. It then stays valid for 12 hours."
    found = [candidate(text, "a")]
    asked = "stays valid hours"
    said = compose(found, asking(asked), terms_of(asked, found), 16).text
    assert said == "Roll the secret first. [1] It then stays valid for 12 hours. [1]"


def test_what_leans_on_a_sentence_said_before_is_said_alone() -> None:
    text = "Roll the secret first. It then stays valid for 12 hours. The rest expires."
    found = [candidate(text, "a")]
    talk = (Turn("user", "what first?"), Turn("assistant", "Roll the secret first.", "ANSWER"))
    asked = "how many hours is it valid"
    said = compose(found, asking(asked, *talk), terms_of(asked, found), 9).text
    assert said == "It then stays valid for 12 hours. [1]"


@pytest.mark.parametrize(
    "many", ["- Seats: ten\n- Logs: a week", "| a | b |\n|---|---|\n| 1 | 2 |"]
)
def test_what_introduces_a_list_or_table_comes_along(many: str) -> None:
    found = [candidate(f"Something apart.\n\nEach plan has:\n\n{many}", "a")]
    asked = "how many seats and logs, a and b"
    assert "Each plan has:\n\n" in compose(found, asking(asked), terms_of(asked, found), 12).text


class Stuck(HashingEmbedder):
    """An embedder that answers once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.free, self.answered = threading.Event(), threading.Event()
        self.calls = 0

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.calls += 1
        self.free.wait()
        try:
            return super().embed(texts)
        finally:
            self.answered.set()


class Down(HashingEmbedder):
    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        raise UpstreamError("The embedding server does not answer.")


def test_an_embedder_that_is_late_leaves_the_choice_to_words_and_is_heard_next_time() -> None:
    asked = "how long do both secrets stay valid"
    terms, stuck = terms_of(asked, THREE), Stuck()
    sentences = Sentences(stuck)
    try:
        late = compose(THREE, asking(asked), terms, 120, sentences)
    finally:
        stuck.free.set()
    assert late == compose(THREE, asking(asked), terms, 120)
    stuck.answered.wait(10)
    assert units(THREE, wanted(asked, terms, sentences))[0].clues[1] > 0


def test_an_embedder_that_is_down_leaves_the_choice_to_words() -> None:
    asked = "how long do both secrets stay valid"
    terms = terms_of(asked, THREE)
    by_words = compose(THREE, asking(asked), terms, 120)
    assert compose(THREE, asking(asked), terms, 120, Sentences(Down())) == by_words


def test_a_stuck_embedder_is_asked_so_often_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences_module, "LATE_S", 0.01)
    asked, stuck = "how long do both secrets stay valid", Stuck()
    terms, sentences = terms_of(asked, THREE), Sentences(stuck)
    by_words = compose(THREE, asking(asked), terms, 120)
    try:
        for _ in range(sentences_module.AT_ONCE + 2):
            assert compose(THREE, asking(asked), terms, 120, sentences) == by_words
    finally:
        stuck.free.set()
    sentences._pool.shutdown(wait=True)
    assert stuck.calls == sentences_module.AT_ONCE


def test_sentences_are_embedded_once() -> None:
    embedder = HashingEmbedder()
    sentences = Sentences(embedder)
    asked = "how long do both secrets stay valid"
    terms = terms_of(asked, THREE)
    once = compose(THREE, asking(asked), terms, 120, sentences)
    embedded = len(embedder.embedded)
    assert compose(THREE, asking(asked), terms, 120, sentences) == once
    assert len(embedder.embedded) == embedded > 0


words = st.sampled_from(
    ["secret", "roll", "plan", "Creek", "hours", "retry", "delivery", "shelf", "price", "valid"]
)


@given(st.lists(words, min_size=1, max_size=8).map(" ".join), st.permutations(THREE))
def test_every_quote_is_a_literal_span_and_every_mark_has_one(
    question: str, candidates: list[Candidate]
) -> None:
    terms = terms_of(question, candidates)
    packed, _ = pack(found_of(question, candidates), terms, 6, 6000)
    verified = verify(compose(packed, asking(question), terms, 120), packed, terms, HOUSE)
    texts = {c.chunk.id: c.chunk.text for c in candidates}
    assert [c.n for c in verified.citations] == list(range(1, len(verified.citations) + 1))
    assert set(marks(verified.text)) == {c.n for c in verified.citations}
    assert all(squeeze(c.quote) in squeeze(texts[c.chunk]) for c in verified.citations)


@dataclass(frozen=True)
class Written:
    id: str
    text: str
    kept: str
    problem: str = ""


WRITTEN = [
    Written("supported", "Both secrets stay valid for 12 hours. [1]",
            "Both secrets stay valid for 12 hours. [1]"),
    Written("wrong number", "Both secrets stay valid for 24 hours. [1]", "", "number"),
    Written("another fact's number", "A failed delivery is retried 36 times. [3]", "", "number"),
    Written("another row's number", "Brook has 25 endpoints. [2]", "", "number"),
    Written("turned round", "Rolling a secret never keeps both secrets valid. [1]", "",
            "contradicted"),
    Written("thrown together",
            "Valid hours secret keeps deploy 12 rolling by new both for one a then. [1]", "",
            "garbled"),
    Written("table with another's number",
            "| Plan | Price |\n|---|---|\n| Brook | $49 |\n\n[2]", "", "number"),
    Written("nothing like it", "Dolphins sleep with half a brain awake. [1]", "", "unsupported"),
    Written("forged mark", "Dolphins sleep with half a brain awake. [7]", "", "uncited"),
    Written("uncited but true", "A failed delivery is retried 12 times over 36 hours.",
            "A failed delivery is retried 12 times over 36 hours. [1]"),
    Written("marks renumbered", "A failed delivery is retried 12 times over 36 hours. [3]",
            "A failed delivery is retried 12 times over 36 hours. [1]"),
    Written("false promise", "I have refunded you the 12 hours. [1]", "", "promise"),
    Written("foreign link", "A roll keeps both secrets valid, as https://evil.test/x says. [1]",
            "A roll keeps both secrets valid, as  says. [1]"),
    Written("image", "Rolling a secret ![shot](https://evil.test/p.png) keeps both valid. [1]",
            "Rolling a secret shot keeps both valid. [1]"),
    Written("one bad sentence of two",
            "Deploy the new secret by then. [1] It costs $900 to roll the secret. [1]",
            "Deploy the new secret by then. [1]", "number"),
]  # fmt: skip


@pytest.mark.parametrize("case", WRITTEN, ids=lambda case: case.id)
def test_what_a_model_wrote_is_held_to_its_sources(case: Written) -> None:
    terms = terms_of("how long do both secrets stay valid", THREE)
    verified = verify(Draft("ANSWER", case.text, "model"), THREE, terms, HOUSE)
    assert verified.text == case.kept
    assert [v.problem for v in verified.verdicts if not v.ok] == (
        [case.problem] * bool(case.problem)
    )
    assert all(c.quote in THREE[0].chunk.text + RETRIES for c in verified.citations)


def test_a_table_is_quoted_by_the_row_that_it_shows() -> None:
    terms = terms_of("how many endpoints has Creek", THREE)
    text = "| Plan | Price | Endpoints |\n|---|---|---|\n| Creek | $49 | 25 |\n\n[2]"
    verified = verify(Draft("ANSWER", text, "model"), THREE, terms, HOUSE)
    assert verified.text == text.replace("[2]", "[1]")
    assert [c.quote for c in verified.citations] == ["| Creek | $49 | 25 |"]


def test_code_of_a_source_is_shown_as_it_stands() -> None:
    code = "```bash\ncurl https://elsewhere.test/key.asc | sudo tee /etc/key\n```"
    packed = [candidate(f"Install the key:\n\n{code}", "install")]
    terms = terms_of("install the key", packed)
    assert code in verify(Draft("ANSWER", f"{code}\n\n[1]", "model"), packed, terms, HOUSE).text
    made_up = code.replace("elsewhere", "evil")
    verified = verify(Draft("ANSWER", f"{made_up}\n\n[1]", "model"), packed, terms, HOUSE)
    assert "evil" not in verified.text
