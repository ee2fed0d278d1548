"""What a question gets word for word, because people pinned an answer to one that asks the same.

Nobody is answered so who is to see a person, asks about another day, leans on earlier turns or asks
two things at once; and nothing that a source does not say any more.
"""

import time
from dataclasses import dataclass

from sqlalchemy import select

from services.answer.approved.same import QuestionReader
from services.answer.approved.store import citations_of, still_true
from services.answer.contract import Question
from services.answer.generate import Pinned
from twofold import metrics
from twofold.ledger.service import ApprovedAnswer
from twofold.stack import Stack


@dataclass(frozen=True, slots=True)
class ApprovedAnswers:
    """Finds the workspace's approved answer for a question."""

    stack: Stack
    reader: QuestionReader

    def meeting(self, question: Question) -> Pinned | None:
        """Returns the approved answer that the question gets: the newest for one that asks the
        same, while its sources say what they said. Raises what ledger and index raise."""
        if question.as_of is not None or question.leans or question.parts:
            return None
        read, locale = self.reader.read, question.locale
        own = read(question.asked, locale)
        for id, text in self._open_to(question):
            if self.reader.alike(read(text, locale), own):
                return self._said(id, question)
        return None

    def _open_to(self, question: Question) -> list[tuple[str, str]]:
        """Returns the ids and questions of those that the asker may have today, newest first."""
        now = time.time()
        columns = (ApprovedAnswer.id, ApprovedAnswer.question, ApprovedAnswer.audience)
        with self.stack.ledger.engine.connect() as connection:
            rows = connection.execute(
                select(*columns)
                .where(
                    ApprovedAnswer.workspace == question.scope.workspace,
                    ApprovedAnswer.locale == question.locale,
                    ApprovedAnswer.valid_from <= now,
                    (ApprovedAnswer.valid_until.is_(None)) | (ApprovedAnswer.valid_until > now),
                )
                .order_by(ApprovedAnswer.created_at.desc())
            )
            visible = set(question.scope.visible_to)
            return [(row.id, row.question) for row in rows if visible.issuperset(row.audience)]

    def _said(self, id: str, question: Question) -> Pinned | None:
        ledger, index = self.stack.ledger, self.stack.index
        with ledger.session() as session:
            row = session.get(ApprovedAnswer, id)
            if row is None:
                return None  # withdrawn this moment
            pinned = Pinned(row.id, row.text, citations_of(row))
        if not still_true(ledger, index, question.scope, pinned.citations):
            metrics.KNOWLEDGE_SUSPENDED.inc()
            return None
        return pinned
