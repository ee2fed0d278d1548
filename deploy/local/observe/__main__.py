"""A compressed hour under real Prometheus, and then faults of every layer.

    .venv/bin/python -m deploy.local.observe OUT [--minutes 1.25] [--only STAGE ...]

Starts Compose's topology as processes, with vLLM on the CPU and a tiny model; time goes sixty times
as fast for the rules. Writes what it saw to OUT: `observed.json` (every expression with how many
series it returned, every alert with the fault that it answered, one trace) and `panels.json` (the
series of the page *Which layer hurts*, for deploy/grafana/draw.py).
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from deploy.local.collector import Collector
from deploy.local.observe.faults import STAGES, Fault, World
from deploy.local.observe.traffic import INVOICES, Callers, Target, Traffic
from deploy.local.promql import Prometheus, expressions, paced, seen_by
from deploy.local.topology import EXPORTERS, LOOPBACK, ROOT, Topology
from models.registry import Registry
from models.serve.args import serve_args
from tests.model_server import ModelServer, says
from tests.models.serve.adapters import adapter, report
from tests.vllm_server import ON_CPU, VllmServer, make_tiny_models
from twofold.house_file import load_house
from twofold.ledger import Ledger
from twofold.settings import Settings

PACE = 60
HOUSE = ROOT / "examples/brackwater/house.yaml"
PATIENCE_S = 100.0
"""For the alerts of one stage."""
SETTLE_S = 4.0
START_S = 4500.0 / PACE
"""First questions wait for caches and for the model's first step: rules see them for an hour, and
alerts a little longer."""
LOOSE = "Invoices are issued on the first day of every month. [1]\n"
LAYERS = "twofold-layers"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=1.25, help="of undisturbed traffic")
    parser.add_argument(
        "--only", type=int, nargs="+", metavar="STAGE", help="these faults, added to OUT's record"
    )
    options = parser.parse_args()
    packages = [f"prometheus-{name}" for name in EXPORTERS] + ["prometheus"]
    if missing := [package for package in packages if not shutil.which(package)]:
        parser.error(f"What it watches with is not here: apt-get install {' '.join(missing)}")
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "observed.json"
    stages = [STAGES[number] for number in options.only or range(len(STAGES))]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="twofold-observe-") as name, ExitStack() as stack:
        Path(name).chmod(0o755)
        target = Target()
        stack.callback(target.close)
        collector = stack.enter_context(Collector())
        loose = stack.enter_context(_loose_model())
        world = _start(stack, Path(name), target, collector, loose)
        stack.callback(world.traffic.end)
        stack.callback(_keep_logs, world.topology.folder, options.out)
        prometheus = Prometheus(world.topology.url("prometheus"))
        _busy(world)
        say("the hour in which everything starts")
        time.sleep(START_S)
        begun = time.time()
        say("undisturbed traffic")
        firing = _calm(prometheus, options.minutes * 60)
        undisturbed = time.time()
        if options.only:
            record = json.loads(path.read_text())
        else:
            record = {
                "made": time.strftime("%Y-%m-%d", time.gmtime()),
                "pace": PACE,
                "machine": f"{os.cpu_count()} cores for all of these processes",
                "calm": {
                    "seconds": round(undisturbed - begun),
                    "firing": firing,
                    "requests": world.traffic.done,
                    "failed": world.traffic.failed,
                },
                "trace": _trace(collector),
                "expressions": _evaluate(prometheus),
                "faults": [],
            }
            _write(path, record)
        for faults in stages:
            _add(record, _stage(faults, world, prometheus))
            # Each time: what comes later may be cut off.
            _write(path, record)
            _write(options.out / "panels.json", _panels(prometheus, begun, undisturbed))


def _keep_logs(folder: Path, out: Path) -> None:
    for log in folder.glob("*.log"):
        shutil.copy(log, out)


def _add(record: dict[str, Any], faults: list[dict[str, Any]]) -> None:
    """In place of what an earlier run said of the same faults."""
    again = {each["fault"] for each in faults}
    record["faults"] = [each for each in record["faults"] if each["fault"] not in again] + faults
    # Also those that fired beside a fault, or without one: their expressions hold something.
    fired = {name for each in record["faults"] for name in (*each["fired"], *each["beside"])}
    fired |= set(record["calm"]["firing"])
    for each in record["expressions"]:
        each["fired"] = each["where"].removeprefix("alert/") in fired


def say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


def _start(
    stack: ExitStack, folder: Path, target: Target, collector: Collector, loose: str
) -> World:
    house = yaml.safe_load(HOUSE.read_text())
    house["style"]["max_words"] = 40  # the tiny model never ends by itself
    for reason in house["reasons"].values():
        reason.pop(
            "patterns", None
        )  # judging them takes each process seconds, and none is asked for
    (folder / "house.yaml").write_text(yaml.safe_dump(house, allow_unicode=True))
    settings = {
        "TWOFOLD_HOUSE": str(folder / "house.yaml"),
        "TWOFOLD_MODEL_NAME": "base",
        "TWOFOLD_TRACE_URL": collector.url,
        "TWOFOLD_LOG_ANSWERS": "true",
        "TWOFOLD_DESK": "true",
        "TWOFOLD_SOURCE_ROOTS": json.dumps([str(folder)]),
        "TWOFOLD_HANDOFF_TARGETS": json.dumps(
            [{"kind": "webhook", "url": target.url, "secret_env": "TWOFOLD_SECRET_CRM"}]
        ),
        "TWOFOLD_SECRET_CRM": "a secret of this run alone",
        "TWOFOLD_HANDOFF_ATTEMPTS": "3",
        "TWOFOLD_WIDGET_ADDRESS_PER_MINUTE": "100000",
        "TWOFOLD_REQUESTS_PER_MINUTE": "0",
    }
    topology = Topology(folder / "run", settings=settings, pace=PACE)
    stack.callback(topology.stop)
    say("stores, schema, the example company")
    topology.begin_stores()
    topology.prepare()
    say("a tiny model and two releases of it")
    models = make_tiny_models(folder / "models", adapters=2)
    registry = _registry(topology, models)
    key = (topology.secrets / "vllm/key").read_text().strip()
    vllm = stack.enter_context(VllmServer(folder, key))
    topology.settings["TWOFOLD_MODEL_URL"] = vllm.url
    topology.targets["vllm"] = [f"{LOOPBACK}:{vllm.port}"]
    os.environ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] = "http/protobuf"
    os.environ["OTEL_SERVICE_NAME"] = "vllm"
    served = Settings(model_name="base", model_key=SecretStr(key), model_admin_url=vllm.url)
    traced = ("--otlp-traces-endpoint", f"{collector.url}/v1/traces")
    say("vLLM")
    vllm.start(serve_args(registry.wanted(), served, port=vllm.port), (*ON_CPU, *traced))
    registry.promote("sense")
    say("everything else")
    topology.begin_rest()
    agent = topology.folder / "agent.key"
    topology.run("key", "create", "agent", "--scope", "handoffs", "--from-file", _made_key(agent))
    callers = Callers(topology, agent.read_text().strip())
    callers.push("invoices.md", INVOICES.format(more=""), wait=True)
    callers.customer(0)
    return World(topology, callers, Traffic(), target, registry, vllm, loose)


def _made_key(path: Path) -> str:
    path.write_text(f"tf_{os.urandom(32).hex()}\n")
    path.chmod(0o600)
    return str(path)


def _registry(topology: Topology, models: Path) -> Registry:
    """`sense` says what is so, `noise` does not; the gate let both pass."""
    house = load_house(Path(topology.settings["TWOFOLD_HOUSE"]))
    registry = Registry(Ledger(topology.env["TWOFOLD_LEDGER_URL"], migrate=False), house)
    made_upon = {"name": "tiny", "path": str(models / "base"), "sha256": "0" * 64}
    for name, number in (("sense", 1), ("noise", 2)):
        folder = models / f"adapter-{number}"
        shutil.copy(models / "base" / "chat_template.jinja", folder)
        adapter(folder, house, base=made_upon)
        registry.gated(name, report(registry.register(folder, name)))
    return registry


@contextmanager
def _loose_model() -> Iterator[str]:
    """A server whose replies have no header line, on an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = ModelServer(says(LOOSE))
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(30)
    try:
        yield server.url
    finally:
        leave = server.__aexit__(None, None, None)
        asyncio.run_coroutine_threadsafe(leave, loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)


