"""What is wrong with an answer, by deterministic checks: what the suite expects of it, what the
reply contract and the house want of any, and what the passages that it was made from hold.
"""

import json
import re
from collections.abc import Sequence
from itertools import chain
from typing import Literal, NamedTuple

from models.diagnosis.replays import Passage, ReplayedCase
from models.evaluate.answers import is_gold
from models.suite.facts import says
from twofold.counted import counted
from twofold.policy import HousePolicy
from twofold.reply import marks, strip_marks
from twofold.text.blocks import squeeze
from twofold.text.silence import hedged, leads_in
from twofold.text.statements import Statement, statements
from twofold.text.support import Passages, words

Kind = Literal[
    "escalated", "asked_back", "declined", "not_escalated", "wrong_reason", "wrong_action",
    "fact_missing", "gold_uncited", "forbidden",
    "format", "unsupported", "wrong_citation", "style", "padding",
]  # fmt: skip
FORM: frozenset[Kind] = frozenset(("format", "unsupported", "wrong_citation", "style", "padding"))
"""What an answer may do wrong that says everything it should."""

COURTEOUS = 2
"""Sentences of courtesy alone from which on an answer is padded."""
ASIDE_WORDS = 60
ASIDE_SHARE = 0.5
"""Words, and their share, told from pages that were not asked about, from which on it is too."""
OVER = 1.2
"""Times the house's longest reply."""

_HEADER = re.compile(r"\A\W*+(?:ANSWER|CLARIFY|ESCALATE|DECLINE)\b(?:\s*+\[|\s*+(?:\n|\Z))|\[team=")
_CONTROL = re.compile(r"<\|[a-z_]++\|>|\[/?INST\]|</?(?:s|think|document|documents)>")
_FENCE = re.compile(r"^[ \t]*+(?:```|~~~)", re.MULTILINE)
_COURTESY = re.compile(
    r"\b(?:thank|thanks|sorry|apolog\w*|welcome|happy|glad|pleased|pleasure|hope|hesitate|reach"
    r"(?:ing)? out|understand how|appreciate|wonderful|delighted|feel free|let (?:us|me) know|good"
    r" (?:luck|company)|great|best wishes|sincerely|kind regards|danke|gerne?|hoffe|freue\w*"
    r"|tut (?:uns|mir) leid|alles gute|viel erfolg)\b",
    re.IGNORECASE,
)
_VERDICT = re.compile(r"\A\W*+(?:yes|no|ja|nein)\W++", re.IGNORECASE)


class Problem(NamedTuple):
    kind: Kind
    detail: str


def check(replayed: ReplayedCase, house: HousePolicy) -> list[Problem]:
    """Returns everything that is wrong with it; nothing where it is right."""
    found = expected(replayed)
    if replayed.outcome.action == "ANSWER":
        found += formed(replayed, house)
    return found


def expected(replayed: ReplayedCase) -> list[Problem]:
    """Returns what the suite misses. A page that is no gold one and holds the facts is as good a
    source."""
    outcome, expect = replayed.outcome, replayed.case.expect
    if outcome.action != expect.action:
        return [_acted(outcome.action, expect.action)]
    if (outcome.team, outcome.reason) != (expect.team, expect.reason):
        return [Problem("wrong_reason", f"{outcome.team}/{outcome.reason}")]
    if expect.action != "ANSWER":
        return []
    found = [Problem("fact_missing", fact[0]) for fact in outcome.missing_facts]
    found += [
        Problem("forbidden", each) for each in expect.forbidden if says(outcome.judged, [each])
    ]
    longest = expect.max_words
    if longest is not None and _length(replayed) > longest:
        found.append(Problem("padding", f"more than {counted(longest, 'word')}"))
    if not outcome.gold_cited and not _alternative(replayed):
        cited = ", ".join(sorted({c.document for c in outcome.citations})) or "nothing"
        found.append(Problem("gold_uncited", f"cites {cited}"))
    return found


def formed(replayed: ReplayedCase, house: HousePolicy) -> list[Problem]:
    """Returns what is wrong with how an answer is made, whatever was asked."""
    text = replayed.outcome.judged
    broken = _format(replayed)
    if broken:
        # What is no reply by the contract cannot be read sentence by sentence.
        return [Problem("format", broken)]
    found = [Problem("style", f"says {each!r}") for each in _banned(text, house)]
    return [*found, *_statements(replayed, house)]


def _length(replayed: ReplayedCase) -> int:
    return len(strip_marks(replayed.outcome.judged).split())


def _acted(got: str, wanted: str) -> Problem:
    detail = f"{got} instead of {wanted}"
    if wanted == "ESCALATE":
        return Problem("not_escalated", detail)
    kinds: dict[str, Kind] = {
        "ESCALATE": "escalated", "CLARIFY": "asked_back", "DECLINE": "declined"
    }  # fmt: skip
    return Problem(kinds.get(got, "wrong_action"), detail)


def _alternative(replayed: ReplayedCase) -> bool:
    """Returns whether what is cited holds every fact that is asked for."""
    facts = replayed.case.expect.spellings
    chunks = set(replayed.cited.values())
    texts = [passage.text for passage in replayed.packed if passage.chunk in chunks]
    return bool(facts) and all(any(says(text, fact) for text in texts) for fact in facts)


