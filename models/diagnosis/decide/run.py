"""`twofold decide`: a system that answers, asked under arms or judged by what it once said."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from models.asking import ask_each
from models.diagnosis.assemble import assemble
from models.diagnosis.compared import Prices
from models.diagnosis.decide.endpoint import Completion, Endpoint, Messages
from models.diagnosis.decide.judge import Kind, OutputProblem, holds, judge
from models.diagnosis.decide.recorded import Output
from models.diagnosis.decide.tasks import Task
from models.diagnosis.verdicts import (
    LAYERS,
    REMEDIES,
    Arm,
    Cause,
    Comparison,
    Counterfactual,
    DiagnosedCase,
    Diagnosis,
    Figure,
    Instrument,
    Remedy,
    Replayed,
    Verdict,
)
from models.stats import difference, estimate, mcnemar, percentile
from twofold.counted import counted
from twofold.errors import InvalidInput

ArmName = Literal["as_is", "gold", "gold_prompt"]
ARMS: Final[Mapping[ArmName, str]] = {
    "as_is": "as it is",
    "gold": "with the right context",
    "gold_prompt": "with the right context and a strong prompt",
}
COMPARED: Final[tuple[tuple[ArmName, ArmName], ...]] = (("gold", "as_is"), ("gold_prompt", "gold"))
CHARS_A_TOKEN: Final = 4
"""Roughly, of English: the endpoint's tokenizer is not known."""
CAUSE_OF: Final[Mapping[Kind, Cause]] = {
    "form": "format",
    "forbidden": "unsupported_claim",
    "missing": "ignored_evidence",
    "wrong": "ignored_evidence",
}
SHOWN: Final = 0.85
SEEN: Final = 0.6

STRONG = """\
Answer from the context alone. If it does not hold the answer, say that it does not.
Say what was asked for and nothing else: no greeting, no offer of help, no repetition.
Give numbers, names, commands and dates exactly as they stand in the context."""
STRONG_JSON = """\
Reply with one JSON object and nothing else: no fence, no words around it.
Its keys are exactly: {keys}.
Numbers are numbers without units, dates are YYYY-MM-DD, yes and no are true and false.
What the text does not say is null. Nothing is guessed."""


@dataclass(frozen=True, slots=True)
class JudgedOutput:
    """One arm's output on one task. `seconds` and tokens are None where they are not known."""

    text: str
    problems: tuple[OutputProblem, ...]
    seconds: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None = None

    @property
    def passed(self) -> bool:
        return not self.problems

    @property
    def kinds(self) -> set[Kind]:
        return {problem.kind for problem in self.problems}

    @property
    def said(self) -> str:
        return "; ".join(problem.text for problem in self.problems)


async def ask(
    name: str,
    endpoint: Endpoint,
    tasks: Sequence[Task],
    system: str,
    prices: Prices | None,
    concurrency: int,
    progress: Callable[[int, int], None],
) -> Diagnosis:
    """Asks every task under every arm. A task without context is asked as it is and with the
    strong prompt. Raises UpstreamError; what was answered until then is kept."""
    wanted: list[tuple[ArmName, int, Messages]] = [
        (arm, n, messages(task, arm, system))
        for arm in ARMS
        for n, task in enumerate(tasks)
        if task.context or arm != "gold"
    ]
    said = await ask_each(endpoint.ask, [each for _, _, each in wanted], concurrency, progress)
    found: dict[ArmName, dict[str, JudgedOutput]] = {arm: {} for arm in ARMS}
    for (arm, n, _), one in zip(wanted, said, strict=True):
        found[arm][tasks[n].id] = _judged(tasks[n], one)
    verdicts = [
        verdict
        for task in tasks
        if (verdict := attribute(task, {arm: of.get(task.id) for arm, of in found.items()}))
    ]
    return assemble(
        name,
        [_case(task, found["as_is"][task.id]) for task in tasks],
        verdicts,
        at=time.time(),
        arms=[_arm(arm, tasks, found[arm], prices) for arm in ARMS],
        comparisons=[
            _comparison(a, b, tasks, found[a], found[b])
            for a, b in COMPARED
            if found[a].keys() & found[b].keys()
        ],
        instruments=INSTRUMENTS,
        facts=_facts(tasks, found["as_is"], system),
    )