def _busy(world: World) -> None:
    """An hour's kinds of callers, in a minute."""
    callers, traffic = world.callers, world.traffic
    traffic.begin(callers.customer, 1.0)
    traffic.begin(callers.visitor, 3.0)
    traffic.begin(callers.waiting_visitor, 10.0)
    traffic.begin(callers.thrifty_visitor, 15.0)
    traffic.begin(callers.author, 5.0)
    traffic.begin(callers.wrong_key, 20.0)


def _calm(prometheus: Prometheus, seconds: float) -> list[str]:
    """Alerts that fire although nothing is wrong."""
    until, firing = time.monotonic() + seconds, set[str]()
    while time.monotonic() < until:
        firing |= prometheus.firing()
        time.sleep(1.0)
    return sorted(firing)


def _evaluate(prometheus: Prometheus) -> list[dict[str, Any]]:
    """Each expression as it is shipped; of an alert, what it looks at."""
    seen = []
    for where, expr in expressions():
        asked = seen_by(expr) if where.startswith("alert/") else expr
        found = prometheus.series(asked)
        numbers = [each for each in found if each["value"][1] != "NaN"]
        seen.append(
            {
                "where": where,
                "expr": expr,
                "series": len(found),
                "numbers": len(numbers),
                "fired": False,
            }
        )
        if not numbers:
            say(f"nothing: {where}: {asked}")
    return seen


