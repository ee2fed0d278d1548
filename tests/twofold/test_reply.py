"""The reply contract: what is rendered is read back, however the stream is cut."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.reply import Action, Escalation, ReplyParser, grammar, marks, parse, render, strict

REASONS = {"not_in_sources": "support", "legal_threat": "legal", "data_request": "privacy"}

texts = st.text(st.characters(exclude_categories=["C"], include_characters="\n"), min_size=1)
escalations = st.sampled_from([Escalation(team, reason) for reason, team in REASONS.items()])
replies = st.one_of(
    st.tuples(st.sampled_from(["ANSWER", "CLARIFY", "DECLINE"]), texts, st.none()),
    st.tuples(st.just("ESCALATE"), st.one_of(texts, st.just("")), escalations),
    st.just(("DECLINE", "", None)),
)


@given(replies)
def test_what_is_rendered_is_read_back(reply: tuple[Action, str, Escalation | None]) -> None:
    action, text, escalation = reply
    header, read, repairs = parse(render(action, text, escalation), REASONS, "not_in_sources")
    assert (header.action, header.escalation) == (action, escalation)
    assert read == text.strip()
    assert repairs == []


@given(st.one_of(replies.map(lambda r: render(*r)), texts), st.data())
def test_how_the_stream_is_cut_changes_nothing(wire: str, data: st.DataObject) -> None:
    whole = parse(wire, REASONS, "not_in_sources")
    parser = ReplyParser(REASONS, "not_in_sources")
    text = ""
    while wire:
        cut = data.draw(st.integers(1, len(wire)))
        text += parser.feed(wire[:cut])
        wire = wire[cut:]
    text += parser.finish()
    assert (parser.header, text.strip(), parser.repairs) == whole


@dataclass(frozen=True)
class Malformed:
    id: str
    wire: str
    action: Action
    escalation: Escalation | None
    text: str
    repairs: tuple[str, ...]


SUPPORT = Escalation("support", "not_in_sources")
MALFORMED = [
    Malformed("no header", "You have 12 hours. [1]", "ANSWER", None, "You have 12 hours. [1]",
              ("header_missing",)),
    Malformed("bold and lower case", "**Action: answer**\nYes. [1]", "ANSWER", None, "Yes. [1]",
              ("header_loose",)),
    Malformed("unknown reason", "ESCALATE [team=legal reason=aliens]\nHm.", "ESCALATE", SUPPORT,
              "Hm.", ("reason_unknown",)),
    Malformed("wrong team", "ESCALATE [team=support reason=legal_threat]\nHm.", "ESCALATE",
              Escalation("legal", "legal_threat"), "Hm.", ("team_wrong",)),
    Malformed("no reason", "ESCALATE\nHm.", "ESCALATE", SUPPORT, "Hm.", ("escalation_missing",)),
    Malformed("header alone", "CLARIFY", "CLARIFY", None, "", ()),
    Malformed("nothing", "", "ANSWER", None, "", ("header_missing",)),
    Malformed("a word that only looks like one", "Answering this takes a plan.", "ANSWER", None,
              "Answering this takes a plan.", ("header_missing",)),
]  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED, ids=lambda case: case.id)
def test_a_malformed_reply_is_mended_and_counted(case: Malformed) -> None:
    header, text, repairs = parse(case.wire, REASONS, "not_in_sources")
    assert (header.action, header.escalation) == (case.action, case.escalation)
    assert text == case.text
    assert tuple(repairs) == case.repairs


def test_the_header_is_known_before_the_text_is_whole() -> None:
    parser = ReplyParser(REASONS, "not_in_sources")
    assert parser.feed("ESCALATE [team=legal rea") == ""
    assert parser.header is None
    assert parser.feed("son=legal_threat]\nA per") == "A per"
    assert parser.header is not None
    assert parser.header.escalation == Escalation("legal", "legal_threat")


def test_an_endless_first_line_is_text_and_not_held_back() -> None:
    parser = ReplyParser(REASONS, "not_in_sources")
    assert parser.feed("word " * 60) == "word " * 60


def test_the_grammar_names_every_pair_and_no_other() -> None:
    rules = grammar(REASONS)
    assert '"team=legal reason=legal_threat"' in rules
    assert rules.count("reason=") == len(REASONS)


@pytest.mark.parametrize(
    ("wire", "kept"),
    [
        ("ANSWER\nYes. [1]", True),
        ("ANSWER", False),
        ("CLARIFY\n", False),
        ("DECLINE", True),
        ("ESCALATE [team=legal reason=legal_threat]", True),
        ("ESCALATE [team=support reason=legal_threat]", False),
        ("ESCALATE", False),
    ],
)
def test_only_what_the_model_has_the_words_for_needs_a_text(wire: str, kept: bool) -> None:
    assert (strict(wire, REASONS)[0] is not None) == kept


def test_marks_are_read_in_order() -> None:
    assert list(marks("One [2]. Two [1][2]. Array a[0:3].")) == [2, 1, 2]
