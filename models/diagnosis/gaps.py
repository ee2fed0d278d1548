"""What nobody wrote: questions without a source, put together, each with a draft of its article."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from models.suite.similar import groups, middle
from twofold.clients.embedder import Embedder
from twofold.policy import NOT_IN_SOURCES
from twofold.redact import redact

SHOWN: Final = 5
"""Wordings of one gap."""
MOST: Final = 2000
"""Questions that are put together, the newest."""


class Gap(NamedTuple):
    """Questions that ask the same and found nothing. Personal data is masked."""

    title: str
    """The wording that is nearest to all."""
    questions: int
    wordings: tuple[str, ...]
    audiences: tuple[str, ...]
    last_at: float
    """Epoch seconds."""

    @property
    def outline(self) -> str:
        """A draft to write the article from, Markdown as help centers have it."""
        asked = "\n".join(f"- {wording}" for wording in self.wordings)
        day = datetime.fromtimestamp(self.last_at, UTC).date().isoformat()
        return (
            f"---\ntitle: TODO (asked as: {self.title!r})\nkind: article\n"
            f"audience: [{', '.join(self.audiences)}]\nupdated_at: {day}\n---\n\n"
            "TODO The answer, in the first sentence, with its figure or its yes or no.\n\n"
            "## When this holds\n\nTODO Plans, roles, dates or versions that change the answer.\n\n"
            "## How to do it\n\n1. TODO\n\n"
            "## What readers asked\n\n"
            f"{asked}\n\nTODO Delete this section once each of them is answered above.\n"
        )


def gaps(asked: Sequence[Mapping[str, Any]], embedder: Embedder) -> list[Gap]:
    """Returns the gaps that GET /v1/questions tells of: what was handed over for want of a
    source, or found to have none; the most asked first."""
    rows = [each for each in asked if _nowhere(each)][-MOST:]
    if not rows:
        return []
    questions = [" ".join(redact(each["standalone"] or each["question"]).split()) for each in rows]
    vectors = embedder.embed(questions)
    found = []
    for group in groups(vectors, embedder.name):
        audiences = {audience for index in group for audience in rows[index]["audience"]}
        found.append(
            Gap(
                title=questions[middle(vectors, group)],
                questions=len(group),
                wordings=tuple(dict.fromkeys(questions[index] for index in group))[:SHOWN],
                audiences=tuple(sorted(audiences - {"public"})) or ("public",),
                last_at=max(rows[index]["created_at"] for index in group),
            )
        )
    return sorted(found, key=lambda gap: (-gap.questions, -gap.last_at))


def _nowhere(asked: Mapping[str, Any]) -> bool:
    if not asked.get("searched", True):
        return False  # what nobody looked for may be there
    verdict = (asked["diagnosed"] or {}).get("verdict")
    if verdict:
        return bool(verdict["cause"] == "not_in_sources")
    escalation = asked["answer"]["escalation"] or {}
    return bool(escalation.get("reason") == NOT_IN_SOURCES)
