"""The page in its forms: what it says, what it never says, and that others' text does nothing."""

import io
import re

import cmarkgfm
import pytest
from rich.console import Console
from selectolax.lexbor import LexborHTMLParser

from models.diagnosis.diagnose import instruments
from models.diagnosis.page import render_html, render_markdown, render_terminal
from models.diagnosis.page.questions import questions
from models.diagnosis.verdicts import Diagnosis
from tests.models.diagnosis.made import FAILED, diagnosis, figure

EVIL = (
    "<script>alert(1)</script><img src=x onerror=y>\"'><a href='javascript:z'>"
    " `x` | [a](javascript:b) [bold]B[/bold] [/nothing] {{ 7*7 }} @everyone http://bad.example\n# H"
)
TAGS = r"<(?!/?(?:table|thead|tbody|tr|th|td|h[1-6]|p|ul|ol|li|strong|details|summary)\b)"


def _terminal(found: Diagnosis, width: int = 240) -> str:
    out = io.StringIO()
    render_terminal(Console(file=out, width=width), found)
    return out.getvalue()


def _words(found: Diagnosis) -> dict[int, str]:
    return {n: answered.word for n, answered in enumerate(questions(found), start=1)}


def test_every_form_says_the_same() -> None:
    found = diagnosis()
    page = LexborHTMLParser(render_html(found)).text()
    for shown in (_terminal(found), page, render_markdown(found)):
        for said in (
            "Mend the knowledge", "not in sources", "nobody wrote it", "ignored evidence",
            "80% (95% interval 65% to 92%", "Does every call carry the same instructions?",
            "no model server is configured" if "<details>" not in shown else "composer",
        ):  # fmt: skip
            assert said in shown
    assert Diagnosis.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("width", [80, 120])
def test_a_narrow_terminal_breaks_no_name_and_no_word(width: int) -> None:
    made = diagnosis()
    name = "help-center/articles/a-page-of-which-the-name-is-rather-long.md"
    said = f"{name} was packed and not used, given that passage alone it is"
    long = tuple(v.model_copy(update={"evidence": said}) for v in made.verdicts)
    fixes = tuple(f.model_copy(update={"text": f"Mend the page: {name}."}) for f in made.fixes)
    more = {"verdicts": long, "fixes": fixes, "instruments": tuple(instruments())}
    found = made.model_copy(update=more)
    shown = _terminal(found, width)
    assert shown.count(name) == len(long) + len(fixes)
    whole = {*re.findall(r"[\w.-]+", _terminal(found, 10_000))}
    assert {*re.findall(r"[\w.-]+", shown)} <= whole
    assert max(map(len, shown.splitlines())) <= width


def test_an_answer_to_one_of_the_ten_is_a_sentence_or_two() -> None:
    found = diagnosis().model_copy(update={"instruments": tuple(instruments())})
    assert all(len(asked.text.split()) <= 60 for asked in questions(found))
    for shown in (_terminal(found, 10_000), render_html(found), render_markdown(found)):
        assert "How far the instruments can be trusted" in shown
        assert "false alarms" in shown


def test_the_html_is_whole_in_itself_and_runs_nothing() -> None:
    page = render_html(diagnosis())
    tree = LexborHTMLParser(page)
    assert tree.css("script, img, iframe, link, object, [style]") == []
    assert not re.search(r"(?:src|href)=\"(?!#)", page)
    assert "default-src 'none'" in page
    links = {a.attributes["href"] for a in tree.css("a[href^='#case-']")}
    places = {f"#{d.attributes['id']}" for d in tree.css("details[id]")}
    assert links == places
    assert len(places) == len(FAILED)


