"""How much of a prompt vLLM need not read again: our order beside a naive one, by its own metrics.

    TWOFOLD_VLLM_PYTHON=… .venv/bin/python -m benchmarks.prefix_cache [--groups 12] [--base FOLDER]

Questions of the example suite, in groups that have an answering document in common, are put to the
real retrieval. `turns`: each group as one conversation. `apart`: each question of another customer,
with the documents that were found for it. `together`: the same, with the documents that were found
for the first of the group. What the service would send goes to a real vLLM on the CPU, in two
orders: ours (policy, documents, conversation, question), and one that begins with the time and the
question, as many prompts do. Both carry a cache salt of their workspace.

`hit rate` is vLLM's prefix_cache_hits over prefix_cache_queries, in tokens. `blocks` is what a
prompt has in common with an earlier one as leading parts (policy, each document, each message) in
our order, in whole blocks of 16 tokens; `shared` is how much of it was really found. The CPU's
blocks have 32, so those of 16 are counted by vLLM's rule over the same tokens; `rule_agrees` in the
JSON says that the rule, with 32, gave exactly vLLM's own count. Prints a table, and last one line
of JSON.
"""

import argparse
import asyncio
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from jinja2 import Environment
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from benchmarks.harness import publish
from ingestion.sources.folder import Folder
from ingestion.sync.pipeline import sync
from models.serve.args import TEMPLATE, ServeArgs
from models.suite.suite import Case, load_suite
from services.answer.app import open_parts
from services.answer.contract import Ask
from services.answer.generate import AnswerContext, Step
from services.answer.generate.model import ModelMaker, cache_salt
from services.answer.pipeline import Parts, ask_once, prepare
from services.answer.timer import RequestTimer
from tests.vllm_server import VllmServer, make_tiny_models
from twofold.clients.chat import ChatModel, ModelServer
from twofold.prompt import Message, instructions
from twofold.settings import Settings
from twofold.stack import open_stack

EXAMPLE = Path(__file__).parent.parent / "examples" / "brackwater"
WORKSPACE = "default"
SECRET = b"benchmark"
BLOCK = 16
CPU_BLOCK = 32
CONTEXT = 4096
TURNS = 4
Name = tuple[str, Step, str]
"""Of an arm: the questions, the prompt's step, the order."""
BEGUN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


@dataclass
class Arm:
    """Tokens, and what vLLM said of them."""

    prompts: int = 0
    tokens: int = 0
    queries: int = 0
    hits: int = 0
    by_rule: int = 0
    """Tokens that the rule finds in blocks of CPU_BLOCK."""
    shareable: int = 0
    shared: int = 0
    """Blocks of BLOCK tokens."""


@dataclass
class Cache:
    """vLLM's rule: whole blocks, each known with all before it; the last token is always read."""

    block: int
    known: set[tuple[int, ...]] = field(default_factory=set)

    def hits(self, ids: Sequence[int]) -> int:
        """Tokens found; afterwards these are known too."""
        ends = range(self.block, len(ids) + 1, self.block)
        prefixes = [tuple(ids[:end]) for end in ends]
        found = 0
        for prefix in prefixes:
            if prefix not in self.known or len(prefix) > len(ids) - 1:
                break
            found = len(prefix)
        self.known.update(prefixes)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=12)
    parser.add_argument("--base", type=Path, help="a model's folder; default: a tiny one")
    args = parser.parse_args()
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        console.print("Indexing the example help center, and asking its retrieval")
        parts, asked = retrieved(folder, args.groups)
        base = args.base or make_tiny_models(folder / "models", 0) / "base"
        with VllmServer(folder) as server:
            console.print("Starting vLLM")
            server.start(serving(base.resolve(), server.port))
            arms = {
                (kind, step, order): measure(server, base, parts, (kind, step, order), seen)
                for kind, seen in asked.items()
                for step in ("base", "tuned")
                for order in ("ours", "naive")
            }
    report(arms)


