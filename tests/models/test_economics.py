"""What an answer costs: with the cache counted in, and no break-even where there is none."""

import asyncio
from pathlib import Path

import pytest

from models.data.rows import read_dataset
from models.economics import (
    Effort,
    Machine,
    Measured,
    Price,
    PricedArm,
    TokenMeans,
    between,
    break_even,
    few_shot,
    read_metrics,
    shown,
    tokens,
)
from models.gate.arms import ModelArm
from tests.models.training import make_dataset
from twofold.clients.chat import ChatModel, ModelServer
from twofold.errors import InvalidInput, UpstreamError
from twofold.house_file import load_house
from twofold.prompt import instructions

EXAMPLE = Path(__file__).parents[2] / "examples/brackwater/house.yaml"
PRICE = Price(read=1.0, cached=0.1, written=4.0)
LONG = TokenMeans(prompt=1300, shared=1000, completion=30)


def words(text: str) -> int:
    return len(text.split())


def test_what_every_call_shares_is_paid_at_the_caches_price() -> None:
    arm = PricedArm("larger", LONG, PRICE)
    assert arm.per_thousand == pytest.approx(1000 * (300 * 1.0 + 1000 * 0.1 + 30 * 4.0) / 1e6)
    assert arm.uncached_per_thousand == pytest.approx(1000 * (1300 + 120) / 1e6)


def test_a_machine_of_ones_own_costs_its_hours() -> None:
    assert PricedArm("own", LONG, machine=Machine(2.0, 4000)).per_thousand == pytest.approx(0.5)
    assert PricedArm("unpriced", LONG).per_thousand is None


def test_it_pays_from_the_volume_that_brings_the_effort_back() -> None:
    tuned, other = PricedArm("t", LONG, machine=Machine(1.0, 10_000)), PricedArm("o", LONG, PRICE)
    effort = Effort(machine_hours=2, machine_hourly=1, people_hours=10, wage=50, runs_per_month=1)
    even = break_even(tuned, other, effort, months=12)
    assert even is not None
    saved = (other.per_thousand or 0) - (tuned.per_thousand or 0)
    assert even * 12 / 1000 * saved >= effort.first + 12 * effort.monthly
    assert (even - 1) * 12 / 1000 * saved < effort.first + 12 * effort.monthly


def test_there_is_no_break_even_where_tuning_saves_nothing() -> None:
    effort = Effort(1, 1, 1, 1, 1)
    assert break_even(PricedArm("t", LONG, PRICE), PricedArm("o", LONG, PRICE), effort, 12) is None
    assert break_even(PricedArm("t", LONG), PricedArm("o", LONG, PRICE), effort, 12) is None


def test_the_short_prompt_shares_less_and_examples_share_more(tmp_path: Path) -> None:
    house = load_house(EXAMPLE)
    rows = read_dataset(make_dataset(tmp_path / "data", house)).rows
    full, tuned = (tokens(rows["eval"], name, house, words) for name in ("full", "tuned"))
    assert tuned.shared < full.shared / 10
    assert tuned.fresh == pytest.approx(full.fresh)
    shots = few_shot(full, shown(rows["train"]), words)
    assert shots.shared > full.shared
    assert shots.fresh == pytest.approx(full.fresh)
    with pytest.raises(InvalidInput, match="no rows"):
        tokens([], "full", house, words)


def test_a_servers_counters_are_read_as_differences() -> None:
    before = {"vllm:prefix_cache_hits_total": 50.0, "vllm:prefix_cache_queries_total": 100.0}
    after = {
        "vllm:prefix_cache_hits_total": 850.0,
        "vllm:prefix_cache_queries_total": 1100.0,
        "vllm:time_to_first_token_seconds_sum": 6.0,
        "vllm:time_to_first_token_seconds_count": 4.0,
        "vllm:prompt_tokens_total": 1000.0,
        "vllm:generation_tokens_total": 120.0,
    }
    found = between(before, after, seconds=8.0)
    assert found == Measured(4, 0.8, 1.5, 250.0, 30.0, 8.0)
    assert found.answers_per_hour == 1800
    with pytest.raises(InvalidInput, match="asked nothing"):
        between(after, after, 1.0)


def test_counters_are_summed_over_their_labels() -> None:
    body = (
        "# HELP vllm:prompt_tokens_total Prefill tokens.\n"
        'vllm:prompt_tokens_total{model_name="a"} 3.0\n'
        'vllm:prompt_tokens_total{model_name="b"} 4.0\nother 9\n'
    )
    assert asyncio.run(_served(body)) == {"vllm:prompt_tokens_total": 7.0}
    with pytest.raises(UpstreamError, match="no counters of vLLM"):
        asyncio.run(_served("other 9\n"))


def test_examples_stand_behind_the_instructions_the_same_in_every_call(tmp_path: Path) -> None:
    house = load_house(EXAMPLE)
    rows = read_dataset(make_dataset(tmp_path / "data", house)).rows
    examples = shown(rows["train"])
    model = ChatModel(ModelServer("http://127.0.0.1:9"), "m")
    arm = ModelArm("m", model, "full", house, shown=examples)
    systems = [arm.messages(row)[0].content for row in rows["eval"]]
    shared = instructions(house, "full") + examples
    assert all(system.startswith(shared + "<documents>") for system in systems)
    assert all(row.target in examples for row in rows["train"][:3])
    assert len({system.removeprefix(shared) for system in systems}) == len(systems)


async def _served(body: str) -> dict[str, float]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        return dict(await asyncio.to_thread(read_metrics, f"http://127.0.0.1:{port}"))
