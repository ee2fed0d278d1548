"""The commands, run in this process against the fake stack; and what they cost to load."""

import re
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
from sqlalchemy import update
from typer.testing import CliRunner, Result

import twofold.stack
from ingestion.sources import Folder
from ingestion.sync.run import open_run
from tests.fakes import DictIndex, make_stack
from tests.ingestion.helpers import WORKSPACE, write_tree
from twofold.commands import build
from twofold.ledger import Ledger
from twofold.ledger.models import Sync
from twofold.settings import Settings

COUNTED = ["added", "changed", "unchanged", "removed", "skipped", "failed", "chunks"]
REPORT = [*COUNTED, "held", "seconds", "failures", "left_out", "changes", "remark"]


@pytest.fixture(autouse=True)
def _embedded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = DictIndex()
    monkeypatch.setenv("TWOFOLD_HOME", str(home))

    def open_stack(settings: Settings) -> twofold.stack.Stack:
        return make_stack(settings.home, index=index)

    monkeypatch.setattr(twofold.stack, "open_stack", open_stack)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(build(), [str(argument) for argument in arguments])


def test_ingest_reports_and_says_by_its_exit_code_how_it_went(tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples.", "b.md": "Berries."})
    first = run("ingest", tree, "--source", "help", "--json")
    report = orjson.loads(first.stdout)
    assert (first.exit_code, list(report)) == (0, REPORT)
    assert (report["added"], report["chunks"], report["failures"]) == (2, 2, [])

    write_tree(tree, {"b.md": ""})
    second = run("ingest", tree, "--source", "help", "--json")
    report = orjson.loads(second.stdout)
    assert (second.exit_code, report["unchanged"], report["failed"]) == (1, 1, 1)
    (failure,) = report["failures"]
    assert (failure["document"], failure["step"]) == ("b.md", "extract")
    assert "no text" in failure["reason"]


def test_ingest_prints_a_table_for_people(tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples.", "b.md": ""})
    result = run("ingest", tree, "--source", "help")
    named = [line.split()[0] for line in result.stdout.splitlines()]
    assert named == ["added", "failed", "chunks", "seconds", "chunks", "+"]
    assert "failed: b.md (extract): It holds no text." in result.stderr


def test_ingest_names_what_a_small_change_is(tree: Path) -> None:
    write_tree(tree, {f"{n}.md": f"Number {n}." for n in range(11)})
    assert "+ 1.md" not in run("ingest", tree, "--source", "help").stdout
    write_tree(tree, {"2.md": "Two.", "new.md": "News."})
    (tree / "1.md").unlink()
    said = run("ingest", tree, "--source", "help").stdout.splitlines()
    assert [line for line in said if line[1] == " "] == ["~ 2.md", "+ new.md", "- 1.md"]
    again = run("ingest", tree, "--source", "help").stdout.splitlines()
    assert [line.split()[0] for line in again] == ["unchanged", "seconds"]


def test_ingest_says_where_there_is_nothing_to_read(tree: Path) -> None:
    tree.mkdir(exist_ok=True)
    assert "holds no document that is read" in run("ingest", tree, "--source", "help").stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("ingest", "/no/such/folder", "--source", "help"), "no folder at /no/such/folder"),
        (("ingest", "/tmp", "--source", "No Good"), "'No Good' cannot name a source"),
        (("ingest", "/tmp"), "--source"),
        (("knowledge", "show", "help/none.md"), "No document is named 'help/none.md'"),
    ],
)
def test_a_mistake_in_the_call_is_explained(arguments: tuple[str, ...], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_an_emptied_folder_is_refused_until_it_is_meant(tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples."})
    run("ingest", tree, "--source", "help")
    (tree / "a.md").unlink()
    refused = run("ingest", tree, "--source", "help")
    assert refused.exit_code == 2
    assert "--allow-empty" in refused.stderr
    assert run("ingest", tree, "--source", "help", "--allow-empty").exit_code == 0


def test_status_says_that_nothing_is_indexed(tree: Path) -> None:
    write_tree(tree, {"a.md": ""})
    run("ingest", tree, "--source", "help")
    assert "every question goes to a person" in run("knowledge", "status").stdout


def test_status_shows_sources_and_failures_with_how_to_retry(tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples.", "b.md": ""})
    run("ingest", tree, "--source", "help")
    told = run("knowledge", "status").stdout
    assert "1 live document, 1 chunk." in told
    assert "every question goes to a person" not in told
    assert "failed: help/b.md at extract, 1 time\n" in told
    assert "next attempt: not by itself" in told
    assert "retry: twofold knowledge retry help b.md" in told
    status = orjson.loads(run("knowledge", "status", "--json").stdout)
    assert status["sources"][0]["last_sync"]["state"] == "done"
    assert status["failures"][0]["document"] == "help/b.md"
    (source,) = orjson.loads(run("knowledge", "sources", "--json").stdout)
    assert (source["name"], source["documents"]) == ("help", 1)


def test_status_shows_how_far_a_sync_is_and_when_the_next_comes(home: Path, tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples."})
    add = ("sources", "add", "help", "--kind", "folder", "--config", f"path={tree}")
    assert run(*add, "--config", "every=15m").exit_code == 0
    assert "never; every 15m" in run("knowledge", "status").stdout
    ledger = Ledger(Settings(home=home).ledger)
    with open_run(ledger, WORKSPACE, Folder("help", tree)):
        with ledger.session() as session:
            session.execute(update(Sync).values(total=40, done=10, started_at=time.time() - 20))
        told = run("sources", "list").stdout
        assert re.search(r"running, 10 of 40 documents, \d+ s left", told)
    assert "done, 20" in run("sources", "list").stdout
    ledger.close()


def test_show_tells_versions_by_any_of_a_documents_names(tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples."})
    run("ingest", tree, "--source", "help")
    write_tree(tree, {"a.md": "Apples and pears."})
    run("ingest", tree, "--source", "help")
    shown = orjson.loads(run("knowledge", "show", "help/a.md", "--json").stdout)
    assert [(v["number"], v["live"]) for v in shown["versions"]] == [(1, False), (2, True)]
    assert shown["versions"][1]["sections"][0]["text"] == "Apples and pears."
    assert orjson.loads(run("knowledge", "show", "a.md", "--json").stdout) == shown
    assert "version 2 (live): A" in run("knowledge", "show", shown["id"]).stdout


SEEN = "file title kind audience locale effective_from expires_at visible text chunks skipped error"


def test_a_dry_run_shows_what_would_be_read_and_needs_nothing(tree: Path, home: Path) -> None:
    write_tree(
        tree,
        {
            "b.md": "---\ntitle: T\naudience: [internal]\nexpires_at: 2030-01-31\n---\n"
            "## Why?\n\nSo.",
            "a.html": "<h1>Hi</h1><p>Apples.",
            "c.xyz": "?",
        },
    )
    names = [str(tree / name) for name in ("b.md", "a.html", "c.xyz", "none.md")]
    result = run("ingest", "--dry-run", *names, "--json")
    seen = orjson.loads(result.stdout)
    assert [each["file"] for each in seen] == names
    assert all(list(each) == SEEN.split() for each in seen)
    assert (seen[0]["audience"], seen[0]["visible"]) == (["internal"], False)
    assert seen[0]["expires_at"].startswith("2030-01-31T23:59:59")
    assert (seen[0]["text"], seen[0]["chunks"]) == ("# T\n\n## Why?\n\nSo.", ["T > Why?\nSo."])
    assert (seen[1]["title"], seen[1]["visible"]) == ("Hi", True)
    assert ".xyz" in seen[2]["skipped"]
    assert "exists" in seen[3]["error"]
    assert result.exit_code == 1
    assert not home.exists()
    assert "Apples." in run("ingest", "--dry-run", tree).stdout


def test_show_tells_what_the_index_holds(tree: Path) -> None:
    write_tree(tree, {"a b.md": "# Fruit\n\n## Part\n\nApples."})
    dry = orjson.loads(run("ingest", "--dry-run", tree / "a b.md", "--json").stdout)[0]
    run("ingest", tree, "--source", "help")
    shown = orjson.loads(run("knowledge", "show", "help", "a b.md", "--json").stdout)
    assert {key: shown[key] for key in dry if key != "file"} == {
        key: value for key, value in dry.items() if key != "file"
    }
    assert "told to the public today: yes" in run("knowledge", "show", "help", "a b.md").stdout


def test_registering_the_commands_imports_nothing_heavy() -> None:
    code = (
        "import sys, typer; from ingestion.cli import register; register(typer.Typer());"
        "print([m for m in ('onnxruntime', 'fastapi', 'sqlalchemy', 'numpy') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert ran.stdout.strip() == "[]"