def judge_outputs(
    name: str, tasks: Sequence[Task], outputs: Mapping[str, Output], prices: Prices | None
) -> Diagnosis:
    """Judges recorded outputs, as far as they allow. Raises InvalidInput where none is of the
    suite."""
    asked = [task for task in tasks if task.id in outputs]
    if not asked:
        raise InvalidInput("No output has the id of a task. Are they of the same suite?")
    found = {task.id: _recorded(task, outputs[task.id]) for task in asked}
    verdicts = [
        verdict
        for task in asked
        if (verdict := attribute_recorded(task, found[task.id], outputs[task.id].context))
    ]
    why = "recorded outputs cannot be asked again: give --endpoint"
    rest = [Arm(name=arm, ran=False, why_not=why) for arm in ARMS if arm != "as_is"]
    made = assemble(
        name,
        [_case(task, found[task.id]) for task in asked],
        verdicts,
        at=time.time(),
        arms=[_arm("as_is", asked, found, prices), *rest],
        instruments=INSTRUMENTS,
        facts=_facts(asked, found, None),
    )
    unsure = [*made.recommendation.unsure]
    if any(verdict.layer == "behaviour" for verdict in verdicts):
        unsure.append("Whether a better prompt mends the behaviour: ask the endpoint to see.")
    if len(asked) < len(tasks):
        unsure.append(
            f"How it does with {counted(len(tasks) - len(asked), 'task')}: no output has the id."
        )
    said = made.recommendation.model_copy(update={"unsure": tuple(unsure)})
    return made.model_copy(update={"recommendation": said})


def messages(task: Task, arm: ArmName, system: str) -> Messages:
    """Returns the prompt of an arm; `system` is the team's own, "" where it has none."""
    if arm == "gold_prompt":
        keys = ", ".join(task.expect.fields or ())
        strong = STRONG_JSON.format(keys=keys) if task.expect.fields is not None else STRONG
        system = f"{system}\n\n{strong}".strip()
    user = task.input
    if arm != "as_is" and task.context:
        given = "\n\n".join(task.context)
        user = f"Context:\n\n{given}\n\n---\n\n{task.input}"
    first = [{"role": "system", "content": system}] if system else []
    return [*first, {"role": "user", "content": user}]


def attribute(task: Task, arms: Mapping[ArmName, JudgedOutput | None]) -> Verdict | None:
    """Returns what made the task fail as it is; None where it does not."""
    as_is, gold, strong = arms["as_is"], arms["gold"], arms["gold_prompt"]
    if as_is is None or as_is.passed:
        return None
    tried = tuple(
        Replayed(counterfactual=by, passed=judged.passed, detail=judged.said)
        for by, judged in (("gold_context", gold), ("full_profile", strong))
        if judged is not None
    )
    made = partial(_verdict, task, tried=tried)
    if gold is not None and gold.passed:
        if as_is.kinds == {"form"}:
            why = f"{as_is.said}; right once it was given context to follow"
            return made("format", "gold_context", SEEN, why, "fix_prompt")
        why = f"{as_is.said}; right once it was given the context"
        return made("not_retrieved", "gold_context", SHOWN, why)
    if strong is not None and strong.passed:
        seen = gold or as_is
        why = f"{seen.said}; right with a strong prompt"
        return made(_cause(seen), "full_profile", SHOWN, why, "fix_prompt")
    if task.context and task.expect.spellings and holds(task.expect, task.context) is False:
        why = "the context that the suite gives does not hold what it expects"
        return made("suite_wrong", "sources_checked", SHOWN, why)
    last = strong or gold or as_is
    if "form" in last.kinds or task.context:
        given = "with the right context and a strong prompt" if task.context else "told plainly"
        return made(_cause(last), None, SEEN, f"{given} still: {last.said}")
    why = f"{as_is.said}; the suite gives no context that would show whether it could know"
    return made("unknown", None, SEEN / 2, why)


def attribute_recorded(
    task: Task, output: JudgedOutput, seen: tuple[str, ...] | None
) -> Verdict | None:
    """Returns the same as `attribute`, by what was recorded alone: nothing can be tried."""
    if output.passed:
        return None
    if output.kinds == {"form"}:
        return _verdict(task, "format", "record", SHOWN, output.said, "fix_prompt")
    if output.kinds == {"forbidden"}:
        return _verdict(task, "unsupported_claim", "record", SHOWN, output.said)
    if seen is None:
        why = f"{output.said}; what it had before it was not recorded"
        return _verdict(task, "unknown", None, SEEN / 2, why)
    held = holds(task.expect, seen)
    if held is None:
        return _verdict(task, "unknown", None, SEEN / 2, f"{output.said}; no fact to look up")
    if held:
        why = f"{output.said}, though the context that it had holds it"
        return _verdict(task, "ignored_evidence", "record", SHOWN, why, "fix_prompt")
    if task.context and holds(task.expect, task.context):
        why = f"{output.said}; the context that it had lacks it, and the suite's holds it"
        return _verdict(task, "not_retrieved", "sources_checked", SHOWN, why)
    why = f"{output.said}; the context that it had lacks it"
    return _verdict(task, "not_retrieved", "record", SEEN, why)


