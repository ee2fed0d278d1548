"""A served model in place of the composer: the same conversations, judged as a customer would.

    TWOFOLD_HOME=… python -m benchmarks.served --model http://127.0.0.1:9001 --name NAME

The service runs in this process, with the reader's context that the demonstration has. Asks the
report half of the example company's turns of the composer, and of the model with verification and
the ladder behind it. Prints a table, and last one line of JSON.
"""

import argparse
import asyncio
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.harness import percentiles, publish
from models.evaluate.customer import Replied, report, talk
from models.suite.client import AnswerClient
from models.suite.customer import OUTCOMES, load_customer
from services.standalone.evals import Local
from twofold import metrics
from twofold.settings import Settings

EXAMPLE = Path(__file__).parent.parent / "examples/brackwater"


class Timed(AnswerClient):
    """Notes of each answer who made it and how long it took."""

    def __init__(self, http: Any) -> None:
        super().__init__(http)
        self.seconds: list[float] = []
        self.by: Counter[str] = Counter()

    async def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        begun = time.monotonic()
        reply = await super().chat(body)
        self.seconds.append(time.monotonic() - begun)
        self.by[reply["served_by"]] += 1
        return reply


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--conversations", type=int, default=60, help="a sample; 0: all")
    args = parser.parse_args()
    every = load_customer(EXAMPLE / "customer/suite.jsonl", "report")
    chosen = random.Random(1).sample(every, args.conversations) if args.conversations else every
    short = {"context_chunks": 2, "context_chars": 1600}
    model = {"model_url": args.model, "model_adapter": args.name, "model_first_token_s": 30.0}
    result: dict[str, Any] = {}
    for arm, more in (("composer", {}), ("composer, short", short), ("model", short | model)):
        result[arm] = asyncio.run(_asked(arm, Settings(**more), chosen))  # type: ignore[arg-type]
    names = [*OUTCOMES, "p50", "p95", "replaced", "by"]
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
    before = _replaced()
    async with Local(settings).help_center(
        "served", EXAMPLE / "help-center", EXAMPLE / "house.yaml", _silent
    ) as http:
        client = Timed(http)
        found: list[Replied] = await talk(client, conversations, _silent)
    shares = report({arm: found}).shares
    return {
        **{name: each.data() for name, each in shares.items()},
        **percentiles(client.seconds),
        "turns": len(found),
        "by": dict(client.by),
        "replaced": int(_replaced() - before),
    }


def _replaced() -> float:
    return sum(
        sample.value
        for family in metrics.BEHAVIOUR_REPLACED.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    )


def _silent(*_: Any) -> None:
    pass


if __name__ == "__main__":
    main()
