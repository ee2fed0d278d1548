"""A suite started from live traffic: questions as they were asked, personal data masked, what is
expected left for a person to confirm."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from models.suite.similar import groups
from twofold.clients.embedder import Embedder
from twofold.counted import counted
from twofold.redact import redact

HEAD = """\
# Started from live traffic by `twofold eval suite from-answers`. What each case expects is what was
# answered, right or wrong. Look at it, mend it, and take `confirmed: false` away: until then evals
# leave the case out. Personal data is masked as far as patterns find it; names are not.
"""


class StartedSuite(NamedTuple):
    text: str
    """YAML."""
    cases: int
    groups: int
    left_out: int
    """Asked in the very same words before, or given without a source."""


def start(asked: Sequence[Mapping[str, Any]], embedder: Embedder) -> StartedSuite:
    """Returns a suite's first cases, from `asked`: what GET /v1/questions gives, oldest first.
    Similar questions stand together."""
    rows = list(_cases(asked))
    if not rows:
        return StartedSuite(HEAD, 0, 0, len(asked))
    found = groups(embedder.embed([row["question"] for row in rows]), embedder.name)
    parts = [HEAD]
    for number, group in enumerate(found, start=1):
        if len(group) > 1:
            parts.append(f"\n# --- group {number}: {counted(len(group), 'similar question')}\n")
        elif number == 1 or len(found[number - 2]) > 1:
            parts.append("\n# --- asked once\n")
        for index in group:
            tags = [*rows[index]["tags"], *([f"group-{number}"] if len(group) > 1 else [])]
            case = rows[index] | {"tags": tags}
            parts.append(yaml.safe_dump([case], sort_keys=False, allow_unicode=True, width=100))
    return StartedSuite("".join(parts), len(rows), len(found), len(asked) - len(rows))


def _cases(asked: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    before: dict[str, list[dict[str, str]]] = {}
    for each in asked:
        answer = each["answer"]
        question = redact(each["question"]).strip()
        turns = before.setdefault(answer["conversation_id"], [])
        history = list(turns)
        turns += [
            {"role": "user", "text": question},
            {"role": "assistant", "text": redact(answer["text"])},
        ]
        key = f"{history}{question.casefold()}"
        expect = _expected(answer)
        if expect is None or key in seen or not question:
            continue
        seen.add(key)
        audience = next((a for a in each["audience"] if a != "public"), "public")
        yield {
            "id": f"live-{answer['answer_id'][:8]}",
            "question": question,
            **({"history": history} if history else {}),
            "audience": audience,
            "locale": each["locale"],
            "expect": expect,
            "tags": ["live", *([f"rated-{each['rating']}"] if each["rating"] else [])],
            "confirmed": False,
        }


def _expected(answer: Mapping[str, Any]) -> dict[str, Any] | None:
    if answer["action"] == "ESCALATE":
        escalation = answer["escalation"] or {}
        return {
            "action": "ESCALATE",
            "team": escalation.get("team"),
            "reason": escalation.get("reason"),
        }
    if answer["action"] != "ANSWER":
        return {"action": answer["action"]}
    cited = dict.fromkeys(c["document"].partition("/")[2] for c in answer["citations"])
    return {"action": "ANSWER", "documents": list(cited), "facts": []} if cited else None
