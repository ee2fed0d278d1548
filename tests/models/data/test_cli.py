"""`twofold dataset build` and `lint` as a person runs them, on the example help center."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ingestion.sources import Folder
from ingestion.sync.pipeline import sync
from models.data.pairs import NOTHING
from models.data.rows import read_dataset
from tests.model_server import Behaviour, ModelServer, says
from tests.models.training import make_dataset
from tests.services.standalone.serving import EXAMPLES, needs_weights, small_help_center
from twofold.commands import build
from twofold.house_file import load_house
from twofold.settings import Settings
from twofold.stack import open_stack

SUITE = """
- id: {tune}
  question: How long does the old signing secret keep working after I roll it?
  expect:
    action: ANSWER
    documents: [articles/rotate-signing-secret.md]
    facts: [["12 hours", "twelve hours"]]
- id: {report}
  question: How long is an invitation valid?
  expect: {{action: ANSWER, documents: [articles/invite-members.md], facts: ["7 days"]}}
"""
TUNE, REPORT = "roll-0", "invite-0"
DIALOGUES = """
- id: approved
  question: who can request a refund
  documents: [policies/refunds.md]
  reply:
    action: ANSWER
    text: An Owner or a member with the Billing role can request a refund. [1]
- id: leaking
  question: it does not work at all, what do I press
  reply: {action: CLARIFY, text: "What fails: the Terraform provider, or Kafka?"}
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(build(), [str(argument) for argument in arguments])


def last(result: Result) -> Any:
    if not result.stdout and result.exception is not None:
        raise result.exception
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TWOFOLD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TWOFOLD_HOUSE", str(EXAMPLES / "house.yaml"))
    monkeypatch.setenv("TWOFOLD_THREADS", "1")
    return tmp_path


@pytest.mark.heavy
@needs_weights
def test_a_dataset_is_built_and_linted_and_a_stale_one_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_stack(Settings()) as stack:
        sync(stack, "default", Folder("help", small_help_center(home / "help")))
    (home / "suite.yaml").write_text(SUITE.format(tune=TUNE, report=REPORT))
    (home / "dialogues.yaml").write_text(DIALOGUES)
    out = home / "dataset"
    options = ("--suite", home / "suite.yaml", "--dialogues", home / "dialogues.yaml")
    built = last(run("dataset", "build", *options, "--heldout", "--out", out, "--json"))
    assert built["left_out"] == {"the reply states what its prompt does not show": 1}
    found = read_dataset(out)
    assert {row.parent for part in ("train", "eval") for row in found.rows[part]} == {
        f"suite:{TUNE}", "dialogue:approved",
    }  # fmt: skip
    assert [row.ref for row in found.rows["heldout"]] == [REPORT]
    assert all(built["files"][f"{name}.jsonl"]["rows"] for name in ("train", "heldout"))
    assert {row.made for row in found.rows["train"]} >= {"", "changed"}

    linted = run("dataset", "lint", out, "--json")
    concerns = {each["concern"] for each in last(linted)["findings"]}
    assert concerns <= {"balance"}  # three questions cannot have every share
    assert linted.exit_code == bool(concerns)

    pairs = home / "pairs"
    paired = last(run("dataset", "pairs", out, "--composer", "--out", pairs, "--json"))
    assert paired["files"].keys() == {"train.jsonl", "eval.jsonl"}
    assert paired["files"]["train.jsonl"]["rejected"].keys() <= {"composer"}
    assert paired["pairs_of"] == read_dataset(out).sha256
    assert all(row.rejected for part in read_dataset(pairs).rows.values() for row in part)
    again = run("dataset", "pairs", pairs, "--composer", "--out", home / "more")
    assert again.exit_code == 2
    assert "holds pairs already" in again.output
    assert "holds pairs" in run("dataset", "refresh", pairs, "--out", home / "more").output

    (home / "help" / "policies" / "refunds.md").write_text("# Refunds\n\nThere are none now.\n")
    with open_stack(Settings()) as stack:
        sync(stack, "default", Folder("help", home / "help"))
    stale = run("dataset", "lint", out, "--json")
    assert stale.exit_code == 1
    assert "gone" in {each["concern"] for each in last(stale)["findings"]}
    offline = run("dataset", "lint", out, "--offline", "--json")
    assert "gone" not in {each["concern"] for each in last(offline)["findings"]}

    listed = last(run("dataset", "refresh", out, "--json"))["stale"]
    resting = {each["id"] for each in listed if each["reply_rests_on_it"]}
    assert resting == {"dialogue:approved"}
    new = home / "renewed"
    done = run("dataset", "refresh", out, "--out", new, "--json")
    assert last(done)["dropped"].keys() == {"dialogue:approved"}
    kept = read_dataset(new)
    assert {row.parent for row in kept.rows["train"]} == {f"suite:{TUNE}"}
    assert [row.ref for row in kept.rows["heldout"]] == [REPORT]
    assert last(run("dataset", "refresh", new, "--json"))["stale"] == []
    same = run("dataset", "refresh", out, "--out", out)
    assert same.exit_code == 2
    assert "write to another" in same.output

    house = home / "house.yaml"
    shutil.copy(EXAMPLES / "house.yaml", house)
    house.write_text(house.read_text().replace("max_words: 120", "max_words: 110"))
    monkeypatch.setenv("TWOFOLD_HOUSE", str(house))
    drifted = run("dataset", "lint", out, "--offline")
    assert drifted.exit_code == 1
    assert "train.jsonl:1: drift: its house policy is" in drifted.output


