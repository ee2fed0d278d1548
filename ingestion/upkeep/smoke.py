"""The last question before an index goes live: do titles find their documents?"""

import math
import time

from sqlalchemy import select

from twofold.counted import counted
from twofold.errors import UpstreamError
from twofold.index.contract import Scope
from twofold.ledger.models import Document, Version
from twofold.stack import Stack

QUERIES = 50
DEPTH = 10
SHARE = 0.9
"""So many of the sampled titles must find their document, or one of the same title."""


def check_titles(stack: Stack) -> tuple[int, int]:
    """Returns how many sampled titles were searched for, and how many found their page. Raises
    UpstreamError where too few did."""
    now = int(time.time())
    with stack.ledger.session() as session:
        live = (Version.document_id == Document.id) & (Version.number == Document.live)
        columns = (Document.id, Document.workspace, Version.title, Version.audience, Version.locale)
        rows = session.execute(
            select(*columns)
            .join(Version, live)
            .where(
                Version.applied_from <= now,
                Version.applied_until > now,
                Version.quarantined.is_(False),
            )
            .order_by(Document.id)
        ).all()
    sample = rows[:: max(1, math.ceil(len(rows) / QUERIES))]
    if not sample:
        return 0, 0
    found = 0
    vectors = stack.embedder.embed([row.title for row in sample])
    for row, vector in zip(sample, vectors, strict=True):
        scope = Scope(row.workspace, now, frozenset(row.audience))
        both = stack.index.search(vector, stack.sparse.query(row.title, row.locale), scope, DEPTH)
        chunks = [hit.chunk for hits in both for hit in hits]
        found += any(c.document == row.id or c.title == row.title for c in chunks)
    if found < SHARE * len(sample):
        raise failed(f"{found} of {counted(len(sample), 'sampled title')} found")
    return len(sample), found


def failed(what: str) -> UpstreamError:
    return UpstreamError(
        f"The new index was not made live: {what}. What was live still answers. Run `twofold"
        " knowledge rebuild` again; it goes on where it stopped."
    )
