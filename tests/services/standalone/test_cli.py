"""`twofold serve` and `twofold ask` as a person runs them."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from tests.servers import wait_until
from tests.services.standalone.serving import EXAMPLES, needs_weights, small_help_center
from twofold import server_file
from twofold.commands import build
from twofold.settings import Settings
from twofold.stack import open_stack

pytestmark = needs_weights

READY = "Twofold is ready: "
ROLL = "How long does the old signing secret keep working after I roll it?"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose index holds the small help center, put there by the first `serve`."""
    folder = tmp_path_factory.mktemp("cli")
    small_help_center(folder / "help")
    return folder / "home"


@pytest.fixture(autouse=True)
def environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOFOLD_HOME", str(home))
    monkeypatch.setenv("TWOFOLD_HOUSE", str(EXAMPLES / "house.yaml"))


def twofold(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "twofold", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@contextmanager
def serving(
    home: Path, *arguments: str
) -> Iterator[tuple["subprocess.Popen[str]", str, list[str]]]:
    """A running server, its address, and what it said up to being ready."""
    command = [sys.executable, "-m", "twofold", "serve", "--port", "0", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ)
    )
    assert process.stdout is not None
    said: list[str] = []
    try:
        for line in process.stdout:
            said.append(line.rstrip())
            if line.startswith(READY):
                break
        assert said, "it said nothing"
        assert said[-1].startswith(READY), said
        yield process, said[-1].removeprefix(READY), said
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(20)
        process.stdout.close()


def test_serve_indexes_answers_and_stops(home: Path) -> None:
    with serving(home, "--index", f"help={home.parent / 'help'}") as (process, url, said):
        assert any("8 added" in line for line in said)
        assert json.loads((home / "server.json").read_text()) == {"pid": process.pid, "url": url}
        assert httpx.get(f"{url}/readyz", trust_env=False).json()["chunks"] > 10
        assert "Content-Security-Policy" in httpx.get(url, trust_env=False).headers

        asked = twofold("ask", ROLL, "--json")
        answer = json.loads(asked.stdout)
        assert asked.returncode == 0
        assert "12 hours" in answer["text"]
        kept = httpx.get(f"{url}/v1/answers/{answer['answer_id']}", trust_env=False)
        assert kept.json()["question"] == ROLL

        second = twofold("serve", "--port", "0")
        assert second.returncode == 2
        assert second.stderr.startswith("error: Twofold already runs on")
        assert url in second.stderr

        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert not (home / "server.json").exists()


def test_an_index_in_use_is_named(home: Path) -> None:
    with serving(home) as (process, _, _):
        (home / "server.json").unlink()
        refused = twofold("ask", ROLL)
        assert refused.returncode == 2
        assert refused.stderr.startswith("error: The index in ")
        assert str(process.pid) in refused.stderr


def test_a_stop_while_indexing_leaves_nothing_behind(home: Path) -> None:
    folder = EXAMPLES / "help-center"
    command = [sys.executable, "-m", "twofold", "serve", "--port", "0", "--index", f"all={folder}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Indexing"):
            break
    wait_until(lambda: syncs_of("all", home), "a sync is under way", 120)
    process.terminate()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert twofold("ask", ROLL).returncode == 0


def syncs_of(source: str, home: Path) -> int:
    with closing(sqlite3.connect(home / "ledger.db")) as ledger:
        found = ledger.execute("SELECT count(*) FROM syncs WHERE source = ?", [source])
        return int(found.fetchone()[0])


def test_a_taken_port_is_named(home: Path) -> None:
    with ExitStack() as taken:
        port = taken.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        with suppress(OSError):  # somebody else's then
            taken.enter_context(socket.create_server(("127.0.0.1", port + 1)))
        refused = twofold("serve", "--port", str(port))
        proposed = int(refused.stderr.split("--port ")[1].split(",")[0])
        socket.create_server(("127.0.0.1", proposed)).close()
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: Port {port} on 127.0.0.1 is taken")
    assert proposed != port + 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["--port", "99999"], "99999", id="no such port"),
        pytest.param(["--host", "no.such.host.example"], "no.such.host", id="no such host"),
        pytest.param(["--port", "0", "--index", "/no/such"], "/no/such", id="no such folder"),
        pytest.param(["--port", "0", "--index", "Bad Name=/tmp"], "Bad Name", id="bad name"),
    ],
)
def test_what_cannot_be_served_is_one_line(arguments: list[str], says: str) -> None:
    refused = twofold("serve", *arguments)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")
    assert refused.stderr.count("\n") == 1
    assert says in refused.stderr


def test_ask_prints_text_and_numbered_sources() -> None:
    asked = CliRunner().invoke(build(), ["ask", ROLL])
    assert asked.exit_code == 0, asked.output
    assert asked.output.startswith("ANSWER\n")
    assert "12 hours" in asked.output
    assert "[1] Roll a signing secret" in asked.output
    assert "https://help.brackwater.example/articles/rotate-signing-secret" in asked.output
    assert "\x1b" not in asked.output


