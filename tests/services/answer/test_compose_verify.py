"""The composer quotes, verification refuses: nothing is said that its source does not hold."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.answer.contract import Candidate, Draft, Evidence, Found, Question, Turn
from services.answer.generate import sentences as sentences_module
from services.answer.generate.composer import BY_WORDS, fold_marks
from services.answer.generate.composer import compose as compose_searched
from services.answer.generate.sentences import Sentences
from services.answer.search import Searched
from services.answer.search.match import Match
from services.answer.search.pack import Terms, pack
from services.answer.search.units import cut
from services.answer.verify import verify
from tests.fakes import HashingEmbedder
from twofold.errors import UpstreamError
from twofold.house_file import load_house
from twofold.index.contract import Chunk, Scope
from twofold.index.sparse import Bm25Encoder
from twofold.reply import marks
from twofold.text.blocks import squeeze

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
    return Question(text, text, "en", Scope("w", 0), None, history, leans=bool(history))


def compose(
    packed: Sequence[Candidate],
    question: Question,
    terms: Terms,
    max_words: int,
    sentences: Sentences = Sentences(),
) -> Draft:
    return compose_searched(searched(packed, question, terms), sentences, max_words)


def searched(packed: Sequence[Candidate], question: Question, terms: Terms) -> Searched:
    found = found_of(question.asked, list(packed))
    found = replace(found, vector=HashingEmbedder().embed([question.asked])[0])
    return Searched(question, found, tuple(packed), terms, Evidence())


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


@pytest.mark.parametrize(("better", "worse"), [((0.7, 4.0), (0.5, -6.0)), ((0.8, 0.0), (0.2, 0.0))])
def test_what_the_models_take_for_the_answer_is_said(
    better: tuple[float, float], worse: tuple[float, float]
) -> None:
    """Wherever words and rank point."""
    asked = "how long do both secrets stay valid"
    whole = searched(THREE, asking(asked), terms_of(asked, THREE))
    wanted = {Match(*better): "12 times", Match(*worse): "12 hours"}
    pieces = {
        text: next((match for match, word in wanted.items() if word in text), Match(*worse))
        for page in cut(THREE)
        for text in page.headed
    }
    told = compose_searched(replace(whole, matched={asked: pieces}), Sentences(), 120).text
    assert "12 times" in told.split("[")[0]
    assert "12 hours" in compose_searched(whole, Sentences(), 120).text.split("[")[0]


DELETE = """\
# Delete a workspace

