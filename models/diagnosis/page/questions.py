"""What a team would ask before it spends engineering time, answered with the numbers of one suite,
or of the live answers that were looked into.

An answer is `yes`, `no` or `cannot tell`, and a sentence with the numbers it rests on. What was not
measured is `cannot tell`, with what would tell it; nothing is answered from opinion.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from models.diagnosis.assemble import FEW
from models.diagnosis.verdicts import Arm, Cause, Diagnosis, Figure, Instrument, Verdict
from twofold.counted import counted

Word = Literal["yes", "no", "cannot tell"]

CURRENT: frozenset[Cause] = frozenset({"stale", "not_ingested", "hidden", "contradicting_sources"})
TIED: frozenset[Cause] = frozenset({"unsupported_claim", "wrong_citation", "ignored_evidence"})
SHAPE: frozenset[Cause] = frozenset({"format", "style", "padding"})
HANDED: frozenset[Cause] = frozenset(
    {"over_escalation", "under_escalation", "needless_refusal", "needless_question"}
)
SMALLER = ("composer", "tuned", "both")
"""Arms that ask less of a model than the base with the full prompt does."""
PAIRS = (("base", "rag"), ("as_is", "gold"))
"""Without what it needs to know, or as it is; and with it."""
UNKNOWN = "No answer was looked into yet."
SUITE = "An eval suite shows it: `twofold decide`."
GOLD = ("gold_prompt", "gold")
"""Arms of another system that are given the right pages; ours is named after who is asked first."""


class AnsweredQuestion(NamedTuple):
    question: str
    word: Word
    text: str


def questions(found: Diagnosis) -> list[AnsweredQuestion]:
    """Returns the ten, in the order in which a no ends the discussion soonest."""
    asked = [
        _depends(found),
        _current(found),
        _behaves(found),
        _instructions(found),
        _tied(found),
        _shape(found),
        _narrow(found),
        _people(found),
        _cost(found),
        _told(found),
    ]
    if found.live and not found.cases:
        return [each._replace(word="cannot tell", text=UNKNOWN) for each in asked]
    if found.live and len(found.cases) <= FEW:
        return [*(each._replace(word="cannot tell") for each in asked[:-1]), asked[-1]]
    return asked


def standing(found: Diagnosis) -> str:
    """Returns how many pass, in a sentence or two."""
    if found.live:
        said = (
            f"{found.suite}: looked into {found.facts['looked_into']} of {found.facts['answers']};"
            f" of those taken at random are sound: {share(found.passed)}."
        )
    else:
        said = f"{found.suite}: {share(found.passed)} pass."
    if found.detectable is not None:
        said += f" Differences below {found.detectable:.0%} do not show."
    return said


def share(figure: Figure) -> str:
    """Returns `62% (95% interval 50 to 73%, n 60)`."""
    if figure.value is None:
        return "not measured"
    low, high = figure.ci
    within = "" if low is None or high is None else f"95% interval {low:.0%} to {high:.0%}, "
    return f"{figure.value:.0%} ({within}n {figure.n})"


def judge_of(instrument: Instrument) -> str:
    """Returns what was measured of something that judges, on one line."""
    figure = instrument.figure
    value = "not measured" if figure is None or figure.value is None else f"{figure.value:.2f}"
    on = f" on {instrument.data}" if instrument.data else ""
    return f"{instrument.name}, {instrument.metric}: {value}{on}"


def _depends(found: Diagnosis) -> AnsweredQuestion:
    asked = "Does the answer depend on knowledge that the model cannot have or keep current?"
    needing = _number(found, "answers_needing_documents")
    for one, other in PAIRS:
        without, with_ = _arm(found, one), _arm(found, other)
        if not (without and with_ and without.passed and with_.passed):
            continue
        gap = (with_.passed.value or 0) - (without.passed.value or 0)
        word: Word = "yes" if gap > (found.detectable or 0) else "cannot tell"
        text = f"Without sources {share(without.passed)} pass, with them {share(with_.passed)}." + (
            "" if word == "yes" else " This suite cannot tell that apart."
        )
        return AnsweredQuestion(asked, word, text)
    if needing is not None:
        word = "yes" if needing > 0 else "no"
        return AnsweredQuestion(
            asked, word, f"{needing:.0%} of the cases expect an answer from a named document."
        )
    text = SUITE if found.live else "Run the arms with and without sources."
    return AnsweredQuestion(asked, "cannot tell", text)


def _current(found: Diagnosis) -> AnsweredQuestion:
    asked = "Is what it needs to know kept current, and let through?"
    bad = _of(found, CURRENT)
    missing = _of(found, {"not_in_sources"})
    if not bad and not missing:
        return AnsweredQuestion(
            asked, "yes", "No failure came from a stale, hidden or missing page."
        )
    text = (
        f"Of {_failures(found)} {len(bad)} came from pages that are stale, hidden, not"
        f" ingested or at odds, and {len(missing)} from pages that nobody wrote."
    )
    return AnsweredQuestion(asked, "no", text)


def _behaves(found: Diagnosis) -> AnsweredQuestion:
    asked = "With the right context, does it still behave badly?"
    for name in (*GOLD, f"oracle_{found.facts.get('asked_first')}"):
        if (arm := _arm(found, name)) and arm.passed and arm.passed.value is not None:
            failed = 1 - arm.passed.value
            low = arm.passed.ci[1]
            word: Word = "yes" if low is not None and low < 1 and failed > 0 else "no"
            return AnsweredQuestion(
                asked, word, f"Given the right pages, {share(arm.passed)} pass."
            )
    behaviour = [v for v in found.verdicts if v.layer in ("behaviour", "both")]
    if not found.verdicts:
        return AnsweredQuestion(asked, "no", "Nothing failed.")
    text = (
        f"Of {_failures(found)} {counted(len(behaviour), 'stays', 'stay')} with the right context."
    )
    if not behaviour and (unknown := _mostly_unknown(found)):
        return AnsweredQuestion(asked, "cannot tell", unknown)
    return AnsweredQuestion(asked, "yes" if behaviour else "no", text)


def _instructions(found: Diagnosis) -> AnsweredQuestion:
    asked = "Does every call carry the same instructions?"
    full, tuned = (_number(found, f"instruction_tokens_{kind}") for kind in ("full", "tuned"))
    if full is None:
        said = "Prompts are counted with a suite: `twofold diagnose SUITE`." if found.live else ""
        said = said or "No model was asked, so no prompt was counted."
        return AnsweredQuestion(asked, "cannot tell", said)
    if not full:
        return AnsweredQuestion(asked, "no", "There is no prompt: nothing asks a model.")
    text = f"{full:.0f} tokens of instructions a call"
    if tuned is not None:
        text += f"; a tuned model needs {tuned:.0f}, {max(0.0, full - tuned):.0f} fewer"
    cached, saved = _number(found, "cached_tokens"), full - (tuned or 0)
    text += ". They come first in the prompt, so a prefix cache reads them once:"
    text += (
        " its share was not measured, and where it is on, training saves prefill of the first"
        " call alone."
        if cached is None
        else f" {cached:.0f} tokens a call were read from it here, so training would save"
        f" {max(0.0, saved - cached):.0f} tokens a call, not {saved:.0f}."
    )
    return AnsweredQuestion(asked, "yes", text)


def _tied(found: Diagnosis) -> AnsweredQuestion:
    asked = "Must answers be tied to evidence, and are they?"
    required, bad = _number(found, "citations_required"), _of(found, TIED)
    if required is not None and not required:
        return AnsweredQuestion(asked, "no", "This suite asks for no sources.")
    precision = next(
        (a.metrics["citation_precision"] for a in _ran(found) if "citation_precision" in a.metrics),
        None,
    )
    text = (
        f"Of {_failures(found)} {counted(len(bad), 'comes', 'come')} of citing wrongly, going"
        " beyond the sources, or passing them over"
    )
    if precision is not None:
        text += f"; {share(precision)} of citations are of a document that holds the answer"
    if required is None and precision is None and not bad:
        said = (
            "No failure was one of sources." if found.live else "The suite says nothing of sources."
        )
        return AnsweredQuestion(asked, "cannot tell", said)
    return AnsweredQuestion(asked, "no" if bad else "yes", text + ".")


def _shape(found: Diagnosis) -> AnsweredQuestion:
    asked = "Does the form hold: format, voice, length?"
    bad = _of(found, SHAPE)
    if not bad:
        return AnsweredQuestion(
            asked, "yes", f"Of {counted(len(found.cases), 'answer')} none failed by its form."
        )
    text = f"Of {counted(len(found.cases), 'answer')} {counted(len(bad), 'fails', 'fail')} by form."
    prompted = [v for v in bad if v.flipped_by == "full_profile"]
    if prompted:
        passes = counted(len(prompted), "passes", "pass")
        text += f" With the full prompt {passes}: try that before training."
    return AnsweredQuestion(asked, "no", text)


def _narrow(found: Diagnosis) -> AnsweredQuestion:
    asked = "Is the job narrow enough for a smaller model, or for none?"
    best = next((a for name in ("both", "rag", "base") if (a := _arm(found, name))), None)
    for name in SMALLER:
        small = _arm(found, name)
        if best is None or small is None or small is best:
            continue
        if small.passed is None or best.passed is None:
            continue
        behind = (best.passed.value or 0) - (small.passed.value or 0)
        word: Word = "yes" if behind <= 0 else "no"
        if 0 < behind <= (found.detectable or 0):
            word = "cannot tell"
        text = f"{name}: {share(small.passed)} pass; {best.name}: {share(best.passed)}."
        return AnsweredQuestion(asked, word, text)
    text = SUITE if found.live else "Only one arm was run: there is nothing to compare."
    return AnsweredQuestion(asked, "cannot tell", text)


def _people(found: Diagnosis) -> AnsweredQuestion:
    asked = "Does it call a person when one is needed, and only then?"
    bad = _of(found, HANDED)
    if not bad and (unknown := _mostly_unknown(found)):
        return AnsweredQuestion(asked, "cannot tell", unknown)
    if not bad:
        return AnsweredQuestion(asked, "yes", "No failure was a wrong decision on what to do.")
    over = sum(v.cause == "over_escalation" for v in bad)
    under = sum(v.cause == "under_escalation" for v in bad)
    text = (
        f"Handed over without need: {over}. Not handed over though it had to be: {under}. Declined"
        f" or asked back without need: {len(bad) - over - under}. House policy before training."
    )
    return AnsweredQuestion(asked, "no", text)


def _cost(found: Diagnosis) -> AnsweredQuestion:
    asked = "Are cost and latency known?"
    ran = [arm for arm in _ran(found) if arm.seconds_p50 is not None]
    if not ran:
        text = "Recorded answers carry no times and no tokens."
        if found.live:
            text = "The record of each answer has its time and tokens; here they are not added up."
        return AnsweredQuestion(asked, "cannot tell", text)
    parts = []
    for arm in ran:
        said = f"{arm.name} {arm.seconds_p50:.2f} s"
        if arm.prompt_tokens:
            said += f", {arm.prompt_tokens:.0f} + {arm.completion_tokens or 0:.0f} tokens"
        if arm.cost is not None:
            said += f", {arm.cost:.2f} a thousand"
        parts.append(said)
    priced = "" if any(a.cost is not None for a in ran) else " No prices were given."
    return AnsweredQuestion(asked, "yes", "; ".join(parts) + "." + priced)


def _told(found: Diagnosis) -> AnsweredQuestion:
    these = (
        "these answers, and what judges them," if found.live else "this suite, and what judges it,"
    )
    asked = f"Can {these} tell the difference?"
    unknown = [v for v in found.verdicts if v.layer == "unknown"]
    text = counted(len(found.cases), "case")
    if found.detectable is not None:
        text += f": a difference of {found.detectable:.0%} or more between two ways shows"
    text += f"; of {_failures(found)} {len(unknown)} without an explanation"
    measured = sum(i.figure is not None and i.figure.value is not None for i in found.instruments)
    text += f"; of what judges here {counted(measured, 'figure was', 'figures were')} measured."
    wide = found.detectable is None or found.detectable > 0.15
    if wide or len(unknown) * 3 > max(1, len(found.verdicts)) * 2:
        return AnsweredQuestion(asked, "cannot tell" if found.detectable is None else "no", text)
    return AnsweredQuestion(asked, "yes", text)


def _of(found: Diagnosis, causes: Iterable[str]) -> Sequence[Verdict]:
    wanted = set(causes)
    return [v for v in found.verdicts if v.cause in wanted]


def _failures(found: Diagnosis) -> str:
    return counted(len(found.verdicts), "failure")


def _mostly_unknown(found: Diagnosis) -> str:
    """Returns the caution for a suite of whose failures so few are explained that their kinds
    say little."""
    unknown = sum(v.layer == "unknown" for v in found.verdicts)
    if 2 * unknown <= len(found.verdicts):
        return ""
    return f"Of {_failures(found)} {counted(unknown, 'is', 'are')} not explained."


def _ran(found: Diagnosis) -> list[Arm]:
    return [arm for arm in found.arms if arm.ran]


def _arm(found: Diagnosis, name: str) -> Arm | None:
    return next((arm for arm in _ran(found) if arm.name == name), None)


def _number(found: Diagnosis, name: str) -> float | None:
    value = found.facts.get(name)
    return float(value) if isinstance(value, (int, float)) else None