def test_ask_says_where_nothing_is_indexed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = tmp_path / "nowhere"
    monkeypatch.setenv("TWOFOLD_HOME", str(nowhere))
    for made in (False, True):
        if made:
            open_stack(Settings()).__exit__(None, None, None)
        refused = CliRunner().invoke(build(), ["ask", ROLL])
        assert refused.exit_code == 2
        assert refused.stdout == ""
        assert f"Nothing is indexed in {nowhere}" in refused.stderr
        assert "twofold ingest" in refused.stderr
        assert nowhere.exists() == made


def test_ask_says_so_through_a_server_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWOFOLD_HOME", str(tmp_path / "new"))
    with serving(tmp_path / "new") as (_, url, said):
        assert any("Nothing is indexed yet" in line for line in said)
        refused = twofold("ask", ROLL)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "Nothing is indexed in" in refused.stderr
        assert "twofold ingest" in refused.stderr
        assert httpx.get(f"{url}/v1/handoffs", trust_env=False).json()["handoffs"] == []


def test_a_command_says_how_to_show_a_key_to_its_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWOFOLD_HOME", str(tmp_path / "keyed"))
    made = twofold("key", "create", "lead", "--scope", "admin")
    assert "from now on every request needs one" in made.stderr
    with serving(tmp_path / "keyed"):
        refused = twofold("answers", "list")
        assert refused.returncode == 2
        assert "set it to a key of that server" in refused.stderr
        assert "twofold key create NAME --scope" in refused.stderr
        monkeypatch.setenv("TWOFOLD_API_KEY", made.stdout.strip())
        assert twofold("answers", "list").returncode == 0


def test_ask_goes_on_with_a_conversation() -> None:
    first = json.loads(CliRunner().invoke(build(), ["ask", ROLL, "--json"]).stdout)
    more = ["ask", "And where?", "--conversation", first["conversation_id"], "--json"]
    second = json.loads(CliRunner().invoke(build(), more).stdout)
    assert second["conversation_id"] == first["conversation_id"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param([" "], "The question is empty", id="empty"),
        pytest.param(["x" * 5000], "at most 4,000", id="huge"),
        pytest.param(["x", "--conversation", "none"], "'none'", id="unknown conversation"),
        pytest.param(["x", "--audience", "Not One"], "--audience", id="bad audience"),
        pytest.param(["x", "--as-of", "yesterday"], "yesterday", id="bad day"),
    ],
)
def test_a_bad_question_is_one_clear_error(arguments: list[str], says: str) -> None:
    refused = CliRunner().invoke(build(), ["ask", *arguments])
    assert refused.exit_code == 2
    assert says in refused.stderr


def test_a_server_that_died_is_not_asked(home: Path) -> None:
    (home / "server.json").write_text('{"pid": 999999999, "url": "http://127.0.0.1:9"}')
    assert server_file.find(home) is None
    (home / "server.json").write_text(f'{{"pid": {os.getpid()}, "url": "http://127.0.0.1:9"}}')
    assert server_file.find(home) is None
    (home / "server.json").write_text("half a fi")
    assert server_file.find(home) is None
    (home / "server.json").unlink()


HEAVY = (
    *("scipy", "numpy", "onnxruntime", "tokenizers", "torch", "transformers", "qdrant_edge"),
    *("qdrant_client", "sqlalchemy", "fastapi", "uvicorn", "httpx", "celery", "jinja2"),
)
EVERY_HELP = f"""
import sys
from typer.main import get_command
from typer.testing import CliRunner
from twofold.commands import build

def commands(command, *path):
    yield path
    for name, each in getattr(command, "commands", {{}}).items():
        yield from commands(each, *path, name)

app = build()
asked = [*commands(get_command(app))]
failed = [path for path in asked if CliRunner().invoke(app, [*path, "--help"]).exit_code]
print(len(asked), failed, [name for name in {HEAVY} if name in sys.modules])
"""


def test_every_help_is_whole_and_imports_nothing_heavy() -> None:
    """Of every command, in one process: what one imports is found at the latest of all."""
    told = subprocess.run(
        [sys.executable, "-c", EVERY_HELP], capture_output=True, text=True, check=True
    ).stdout
    asked, _, found = told.partition(" ")
    assert int(asked) > 50
    assert found.strip() == "[] []"


def test_version_is_told() -> None:
    assert twofold("--version").stdout.startswith("twofold ")


CTRL_C_WHILE_IMPORTED = """
import sys
from twofold.__main__ import main

class Interrupted:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
main()
"""


def test_ctrl_c_while_the_command_is_imported_leaves_no_trace() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CTRL_C_WHILE_IMPORTED], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
