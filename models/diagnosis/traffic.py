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
    """`asked`: of GET /v1/questions. Each answer is a case; those that were looked into and found
    wanting failed. The share that passes is that of the random sample alone: what people complain
    of is no sample."""
    cases, verdicts, sampled = [], [], []
    for each in asked:
        found = each["diagnosed"] or {}
        verdict = _verdict(found)
        cases.append(_case(each, verdict))
        if verdict is not None:
            verdicts.append(verdict)
        if found.get("signal") == "sample" and found.get("state") == "done":
            sampled.append((float(verdict is None), each["answer"]["conversation_id"]))
    facts = _facts(asked, len(sampled))
    made = assemble(NAME, cases, verdicts, at=at, instruments=instruments(), facts=facts)
    passed = estimate([value for value, _ in sampled], [cluster for _, cluster in sampled])
    return made.model_copy(update={"passed": Figure.of(passed)})


def _verdict(found: Mapping[str, Any]) -> Verdict | None:
    if found.get("state") != "done" or not found.get("verdict"):
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


def _facts(asked: Sequence[Mapping[str, Any]], sampled: int) -> dict[str, float | int | str | None]:
    states = Counter((each["diagnosed"] or {}).get("state", "") for each in asked)
    return {
        "answers": len(asked),
        "looked_into": states["done"],
        "waiting": states["waiting"],
        "given_up": states["failed"],
        "sampled": sampled,
        "rated_down": sum(each["rating"] == "down" for each in asked),
    }