def serving(base: Path, port: int) -> ServeArgs:
    options = {
        "--served-model-name": "base",
        "--host": "127.0.0.1",
        "--port": str(port),
        "--max-model-len": str(CONTEXT),
        "--chat-template": str(base / TEMPLATE),
    }
    argv = [word for pair in options.items() for word in pair]
    return ServeArgs(str(base), (*argv, "--enable-prefix-caching"), {}, {}, {})


def retrieved(folder: Path, groups: int) -> tuple[Parts, dict[str, list[AnswerContext]]]:
    """What the service sees of every question: as conversations, and each by itself."""
    settings = Settings(home=folder / "home", house=EXAMPLE / "house.yaml", workspace=WORKSPACE)
    with open_stack(settings) as stack:
        sync(stack, WORKSPACE, Folder("help-center", EXAMPLE / "help-center"))
        parts = open_parts(stack)
        chosen = grouped(load_suite(EXAMPLE / "eval", "all"))[:groups]
        return parts, asyncio.run(ask_all(parts, chosen))


def grouped(cases: Sequence[Case]) -> list[list[Case]]:
    """Public questions without a history, TURNS that one document answers, no question twice."""
    by_document: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if case.expect.documents and not case.history and case.audience == "public":
            by_document[case.expect.documents[0]].append(case)
    return [found[:TURNS] for _, found in sorted(by_document.items()) if len(found) >= TURNS]


async def ask_all(parts: Parts, groups: Sequence[Sequence[Case]]) -> dict[str, list[AnswerContext]]:
    asked: dict[str, list[AnswerContext]] = {"turns": [], "apart": [], "together": []}
    for group in groups:
        conversation, first = None, None
        for case in group:
            ask = Ask(case.question, WORKSPACE, conversation_id=conversation)
            asked["turns"].append(await prepare(ask, parts, _watch()))
            conversation = (await ask_once(ask, parts)).conversation_id
            alone = await prepare(Ask(case.question, WORKSPACE), parts, _watch())
            first = first or alone
            asked["apart"].append(alone)
            asked["together"].append(
                replace(alone, searched=replace(alone.searched, packed=first.packed))
            )
    # What no model would be asked about has no prompt.
    return {
        kind: [seen for seen in found if seen.packed and seen.heard.settled is None]
        for kind, found in asked.items()
    }


def _watch() -> RequestTimer:
    return RequestTimer(time.monotonic() + 60)


