"""A sentence may say its source in other words, but not turn it round."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.text.blocks import blocks, parts
from twofold.text.wording import Problem, wording

RETENTION = """Log retention policy > How long logs are kept
Trials last 14 days, and backups are kept for 30 days. A failed delivery is retried 12 times over
36 hours. Overage is not refunded. Members can read logs but cannot delete them.

| Plan | Price | Retention |
| --- | --- | --- |
| Brook | free | 3 days |
| Creek | $39 | 14 days |
| River | $1,990 | 30 days |

2.1 Logs can be exported as CSV from the dashboard while they exist.
2.2 After that time nobody can restore them."""
PROHIBITED = """Acceptable use > What is not allowed
- Malware, phishing pages and the addresses of such pages
- Full card numbers and card security codes"""


@dataclass(frozen=True)
class Said:
    id: str
    text: str
    problem: Problem = ""
    source: str = RETENTION


SAID = [
    Said("as it stands", "A failed delivery is retried 12 times over 36 hours."),
    Said("other words", "We retry failed deliveries 12 times, spread over 36 hours."),
    Said("two facts in one", "Backups are kept for 30 days and a trial lasts 14 days."),
    Said("another fact's number", "Backups are kept for 14 days.", "number"),
    Said("another thing counted", "A failed delivery is retried 36 times.", "number"),
    Said("a row", "Creek costs $39 and keeps logs for 14 days."),
    Said("another row's number", "Creek costs $1,990 a month.", "number"),
    Said("a number written otherwise", "River comes at $1990."),
    Said("a number that only counts clauses", "Logs are exported within 2.1 days.", "number"),
    Said("a clause of its own", "2.1 Logs can be exported as CSV while they exist."),
    Said("denied what it says", "Logs can not be exported as CSV from the dashboard.",
         "contradicted"),
    Said("says what it denies", "Overage is refunded.", "contradicted"),
    Said("denies what it denies", "No, overage is not refunded."),
    Said("answer before the claim", "No, logs can be exported as CSV from the dashboard."),
    Said("negation in a condition", "If you have not exported the logs, nobody can restore them."),
    Said("negated by the heading", "Full card numbers and card security codes are not allowed.",
         source=PROHIBITED),
    Said("no such thing", "No customer data is sold to anybody.",
         source="Privacy\nNo customer data is sold to anybody. We sell plans."),
    Said("no such thing, in other words", "No data of customers is sold.",
         source="Privacy\nNo customer data is sold to anybody. We sell plans."),
    Said("thrown together",
         "Hours delivery 12 a times over failed is retried 36 from logs dashboard be.", "garbled"),
    Said("nothing of it", "Dolphins sleep with half a brain awake."),
    Said("empty", ""),
]  # fmt: skip


@pytest.mark.parametrize("case", SAID, ids=lambda case: case.id)
def test_wording(case: Said) -> None:
    assert wording(case.source).problem(case.text) == case.problem


WORDS = st.sampled_from(
    ["logs", "not", "never", "12", "30", "days", "hours", "Creek", "if", "keep", "no", "|", "2.1"]
)


@given(st.lists(WORDS, min_size=1, max_size=30).map(" ".join), st.integers(0, 2**32))
def test_what_a_source_says_itself_it_says(text: str, seed: int) -> None:
    ends = random.Random(seed)
    body = "".join(w + ends.choice((" ", " ", " ", ". ", "\n\n")) for w in text.split(" "))
    source = f"Title\n{body}"
    for block in blocks(body):
        for span in parts(body, block):
            assert wording(source).problem(body[span.start : span.end]) == ""
