"""Real parts over a handful of documents, and questions asked of them as a client would."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from services.answer.access.bulkhead import Bulkhead
from services.answer.approved.same import reader
from services.answer.approved.serve import ApprovedAnswers
from services.answer.contract import Ask
from services.answer.decide.decider import Decider
from services.answer.events import Acted, Answered, Cited, Delta, Done, Event, Meta
from services.answer.generate import Step
from services.answer.generate.ladder import Ladder, open_ladder
from services.answer.generate.model import ModelMaker
from services.answer.pipeline import Parts, answer
from services.answer.schemas import AnswerRecord
from tests.fakes import make_stack
from tests.ingestion.helpers import WORKSPACE, run_sync, write_tree
from twofold.clients.chat import Breaker, ChatModel, ModelServer
from twofold.errors import NotFound
from twofold.house_file import load_house
from twofold.ledger.models import Answer, Handoff
from twofold.policy import HousePolicy
from twofold.settings import Settings
from twofold.stack import Stack

QUESTION = "How long does rolling a signing secret keep both secrets valid?"
BRACKWATER = Path(__file__).parents[3] / "examples" / "brackwater" / "house.yaml"
SECRETS = """# Roll a signing secret

Rolling a signing secret keeps both secrets valid for 12 hours. \
Deploy the new secret to your receiver within that time.

| Secret | Hours valid |
|---|---|
| old | 12 |
"""
INVOICES = """# Invoices

Invoices are issued on the first day of every month. Download each invoice from the billing page.
"""


@cache
def house() -> HousePolicy:
    """The example's policy without examples to learn from: nothing here hangs on a classifier."""
    full = load_house(BRACKWATER)
    reasons = {
        name: reason.model_copy(update={"examples": ()}) for name, reason in full.reasons.items()
    }
    bare = {
        "reasons": reasons,
        "plain_examples": (),
        "off_topic_examples": (),
        "vague_examples": (),
    }
    return HousePolicy.model_validate(
        full.model_dump()
        | {
            key: {n: r.model_dump() for n, r in value.items()} if key == "reasons" else value
            for key, value in bare.items()
        }
    )


PAGES = {"secrets.md": SECRETS, "invoices.md": INVOICES}


@contextmanager
def knowing(folder: Path, pages: Mapping[str, str] = PAGES) -> Iterator[Parts]:
    """Parts that have read the pages, if any, and have no model."""
    settings = Settings(home=folder / "home", house=BRACKWATER, deadline_s=120)
    with make_stack(folder / "home", settings=settings) as stack:
        if pages:
            write_tree(folder / "tree", dict(pages))
            run_sync(stack, folder / "tree")
        policy = house()
        decider = Decider(policy, stack.embedder)
        pinned = ApprovedAnswers(stack, reader())
        parts = Parts(stack, policy, decider, Ladder(policy, decider), approved=pinned)
        with closing(parts):
            yield parts


def with_settings(parts: Parts, **changed: Any) -> Parts:
    stack = parts.stack
    return replace(parts, stack=replace(stack, settings=stack.settings.model_copy(update=changed)))


@dataclass(frozen=True)
class Patience:
    """How long a model is waited for, in seconds: longer than any machine is busy."""

    first_token: float = 60.0
    gap: float = 60.0
    deadline: float = 120.0


HASTY = Patience(1.0, 1.0, 6.0)
"""Where a test is about models that are waited for in vain."""


def with_model(
    parts: Parts,
    url: str,
    *steps: Step,
    patience: Patience = Patience(),
    calls: Bulkhead | None = None,
    breaker: Breaker | None = None,
) -> Parts:
    """The same parts with a server's models on the ladder; each is named after its step."""
    server = ModelServer(url, breaker=breaker or Breaker())
    makers = [
        ModelMaker(
            step,
            ChatModel(server, step, patience.first_token, patience.gap),
            parts.house,
            b"secret",
        )
        for step in steps or ("base",)
    ]
    ladder = Ladder(parts.house, parts.decider, tuple(makers), calls or Bulkhead(256, 256, "full"))
    return with_settings(replace(parts, ladder=ladder), deadline_s=patience.deadline)


def as_opened(parts: Parts, url: str, **settings: Any) -> Parts:
    """The parts as a process opens them that asks the server at `url`, its releases included."""
    named = with_settings(parts, model_url=url, model_name="base", **settings)
    ladder = open_ladder(named.stack, parts.house, parts.decider)
    return replace(named, ladder=ladder)


@dataclass
class Heard:
    """What a client was told of one question, and what is on record of it."""

    events: list[Event] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def done(self) -> Answered:
        last = self.events[-1]
        assert isinstance(last, Done)
        return last.answer

    @property
    def acted(self) -> list[str]:
        return [event.action for event in self.events if isinstance(event, Acted)]

    @property
    def deltas(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Delta)]


async def hear(parts: Parts, message: str = QUESTION, *, stay: bool = False, **more: Any) -> Heard:
    """Ask and listen to the end. Connections to models are closed unless they are to `stay`."""
    heard = Heard()
    started = time.monotonic()
    async for event in answer(Ask(message, WORKSPACE, **more), parts):
        heard.events.append(event)
    heard.seconds = time.monotonic() - started
    if not stay:
        await parts.ladder.aclose()
    return heard


def on_record(stack: Stack, answer_id: str) -> AnswerRecord:
    with stack.ledger.session() as session:
        row = session.get(Answer, answer_id)
        if row is None:
            raise NotFound(answer_id)
        return AnswerRecord.of(row)


def counted(stack: Stack) -> tuple[int, int]:
    """Answers and handoffs on record."""
    with stack.ledger.session() as session:
        answers = session.scalar(select(func.count()).select_from(Answer)) or 0
        return answers, session.scalar(select(func.count()).select_from(Handoff)) or 0


def check_told_once(parts: Parts, heard: Heard) -> AnswerRecord:
    """Events in their order, and stream, final answer and record all say the same."""
    kinds = [type(event) for event in heard.events]
    assert kinds[0] is Meta
    assert kinds[-2:] == [Cited, Done]
    assert kinds[1] is Acted
    assert "".join(heard.deltas) == heard.done.text
    assert heard.acted[-1] == heard.done.action
    record = on_record(parts.stack, heard.done.answer_id)
    assert record.answer.text == heard.done.text
    assert record.answer.action == heard.done.action
    assert record.answer.served_by == heard.done.served_by
    assert [c.n for c in record.answer.citations] == [c.n for c in heard.done.citations]
    return record
