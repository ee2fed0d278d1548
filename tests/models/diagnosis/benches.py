"""What the tests on a bench share."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from models.diagnosis.checks import check, expected
from models.diagnosis.replays import ReplayedCase, replay_case
from models.evaluate.local import Bench
from models.suite.client import AnswerClient
from models.suite.suite import Case
from twofold.house_file import load_house

EXAMPLE = Path("examples/brackwater")
PAGES = (
    "articles/create-an-endpoint.md",
    "articles/retries-and-backoff.md",
    "articles/rotate-signing-secret.md",
    "articles/invoices.md",
    "articles/rate-limits.md",
    "articles/roles-and-permissions.md",
    "articles/recovery-codes.md",
    "articles/plans-and-limits.md",
    "articles/send-events-in-batches.md",
    "articles/set-up-two-factor.md",
    "articles/slack-alerts.md",
    "policies/refunds-2026.md",
)


Use = Callable[[Bench, list[Case]], Awaitable[None]]


async def right(client: AnswerClient, cases: list[Case]) -> list[ReplayedCase]:
    """What is answered rightly."""
    house = load_house(EXAMPLE / "house.yaml")
    found = [await replay_case(client, case) for case in cases]
    return [each for each in found if not expected(each) and not check(each, house)]
