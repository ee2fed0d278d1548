"""What a good support agent copies from the page, once it is known: the whole procedure, what is to
be done rather than what goes wrong, and nothing that cannot be understood without the rest."""

from dataclasses import replace
from pathlib import Path

import pytest

from services.answer.contract import Candidate, Turn
from services.answer.generate.composer import compose as compose_searched
from services.answer.generate.sentences import Sentences
from services.answer.search.match import Match
from services.answer.search.units import cut, pieces
from tests.services.answer.test_compose_verify import (
    asking,
    candidate,
    compose,
    searched,
    terms_of,
)
from tests.services.answer.test_rest import OTHERS, asked, knowing
from twofold.index.contract import Kind

WALK = "how do I open the app of the sign-in and paste its URL, every click"


def page(*sections: tuple[str, str], kind: Kind = "article", name: str = "page") -> list[Candidate]:
    """The passages of one page; each section is its heading and its text."""
    found = []
    for position, (heading, text) in enumerate(sections):
        one = candidate(text, name, 1.0 - position / 10)
        chunk = replace(
            one.chunk,
            id=f"{name}-{position}",
            heading_path=(heading,) if heading else (),
            position=position,
            kind=kind,
        )
        found.append(replace(one, chunk=chunk))
    return found


def told(question: str, packed: list[Candidate], *history: Turn, words: int = 120) -> str:
    terms = terms_of(question, packed)
    return compose(packed, asking(question, *history), terms, words).text


APP = "1. Open the app of the sign-in.\n2. Fill in the values from the table below."
VALUES = "| Field | Value |\n|---|---|\n| URL | `a` |\n| Role | `b` |"
HERE = "1. Paste the URL of the app.\n2. Choose **Enforce**."


@pytest.mark.parametrize(
    ("one", "two", "both"),
    [
        ("Step 1: The app", "Step 2: The sign-in", True),
        ("Create the app", "Connect it", True),
        ("Step 1: The app", "Step 3: The sign-in", False),
        ("With an app", "With a key", False),
        ("Add a seat", "Remove a seat", False),
    ],
)
def test_a_procedure_is_told_over_its_sections(one: str, two: str, both: bool) -> None:
    text = told(WALK, page((one, f"{APP}\n\n{VALUES}"), (two, HERE)))
    assert (f"{two}:\n\n1. Paste" in text) == both
    assert (f"{one}:\n\n1. Open" in text) == both
    if both:
        assert text.index("1. Open") < text.index("| Role | `b` |") < text.index("1. Paste")


def test_a_part_of_a_procedure_is_told_to_who_asks_for_a_fact() -> None:
    text = told(
        "what is the value of the field role", page(("Create the app", f"{APP}\n\n{VALUES}"))
    )
    assert "| Role | `b` |" in text
    assert "1. Open" not in text


LONG = (
    "5. Open a ticket for the upgrade. Name the day. " + "We answer within a day. " * 35 + "Then:"
)


def test_steps_are_whole_however_long_and_nested_they_are() -> None:
    text = "1. Copy it.\n2. Check it.\n3. Turn it.\n4. Look.\n\n"
    parts = [text, f"{LONG}\n   1. Close the shop.", "   2. Tell us.\n6. Open the shop."]
    found = page(*(("Upgrade", part) for part in parts))
    said = told("what do we have to do for the upgrade, in what order", found)
    places = [
        said.index(each) for each in ("1. Copy", "5. Open", "   1. Close", "   2. Tell", "6. ")
    ]
    assert places == sorted(places)
    assert "1. Copy" not in told("how long until you answer a ticket for the upgrade", found)


def test_clauses_of_a_policy_are_no_steps() -> None:
    found = page(("Terms", f"1. A thing.\n2. Another one.\n\n{LONG}"), kind="policy")
    said = told("what do we have to do for the upgrade, in what order", found)
    assert "2. Another one" not in said


ABOUT = "This article provides a fix for a grid of orders that is empty."
ISSUE = "Orders are not in the grid of orders, which is empty."
FIX = (
    "Set the indexer to another mode. To do this, take these steps:\n\n1. Open **Tools**.\n2. Save."
)


@pytest.mark.parametrize(
    ("question", "start"),
    [
        ("the grid of orders is empty, did it lose them?", "Set the indexer"),
        ("how do I fix the grid of orders that is empty", "Set the indexer"),
        ("is the page about a grid of orders that is empty?", "Set the indexer"),
    ],
)
def test_what_a_page_says_to_do_is_told_instead_of_what_it_is_about(
    question: str, start: str
) -> None:
    said = told(question, page(("", ABOUT), ("Solution", FIX)))
    assert said.startswith(start)
    assert "2. Save." in said
    assert "This article" not in said


