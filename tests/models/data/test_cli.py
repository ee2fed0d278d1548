"""`twofold dataset build` and `lint` as a person runs them, on the example help center."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ingestion.sources import Folder
from ingestion.sync.pipeline import sync
from models.data.rows import read_dataset
from tests.services.standalone.serving import EXAMPLES, needs_weights, small_help_center
from twofold.commands import build
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