def _trace(collector: Collector) -> dict[str, Any]:
    """Of all traces the one through the most services, and the one that a job ends."""
    by_trace: dict[str, set[str]] = {}
    for span in list(collector.spans):
        by_trace.setdefault(span.trace, set()).add(span.service)
    longest = max(by_trace, key=lambda id: len(by_trace[id]), default="")
    jobs = [
        sorted({span.service for span in collector.trace(job.trace)})
        for job in list(collector.spans)
        if job.name == "job put" and job.service == "worker"
    ]
    return {
        "services": sorted(by_trace.get(longest, ())),
        "spans": sorted(f"{span.service}: {span.name}" for span in collector.trace(longest)),
        "job": max(jobs, key=len, default=[]),
    }


def _stage(stage: tuple[Fault, ...], world: World, prometheus: Prometheus) -> list[dict[str, Any]]:
    """What each fault's alerts took to fire, in seconds, and which others did beside them."""
    before = prometheus.firing()
    made: list[tuple[Fault, float, Any]] = []
    for fault in stage:
        say(f"fault: {fault.what}")
        made.append((fault, time.monotonic(), fault.make(world)))
    wanted = {name for fault in stage for name in fault.alerts}
    seen: dict[str, float] = {}
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and not wanted <= seen.keys():
        for name in prometheus.firing():
            if name not in seen:
                seen[name] = time.monotonic()
                say(f"  {name} fires")
        time.sleep(0.5)
    for _, _, mend in reversed(made):
        mend()
    say(f"  mended; never fired: {sorted(wanted - seen.keys())}")
    time.sleep(SETTLE_S)
    beside = sorted(seen.keys() - wanted - before)
    return [
        {
            "fault": fault.what,
            "layer": fault.layer,
            "alerts": list(fault.alerts),
            "fired": {name: round(seen[name] - at, 1) for name in fault.alerts if name in seen},
            "beside": beside,
        }
        for fault, at, _ in made
    ]


def _panels(prometheus: Prometheus, begun: float, undisturbed: float) -> dict[str, Any]:
    """The series of each panel of the page, over the whole run."""
    now = time.time()
    board = json.loads((ROOT / f"helm/twofold/dashboards/{LAYERS}.json").read_text())
    panels = []
    for panel in board["panels"]:
        if panel["type"] == "row":
            panels.append({"row": panel["title"]})
            continue
        series = [
            {
                "legend": target.get("legendFormat", ""),
                "labels": found["metric"],
                "points": [
                    [round(float(at) - begun, 1), float(value)] for at, value in found["values"]
                ],
            }
            for target in panel["targets"]
            for found in prometheus.over_time(paced(target["expr"], PACE), begun, now, 2.0)
        ]
        defaults = panel["fieldConfig"]["defaults"]
        panels.append({
            "title": panel["title"], "kind": panel["type"], "unit": defaults["unit"],
            "thresholds": defaults.get("thresholds", {}).get("steps", []), "series": series,
        })  # fmt: skip
    return {"title": board["title"], "pace": PACE, "undisturbed": undisturbed - begun,
            "seconds": now - begun, "panels": panels}  # fmt: skip


def _write(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