def test_what_goes_wrong_is_told_to_who_asks_for_it_alone() -> None:
    found = page(("Issue", ISSUE), ("Solution", FIX))
    assert told("how do I get orders into the grid of orders", found).startswith("Set the")
    assert told("are orders in the grid of orders?", found).endswith(f"{ISSUE} [1]")


def test_the_section_that_says_what_to_do_is_packed_with_what_the_page_is_about(
    tmp_path: Path,
) -> None:
    text = f"# Empty grid\n\n{ABOUT}\n\n## Affected\n\nAll.\n\n## Solution\n\n{FIX}\n"
    text += "\n## Related reading\n\nMore.\n"
    stack = knowing(tmp_path, {"grid.md": text} | OTHERS, context_chunks=1)
    packed = asked(stack, "a grid of orders that is empty").packed
    own = [each.chunk.heading_path for each in packed]
    assert own == [(), ("Solution",)]


def test_what_joins_a_sentence_said_before_brings_it_along() -> None:
    text = "Both have to confirm within 48 hours. Otherwise the transfer lapses."
    talk = (Turn("user", "how?"), Turn("assistant", "Both have to confirm within 48 hours."))
    said = told("it lapses then", page(("Steps", text)), *talk, words=20)
    assert said == "Both have to confirm within 48 hours. [1] Otherwise the transfer lapses. [1]"


def test_steps_are_not_told_again_for_a_word_that_they_share() -> None:
    text = "1. Open the mail.\n2. Click **Confirm**.\n\nThe mail is valid for 48 hours."
    talk = (Turn("user", "how?"), Turn("assistant", "1. Open the mail.\n2. Click **Confirm**."))
    late = "she opened her mail three days later, on holiday. now what"
    assert told(late, page(("Steps", text)), *talk).startswith("The mail is valid")


def test_a_value_comes_with_the_sentence_that_holds_it() -> None:
    text = "Nothing else. The upgrade of a database takes 1 hour. Larger databases are slower."
    said = told("how long are larger databases slower", page(("Upgrade", text)), words=8)
    assert said == "The upgrade of a database takes 1 hour. [1] Larger databases are slower. [1]"


def test_what_only_promises_an_example_is_not_told_without_it() -> None:
    example = "The following example shows the file of the consumers."
    code = "```\nconsumers\n```"
    there = told("which file has the consumers", page(("File", f"{example}\n\n{code}")))
    assert (example in there, code in there) == (True, True)
    other = "The file is `env.php`."
    assert example not in told("which file has the consumers", page(("File", f"{example} {other}")))


def test_what_only_promises_a_list_is_not_told_without_it() -> None:
    promise, items = "Set all of the following limits of memory.", "- the cache\n- the queue"
    there = told("which limits of memory to set", page(("Limits", f"{promise}\n\n{items}")))
    assert promise in there
    assert "the cache" in there
    assert "the queue" in there
    other = "The limit of the cache is 2 GB."
    alone = told("which limits of memory to set", page(("Limits", f"{promise} {other}")))
    assert promise not in alone


@pytest.mark.parametrize(("below", "told_too"), [(("Fix", "Servers"), True), (("Other",), False)])
def test_what_is_promised_may_stand_below_the_next_heading(
    below: tuple[str, ...], told_too: bool
) -> None:
    promise, steps = "Set all of the following to mend it.", "1. Open the file.\n2. Save it."
    found = page(("Fix", promise), ("Servers", steps))
    found[1] = replace(found[1], chunk=replace(found[1].chunk, heading_path=below))
    said = told("what to set to mend it", found)
    assert (promise in said) is told_too


APPEAL = (
    "An appeal is where a member says that no rule was broken and brings further facts which may"
    " show that another decision should have been reached by the staff in the first place."
)
REVIEW = (
    "A review is where somebody accepts what was found, mends what gave offence, promises to keep"
    " to our terms from that day on, and only then gets back into the closed account."
)


@pytest.mark.parametrize(
    ("question", "both"),
    [("what is the difference between appeal and review", True), ("what is an appeal", False)],
)
def test_what_is_told_apart_may_take_more_words(question: str, both: bool) -> None:
    said = told(question, page(("Appeal and review", f"{APPEAL}\n\n{REVIEW}")))
    assert APPEAL in said
    assert (REVIEW in said) is both


def test_of_steps_the_sentence_is_told_that_holds_what_is_asked_for() -> None:
    text = (
        "1. Open the tokens.\n2. Create a token. The token is valid for 12 months.\n3. Map roles."
    )
    assert told("how long does a token live", page(("Token", text))).startswith("The token is")
    assert told("how do i create a token", page(("Token", text))).startswith("1. Open")


