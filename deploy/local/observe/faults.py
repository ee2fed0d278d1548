"""One fault of each layer: how it is made, how it is mended, and which alerts have to say so."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import httpx
import psycopg
import redis

from deploy.local.observe.traffic import INVOICES, KNOWN, Callers, Target, Traffic
from deploy.local.topology import ANSWERS, LOOPBACK, LocalError, Topology
from models.registry import Registry
from tests.vllm_server import VllmServer

Undo = Callable[[], object]
DAY_S = 86_400.0
BROKEN_FILES = 15
FLOOD = 64


class World(NamedTuple):
    """All that a fault may touch."""

    topology: Topology
    callers: Callers
    traffic: Traffic
    target: Target
    registry: Registry
    vllm: VllmServer
    loose_model: str
    """A server whose replies break the contract."""


class Fault(NamedTuple):
    """`make` returns what mends it."""

    what: str
    layer: str
    alerts: tuple[str, ...]
    make: Callable[[World], Undo]


@contextmanager
def database(world: World) -> Iterator[Any]:
    secret = world.topology.secrets / "postgres/password"
    with psycopg.connect(
        host=LOOPBACK, port=world.topology.ports["postgres"], user="twofold", dbname="twofold",
        password=secret.read_text().strip(), autocommit=True,
    ) as connection:  # fmt: skip
        yield connection


def abuse(world: World) -> Undo:
    base, headers = world.callers.begin(world.callers.site)
    stop = threading.Event()

    def script() -> None:
        with httpx.Client(trust_env=False, timeout=10.0) as http:
            while not stop.wait(0.03):
                with suppress(httpx.HTTPError):
                    http.get(f"{base}/thread", headers=headers)

    for _ in range(2):
        threading.Thread(target=script, daemon=True).start()
    return stop.set


def take_connections(world: World) -> Undo:
    held: list[Any] = []
    secret = (world.topology.secrets / "postgres/password").read_text().strip()
    with database(world) as connection:
        most = int(connection.execute("SHOW max_connections").fetchone()[0])
        there = connection.execute("SELECT count(*) FROM pg_stat_activity").fetchone()[0]
    for _ in range(max(0, int(most * 0.88) - there)):
        with suppress(psycopg.OperationalError):
            held.append(
                psycopg.connect(
                    host=LOOPBACK, port=world.topology.ports["postgres"], user="twofold",
                    dbname="twofold", password=secret,
                )
            )  # fmt: skip
    return lambda: [each.close() for each in held]


def fill_redis(world: World) -> Undo:
    password = (world.topology.secrets / "redis/password").read_text().strip()
    client = redis.Redis(LOOPBACK, world.topology.ports["redis"], password=password)
    used, before = int(client.info("memory")["used_memory"]), client.config_get("maxmemory")
    client.config_set("maxmemory", int(used * 1.1))
    return lambda: client.config_set("maxmemory", before["maxmemory"])


def block_target(world: World) -> Undo:
    world.target.blocked = True
    for number in range(3):
        world.callers.post("/v1/handoffs", {"message": f"A person, please ({number})"})

    def mend() -> None:
        world.target.blocked = False

    return mend


def break_source(world: World) -> Undo:
    folder = world.topology.folder / "broken"
    folder.mkdir(exist_ok=True)
    for number in range(BROKEN_FILES):
        (folder / f"{number}.pdf").write_bytes(b"%PDF-1.7 and nothing more")
    source = {"name": "broken", "kind": "folder", "config": {"path": str(folder)}}
    world.callers.post("/v1/sources", source).raise_for_status()
    world.callers.post("/v1/sources/broken/sync").raise_for_status()
    return lambda: None


def edit_late(world: World) -> Undo:
    for number in range(3):
        name = f"late-{number}.md"
        world.callers.push(name, "# Late\n\nA page about lateness.", wait=True)
        long_ago = "2026-01-01T00:00:00Z"
        world.callers.push(
            name, "# Late\n\nA page about lateness, edited.", wait=True, updated_at=long_ago
        )
    return lambda: None


def age_sync(world: World) -> Undo:
    with database(world) as connection:
        change = "UPDATE syncs SET finished_at = finished_at {} %s WHERE state = 'done'"
        connection.execute(change.format("-"), (DAY_S,))

    def mend() -> None:
        with database(world) as connection:
            connection.execute(change.format("+"), (DAY_S,))

    return mend


def lose_points(world: World) -> Undo:
    key = (world.topology.secrets / "twofold/TWOFOLD_QDRANT_KEY").read_text().strip()
    with httpx.Client(
        base_url=world.topology.url("qdrant"), headers={"api-key": key}, trust_env=False
    ) as http:
        alias = http.get("/aliases").json()["result"]["aliases"][0]["collection_name"]
        found = http.post(f"/collections/{alias}/points/scroll", json={"limit": 3}).json()
        points = [point["id"] for point in found["result"]["points"]]
        http.post(f"/collections/{alias}/points/delete", json={"points": points})

    def compare() -> None:
        with suppress(LocalError):  # it says by its exit code that they differ
            world.topology.run("knowledge", "reconcile")

    threading.Thread(target=compare, daemon=True).start()
    return lambda: world.topology.run("knowledge", "reconcile", "--repair")


def ask_off_topic(world: World) -> Undo:
    return world.traffic.begin(world.callers.stranger, 0.25)


def canary_of_noise(world: World) -> Undo:
    world.registry.canary("noise", 0.5)
    return lambda: None


def promote_noise(world: World) -> Undo:
    world.registry.promote("noise")
    return world.registry.rollback


def break_contract(world: World) -> Undo:
    name = ANSWERS[1]
    world.topology.settings_of[name] = {"TWOFOLD_MODEL_URL": world.loose_model}
    world.topology.restart(name)

    def mend() -> None:
        world.topology.settings_of.pop(name)
        world.topology.restart(name)

    return mend


def flood_model(world: World) -> Undo:
    key = (world.topology.secrets / "vllm/key").read_text().strip()
    stop = threading.Event()
    keyed = {"Authorization": f"Bearer {key}"}
    body = {"model": "base", "prompt": "Invoices", "max_tokens": 3000, "ignore_eos": True,
            "stream": True}  # fmt: skip

    def ask() -> None:
        with (
            suppress(httpx.HTTPError),
            httpx.Client(trust_env=False, timeout=None, headers=keyed) as http,
            http.stream("POST", f"{world.vllm.url}/v1/completions", json=body) as response,
        ):
            for _ in response.iter_raw():
                if stop.is_set():
                    return

    for _ in range(FLOOD):
        threading.Thread(target=ask, daemon=True).start()
    return stop.set


def hang_model(world: World) -> Undo:
    """The server takes connections and says nothing; meanwhile the page it would cite changes."""
    assert world.vllm.group is not None
    os.killpg(world.vllm.group, signal.SIGSTOP)
    stop = threading.Event()

    def publish() -> None:
        number = 0
        while not stop.wait(2.0):
            number += 1
            with suppress(httpx.HTTPError):
                more = INVOICES.format(more=f"Edition {number} of this page.")
                world.callers.push("invoices.md", more, wait=True)

    threading.Thread(target=publish, daemon=True).start()
    ends = [
        world.traffic.begin(lambda number: world.callers.customer(number, KNOWN), 0.2)
        for _ in range(3)
    ]

    def mend() -> None:
        stop.set()
        for end in ends:
            end()
        os.killpg(world.vllm.group or 0, signal.SIGCONT)

    return mend


def stop_worker(world: World) -> Undo:
    world.topology.end("worker")
    return lambda: world.topology.begin("worker")


def stop_ledger(world: World) -> Undo:
    world.topology.end("postgres")

    def mend() -> None:
        world.topology.begin("postgres")
        time.sleep(2.0)

    return mend


STAGES: tuple[tuple[Fault, ...], ...] = (
    (
        Fault("points vanish from the index", "knowledge", ("TwofoldIndexDrift",), lose_points),
        Fault("a script asks the widget 60 times a second", "widget", ("TwofoldWidgetAbuse",),
              abuse),
        Fault("other programs take PostgreSQL's connections", "stores",
              ("TwofoldPostgresConnections",), take_connections),
        Fault("Redis may hold a tenth more than it does", "stores", ("TwofoldRedisFull",),
              fill_redis),
        Fault("the target of hand-overs answers 500", "people",
              ("TwofoldHandoffStuck", "TwofoldHandoffDead"), block_target),
        Fault("a source of fifteen broken files is synced", "ingestion",
              ("TwofoldDocumentsFail",), break_source),
        Fault("edits of last January arrive today", "ingestion",
              ("TwofoldEditsLateFast", "TwofoldEditsLateSlow"), edit_late),
        Fault("the last good sync lies a day back (written into the ledger)", "ingestion",
              ("TwofoldSyncOld",), age_sync),
        Fault("most questions are about something else", "knowledge", ("TwofoldNoEvidence",),
              ask_off_topic),
    ),
    (
        Fault("one answer process asks a model that leaves the header out", "behaviour",
              ("TwofoldContractBroken",), break_contract),
        Fault("half of the conversations go to a canary that talks nonsense", "behaviour",
              ("TwofoldCanaryTurnsAway",), canary_of_noise),
    ),
    (
        Fault("that release is promoted", "behaviour", ("TwofoldGroundednessFalls",),
              promote_noise),
        Fault("sixty-four long requests are sent to vLLM", "behaviour", ("TwofoldModelQueue",),
              flood_model),
    ),
    (
        Fault("vLLM hangs, and the page in question is edited meanwhile", "behaviour",
              ("TwofoldModelNotAnswering", "TwofoldFirstWordSlowFast",
               "TwofoldFirstWordSlowSlow", "TwofoldSupersededAnswers"), hang_model),
        Fault("the worker is stopped", "ingestion", ("TwofoldQueueOld", "TwofoldProcessDown"),
              stop_worker),
    ),
    (
        Fault("PostgreSQL is stopped", "stores",
              ("TwofoldQuestionsRefusedFast", "TwofoldQuestionsRefusedSlow"), stop_ledger),
    ),
)  # fmt: skip
"""What is made together, in order: a stage is mended before the next one begins."""
