"""Answers do not depend on how busy the machine is: the same questions twice.

    python -m benchmarks.same_answers [--questions 200] [--at-once 16]

The example company's questions are asked once one after the other, and once so many at a time
beside a busy process for each core. Action, text, citations and who served must be equal; whatever
is not is printed, and ends it with 1.
"""

import argparse
import asyncio
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import publish
from ingestion.sources.folder import Folder
from ingestion.sync.pipeline import sync
from models.suite.suite import Case, load_suite
from services.answer.app import open_parts
from services.answer.contract import Ask, Turn
from services.answer.events import Answered
from services.answer.pipeline import Parts, ask_once
from twofold.settings import Settings
from twofold.stack import open_stack

EXAMPLE = Path(__file__).parent.parent / "examples" / "brackwater"
WORKSPACE = "default"

Said = tuple[str, str, str, tuple[tuple[str, str], ...]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=16)
    args = parser.parse_args()
    cases = load_suite(EXAMPLE / "eval", "all")[: args.questions]
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), house=EXAMPLE / "house.yaml", workspace=WORKSPACE)
        with open_stack(settings) as stack:
            sync(stack, WORKSPACE, Folder("help-center", EXAMPLE / "help-center"))
            parts = open_parts(stack)
            alone = asyncio.run(asked(parts, cases, 1))
            busy = [multiprocessing.Process(target=burn) for _ in range(os.cpu_count() or 1)]
            for process in busy:
                process.start()
            try:
                beside = asyncio.run(asked(parts, cases, args.at_once))
            finally:
                for process in busy:
                    process.kill()
    other = [i for i, (one, two) in enumerate(zip(alone, beside, strict=True)) if one != two]
    for i in other:
        print(f"{cases[i].question}\n  alone: {alone[i]}\n  busy:  {beside[i]}")
    result = {"questions": len(cases), "at_once": args.at_once, "different": len(other)}
    publish("same_answers", result)
    sys.exit(1 if other else 0)


async def asked(parts: Parts, cases: Sequence[Case], at_once: int) -> list[Said]:
    """What each question gets, so many of them at a time."""
    room = asyncio.Semaphore(at_once)

    async def one(case: Case) -> Said:
        history = tuple(Turn(turn.role, turn.text) for turn in case.history)
        audiences = frozenset({case.audience}) - {"public"}
        ask = Ask(case.question, WORKSPACE, audiences, history=history, evaluation=True)
        async with room:
            return said(await ask_once(ask, parts))

    return list(await asyncio.gather(*map(one, cases)))


def said(answer: Answered) -> Said:
    cited = tuple((each.document, each.quote) for each in answer.citations)
    return answer.action, answer.served_by, answer.text, cited


def burn() -> None:
    while True:
        sum(range(100_000))


if __name__ == "__main__":
    main()