def test_a_list_of_links_is_no_answer() -> None:
    links = "- [Tickets: how to file one](a.md)\n- [Tickets: how to close one](b.md)"
    found = page(("More", links), ("Tickets", "Press the button."))
    assert told("how to file one of the tickets", found) == "Press the button. [2]"


def test_an_image_that_is_not_shown_is_not_named() -> None:
    text = "1. Click it.\n\n   the_button of it.png\n2. Save."
    assert all(".png" not in piece.shown for piece in pieces(text))


def test_all_code_that_the_last_step_leads_to_is_told() -> None:
    text = (
        "1. Copy the patch.\n2. Push the patch:\n\n```\ngit add\n```\n\n```\ngit push\n```\n\nDone."
    )
    said = told("how do I push the patch", page(("Patch", text)))
    assert said.index("git add") < said.index("git push")


def test_a_sentence_is_told_from_the_beginning_of_its_paragraph_but_a_value_alone() -> None:
    text = "Dump the data first. An import brings the data into the other place in 2 hours."
    found = page(("Sync", text))
    assert told("how do I bring the data into the other place", found).startswith("Dump")
    assert told("what brings the data into the other place?", found).startswith("Dump")
    assert told("how long does an import bring data?", found).startswith("An import")


ROLES = """| Action | Owner | Viewer |
|---|---|---|
| See payloads | yes | no |
| Read logs | yes | yes |"""


def test_a_column_is_told_whole_to_who_asks_for_it_alone() -> None:
    found = page(("Roles", ROLES))
    assert "| See payloads | no |\n| Read logs | yes |" in told("what can a viewer do", found)
    assert "Read logs" not in told("what payloads can a viewer see", found)


def test_what_was_told_as_a_sentence_is_not_told_again_in_its_list() -> None:
    steps = "1. We set the state to waiting.\n2. A ticket is closed after 6 days of waiting."
    found = page(
        ("Tickets", steps), ("Solved", "A ticket that you set to solved is closed at once.")
    )
    asked_for = (
        "after how many days is a ticket closed? and what happens to a ticket set to solved?"
    )
    said = told(asked_for, found)
    assert said.count("6 days of waiting") == 1


SEEN = """| Action | Owner | Viewer |
|---|---|---|
| See invoices | yes | no |
| Read the audit log | yes | no |
| See payloads | yes | no |
| Change the plan | yes | no |"""


def test_the_row_is_told_that_most_words_name_in_the_column_that_is_named_in_any_number() -> None:
    said = told("can viewers see the audit log?", page(("Roles", SEEN)))
    assert "| Action | Viewer |\n| --- | --- |\n| Read the audit log | no |\n\n" in said


def test_a_solution_that_is_a_list_is_told_whole() -> None:
    options = "- If you see the message, ask for credits.\n- If not, send the log of the mails."
    said = told("how do I fix the grid of orders", page(("Issue", ISSUE), ("Solution", options)))
    assert said.count("- If") == 2


def test_a_question_of_the_page_is_no_answer() -> None:
    text = "Do you send mails to many teams? Use the address of a team."
    assert told("mails to many teams", page(("Teams", text))).startswith("Use the address")


def test_what_a_page_is_about_is_not_said_beside_the_answer() -> None:
    about = "The article recommends how to fix an empty grid of orders."
    said = told("an empty grid of orders", page(("Grid", f"{ISSUE}\n\n{about}")))
    assert "The article" not in said


def test_code_comes_before_the_sentence_that_leans_on_it() -> None:
    text = "Run this query:\n\n```\nSELECT it\n```\n\nThis shows tables. You see how big each is."
    said = told("how do I see how big each is", page(("Tables", text)))
    places = [
        said.index(each) for each in ("Run this query:", "SELECT it", "This shows", "You see")
    ]
    assert places == sorted(places)


def test_who_reports_trouble_is_told_its_cause_and_all_that_is_done_about_it() -> None:
    solution = "See the state:\n\n```\nshow\n```\n\nSwitch it off:\n\n```\noff\n```"
    found = page(
        ("Issue", "Orders of the shop are never sent to the warehouse."),
        ("Cause", "The queue was paused by the deployment."),
        ("Solution", solution),
        ("Related reading", "The manual of the warehouse."),
    )
    said = told("our orders are never sent to the warehouse", found)
    places = [said.index(each) for each in ("The queue was paused", "show", "Switch it off", "off")]
    assert places == sorted(places)
    assert "never sent" not in said
    assert "manual" not in said


