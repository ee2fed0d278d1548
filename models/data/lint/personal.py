"""What is personal and was not masked."""

from collections.abc import Iterator, Sequence

from models.data.lint.findings import RowFinding, RowPlace
from twofold.policy import HousePolicy
from twofold.redact import redact

FIX = "Mask it: build the dataset again, or take the row out."


def personal(rows: Sequence[RowPlace], house: HousePolicy) -> Iterator[RowFinding]:
    """Yields personal data in what people wrote; what the row's own documents or the house print
    is nobody's secret."""
    words = house.model_dump_json()
    for place in rows:
        row = place.row
        public = "\n".join((words, *(document.text for document in row.documents)))
        texts = {
            "question": row.question,
            "conversation": "\n".join(turn.text for turn in row.history),
            "reply": row.target,
            "rejected reply": "\n".join(each.reply for each in row.rejected),
        }
        for where, text in texts.items():
            if redact(text, public) != text:
                yield place.finding("personal", f"something personal stands in its {where}", FIX)
