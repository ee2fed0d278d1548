"""Which tests need more than this machine's Python, and what was left out for want of it."""

import gc
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

from tests.tally import TALLY

# How long an example takes says how busy the machine is.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
gc.disable()  # while modules are imported: see pytest_collection_finish
ROOT = Path(__file__).parent
HEAVY = (
    "deploy/", "e2e/", "faults/", "integration/", "services/standalone/",
    "ingestion/sources/test_website.py", "ingestion/test_cli.py", "ingestion/test_conformance.py",
    "ingestion/test_crash.py", "ingestion/test_handover.py", "ingestion/test_reading_properties.py",
    "ingestion/test_real_tree.py", "ingestion/test_rebuild.py", "models/data/test_build.py",
    "models/diagnosis/test_decide.py", "models/gate/test_demo.py", "models/serve/test_cli.py",
    "models/serve/test_publish.py", "models/test_cli.py", "models/test_finetune.py",
    "models/test_finetune_serving.py", "models/test_from_answers.py", "models/test_local.py",
    "models/test_preference.py",
    "models/test_recipes_dry.py", "models/test_regression.py", "models/tiny/test_deeper.py",
    "services/answer/test_bounds.py", "services/answer/test_hostile_model.py",
    "services/answer/test_match.py", "services/answer/test_newer_ledger.py",
    "services/answer/test_openai.py", "services/answer/test_outages.py",
    "services/answer/test_releases.py", "services/answer/test_resume.py",
    "services/answer/test_schema.py", "services/widget/test_apart.py",
    "services/widget/test_desk_access.py", "services/widget/test_resume.py",
    "services/widget/test_stop.py",
    "twofold/clients/test_matcher.py",
    "twofold/clients/test_reader.py",
)  # fmt: skip
"""Where tests start servers, browsers, training or processes, or wait. Single ones are marked."""
VLLM = ("integration/test_vllm.py", "models/test_finetune_serving.py", "models/test_finetune.py")
"""The longest, and none beside another: each fills the cores and some gigabytes of memory."""
HEAVY_FIXTURES = frozenset(
    {"postgres_url", "postgres_server", "redis_server", "postgres_template", "magento"}
    | {"here", "multilingual"}
)
FAULTS = ("runs", "reads", "lost", "orphaned", "duplicated", "wrong reads")
HEAVY_LEFT_OUT = pytest.StashKey[int]()
HOW = {
    "redis-server": "apt-get install redis-server postgresql",
    "postgres": "apt-get install redis-server postgresql",
    "chromium": "apt-get install chromium",
    "training environment": "make .venv-train/.ready",
    "vllm": "make .venv-vllm/.ready",
    "ir_measures": "pip install ir-measures",
    "corpora": "set TWOFOLD_DATA to the folder that holds them",
    "shared/data": "lay the corpora beside the repository",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        place = item.path.relative_to(ROOT).as_posix()
        fixtures = set(getattr(item, "fixturenames", ()))
        if place.startswith(HEAVY) or fixtures & HEAVY_FIXTURES or "postgresql" in item.name:
            item.add_marker("heavy")
    items.sort(key=_longest_first)


def _longest_first(item: pytest.Item) -> int:
    """So that no worker begins the longest file when the others have ended."""
    place = item.path.relative_to(ROOT).as_posix()
    return 0 if place.startswith(VLLM) else 1 if place.startswith(HEAVY) else 2


class ByFile(LoadFileScheduling):
    """Gives each worker whole files, those of VLLM to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "vllm" if file.removeprefix("tests/").startswith(VLLM) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


def pytest_sessionstart(session: pytest.Session) -> None:
    if getattr(session.config.option, "numprocesses", None):
        gc.enable()  # the process that hands tests out imports none of them


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector need not look through it time and again."""
    gc.freeze()
    gc.enable()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["tally"] = dict(TALLY)


def pytest_testnodedown(node: WorkerController) -> None:
    TALLY.update(getattr(node, "workeroutput", {}).get("tally", {}))


def pytest_deselected(items: list[pytest.Item]) -> None:
    config = items[0].config
    if "heavy" in config.option.markexpr:
        heavy = sum(item.get_closest_marker("heavy") is not None for item in items)
        config.stash[HEAVY_LEFT_OUT] = heavy


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TALLY:
        counts = ", ".join(f"{what} {TALLY[what]}" for what in FAULTS)
        terminalreporter.write_line(f"faults: {counts}")
    heavy = terminalreporter.config.stash.get(HEAVY_LEFT_OUT, 0)
    reasons = Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    if not reasons and not heavy:
        return
    terminalreporter.section("left out")
    if heavy:
        terminalreporter.write_line(f"{heavy:5} tests: heavy  ->  make test")
    for reason, count in reasons.most_common():
        how = next((how for what, how in HOW.items() if what in reason.lower()), "")
        hint = f"  ->  {how}" if how and how not in reason else ""
        terminalreporter.write_line(f"{count:5} tests: {reason}{hint}")