1. Open **Settings → General**.
2. Click **Delete workspace**.
3. Type the name of the workspace.
"""
NAME = "# The name\n\nThe name of a workspace stands in its address.\n"


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("how can i change the name of the workspace in settings", False),
        ("how do i delete the workspace in settings", True),
        ("how do we get rid of the workspace in settings", True),
    ],
)
def test_steps_that_destroy_are_told_to_those_who_ask_for_them(question: str, told: bool) -> None:
    pages = [candidate(DELETE, "delete", 1.5), candidate(NAME, "name", 0.4)]
    draft = compose(pages, asking(question), terms_of(question, pages), 120)
    assert ("Delete workspace" in draft.text) is told


@pytest.mark.parametrize(("odds", "told"), [(0.1, True), (-0.1, False)])
def test_another_page_is_quoted_beside_the_answer_only_where_it_answers_too(
    odds: float, told: bool
) -> None:
    question = "how long do you keep the events"
    pages = [
        candidate("Events are kept for 30 days.", "logs"),
        candidate("A shelf holds what failed for 14 days.", "shelf"),
    ]
    answer, other = (text for page in cut(pages) for text in page.headed)
    whole = searched(pages, asking(question), terms_of(question, pages))
    matched = {question: {answer: Match(0.7, 0.3), other: Match(0.7, odds)}}
    draft = compose_searched(replace(whole, matched=matched), Sentences(), 120)
    assert "30 days" in draft.text
    assert ("14 days" in draft.text) is told


def test_a_price_is_told_to_who_asks_for_it_before_what_names_none() -> None:
    question = "what does it cost to add seats to the plan?"
    page = candidate("At most eight seats can be added to the plan.\n\nSeats are $40.", "seats")
    whole = searched([page], asking(question), terms_of(question, [page]))
    for odds, told in ((1.0, "Seats are $40."), (-1.0, "At most eight seats")):
        matched = {text: Match(0.5, odds) for text in cut([page])[0].headed}
        draft = compose_searched(replace(whole, matched={question: matched}), Sentences(), 120)
        assert draft.text.startswith(told)


@pytest.mark.parametrize(
    ("odds", "evidence", "doubtful"),
    [(-0.5, -0.5, True), (0.5, -0.5, False), (-0.5, 0.5, False)],
)
def test_what_neither_reader_nor_evidence_holds_for_an_answer_is_doubtful(
    odds: float, evidence: float, doubtful: bool
) -> None:
    question = "how long do both secrets stay valid"
    whole = searched(THREE, asking(question), terms_of(question, THREE))
    matched = {text: Match(0.5, odds) for page in cut(THREE) for text in page.headed}
    whole = replace(whole, matched={question: matched}, evidence=Evidence(evidence))
    assert compose_searched(whole, Sentences(), 120).doubtful == (question,) * doubtful


def test_of_two_questions_only_the_one_that_has_an_answer_gets_one() -> None:
    first, second = "How long do both secrets stay valid?", "Can I roll it by mail?"
    whole = searched(THREE, asking(f"{first} {second}"), terms_of(first, THREE))
    pieces = [text for page in cut(THREE) for text in page.headed]
    likely = {text: Match(0.5, 2.0 if "12 hours" in text else -4.0) for text in pieces}
    nothing = dict.fromkeys(pieces, Match(0.5, -4.0))
    draft = compose_searched(
        replace(whole, matched={first: likely, second: nothing}), Sentences(), 120
    )
    assert draft.unanswered == (second,)
    assert "12 hours" in draft.text
    assert "Endpoints" not in draft.text
    both = compose_searched(
        replace(whole, matched={first: nothing, second: nothing}), Sentences(), 120
    )
    assert both.unanswered == ()


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


def test_what_was_said_is_said_again_where_only_that_answers() -> None:
    pages = [
        candidate("A snapshot is kept for 7 days.\n\nSnapshots hold the whole file system.", "s")
    ]
    asked = "and how long do they stay"
    said = "A snapshot is kept for 7 days. [1]"
    question = asking(asked, Turn("user", "do you back up?"), Turn("assistant", said, "ANSWER"))
    whole = searched(pages, question, terms_of(asked, pages))
    kept, holds = cut(pages)[0].headed
    for odds, told in ((3.0, True), (0.0, False)):
        matched = {asked: {kept: Match(0.5, odds), holds: Match(0.4, -0.5)}}
        text = compose_searched(replace(whole, matched=matched), Sentences(), 120).text
        assert ("7 days" in text) is told


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


TOKEN = """1. Open **Settings → SCIM** and click **Enable**.
2. Copy the base URL.
3. Click **Create token** and copy it. A token is valid for 12 months.
4. Map your groups to roles."""


@pytest.mark.parametrize(
    ("asked", "said", "unsaid"),
    [
        ("How long is a token valid?", "A token is valid for 12 months. [1]", "base URL"),
        ("How do I create a token?", "2. Copy the base URL. [1]\n3. Click", "nothing"),
    ],
)
def test_a_fact_is_taken_out_of_the_steps_that_hold_it(asked: str, said: str, unsaid: str) -> None:
    found = [candidate(TOKEN, "scim")]
    text = compose(found, asking(asked), terms_of(asked, found), 120).text
    assert said in text
    assert unsaid not in text


def test_a_row_is_named_by_its_figure_and_the_others_are_left_out() -> None:
    codes = "| Code | Meaning |\n|---|---|\n" + "\n".join(
        f"| {n} | {words} |"
        for n, words in enumerate(("done", "general", "wrong arguments", "not logged in"))
    )
    found = [candidate(codes, "codes")]
    asked = "what does exit code 3 mean"
    text = compose(found, asking(asked), terms_of(asked, found), 120).text
    assert "| 3 | not logged in |" in text
    assert "wrong arguments" not in text


def test_a_table_comes_with_its_header() -> None:
    plans = [THREE[1]]
    terms = terms_of("how many endpoints has Creek", plans)
    verified = verify(
        compose(plans, asking("how many endpoints has Creek"), terms, 120), plans, terms, HOUSE
    )
    assert verified.text == "| Plan | Endpoints |\n| --- | --- |\n| Creek | 25 |\n\n[1]"
    assert verified.citations[0].quote == "| Creek | $49 | 25 |"


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        ("how long are logs kept", ["Brook", "Creek", "River"]),
        ("how long are logs kept on Creek", ["Creek"]),
        ("which plan keeps 30 days", ["River"]),
    ],
)
def test_a_small_table_is_whole_where_no_row_is_named(asked: str, rows: list[str]) -> None:
    table = "| Plan | Logs kept |\n|---|---|\n| Brook | 3 days |\n| Creek | 14 days |\n"
    found = [candidate(f"{table}| River | 30 days |", "logs")]
    text = compose(found, asking(asked), terms_of(asked, found), 120).text
    assert [plan for plan in ("Brook", "Creek", "River") if plan in text] == rows


def test_a_table_of_which_a_passage_holds_the_header_alone_breaks_nothing() -> None:
    found = [candidate("| Plan | Logs kept |\n|---|---|", "logs")]
    asked = "How long are logs kept on River?"
    assert compose(found, asking(asked), terms_of(asked, found), 120).text


def test_a_comparison_names_both_rows() -> None:
    asked = "Brook or Creek, how many endpoints"
    plans = [candidate(f"{PLANS}\n| River | $249 | 200 |\n| Delta | asked | many |", "plans")]
    text = compose(plans, asking(asked), terms_of(asked, plans), 120).text
    assert "| Brook | 2 |\n| Creek | 25 |" in text
    assert "River" not in text


MODES = """|  | Live | Test |
|---|---|---|
| Retries | 12 | 3 |
| Signed | yes | yes |
| Data kept | by plan | 24 hours |"""


def test_two_columns_are_told_apart_by_the_rows_in_which_they_differ() -> None:
    found = [candidate(f"Signatures work in test mode as in live mode.\n\n{MODES}", "modes")]
    asked = "does test mode behave like live?"
    text = compose(found, asking(asked), terms_of(asked, found), 120).text
    assert "| Retries | 12 | 3 |\n| Data kept | by plan | 24 hours |" in text
    assert "Signed" not in text
    row = "does test mode differ from live in retries?"
    named = compose(found, asking(row), terms_of(row, found), 120).text
    assert "Retries" in named
    assert "Data kept" not in named
    other = "what is signed in test mode"
    assert "Retries" not in compose(found, asking(other), terms_of(other, found), 120).text


def test_an_item_comes_with_what_is_set_in_below_it() -> None:
    long = " ".join(["and whatever else a shop of that size has to think of"] * 9)
    cart = f"""- Up to 300 products in a cart
    - it works, but is slower
