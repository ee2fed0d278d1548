"""`twofold model economics` beside a server: its counters, and what its replies were worth."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from models.data.rows import read_dataset, write_manifest, write_rows
from tests.models.training import make_dataset
from twofold.commands import build
from twofold.house_file import load_house

HOUSE = Path(__file__).parents[2] / "examples/brackwater/house.yaml"
READ, CACHED, WRITTEN = 100, 60, 12


class Counting(BaseHTTPRequestHandler):
    """Speaks of vLLM's counters, and answers with the first sentence of the last document shown."""

    asked: list[str]

    def do_GET(self) -> None:
        card = {"id": "m", "root": "m", "parent": None}
        body = json.dumps({"data": [card]}) if self.path == "/v1/models" else self._metrics()
        self._send("application/json", body)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        system = body["messages"][0]["content"]
        self.asked.append(system)
        shown = re.findall(r'<document n="(\d+)".*?>\n(.*?\.)', system)
        reply = f"ANSWER\n{shown[-1][1]} [{shown[-1][0]}]"
        piece = {"choices": [{"index": 0, "delta": {"content": reply}}]}
        end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        lines = [f"data: {json.dumps(each)}\n\n" for each in (piece, end)]
        self._send("text/event-stream", "".join(lines) + "data: [DONE]\n\n")

    def _metrics(self) -> str:
        calls = len(self.asked)
        counters = {
            "prefix_cache_hits_total": CACHED,
            "prefix_cache_queries_total": READ,
            "time_to_first_token_seconds_sum": 0.5,
            "time_to_first_token_seconds_count": 1,
            "prompt_tokens_total": READ,
            "generation_tokens_total": WRITTEN,
        }
        return "".join(f'vllm:{n}{{model_name="m"}} {calls * v}\n' for n, v in counters.items())

    def _send(self, kind: str, body: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def served() -> Iterator[tuple[str, list[str]]]:
    """A server's address, and the system prompts that it was asked with."""
    asked: list[str] = []
    handler = type("Handler", (Counting,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def test_each_prompt_is_measured_and_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWOFOLD_HOUSE", str(HOUSE))
    monkeypatch.setenv("TWOFOLD_HOME", str(tmp_path / "home"))
    folder = make_dataset(tmp_path / "data", load_house(HOUSE))
    made = read_dataset(folder)
    held = write_rows(folder / "heldout.jsonl", made.rows["eval"])
    files = {**made.manifest.files, "heldout.jsonl": held}
    write_manifest(folder, made.manifest.model_copy(update={"files": files}))
    with served() as (url, asked):
        done = CliRunner().invoke(
            build(),
            [
                *("model", "economics", str(folder), "--base-url", url, "--tuned-url", url),
                *("--rows", "4", "--machine-hour", "1", "--price-read", "9", "--json"),
            ],
        )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.splitlines()[-1])
    assert set(told["measured"]) == {"base, full", "base, full and few-shot", "tuned"}
    for found in told["measured"].values():
        assert (found["calls"], found["read"], found["written"]) == (4, READ, WRITTEN)
        assert found["hit_share"] == pytest.approx(CACHED / READ)
        assert found["first_token_s"] == pytest.approx(0.5)
        assert found["quality"]["contract"]["value"] == 1
        assert found["quality"]["action"]["value"] == 1
    full, shots, tuned = asked[:4], asked[4:8], asked[8:]
    assert not any("Example:" in system for system in [*full, *tuned])
    assert all(system.count("Example:") == 3 for system in shots)
    assert max(map(len, tuned)) < min(map(len, full))
    priced = {arm["arm"]: arm["dollars_per_1000"] for arm in told["arms"]}
    assert priced["tuned"] == pytest.approx(1000 / told["measured"]["tuned"]["answers_per_hour"])
