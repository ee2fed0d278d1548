"""Live answers as a diagnosis: the same page, of what customers really asked."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from models.diagnosis.assemble import assemble
from models.diagnosis.diagnose import instruments
from models.diagnosis.verdicts import DiagnosedCase, Diagnosis, Figure, Verdict
from models.stats import estimate

NAME = "live answers"


def traffic(asked: Sequence[Mapping[str, Any]], at: float) -> Diagnosis:
    """Returns the diagnosis of live answers, `asked` as GET /v1/questions gives them.

    Each answer that was looked into is a case, and failed where it was found wanting; of the
    others nothing is known. The share that passes is that of the random sample alone: what
    people complain of is no sample."""
    cases, verdicts, sampled = [], [], []
    for each in asked:
        if not looked_into(each):
            continue
        found = each["diagnosed"]
        verdict = _verdict(found)
        cases.append(_case(each, verdict))
        if verdict is not None:
            verdicts.append(verdict)
        if found["signal"] == "sample":
            sampled.append((float(verdict is None), each["answer"]["conversation_id"]))
    facts = _facts(asked, len(cases), len(sampled))
    made = assemble(NAME, cases, verdicts, at=at, instruments=instruments(), facts=facts, live=True)
    passed = estimate([value for value, _ in sampled], [cluster for _, cluster in sampled])
    return made.model_copy(update={"passed": Figure.of(passed)})


def looked_into(asked: Mapping[str, Any]) -> bool:
    """Returns whether it is known if the answer is sound."""
    found = asked["diagnosed"] or {}
    if found.get("state") != "done":
        return False
    return not found.get("verdict") or _verdict(found) is not None


def _verdict(found: Mapping[str, Any]) -> Verdict | None:
    if not found["verdict"]:
        return None
    try:
        return Verdict.model_validate(found["verdict"])
    except ValidationError:
        return None  # of another version, which knew other causes


def _case(asked: Mapping[str, Any], verdict: Verdict | None) -> DiagnosedCase:
    answer = asked["answer"]
    base = {"id": answer["answer_id"], "cluster": answer["conversation_id"]}
    if verdict is None:
        return DiagnosedCase(**base, question="", passed=True)
    said = [asked["comment"]] if asked["comment"] else []
    return DiagnosedCase(
        **base,
        question=asked["question"],
        tags=(asked["diagnosed"]["signal"],),
        passed=False,
        problems=tuple(said),
        answer={
            "action": answer["action"],
            "text": answer["text"],
            "served_by": answer["served_by"],
            "cited": [{"document": c["document"]} for c in answer["citations"]],
        },
    )


def _facts(
    asked: Sequence[Mapping[str, Any]], looked: int, sampled: int
) -> dict[str, float | int | str | None]:
    states = Counter((each["diagnosed"] or {}).get("state", "") for each in asked)
    return {
        "answers": len(asked),
        "looked_into": looked,
        "not_looked_into": len(asked) - looked,
        "waiting": states["waiting"],
        "given_up": states["failed"],
        "sampled": sampled,
        "rated_down": sum(each["rating"] == "down" for each in asked),
    }
