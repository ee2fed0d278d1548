"""Attribution by counterfactual replay: what must be changed for a failed case to pass?

What the record and the ledger say comes first, because it costs nothing; then the question is asked
again in worlds that differ in one thing, the cheap ones first, until one makes it pass. Whatever no
change makes pass is `unknown`: nothing is guessed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from models.diagnosis.checks import FORM, Problem, check
from models.diagnosis.pages import Asker, Fact, Lost, Page, gold_pages, unsaid, where_lost
from models.diagnosis.replays import ReplayedCase, replay_case
from models.diagnosis.verdicts import (
    LAYERS,
    Cause,
    Counterfactual,
    Remedy,
    Replayed,
    Verdict,
    remedy_of,
)
from models.evaluate.answers import is_gold
from models.suite.client import AnswerClient
from models.suite.facts import says
from models.suite.suite import Case
from twofold.counted import counted
from twofold.errors import NotFound, UpstreamError
from twofold.policy import NOT_IN_SOURCES, HousePolicy
from twofold.text import blocks as prose
from twofold.text.claims import Claim, alike, claims, differing
from twofold.text.numbers import numbers
from twofold.text.support import words

COMPOSER = "composer"
SURE = 0.95
"""Shown by a counterfactual, and by what the ledger or the record says."""
SHOWN = 0.85
"""Shown by a counterfactual alone."""
SEEN = 0.6
"""Seen in the ledger or the record; no counterfactual made the case pass."""
MUCH: dict[str, Any] = {"context_chunks": 20, "context_chars": 40_000}
ANSWERED = 0.7
"""Probability that the sources answer, from which on a suite that wants no answer is doubted."""
ALIKE = 0.7
"""Share of the words, numbers left out, that two sentences have in common which say the same."""
UNLIKELY = 0.1
"""Probability of the reason for a person, up to which it is doubted too."""


@dataclass(slots=True)
class _Trial:
    """Tries things on one failed case, and remembers what was tried."""

    client: AnswerClient
    house: HousePolicy
    replayed: ReplayedCase
    problems: list[Problem]
    tried: list[Replayed] = field(default_factory=list)

    @property
    def case(self) -> Case:
        return self.replayed.case

    @property
    def composed(self) -> bool:
        """Whether the composer made the reply: then it is no other reply maker."""
        return self.replayed.outcome.served_by == COMPOSER

    @property
    def maker(self) -> str:
        """The model that was asked first, `tuned` or `base`, whoever's reply was told in the end;
        empty where none was."""
        asked = self.replayed.asked
        return str(asked[0]["step"]) if asked else ""

    async def passes(self, name: Counterfactual, case: Case | None = None, **world: Any) -> bool:
        return not await self.remaining(name, case, **world)

    async def remaining(
        self, name: Counterfactual, case: Case | None = None, **world: Any
    ) -> list[Problem]:
        """Returns what is still wrong in that world. Where a model is to be tried, a reply of
        another maker does not count."""
        try:
            replayed = await replay_case(self.client, case or self.case, **world)
        except (NotFound, UpstreamError) as error:
            self.tried.append(Replayed(counterfactual=name, passed=False, detail=error.message))
            return [Problem("format", error.message)]
        problems = check(replayed, self.house)
        if name in ("base_model", "full_profile") and not replayed.own:
            said = "the model's own reply was not told"
            self.tried.append(Replayed(counterfactual=name, passed=False, detail=said))
            return [Problem("unsupported", said)]
        said = "; ".join(f"{p.kind}: {p.detail}" for p in problems[:2])
        self.tried.append(Replayed(counterfactual=name, passed=not problems, detail=said))
        return problems

    def verdict(
        self,
        cause: Cause,
        by: Counterfactual | None,
        confidence: float,
        evidence: str,
        document: str = "",
        remedy: Remedy | None = None,
    ) -> Verdict:
        return Verdict(
            case=self.case.id,
            layer=LAYERS[cause],
            cause=cause,
            flipped_by=by,
            confidence=confidence,
            evidence=evidence,
            document=document,
            remedy=remedy or remedy_of(cause, modelled=bool(self.maker)),
            tried=tuple(self.tried),
        )


async def attribute(
    client: AnswerClient, replayed: ReplayedCase, house: HousePolicy
) -> Verdict | None:
    """Returns what failed a case that was asked by `replay_case`; None where nothing is wrong."""
    problems = check(replayed, house)
    if not problems:
        return None
    trial = _Trial(client, house, replayed, problems)
    if all(problem.kind in FORM for problem in problems):
        return await _attribute_form(trial)
    if replayed.case.expect.action != "ANSWER":
        return await _attribute_action(trial)
    return await _attribute_answer(trial)


async def _attribute_form(trial: _Trial) -> Verdict:
    """Returns a behaviour verdict: everything is said that should be, but not as it should be."""
    problem = min(trial.problems, key=lambda p: _FORM_ORDER.index(p.kind))
    cause = _FORM_CAUSES[problem.kind]
    by, remedy = await _other_maker(trial)
    return trial.verdict(cause, by, SURE if by else SEEN, problem.detail, remedy=remedy)


_FORM_ORDER = ("format", "unsupported", "wrong_citation", "style", "padding")
_FORM_CAUSES: dict[str, Cause] = {
    "format": "format",
    "unsupported": "unsupported_claim",
    "wrong_citation": "wrong_citation",
    "style": "style",
    "padding": "padding",
}


async def _other_maker(trial: _Trial) -> tuple[Counterfactual | None, Remedy | None]:
    """Returns which other reply maker gets the same case right, and the fix that this suggests."""
    if trial.maker == "tuned":
        if await trial.passes("full_profile", full_prompt=True):
            return "full_profile", "fix_prompt"
        if await trial.passes("base_model", maker="base"):
            return "base_model", None
    if trial.composed:
        return None, None
    return ("composer", None) if await trial.passes("composer", maker=COMPOSER) else (None, None)


async def _attribute_action(trial: _Trial) -> Verdict:
    """Returns the verdict where a person, a question or a refusal was wanted, and another action
    was taken."""
    expect, outcome = trial.case.expect, trial.replayed.outcome
    detail = f"{trial.problems[0].detail}: {outcome.why}"
    cause = _wrong_action(expect.action, outcome.action)
    by, remedy = await _other_maker(trial)
    if by is not None:
        return trial.verdict(cause, by, SURE, detail, remedy=remedy)
    if trial.case.history:
        alone = trial.case.model_copy(update={"history": ()})
        if await trial.passes("without_conversation", alone):
            evidence = f"without the conversation it does {expect.action}"
            return trial.verdict("misunderstood_follow_up", "without_conversation", SHOWN, evidence)
    cited = sorted({citation.document for citation in outcome.citations})
    answered = outcome.action == "ANSWER" and expect.reason == NOT_IN_SOURCES and bool(cited)
    if answered and await trial.passes("without_rival", without=cited):
        evidence = f"answered from {', '.join(cited)}, without which it is handed over"
        return trial.verdict(cause, "without_rival", SHOWN, evidence, cited[0])
    intent = trial.replayed.told["signals"].get("intent", {})
    answerable = _answerable(trial)
    if (
        outcome.action == "ANSWER"
        and expect.action == "ESCALATE"
        and expect.reason != NOT_IN_SOURCES
        and answerable >= ANSWERED
        and intent.get(expect.reason, 0.0) <= UNLIKELY
    ):
        evidence = (
            f"the sources answer it (P={answerable:.2f}), and nothing in the message reads as"
            f" {expect.reason}"
        )
        return trial.verdict("suite_wrong", "sources_checked", SEEN, evidence)
    return trial.verdict("unknown", None, 0.0, f"{detail}; no counterfactual made it pass")


def _answerable(trial: _Trial) -> float:
    """Returns the probability that the sources answer, message and evidence taken together."""
    return float(trial.replayed.told["signals"].get("kinds", {}).get("answerable", 0.0))


def _wrong_action(wanted: str, got: str) -> Cause:
    if wanted == "ESCALATE":
        return "under_escalation"
    return _UNANSWERED.get(got, "unsupported_claim")


_UNANSWERED: dict[str, Cause] = {
    "ESCALATE": "over_escalation",
    "CLARIFY": "needless_question",
    "DECLINE": "needless_refusal",
}


async def _attribute_answer(trial: _Trial) -> Verdict:
    """Returns the verdict where an answer was wanted, and it did not come or lacks what it
    should say."""
    pages = await gold_pages(trial.client, trial.case)
    facts = _missing(trial)
    asker = Asker(trial.case.audience, trial.replayed.told["as_of"])
    lost = where_lost(pages, facts, asker)
    if lost is not None:
        return await _attribute_lost(trial, lost)
    doubted = await _blame_suite(trial, pages, facts)
    if doubted is not None:
        return doubted
    by, remedy = await _other_maker(trial)
    if by is not None:
        return trial.verdict(*_behaviour(trial, by, SURE), remedy=remedy)
    return await _attribute_search(trial, pages, facts)


def _missing(trial: _Trial) -> list[Fact]:
    """Returns the facts that the answer lacks; all, where it lacks none or is none."""
    outcome = trial.replayed.outcome
    missing = outcome.missing_facts if outcome.action == "ANSWER" else []
    return missing or list(trial.case.expect.spellings)


async def _attribute_lost(trial: _Trial, lost: Lost) -> Verdict:
    """Returns the verdict where the answer was lost before any search, after trying it with the
    page given back."""
    if lost.page is None:
        return trial.verdict(lost.cause, lost.counterfactual, SURE, lost.evidence, lost.document)
    by = lost.counterfactual
    world: dict[str, Any] = {"pages": [lost.page]}
    if await trial.passes(by, **world, place="ranked") or await trial.passes(
        by, **world, place="first"
    ):
        return trial.verdict(lost.cause, by, SURE, lost.evidence, lost.document)
    if await trial.passes("gold_context", **world, place="only"):
        return trial.verdict(lost.cause, "gold_context", SHOWN, lost.evidence, lost.document)
    if not trial.composed and await trial.passes(
        "composer_with_gold", **world, place="first", maker=COMPOSER
    ):
        evidence = f"{lost.evidence}; given back, the reply is still wrong: {_said(trial)}"
        return trial.verdict("both", "composer_with_gold", SHOWN, evidence, lost.document)
    return trial.verdict(lost.cause, None, SEEN, lost.evidence, lost.document)


def _said(trial: _Trial) -> str:
    return next((each.detail for each in reversed(trial.tried[:-1]) if each.detail), "")


async def _blame_suite(
    trial: _Trial, pages: Sequence[Page], facts: Sequence[Fact]
) -> Verdict | None:
    """Returns a verdict against the suite where no page ever said the fact and the answer is
    sound without it."""
    nowhere = unsaid(pages, facts)
    outcome = trial.replayed.outcome
    names = ", ".join(page.name for page in pages)
    if nowhere:
        fact = nowhere[0][0]
        if outcome.action == "ANSWER" and outcome.gold_cited:
            evidence = f"no version of {names} says {fact!r}, and the answer stands in it"
            return trial.verdict("suite_wrong", "sources_checked", SHOWN, evidence)
        evidence = f"no version of {names} says {fact!r}"
        return trial.verdict("not_in_sources", "sources_checked", SEEN, evidence, pages[0].name)
    if trial.problems[0].kind == "gold_uncited" and not trial.case.expect.spellings:
        # No fact tells whether the page that is cited is as good.
        given = {"pages": [{"document": page.name} for page in pages if page.known]}
        replayed = await replay_case(trial.client, trial.case, **given, place="only")
        if replayed.outcome.action != "ANSWER" and _answerable(trial) >= ANSWERED:
            evidence = f"{names} does not answer it; {trial.problems[0].detail} does"
            return trial.verdict("suite_wrong", "sources_checked", SEEN, evidence)
    return None


def _behaviour(
    trial: _Trial, by: Counterfactual, confidence: float
) -> tuple[Cause, Counterfactual, float, str]:
    """Returns what a reply maker did wrong that another one does right with the same passages."""
    outcome, kinds = trial.replayed.outcome, {problem.kind for problem in trial.problems}
    detail = "; ".join(problem.detail for problem in trial.problems[:2])
    if outcome.action != "ANSWER":
        cause = _UNANSWERED[outcome.action]
    elif "format" in kinds:
        cause = "format"
    elif "fact_missing" in kinds:
        cause = "unsupported_claim" if "unsupported" in kinds else "ignored_evidence"
    elif "gold_uncited" in kinds:
        cause = "wrong_citation"
    elif "forbidden" in kinds:
        cause = "padding"
    else:
        cause = "ignored_evidence"
    return cause, by, confidence, detail


async def _attribute_search(trial: _Trial, pages: Sequence[Page], facts: Sequence[Fact]) -> Verdict:
    """Returns the verdict where every fact could be shown: whether it was found, kept, and used."""
    told = trial.replayed.told
    names = ", ".join(page.name for page in pages if page.known)
    rivals = _rivals(trial, pages, facts)
    if rivals and await trial.passes("without_rival", without=sorted(rivals)):
        evidence = f"{', '.join(sorted(rivals))} says otherwise than {names}"
        return trial.verdict("contradicting_sources", "without_rival", SURE, evidence, min(rivals))
    if trial.case.history:
        alone = trial.case.model_copy(update={"history": ()})
        if await trial.passes("without_conversation", alone):
            evidence = f"searched for {told['standalone']!r}"
            return trial.verdict("misunderstood_follow_up", "without_conversation", SURE, evidence)
    gold = [{"document": page.name} for page in pages if page.live]
    where = _where(trial, facts)
    if where == "cut" and await trial.passes("more_context", **MUCH):
        packed = counted(len(told["packed"]), "passage")
        evidence = f"{names} was found and is not among {packed} packed"
        return trial.verdict("retrieved_but_cut", "more_context", SURE, evidence, pages[0].name)
    cause: Cause = {"cut": "retrieved_but_cut", "packed": "ignored_evidence"}.get(  # type: ignore[assignment]
        where, "not_retrieved"
    )
    seen = counted(len(told["candidates"]), "candidate")
    evidence = {
        "cut": f"{names} was found and not packed",
        "packed": f"{names} was packed and not used",
    }.get(where, f"{names} is not among {seen}")
    worlds: list[tuple[Counterfactual, dict[str, Any]]] = [
        ("found", {"place": "first"}), ("gold_context", {"place": "only"})
    ]  # fmt: skip
    for by, world in worlds:
        if gold and await trial.passes(by, pages=gold, **world):
            if where == "packed" and trial.replayed.outcome.action != "ANSWER":
                cause = _UNANSWERED[trial.replayed.outcome.action]
            return trial.verdict(cause, by, SURE if where != "packed" else SHOWN, evidence, names)
    if (
        where == "packed"
        and (unused := await _attribute_unused(trial, facts, evidence)) is not None
    ):
        return unused
    if not trial.composed and gold:
        for place in ("first", "only"):
            if await trial.passes("composer_with_gold", pages=gold, place=place, maker=COMPOSER):
                both = f"{evidence}; given it, the reply is still wrong: {_said(trial)}"
                return trial.verdict("both", "composer_with_gold", SHOWN, both, names)
    return trial.verdict("unknown", None, 0.0, f"{evidence}; no counterfactual made it pass")


async def _attribute_unused(trial: _Trial, facts: Sequence[Fact], evidence: str) -> Verdict | None:
    """Returns the verdict where the passages were shown and not used, if the case passes once
    nothing else can be done or read."""
    outcome = trial.replayed.outcome
    if outcome.action != "ANSWER":
        if await trial.passes("told_to_answer", told="ANSWER"):
            cause = _UNANSWERED[outcome.action]
            return trial.verdict(cause, "told_to_answer", SHOWN, evidence)
        return None
    own = [p for p in trial.replayed.packed if is_gold(p.document, trial.case)]
    if not (facts and own):
        return None
    best = max(own, key=lambda passage: sum(says(passage.text, fact) for fact in facts))
    alone = [{"document": best.document, "text": best.text}]
    if not await trial.passes("gold_context", pages=alone, place="only"):
        return None
    said = f"{evidence}; given that passage alone, it is"
    return trial.verdict("ignored_evidence", "gold_context", SHOWN, said, best.document)


def _where(trial: _Trial, facts: Sequence[Fact]) -> str:
    """Returns how far the passages came that hold what is missing: `packed`, `cut`, or nowhere."""
    packed = set(trial.replayed.told["packed"])
    found = [
        candidate
        for candidate in trial.replayed.outcome.candidates
        if is_gold(candidate.document, trial.case)
    ]
    seen = [candidate.text for candidate in found if candidate.chunk in packed]
    if not facts:
        return "packed" if seen else "cut" if found else ""
    if all(any(says(text, fact) for text in seen) for fact in facts):
        return "packed"
    texts = [candidate.text for candidate in found]
    return "cut" if all(any(says(text, fact) for text in texts) for fact in facts) else ""


def _rivals(trial: _Trial, pages: Sequence[Page], facts: Sequence[Fact]) -> set[str]:
    """Documents of which a passage that was found states the same with another number."""
    told, locale = trial.replayed.told, trial.case.locale or "en"
    own = [
        piece
        for page in pages
        for passage in page.passages
        for piece in _pieces(passage["text"])
        if not facts or any(says(piece, fact) for fact in facts)
    ]
    claimed = _claims(own, locale)
    masked = [(_masked(piece), numbers(piece, locale)) for piece in own]
    found = set()
    for candidate in told["candidates"]:
        if is_gold(candidate["document"], trial.case):
            continue
        theirs = _pieces(candidate["text"])
        if any(alike(a, b) and differing(a, b) for a in claimed for b in _claims(theirs, locale)):
            found.add(candidate["document"])
            continue
        for piece in theirs:
            shape, values = _masked(piece), numbers(piece, locale)
            if any(_same(shape, other) and values != theirs_too for other, theirs_too in masked):
                found.add(candidate["document"])
                break
    return found


def _pieces(text: str) -> list[str]:
    return [
        text[span.start : span.end]
        for block in prose.blocks(text)
        for span in prose.parts(text, block)
    ]


def _claims(pieces: Sequence[str], locale: str) -> list[Claim]:
    return [claim for _, claim in claims(pieces, locale)]


def _masked(piece: str) -> frozenset[str]:
    return frozenset(word for word in words(piece) if not any(map(str.isdigit, word)))


def _same(one: frozenset[str], two: frozenset[str]) -> bool:
    """Returns whether two sentences say the same but for their numbers."""
    return len(one & two) >= max(2, ALIKE * len(one | two))