def measure(
    server: VllmServer, base: Path, parts: Parts, arm_of: Name, asked: Sequence[AnswerContext]
) -> Arm:
    _, step, order = arm_of
    maker = ModelMaker(step, ChatModel(ModelServer(server.url), "base"), parts.house, SECRET)
    template = Environment(autoescape=False).from_string((base / TEMPLATE).read_text())
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))

    def ids(messages: Sequence[Message], more: bool = True) -> list[int]:
        said = [message._asdict() for message in messages]
        text = template.render(messages=said, add_generation_prompt=more)
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    arm, seen_parts = Arm(), set[tuple[str, ...]]()
    caches = {block: Cache(block) for block in (BLOCK, CPU_BLOCK)}
    salt = cache_salt(SECRET, " ".join((WORKSPACE, *arm_of)))
    with httpx.Client(base_url=server.url, timeout=300, trust_env=False) as http:
        before = counters(http)
        for number, seen in enumerate(asked):
            best = maker.messages(seen)
            sent = best if order == "ours" else naive(best, parts, step, number)
            tokens = ids(sent)
            if len(tokens) >= CONTEXT:
                continue
            body = {"model": "base", "messages": [m._asdict() for m in sent], "max_tokens": 1}
            answered = http.post("/v1/chat/completions", json=body | {"cache_salt": salt})
            answered.raise_for_status()
            read = answered.json()["usage"]["prompt_tokens"]
            assert read == len(tokens), f"vLLM reads {read} tokens, we {len(tokens)}"
            found = {block: cache.hits(tokens) for block, cache in caches.items()}
            can = shareable(best, seen_parts, ids) // BLOCK
            arm.prompts += 1
            arm.tokens += len(tokens)
            arm.by_rule += found[CPU_BLOCK]
            arm.shareable += can
            arm.shared += min(can, found[BLOCK] // BLOCK)
        after = counters(http)
    arm.queries, arm.hits = after[0] - before[0], after[1] - before[1]
    return arm


def naive(best: Sequence[Message], parts: Parts, step: Step, number: int) -> list[Message]:
    """The same content; what changes with every request stands first."""
    policy = instructions(parts.house, "tuned" if step == "tuned" else "full")
    documents = best[0].content.removeprefix(policy)
    now = (BEGUN + timedelta(seconds=37 * number)).isoformat()
    head = f"It is {now}. The customer asks: {best[-1].content}\n\n"
    return [Message("system", head + documents + policy), *best[1:]]


Ids = Callable[..., list[int]]


def shareable(messages: Sequence[Message], known: set[tuple[str, ...]], ids: Ids) -> int:
    """Tokens of the leading parts that an earlier prompt began with, too; then all are known."""
    pieces = list(leading(messages))
    keys = [tuple(text for _, text in pieces[: n + 1]) for n in range(len(pieces))]
    common = 0
    for n, key in enumerate(keys):
        if key not in known:
            break
        common = n + 1
    known.update(keys)
    if common == 0:
        return 0
    upto, _ = pieces[common - 1]
    whole = ids(messages)
    part = ids(upto, False)
    # The template closes a message; a part that ends inside one stops before that.
    same = 0
    while same < min(len(whole), len(part)) and whole[same] == part[same]:
        same += 1
    return same


def leading(messages: Sequence[Message]) -> Iterator[tuple[list[Message], str]]:
    """The parts of a prompt in order, each with the messages up to its end."""
    system, *others = messages
    text = ""
    for piece in re.split(r"(?=<document |</documents>)", system.content):
        text += piece
        yield [Message("system", text)], piece
    upto = [system]
    for message in others:
        upto = [*upto, message]
        yield upto, f"{message.role}: {message.content}"


def counters(http: httpx.Client) -> tuple[int, int]:
    """vllm:prefix_cache_queries and _hits, in tokens."""
    text = http.get("/metrics").raise_for_status().text
    values = []
    for name in ("queries", "hits"):
        found = re.search(rf"^vllm:prefix_cache_{name}_total\{{.*\}} (\S+)$", text, re.MULTILINE)
        assert found is not None, f"vLLM has no prefix_cache_{name}"
        values.append(int(float(found[1])))
    return values[0], values[1]


def report(arms: dict[Name, Arm]) -> None:
    table = Table(title="Prefix cache of vLLM: prompts in our order, and in a naive one")
    rows = []
    for (kind, step, order), arm in arms.items():
        row: dict[str, object] = {
            "questions": kind,
            "prompt": "tuned" if step == "tuned" else "full",
            "order": order,
            "prompts": arm.prompts,
            "tokens": round(arm.tokens / arm.prompts),
            "hit rate": round(arm.hits / arm.queries, 3),
            "blocks": arm.shareable,
            "shared": round(arm.shared / max(1, arm.shareable), 3),
        }
        if not rows:
            for name in row:
                table.add_column(name, justify="left" if len(table.columns) < 3 else "right")
        table.add_row(*(str(value) for value in row.values()))
        agrees = (arm.by_rule, arm.tokens) == (arm.hits, arm.queries)
        rows.append(row | {"rule_agrees": agrees})
    publish("prefix_cache", {"block": BLOCK, "cpu_block": CPU_BLOCK, "arms": rows}, table)


if __name__ == "__main__":
    main()