def test_what_others_wrote_is_text_in_every_form() -> None:
    found = diagnosis(EVIL)
    page = render_html(found)
    tree = LexborHTMLParser(page)
    assert tree.css("script, img, a[href^='javascript']") == []
    assert "&lt;script&gt;alert(1)" in page
    assert "{{ 7*7 }}" in page
    shown = cmarkgfm.github_flavored_markdown_to_html(render_markdown(found))
    assert re.findall(TAGS, shown.replace("<!-- raw HTML omitted -->", "")) == []
    assert "@everyone" not in shown
    assert "[bold]B[/bold] [/nothing]" in _terminal(found)


def test_the_ten_questions_rest_on_the_numbers() -> None:
    asked = questions(diagnosis())
    assert len(asked) == 10
    by = dict(enumerate(asked, start=1))
    assert "768 fewer" in by[4].text
    assert "prefix cache reads them once" in by[4].text
    assert "2 from pages that nobody wrote" in by[2].text
    assert by[6].text == (
        "Of 40 answers 1 fails by form. With the full prompt 1 passes: try that before training."
    )
    assert by[8].word == "no"
    assert "House policy before training" in by[8].text


def test_a_prefix_cache_takes_from_what_training_saves() -> None:
    facts = {"instruction_tokens_full": 800, "instruction_tokens_tuned": 0, "cached_tokens": 600}
    said = questions(diagnosis(facts=facts))[3].text
    assert "would save 200 tokens a call, not 800" in said
    said = questions(diagnosis(facts=facts | {"cached_tokens": 990}))[3].text
    assert "would save 0 tokens a call" in said


def test_failures_that_nobody_explained_are_no_evidence_of_their_absence() -> None:
    unknown = (("unknown", None, "q"),) * 3 + (("not_in_sources", "sources_checked", "q"),)
    found = diagnosis(failed=unknown).model_copy(update={"arms": ()})
    asked = questions(found)
    assert [(asked[n].word, asked[n].text) for n in (2, 7)] == [
        ("cannot tell", "Of 4 failures 3 are not explained.")
    ] * 2
    live = questions(found.model_copy(update={"live": True, "facts": {"looked_into": 4}}))
    assert live[3].text == "Prompts are counted with a suite: `twofold diagnose SUITE`."


def test_metrics_stand_side_by_side_and_the_right_pages_are_those_of_who_is_asked() -> None:
    made = diagnosis()
    composer, rag = (arm for arm in made.arms if arm.ran)
    arms = (
        composer.model_copy(update={"metrics": {"facts": figure(0.75, 0.7, 0.8)}}),
        rag.model_copy(update={"metrics": {"replaced": figure(0.62, 0.5, 0.7)}}),
        rag.model_copy(update={"name": "oracle_base", "passed": figure(0.1, 0.05, 0.2)}),
        rag.model_copy(update={"name": "oracle_tuned", "passed": figure(0.6, 0.5, 0.7)}),
    )
    found = made.model_copy(update={"arms": arms, "facts": {"asked_first": "tuned"}})
    rows = [row.text() for row in LexborHTMLParser(render_html(found)).css("tr")]
    facts = next(row for row in rows if row.startswith("key facts present"))
    assert facts == "key facts present0.750.70 to 0.80–––"
    assert any(row.startswith("model's reply held by nothing") and "0.62" in row for row in rows)
    assert "Given the right pages, 60%" in questions(found)[2].text


def test_nothing_is_told_that_was_not_measured() -> None:
    bare = diagnosis(failed=()).model_copy(
        update={"arms": (), "instruments": (), "facts": {}, "detectable": None}
    )
    words = _words(bare)
    assert {n for n, word in words.items() if word == "cannot tell"} == {1, 4, 5, 7, 9, 10}
    page = LexborHTMLParser(render_html(bare)).text()
    assert "Do nothing" in page
    assert "Nothing failed." in page


@pytest.mark.parametrize("cause", ["stale", "not_in_sources", "hidden"])
def test_training_is_never_named_for_a_fact(cause: str) -> None:
    found = diagnosis(failed=((cause, "released", "q"),))  # type: ignore[arg-type]
    for shown in (_terminal(found), render_markdown(found)):
        assert "Fine-tune" not in shown