- Above 500 products in a cart
    - it may fail
- {long}"""
    found = [candidate(cart, "cart")]
    asked = "is a cart above 500 products too much"
    said = compose(found, asking(asked), terms_of(asked, found), 20).text
    assert "- Above 500 products in a cart" in said
    assert "it may fail" in said
    assert "slower" not in said


def test_two_questions_get_two_answers() -> None:
    asked = "How long do both secrets stay valid? And how many endpoints has Creek?"
    text = compose(THREE, asking(asked), terms_of(asked, THREE), 120).text
    assert text.index("12 hours") < text.index("| Creek | 25 |")


def test_a_question_that_is_answered_already_gets_nothing_more() -> None:
    asked = "How often is a failed delivery retried? And over how many hours is it retried?"
    text = compose(THREE, asking(asked), terms_of(asked, THREE), 120).text
    assert text.count("12 times over 36 hours") == 1
    assert "secret" not in text
    assert "Creek" not in text


def test_what_is_asked_for_is_read_from_the_question_not_from_what_leads_to_it() -> None:
    found = [candidate(f"SSO with Okta is part of the River plan.\n\n{TOKEN}", "sso")]
    asked = "We want to set up SSO with Okta. Which plan do we need?"
    text = compose(found, asking(asked), terms_of(asked, found), 120).text
    assert text.startswith("SSO with Okta is part of the River plan. [1]")
    assert "Open **Settings" not in text


def test_what_was_asked_is_said_and_then_it_stops() -> None:
    asked = "how often is a failed delivery retried"
    text = compose(THREE, asking(asked), terms_of(asked, THREE), 120).text
    assert "12 times over 36 hours" in text
    assert "secret" not in text
    assert "Creek" not in text


@pytest.mark.parametrize(
    ("asked", "opening"),
    [
        ("Is there a Windows installer?", "No. There is no Windows installer."),
        ("Can Viewers see the logs?", "Yes. Viewers can see the logs."),
        ("Is a yearly plan refunded?", "When a yearly plan is refunded"),
        ("Why is there no Windows installer?", "There is no Windows installer."),
        ("Where do I see the logs that viewers can see?", "Viewers can see the logs."),
        ("Hi, how do I get the Windows installer?", "There is no Windows installer."),
        ("Do you have an SDK for Go?", "The SDK for Go has no dependencies."),
    ],
)
def test_yes_and_no_come_first_where_the_source_says_so(asked: str, opening: str) -> None:
    text = "There is no Windows installer.\n\nViewers can see the logs.\n\n"
    text += "The SDK for Go has no dependencies.\n\n"
    found = [candidate(text + "When a yearly plan is refunded, a note is sent.", "a")]
    assert compose(found, asking(asked), terms_of(asked, found), 120).text.startswith(opening)


def test_a_page_says_yes_and_no_in_its_own_language() -> None:
    asked = "Können Leser die Protokolle sehen?"
    text = "Leser können die Protokolle sehen."
    for locale, opening in (("de-AT", "Ja. Leser können"), ("fr", "Leser können")):
        found = [candidate(text, "a")]
        found = [replace(each, chunk=replace(each.chunk, locale=locale)) for each in found]
        assert compose(found, asking(asked), terms_of(asked, found), 120).text.startswith(opening)


def test_a_sentence_that_says_no_itself_is_not_led_by_another() -> None:
    found = [candidate("No. There is no Windows installer.", "a")]
    asked = "Is there a Windows installer?"
    text = compose(found, asking(asked), terms_of(asked, found), 120).text
    assert text.count("No.") <= 1


def test_clause_numbers_are_not_said() -> None:
    found = [candidate("3.1 A company may have one workspace on Brook.", "a")]
    draft = compose(found, asking("one workspace"), terms_of("one workspace", found), 120)
    assert draft.text.startswith("A company may")


def test_a_mark_stands_once_behind_what_it_covers() -> None:
    told = "Roll it. [1] It stays. [1]\n\n1. Open. [2]\n2. Click. [2]\n\nAnd so on. [1]"
    folded = "Roll it. It stays. [1]\n\n1. Open.\n2. Click. [2]\n\nAnd so on. [1]"
    assert fold_marks(told) == folded


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
    text = "Nothing else counts.\n\nRoll the secret first. It then stays valid for 12 hours."
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


def test_what_introduces_a_list_comes_along() -> None:
    many = "- Seats: ten\n- Logs: a week"
    found = [candidate(f"Something apart.\n\nEach plan has:\n\n{many}", "a")]
    asked = "how many seats and logs"
    assert "Each plan has:\n\n" in compose(found, asking(asked), terms_of(asked, found), 12).text


def test_an_item_that_is_no_sentence_comes_below_its_heading() -> None:
    found = [candidate("- Public schools and their libraries\n- Charities", "nonprofits")]
    asked = "discount for public schools"
    said = verify(
        compose(found, asking(asked), terms_of(asked, found), 12),
        *(found, terms_of(asked, found), HOUSE),
    )
    assert said.text.startswith("Overview:\n- Public schools and their libraries")
    assert said.citations[0].quote in found[0].chunk.text


class Stuck(HashingEmbedder):
    """An embedder that answers once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.free, self.answered = threading.Event(), threading.Event()
        self.calls = 0

    def embed(self, texts: Sequence[str], *, passages: bool = False) -> npt.NDArray[np.float32]:
        self.calls += 1
        self.free.wait()
        try:
            return super().embed(texts)
        finally:
            self.answered.set()


