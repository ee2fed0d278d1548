"""A served model in place of the composer: the same conversations, judged as a customer would.

    python -m benchmarks.served

The service runs in this process, and SmolLM2 with the shipped adapter merged by a vLLM beside it,
with the short context that it was trained with. Asks the report half of the example company's turns
of the composer, and of the model with verification and the ladder behind it, one after the other.
Prints a table, and last one line of JSON.
"""

import argparse
import asyncio
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import smollm2
from benchmarks.harness import percentiles, publish
from models.evaluate.customer import JudgedTurn, report, talk
from models.suite.client import AnswerClient
from models.suite.customer import OUTCOMES, load_customer
from services.standalone.evals import Local
from twofold.settings import Settings

EXAMPLE = Path(__file__).parent.parent / "examples/brackwater"


class Timed(AnswerClient):
    """Notes of each answer who made it, how long it took, and what became of a model's reply."""

    def __init__(self, http: Any) -> None:
        super().__init__(http)
        self.seconds: list[float] = []
        self.by: Counter[str] = Counter()
        self.fell: Counter[str] = Counter()

    async def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        begun = time.monotonic()
        reply = await super().chat(body)
        self.seconds.append(time.monotonic() - begun)
        self.by[reply["served_by"]] += 1
        self.fell.update((await self.record(reply["answer_id"]))["signals"].get("ladder", ()))
        return reply


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    smollm2.arguments(parser, "tuned")
    parser.add_argument("--conversations", type=int, default=0, help="a sample; 0: all")
    args = parser.parse_args()
    every = load_customer(EXAMPLE / "customer/suite.jsonl", "report")
    chosen = random.Random(1).sample(every, args.conversations) if args.conversations else every
    own, short = Settings(), smollm2.SHORT
    result: dict[str, Any] = {}
    with smollm2.served(own.home, tuned=args.tuned) as model:
        for arm, more in (("composer", {}), ("composer, short", short), ("model", short | model)):
            result[arm] = asyncio.run(_asked(arm, own.model_copy(update=more), chosen))
    names = [*OUTCOMES, "p50", "p95", "by", "replaced", "failed"]
    table = Table("arm", *names)
    for arm, found in result.items():
        cells = [found[name] for name in names]
        table.add_row(
            arm,
            *[
                str(c["value"] if name in OUTCOMES else c)
                for name, c in zip(names, cells, strict=True)
            ],
        )
    publish("served", result, table)


async def _asked(arm: str, settings: Settings, conversations: Any) -> dict[str, Any]:
    async with Local(settings).help_center(
        "served", EXAMPLE / "help-center", EXAMPLE / "house.yaml", _silent
    ) as http:
        client = Timed(http)
        found: list[JudgedTurn] = await talk(client, conversations, _silent)
    shares = report({arm: found}).shares
    return {
        **{name: each.data() for name, each in shares.items()},
        **percentiles(client.seconds),
        "turns": len(found),
        "by": dict(client.by),
        "replaced": client.fell["tuned: unheld"],
        "failed": sum(client.fell.values()) - client.fell["tuned: unheld"],
    }


def _silent(*_: Any) -> None:
    pass


if __name__ == "__main__":
    main()
