"""A document as people name it."""

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from twofold.counted import counted
from twofold.errors import NotFound
from twofold.ledger.models import Document


def find_document(session: Session, workspace: str, name: str) -> Document:
    """Returns a document by `source/external_id`, by its external id alone, or by its id.

    Raises NotFound, also where the external id alone would name several.
    """
    source, _, external_id = name.partition("/")
    found = session.scalars(
        select(Document).where(
            Document.workspace == workspace,
            or_(
                (Document.source == source) & (Document.external_id == external_id),
                Document.external_id == name,
                Document.id == name,
            ),
        )
    ).all()
    if len(found) != 1:
        what = f"{counted(len(found), 'document')} are" if found else "No document is"
        raise NotFound(f"{what} named {name!r}. Name it as source/path, such as help/faq.md.")
    return found[0]