def test_what_a_page_is_about_is_no_answer_where_nothing_follows() -> None:
    about = "This article provides a description of orders that are sent twice."
    said = told("orders are sent twice", page(("Orders", f"{about}\n\nMerge the two orders.")))
    assert said.startswith("Merge")


STATES = """- **Active**: webhooks go out.
- **Paused**: new webhooks wait.
- **Disabled**: nothing is queued.

An endpoint is paused by itself after five days.
"""


def test_of_two_things_that_are_to_be_told_apart_both_are_told() -> None:
    said = told("what is the difference between pausing and disabling", page(("States", STATES)))
    assert said == "- **Paused**: new webhooks wait. [1]\n- **Disabled**: nothing is queued. [1]"


def test_a_price_that_is_asked_for_stays_in_its_row() -> None:
    table = "| Plan | Sent a month | Each further one |\n|---|---|---|\n| Creek | 250 | $0.40 |"
    said = told("what does Creek cost, sent each month", page(("Overage", table)))
    assert "| Creek | 250 | $0.40 |" in said


def test_a_sentence_of_a_step_comes_with_what_it_leans_on() -> None:
    steps = "1. Choose a webhook.\n2. Replay the webhook. It is tried 1 time."
    said = told("how often is a webhook tried?", page(("Replay", steps)))
    assert said == "Replay the webhook. [1] It is tried 1 time. [1]"


def test_a_follow_up_is_answered_from_what_was_cited_where_that_is_about_as_good() -> None:
    found = [
        *page(("Colours", "A theme is blue."), name="colours"),
        *page(("Keys", "The maximum is 20."), name="keys"),
        *page(("Seats", "The maximum is 50."), name="seats"),
    ]
    for cited, answer in (("keys", "The maximum is 20"), ("seats", "The maximum is 50")):
        talk = (
            Turn("user", "tell me about the maximum"),
            Turn("assistant", "There is one.", documents=frozenset({f"doc-{cited}"})),
        )
        assert told("and the maximum?", found, *talk).startswith(answer)


def test_a_part_of_a_solution_is_told_with_all_of_it_but_not_how_any_patch_is_applied() -> None:
    solution = (
        "Allow it in your profile.\n\n1. Open the profile.\n2. Choose **Allow** for payments."
    )
    found = page(
        ("Issue", "The payment gateway rejects payments."),
        ("Solution", solution),
        ("Apply the patch", "Use these links to apply any patch of payments."),
    )
    for question in ("how do I allow payments in your profile", "payments are rejected"):
        said = told(question, found)
        assert said.startswith("Allow it in your profile.")
        assert "2. Choose **Allow**" in said
        assert "any patch" not in said


def test_steps_that_bring_trouble_about_are_no_answer() -> None:
    steps = "1. Add two vouchers to the cart.\n2. Place the order."
    found = page(("Steps to reproduce", steps), ("Vouchers", "A cart takes 1 voucher."))
    said = told("can she add two vouchers to the cart", found)
    assert said.startswith("A cart takes 1 voucher.")
    assert "Place the order" in told("how do I reproduce two vouchers in the cart", found)


def test_where_no_section_says_what_to_do_the_opening_of_the_page_may() -> None:
    opening = "The M-1 patch solves endless wheels of the admin. It is in version 2."
    found = page(("", opening), ("Issue", "The wheel of the admin turns endlessly."))
    assert told("the wheel of the admin turns endlessly", found).startswith("The M-1 patch solves")


QUEUE = page(
    ("Issue", "Orders are never sent to a warehouse."),
    ("Solution", "Switch the queue on."),
    name="queue",
)


def test_a_symptom_leads_to_what_is_done_about_it_though_symptoms_are_no_answers() -> None:
    listed = page(("Warehouses", "Orders sent to a warehouse are listed below it."), name="list")
    said = told("our orders are never sent to a warehouse", [*listed, *QUEUE])
    assert said.startswith("Switch the queue on.")


@pytest.mark.parametrize(("odds", "told"), [(4.0, "Switch the queue on."), (-3.0, "Orders to a")])
def test_what_another_page_says_to_do_stands_unless_the_reader_is_surer_of_the_symptom(
    odds: float, told: str
) -> None:
    question = "our orders are never sent to a warehouse"
    other = page(("Solution", "Orders to a warehouse are sent by hand, never twice."), name="other")
    found = [*other, *QUEUE]
    whole = searched(found, asking(question), terms_of(question, found))
    texts = [text for each in cut(found) for text in each.headed]
    sure = {text: odds if "never sent" in text else 0.0 for text in texts} | {texts[-1]: -4.0}
    matched = {text: Match(0.5, each) for text, each in sure.items()}
    draft = compose_searched(replace(whole, matched={question: matched}), Sentences(), 120)
    assert draft.text.startswith(told)