class Down(HashingEmbedder):
    def embed(self, texts: Sequence[str], *, passages: bool = False) -> npt.NDArray[np.float32]:
        raise UpstreamError("The embedding server does not answer.")


def test_an_embedder_that_is_late_leaves_the_choice_to_words_and_is_heard_next_time() -> None:
    asked = "how long do both secrets stay valid"
    terms, stuck = terms_of(asked, THREE), Stuck()
    sentences, question = Sentences(stuck), asking(asked)
    now = time.monotonic()
    try:
        late = compose_searched(searched(THREE, question, terms), sentences, 120, now)
    finally:
        stuck.free.set()
    assert late == compose(THREE, question, terms, 120)
    assert late.repairs == (BY_WORDS,)
    stuck.answered.wait(10)
    heard = compose(THREE, question, terms, 120, sentences)
    assert heard.repairs == ()


def test_an_embedder_that_is_down_leaves_the_choice_to_words() -> None:
    asked = "how long do both secrets stay valid"
    terms = terms_of(asked, THREE)
    by_words = compose(THREE, asking(asked), terms, 120)
    assert compose(THREE, asking(asked), terms, 120, Sentences(Down())) == by_words


def test_a_stuck_embedder_is_asked_so_often_and_no_more() -> None:
    asked, stuck = "how long do both secrets stay valid", Stuck()
    terms, sentences, question = terms_of(asked, THREE), Sentences(stuck), asking(asked)
    by_words, now = compose(THREE, question, terms, 120), time.monotonic()
    try:
        for _ in range(sentences_module.AT_ONCE + 2):
            again = compose_searched(searched(THREE, question, terms), sentences, 120, now)
            assert again == by_words
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
    packed = pack(found_of(question, candidates), terms, 6, 6000)
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
    Written("foreign link", "A roll keeps both secrets valid, as https://evil.test/x says. [1]", "",
            "address"),
    Written("foreign link with words",
            "Rolling a secret [keeps both](https://evil.test/x) secrets valid. [1]",
            "Rolling a secret keeps both secrets valid. [1]"),
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


@pytest.mark.parametrize(("odds", "told"), [(0.5, True), (-0.5, False)])
def test_a_second_question_is_not_answered_by_what_the_first_was_told(
    odds: float, told: bool
) -> None:
    first, second = "How long is the link good?", "Does an open one use a seat?"
    pages = [
        candidate("The link is good for 7 days.", "links"),
        candidate("Each invitation uses a seat.", "seats"),
    ]
    whole = searched(pages, asking(f"{first} {second}"), terms_of(first, pages))
    link, seat = (page.headed[0] for page in cut(pages))
    matched = {
        first: {link: Match(0.8, 4.0), seat: Match(0.3, -4.0)},
        second: {link: Match(0.6, 1.0), seat: Match(0.6, odds)},
    }
    text = compose_searched(replace(whole, matched=matched), Sentences(), 120).text
    assert text.startswith("The link is good for 7 days.")
    assert ("uses a seat" in text) is told
