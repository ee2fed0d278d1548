"""A piece that only says where to read on is told to nobody but who asks where to read."""

import pytest

from services.answer.search.pointers import asks_where, only_points
from services.answer.search.units import pieces

POINTERS = (
    "See also: Node SDK, Go SDK, Error codes.",
    "See [Ask for a refund](refund.md).",
    "**Related documentation in our user guide:** [Store URLs](https://docs.example/urls).",
    "For more information about planning, see the bulk guide.",
    "[User Guide > Attributes > Attribute Set](https://docs.example/a) in our user guide.",
    "Using Slack? See [Send alerts to Slack](slack.md).",
    "Siehe auch: Fehlercodes.",
    "If the check fails for no visible reason, see [Mismatch](mismatch.md).",
    "When you move, please see the guide for movers.",
)
ANSWERS = (
    "See the tab **Billing**, where the last twelve invoices are listed. Choose one to open it.",
    "You can see who signed in under **Audit log**.",
    "Seats are counted in our user guide as people who can sign in.",
    "For more than five seats choose River.",
    "Using two keys at once is allowed.",
    "Set the limit in the dashboard.",
    "If the check fails, see the log, choose the attempt and copy it. Then compare.",
    "More on River: 200 endpoints. Creek has 25.",
)


@pytest.mark.parametrize("text", POINTERS)
def test_what_only_points_is_known(text: str) -> None:
    assert [only_points(piece) for piece in pieces(text)] == [True] * len(pieces(text))


@pytest.mark.parametrize("text", ANSWERS)
def test_what_says_something_is_none(text: str) -> None:
    assert not all(only_points(piece) for piece in pieces(text))


def test_who_asks_where_is_answered_by_a_place() -> None:
    assert asks_where("where do i read about refunds?")
    assert not asks_where("how do i ask for a refund?")