def test_nothing_to_build_from_says_what_there_is(home: Path) -> None:
    result = run("dataset", "build")
    assert result.exit_code == 2
    assert "--suite, --dialogues" in result.output


def test_pairs_of_nobody_say_whose_replies_there_are(home: Path) -> None:
    result = run("dataset", "pairs", home)
    assert result.exit_code == 2
    assert "--composer, --edited, --base, --release" in result.output


def test_models_without_an_address_are_not_asked(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_dataset(home / "dataset", load_house(EXAMPLES / "house.yaml"))
    assert "TWOFOLD_MODEL_URL" in run("dataset", "pairs", dataset, "--release", "one").output
    monkeypatch.setenv("TWOFOLD_MODEL_URL", "http://127.0.0.1:9")
    assert "TWOFOLD_MODEL_NAME" in run("dataset", "pairs", dataset, "--base").output


@pytest.mark.heavy
def test_a_model_is_asked_for_pairs_as_the_gate_asks_it(home: Path) -> None:
    """Of so many rows of each split; what never ended is left out."""
    dataset = make_dataset(home / "dataset", load_house(EXAMPLES / "house.yaml"))
    said = "ANSWER\nLogs are kept. [1]"

    async def ask(model: Behaviour, out: Path) -> Any:
        async with ModelServer({"small": model}) as server:
            told = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "twofold", "dataset", "pairs", dataset, "--base",
                "--rows", "4", "--out", out, "--json",
                stdout=subprocess.PIPE,
                env=os.environ | {"TWOFOLD_MODEL_URL": server.url, "TWOFOLD_MODEL_NAME": "small"},
            )  # fmt: skip
            output, _ = await told.communicate()
            return json.loads(output)

    made = asyncio.run(ask(says(said), home / "pairs"))
    assert made["files"]["train.jsonl"]["rejected"] == {"small": 4}
    assert made["files"]["eval.jsonl"]["rejected"] == {"small": 4}
    assert made["left_out"] == {}
    row = read_dataset(home / "pairs").rows["train"][0]
    assert row.rejected[0].reply == said
    endless = asyncio.run(ask(says("so " * 160, usage=False, reason="length"), home / "endless"))
    assert endless["files"]["train.jsonl"]["rows"] == 0
    assert endless["left_out"] == {NOTHING: 8}
