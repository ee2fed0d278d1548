"""Pages whose front matter keeps readers out, and pages of numbers, asked as a customer asks:
`twofold ingest` a folder, `twofold ask`. With `-s` it prints what was said."""

from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from tests.services.standalone.serving import needs_weights
from twofold.commands import build

pytestmark = [needs_weights, pytest.mark.heavy]

HIDDEN = {
    # page -> its front matter
    "draft": "---\ndraft: true\n---\n",
    "published": "---\npublished: false\n---\n",
    "unlisted": "---\nunlisted: true\n---\n",
    "hidden": "---\nhidden: true\n---\n",
    "search": "---\nsearch:\n  exclude: true\n---\n",
    "expiry": "---\nexpiryDate: 2024-05-01\n---\n",
    "coming": "---\npublishDate: 2199-01-01\n---\n",
    "noindex": "---\nrobots: noindex, nofollow\n---\n",
    "toml": '+++\ndraft = true\ntitle = "Toml lantern"\n+++\n',
    "comment": "<!-- lint off -->\n\n---\naudience: [internal]\n---\n",
}
ENTRIES = {
    # what is asked about -> how an entry of its FAQ is written; a second one answers yes
    "locker": "**{q}**\n\n{a}\n\n",
    "sauna": "Q: {q}\nA: {a}\n\n",
    "cabin": "<dl><dt>{q}</dt><dd>{a}</dd></dl>\n\n",
    "boathouse": "<details><summary>{q}</summary>\n\n{a}\n\n</details>\n\n",
    "workshop": "## {q}\n\n{a}\n\n",
}
BURNS, OPEN_BURNS = 7141, 3802
NUMBERS = {
    # page -> (its text, the question, what is said, what is not)
    "de": ("---\nlang: de\n---\n# Jahrestarif Nord\n\nDer Jahrestarif Nord kostet 10.000 Euro.",
           "Was kostet der Jahrestarif Nord?", "10.000 Euro", "10 Euro"),
    "ch": ("# Alpine plan\n\nThe Alpine plan costs 1'000 CHF a year.",
           "What does the Alpine plan cost?", "1'000 CHF", " 1 CHF"),
    "space": ("# Coast plan\n\nThe Coast plan costs 1\u00a0250 EUR a year.",
              "What does the Coast plan cost?", "250 EUR", " 1 EUR"),
    "wide": ("---\nlang: ja\n---\n# 港プラン\n\n港プランの料金は月額１２００円です。",
             "港プランの料金はいくらですか？", "１２００円", "120円"),
    "arabic": ("---\nlang: ar\n---\n# باقة النهر\n\nسعر باقة النهر ٣٠ ريالًا في الشهر.",
               "كم سعر باقة النهر؟", "٣٠ ريال", "30000"),
    "million": ("# Event quota of Delta\n\nThe Delta plan takes 1.5M events a month.",
                "How many events a month does the Delta plan take?", "1.5M events", "15M"),
    "footnote": ("# Import fee\n\n<p>The import fee costs 4<sup>1</sup> EUR.</p>",
                 "How much is the import fee?", "4", "41"),
    "power": ("# Burst limit\n\nThe burst limit is 10<sup>3</sup> requests a second.",
              "What is the burst limit in requests a second?", "10³", "103"),
    "table": ("# Meadow plans\n\n| plan | Meadow price |\n|---|---|\n"
              "| Small | 49<sup>2</sup> EUR |\n| Large | 99 EUR |",
              "What is the Meadow price of the small plan?", "49", "492"),
    "struck": ("# Storage price\n\nCloud storage costs <del>12</del> <ins>9</ins> EUR a month.",
               "What does cloud storage cost a month?", "9 EUR", "12"),
}  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Ingested under a home that the environment names."""
    folder = tmp_path_factory.mktemp("pages")
    for name, front in {**HIDDEN, "open": ""}.items():
        hours = BURNS if front else OPEN_BURNS
        page = f"{front}# The {name} lantern\n\nThe {name} lantern burns {hours} hours.\n"
        (folder / f"lantern-{name}.md").write_text(page, encoding="utf-8")
    for name, (page, *_) in NUMBERS.items():
        (folder / f"number-{name}.md").write_text(page, encoding="utf-8")
    for name, entry in ENTRIES.items():
        first = entry.format(q=f"Is the {name} heated?", a="No.")
        second = entry.format(q=f"May I share the {name}?", a="Yes, with up to two people.")
        page = f"# Questions about the {name}\n\n{first}{second}"
        (folder / f"faq-{name}.md").write_text(page, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWOFOLD_HOME", str(tmp_path_factory.mktemp("home")))
        done = CliRunner().invoke(build(), ["ingest", str(folder), "--source", "pages"])
        assert done.exit_code == 0, done.output
        yield


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.usefixtures("pages")
def test_a_page_that_is_not_for_the_public_is_not_told(name: str) -> None:
    said = asked(f"How many hours does the {name} lantern burn?")
    assert str(BURNS) not in said
    assert f"lantern-{name}" not in said


@pytest.mark.usefixtures("pages")
def test_one_that_is_for_the_public_is_told() -> None:
    assert str(OPEN_BURNS) in asked("How many hours does the open lantern burn?")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.usefixtures("pages")
def test_a_number_is_told_as_it_is_meant(name: str) -> None:
    _, question, says, never = NUMBERS[name]
    said = asked(question)
    assert says in said
    assert never not in said.replace(f"number-{name}", "")


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.usefixtures("pages")
def test_a_question_gets_its_own_entry_s_answer(name: str) -> None:
    said = asked(f"Is the {name} heated?")
    told, _, _ = said.partition("[1] Questions about")
    assert told.count("No.") == 1
    assert "Yes" not in told
    assert "two people" not in told


def asked(question: str) -> str:
    done = CliRunner().invoke(build(), ["ask", question])
    print(f"\n$ twofold ask {question!r}\n{done.output.strip()}")
    # The conversation's id may hold any digits.
    return done.output.partition("\nconversation ")[0]