def _format(replayed: ReplayedCase) -> str:
    """Returns how the reply contract is broken; empty where it is kept."""
    text = replayed.outcome.judged.strip()
    if not text:
        return "an empty answer"
    if _HEADER.search(text):
        return "the header line stands in the text"
    if _CONTROL.search(text):
        return "control tokens stand in the text"
    if text.startswith(("{", "[{")):
        try:
            json.loads(text)
        except ValueError:
            pass
        else:
            return "an object instead of text"
    if len(_FENCE.findall(text)) % 2:
        return "a block of code is never closed"
    stray = sorted(set(marks(text)) - set(replayed.cited))
    if stray and replayed.cited:
        return f"mark [{stray[0]}] stands for nothing"
    return ""


def _banned(text: str, house: HousePolicy) -> list[str]:
    said = text.lower().replace("’", "'")
    return [phrase for phrase in house.style.banned if phrase.lower() in said]


class SourceCheck(NamedTuple):
    """An answer's statements against the passages that it was made from. Words are counted;
    `marked` of its `supported` statements carry a mark of a passage that holds them."""

    claims: int
    supported: int
    unsupported: tuple[str, ...]
    courteous: tuple[str, ...]
    wrong: tuple[str, ...]
    """What marks do not hold, in words."""
    marked: int
    right: frozenset[int]
    """Marks that stand for a passage which holds something that was said."""
    aside: int
    """Words told from pages that are no gold ones."""
    total: int


def read(replayed: ReplayedCase) -> SourceCheck:
    packed = replayed.packed
    order = {passage.chunk: n for n, passage in enumerate(packed, start=1)}
    cited = {n: order[chunk] for n, chunk in replayed.cited.items() if chunk in order}
    said = list(statements(replayed.outcome.judged))
    judged = _judged(said, packed, replayed.case.locale or "en")
    unsupported, courteous, wrong = [], [], []
    aside = total = claims = supported = marked = 0
    right: set[int] = set()
    waiting: list[tuple[Statement, tuple[int, ...]]] = []
    for statement, holders in zip(said, judged, strict=True):
        bare = statement.bare.strip()
        size = len(words(bare))
        total += size
        marks_here = [n for n in statement.marks if n in cited]
        if bare and holders is not None:
            claims += 1
            if holders:
                supported += 1
                waiting.append((statement, holders))
                if not any(is_gold(packed[n - 1].document, replayed.case) for n in holders):
                    aside += size
            elif _COURTESY.search(bare):
                courteous.append(bare)
            else:
                unsupported.append(bare)
        if marks_here and waiting:
            # Marks stand for what they follow, on its line or on one of their own.
            own = {cited[n] for n in marks_here}
            wrong += _wrong(waiting, sorted(own))
            right |= {n for n in marks_here if any(cited[n] in held for _, held in waiting)}
            marked += sum(not own.isdisjoint(held) for _, held in waiting)
            waiting = []
    if not replayed.cited and any(judged):
        wrong.append("cites nothing")
    return SourceCheck(
        claims, supported, tuple(unsupported), tuple(courteous), tuple(wrong), marked,
        frozenset(right), aside, total,
    )  # fmt: skip


def _statements(replayed: ReplayedCase, house: HousePolicy) -> list[Problem]:
    seen = read(replayed)
    found = [Problem("unsupported", each[:160]) for each in seen.unsupported]
    found += [Problem("wrong_citation", each) for each in seen.wrong[:3]]
    longest = OVER * house.style.max_words
    if len(seen.courteous) >= COURTEOUS:
        found.append(Problem("padding", f"courtesies: {seen.courteous[0]!r}"))
    elif seen.aside >= ASIDE_WORDS and seen.aside >= ASIDE_SHARE * seen.total:
        said = f"of {counted(seen.total, 'word')} {seen.aside} about other pages"
        found.append(Problem("padding", said))
    elif _length(replayed) > longest:
        found.append(Problem("padding", f"more than {longest:.0f} words"))
    return found


def _judged(
    said: Sequence[Statement], packed: Sequence[Passage], locale: str
) -> list[tuple[int, ...] | None]:
    """Returns for each statement the passages (from 1) that hold it; None where it claims
    nothing."""
    passages = Passages([f"{p.title}\n{p.text}" for p in packed], locale)
    alone = {n: Passages([text], locale) for n, text in passages.texts.items()}
    plain = {n: squeeze(f"{p.title}\n{p.text}") for n, p in enumerate(packed, start=1)}
    found: list[tuple[int, ...] | None] = []
    for statement in said:
        bare = _VERDICT.sub("", statement.bare).strip()
        if len(words(bare)) < 3 or leads_in(bare) or hedged(bare) is not None:
            found.append(None)
            continue
        literal = squeeze(bare)
        holders = tuple(n for n, text in plain.items() if literal and literal in text)
        if not holders and statement.kind == "table":
            holders = tuple(n for n, each in alone.items() if each.judge_table(bare).marks)
        if not holders and statement.kind != "table":
            problems = (n for n in plain if not passages.problem(bare, (n,)))
            holders = tuple(problems) or passages.judge(bare).marks
        found.append(holders)
    return found


def _wrong(waiting: Sequence[tuple[Statement, tuple[int, ...]]], own: Sequence[int]) -> list[str]:
    """Returns what the marks at its end do not hold, though another passage does."""
    if not waiting:
        return []
    last = waiting[-1]
    held = set(chain.from_iterable(holders for _, holders in waiting))
    if set(own).isdisjoint(last[1]) and set(own).isdisjoint(held):
        return [f"{last[0].bare.strip()[:120]!r} is not in what it cites"]
    return []
