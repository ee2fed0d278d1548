"""Support: what a source says in other words is kept, what it does not say is not."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.reply import escaped, marks, strip_marks
from twofold.text.silence import hedged, leads_in
from twofold.text.statements import StatementStream, statements
from twofold.text.support import Passages

SECRETS = (
    "Signing secrets > Rolling\nRolling a signing secret keeps both secrets valid for 12 hours. "
    "Deploy the new one by then, or deliveries fail. Write to help@acme.example or open `app.yaml`."
)
LIMITS = (
    "Limits\n| Plan | Storage |\n|---|---|\n| Brook | 7GB |\n| River | 1,5 TB |\n\n"
    "Exports are deleted after ten days."
)
BOTH = Passages([SECRETS, LIMITS])


@dataclass(frozen=True)
class Said:
    text: str
    problem: str = ""
    marks: tuple[int, ...] = ()
    cited: tuple[int, ...] = ()


SAID = [
    Said("For 12 hours after a roll both signing secrets stay valid.", marks=(1,)),
    Said("3. Deploy the new one by then (passage 1).", marks=(1,)),
    Said("According to the documents, exports are deleted after 10 days.", marks=(2,)),
    Said("Both secrets stay valid for 12 hours.", marks=(1,), cited=(2,)),
    Said("Both secrets stay valid for 24 hours.", "number", cited=(1,)),
    Said("Brook has 9GB of storage.", "number"),
    Said("Rolling a signing secret never keeps both secrets valid.", "contradicted"),
    Said("Write to help@evil.example or open `app.yaml`.", "address"),
    Said("Deliveries fail, says evil.example.", "address"),
    Said("Secrets are dangerous.", "uncited"),
    Said("Yes.", "uncited"),
    Said("Dolphins sleep with half a brain awake.", "unsupported", cited=(1,)),
]


@pytest.mark.parametrize("case", SAID, ids=lambda case: case.text)
def test_support(case: Said) -> None:
    judged = BOTH.judge(case.text, case.cited)
    assert (judged.problem, judged.marks) == (case.problem, case.marks)
    assert 0 <= judged.support <= 1


def test_two_passages_together_hold_what_neither_does_alone() -> None:
    texts = [
        "Plans\nCreek includes priority support by telephone.",
        "Hours\nEngineers answer nightly.",
    ]
    said = "Creek includes priority support by telephone, and engineers answer at night."
    assert Passages(texts).judge(said).marks in {(1,), (1, 2)}


def test_a_table_is_held_row_by_row() -> None:
    head = "| Plan | Storage |\n|---|---|\n"
    assert BOTH.judge_table(f"{head}| Brook | 7GB |").marks == (2,)
    assert BOTH.judge_table(f"{head}| River | 7GB |").problem


def test_numbers_are_read_in_the_language_of_each_side() -> None:
    german = Passages(["Grenzen\nEin Lauf fasst höchstens 10.000 Zeilen."], "de", locales=["de"])
    assert german.judge("Ein Lauf fasst höchstens 10 Zeilen.").problem == "number"
    assert german.judge("Höchstens fasst ein Lauf 10000 Zeilen.").problem == ""


@pytest.mark.parametrize(
    "text",
    ["The passages do not mention refunds.", "Unfortunately, the documents don't say how long.",
     "I don't have enough information on that.", "Dazu steht in den Quellen nichts."],
)  # fmt: skip
def test_what_only_says_that_nothing_is_known_is_no_claim(text: str) -> None:
    assert hedged(text) is not None


@pytest.mark.parametrize(
    "text",
    ["The passages do not say, so send us your password.", "The documents do not mention it: pay.",
     "I do not have it, but call Mallory.", "Refunds take five days.", "It is not refunded."],
)  # fmt: skip
def test_nothing_can_be_claimed_in_its_shape(text: str) -> None:
    assert hedged(text) is None


def test_only_closed_words_lead_in() -> None:
    assert leads_in("Follow these steps:")
    assert leads_in("So geht das:")
    assert not leads_in("Send us your password:")
    assert not leads_in("Follow these 5 steps:")
    assert not leads_in("Follow these steps.")


def test_a_bare_answer_belongs_to_its_sentence() -> None:
    text = "No. Overage is not refunded. [1] Then wait."
    assert [s.text for s in statements(text)] == ["No. Overage is not refunded. [1]", "Then wait."]


def test_statements_joined_again_are_the_text() -> None:
    text = "- one\n2. Next\n [1]Really? \n\n. One ends. [2]"
    assert "".join(s.lead + s.text for s in statements(text)) == text


MARKDOWN = st.lists(
    st.sampled_from(
        ["class [2] ropes", "ropes[1]", " ", "`x[1]`", "\n\n", "```\na[1]\n```\n", "[3](a.md)",
         "[^1]",
         "\\[4\\]", "[", "]", "5", "It holds. ", "[12]"]
    ), max_size=12,
).map("".join)  # fmt: skip


@given(MARKDOWN)
def test_a_sources_own_marks_are_never_citations(text: str) -> None:
    assert list(marks(escaped(text))) == []
    assert list(marks(f"{escaped(text)}\n\n [7]")) in ([7], [])
    assert escaped(escaped(text)) == escaped(text)


def test_marks_in_code_are_no_marks() -> None:
    assert list(marks("Use `a[1]`. [2]")) == [2]
    assert strip_marks("Use `a[1]`. [2]") == "Use `a[1]`."


@given(MARKDOWN, st.integers(1, 7))
def test_a_stream_is_cut_as_the_whole(text: str, size: int) -> None:
    stream = StatementStream()
    found = [s for at in range(0, len(text), size) for s in stream.feed(text[at : at + size])]
    found += stream.finish()
    whole = "".join(s.lead + s.text for s in statements(text))
    assert "".join(s.lead + s.text for s in found).split() == whole.split()
