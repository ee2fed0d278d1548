"""Rows that are asked the same thing with the same passages."""

from collections.abc import Iterator, Sequence

from models.data.lint.findings import RowFinding, RowPlace


def duplicates(rows: Sequence[RowPlace]) -> Iterator[RowFinding]:
    """Yields the second and later of rows whose prompts differ in nothing but case and white
    space."""
    first: dict[tuple[str, ...], RowPlace] = {}
    ids: dict[str, RowPlace] = {}
    for place in rows:
        row = place.row
        before = ids.setdefault(row.id, place)
        if before is not place:
            reason = f"its id is that of {before.name}"
            yield place.finding("duplicate", reason, "Give each row an id of its own.")
        prompt = tuple(" ".join(m.content.lower().split()) for m in row.messages)
        before = first.setdefault(prompt, place)
        if before is place:
            continue
        same = before.row.target.strip() == row.target.strip()
        reason = f"its prompt is that of {before.name}"
        reason += "" if same else ", and asks for another reply"
        fix = "Keep one of them." if same else "Keep the one whose reply is right."
        yield place.finding("duplicate", reason, fix)
