"""Models for the gate: one that reads its documents as it should, and ways of doing it wrong."""

import asyncio
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from models.data.rows import Dataset, Document, Manifest, Row, RowMessage
from models.gate.arms import ModelArm
from models.gate.run import GateReport, run_gate
from tests.model_server import Behaviour, Line, ModelServer, says
from twofold.clients.chat import ChatModel
from twofold.clients.chat import ModelServer as Server
from twofold.policy import HousePolicy
from twofold.prompt import prompt_digest, render_prompt

ESCALATE = "ESCALATE [team=support reason=not_in_sources]\nA person takes over from here."
_DOCUMENT = re.compile(r'<document n="(\d+)".*?>\n(.*?)\n</document>', re.DOTALL)

Rewrite = Callable[[str], str]
"""What a model makes of the right reply."""


def reads(rewrite: Rewrite = str, closed: Rewrite = lambda question: ESCALATE) -> Behaviour:
    """Answers with the sentence that shares most words with the question, and its mark; `closed`
    is what it says to a question without documents."""

    async def behave(line: Line) -> None:
        system, question = (line.request.body["messages"][i]["content"] for i in (0, -1))
        found = [(n, text) for n, text in _DOCUMENT.findall(system)]
        reply = _answer(found, question) if found else closed(question)
        await says(rewrite(reply) if found else reply)(line)

    return behave


def _answer(documents: Sequence[tuple[str, str]], question: str) -> str:
    wanted = set(re.findall(r"\w+", question.lower()))
    best = max(
        (
            (len(wanted & set(re.findall(r"\w+", sentence.lower()))), sentence, n)
            for n, text in documents
            for sentence in re.split(r"(?<=\.)\s", text)
        ),
        key=lambda found: found[0],
    )
    return f"ANSWER\n{best[1]} [{best[2]}]" if best[0] >= 4 else ESCALATE


def gated(house: HousePolicy, dataset: Dataset, **models: Behaviour) -> GateReport:
    """The gate over these models: the first is the candidate, `base` is asked with `full`."""

    async def run() -> GateReport:
        async with ModelServer(dict(models)) as server:
            at = Server(server.url)
            arms = [
                ModelArm(name, ChatModel(at, name), "full" if name == "base" else "tuned", house)
                for name in models
            ]
            try:
                return await run_gate(arms[0], arms[1:], dataset, lambda *_: None)
            finally:
                await at.aclose()

    return asyncio.run(run())


def dataset(house: HousePolicy) -> Dataset:
    """24 held-out rows that a document answers, and 8 that none does."""
    heldout = [_row(house, number, held=number % 4 != 3) for number in range(32)]
    manifest = Manifest(
        created=0.0, profile="tuned", prompt=prompt_digest(house, "tuned"), house=house.digest,
        fingerprint="", files={}, wanted={}, reached={}, left_out={}, masked=0, seed=0,
    )  # fmt: skip
    return Dataset(Path("dataset"), manifest, {"train": [], "eval": [], "heldout": heldout})


def _row(house: HousePolicy, number: int, *, held: bool) -> Row:
    plan, other, days = f"Plan{number}", f"Offer{number}", 20 + number
    sentence = f"The logs of {plan} are kept for {days} days."
    texts = [f"The price of {other} is ${300 + number} a month.", sentence]
    documents = [
        Document(n=n, document=f"help/{number}-{n}.md", version=1, chunk=f"{number}-{n}",
                 title=plan, heading_path=(), kind="article", text=text)
        for n, text in enumerate(texts if held else texts[:1], start=1)
    ]  # fmt: skip
    question = f"For how many days are the logs of {plan} kept?"
    messages = render_prompt(house, "tuned", [d.as_chunk() for d in documents], [], question)
    return Row(
        id=f"suite:{number}", origin="suite", ref=str(number),
        messages=tuple(RowMessage(role=role, content=content) for role, content in messages),
        target=f"ANSWER\n{sentence} [2]" if held else ESCALATE,
        documents=tuple(documents), history=(), question=question, locale="en", audience="public",
        profile="tuned", prompt=prompt_digest(house, "tuned"), house=house.digest,
        gold=(2,) if held else (), facts=((f"{days} days",),) if held else (),
    )  # fmt: skip