INSTRUMENTS = (
    Instrument(
        name="text, facts and JSON fields",
        metric="exact comparison",
        figure=None,
        note="blind to case, quotes, Markdown and thousands separators, and to every paraphrase"
        " that the suite does not list as a spelling",
    ),
)


def _judged(task: Task, said: Completion) -> JudgedOutput:
    return JudgedOutput(
        said.text,
        tuple(judge(task.expect, said.text)),
        said.seconds,
        said.prompt_tokens,
        said.completion_tokens,
        said.cached_tokens,
    )


def _recorded(task: Task, output: Output) -> JudgedOutput:
    return JudgedOutput(
        output.text,
        tuple(judge(task.expect, output.text)),
        output.seconds,
        output.prompt_tokens,
        output.completion_tokens,
    )


def _case(task: Task, judged: JudgedOutput) -> DiagnosedCase:
    return DiagnosedCase(
        id=task.id,
        question=task.input,
        cluster=task.about,
        tags=task.tags,
        passed=judged.passed,
        problems=tuple(problem.text for problem in judged.problems),
        expected=task.expect.model_dump(mode="json", exclude_defaults=True),
        answer={"text": judged.text},
    )


def _verdict(
    task: Task,
    cause: Cause,
    by: Counterfactual | None,
    confidence: float,
    evidence: str,
    remedy: Remedy | None = None,
    tried: tuple[Replayed, ...] = (),
) -> Verdict:
    return Verdict(
        case=task.id,
        layer=LAYERS[cause],
        cause=cause,
        flipped_by=by,
        confidence=confidence,
        evidence=evidence,
        document=task.document,
        remedy=remedy or REMEDIES[cause],
        tried=tried,
    )


def _cause(judged: JudgedOutput) -> Cause:
    """Returns the cause of a wrong output that had the right context: its content counts before
    its form."""
    order: tuple[Kind, ...] = ("missing", "wrong", "forbidden", "form")
    return CAUSE_OF[next(kind for kind in order if kind in judged.kinds)]


def _arm(
    name: ArmName, tasks: Sequence[Task], found: Mapping[str, JudgedOutput], prices: Prices | None
) -> Arm:
    asked = [(task, found[task.id]) for task in tasks if task.id in found]
    if not asked:
        return Arm(name=name, ran=False, why_not="no task of the suite has a context")
    read, written = (
        [count for _, each in asked if (count := getattr(each, field)) is not None]
        for field in ("prompt_tokens", "completion_tokens")
    )
    mean_read = sum(read) / len(read) if read else None
    mean_written = sum(written) / len(written) if written else None
    seconds = [each.seconds for _, each in asked if each.seconds is not None]
    cost = None
    if prices is not None and mean_read is not None and mean_written is not None:
        cost = (mean_read * prices.prompt + mean_written * prices.completion) / 1000
    passed = estimate([float(each.passed) for _, each in asked], [task.about for task, _ in asked])
    return Arm(
        name=name,
        ran=True,
        passed=Figure.of(passed),
        prompt_tokens=mean_read,
        completion_tokens=mean_written,
        seconds_p50=percentile(seconds, 0.5) if seconds else None,
        seconds_p95=percentile(seconds, 0.95) if seconds else None,
        cost=cost,
    )


def _comparison(
    a: ArmName, b: ArmName, tasks: Sequence[Task], of_a: Mapping[str, JudgedOutput],
    of_b: Mapping[str, JudgedOutput],
) -> Comparison:  # fmt: skip
    both = [task for task in tasks if task.id in of_a and task.id in of_b]
    in_a, in_b = ([float(of[task.id].passed) for task in both] for of in (of_a, of_b))
    only_a = sum(x > y for x, y in zip(in_a, in_b, strict=True))
    only_b = sum(y > x for x, y in zip(in_a, in_b, strict=True))
    return Comparison(
        a=a,
        b=b,
        difference=Figure.of(difference(in_a, in_b, [task.about for task in both])),
        only_a=only_a,
        only_b=only_b,
        p=mcnemar(only_a, only_b),
    )


def _facts(
    tasks: Sequence[Task], as_is: Mapping[str, JudgedOutput], system: str | None
) -> dict[str, float | int | str | None]:
    found: dict[str, float | int | str | None] = {
        "answers_needing_documents": sum(bool(task.context) for task in tasks) / len(tasks),
        "citations_required": 0,
    }
    if system is not None:
        found["instruction_tokens_full"] = len(system) // CHARS_A_TOKEN
    cached = [each.cached_tokens for each in as_is.values()]
    if cached and all(count is not None for count in cached):
        found["cached_tokens"] = sum(count or 0 for count in cached) / len(cached)
    return found
