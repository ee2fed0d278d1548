"""What we add to a streaming model server: the same server asked directly and through us.

    .venv/bin/python -m benchmarks.answer_overhead [--rounds 60] [--tokens 100] [--gap-ms 2]
        [--streams 1000]

A model server that streams a token every gap (tests/model_server.py), our service (answering.py),
and this process as their client: one caller over a kept connection, with a key. All three read one
clock, so that waiting for the model is left out exactly. For each question we add up

- before the model: from our client's request to the model server's having it, less what the
  record says retrieval, packing and deciding took;
- behind it: from the model's writing the first token of its second sentence (only that shows that
  the first has ended, and may be said) to the client's having the first sentence;

and take off the same two for the server asked directly. CPU is that of the service's process: per
token what a model's reply costs over a question that no model is asked for, everything included,
with one caller (each token wakes the process) and with 32 at once. Requests per second are those
that one core's time is enough for, 32 at once. Memory is that of streams whose first sentence was
read and whose model goes on.
Prints a table, and last one line of JSON.
"""

import argparse
import json
import re
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import httpx
from rich.table import Table

from benchmarks.answering import Child, child, raise_open_files, service
from benchmarks.harness import percentiles, publish

QUESTION = "How long does rolling a signing secret keep both secrets valid?"
STAY = f"{QUESTION} I stay for the rest."
NO_MODEL = "I want to talk to a human"
LOOKING = ("condense", "retrieve", "match", "pack", "decide")
CALLERS = 32
EACH = 8
FIRST_SENTENCE = re.compile(rb"event: delta\n")
SECOND_SENTENCE = re.compile(rb"Rolling.*Rolling", re.DOTALL)
ANSWER_ID = re.compile(rb'"answer_id":"(.*?)"')

Result = dict[str, float | dict[str, float]]


class Heard(NamedTuple):
    sent: float
    there: float
    """When the pattern had arrived."""
    body: bytes


class Caller:
    """One kept connection, used without a client's own cost in between."""

    def __init__(self, url: str, path: str, key: str = "") -> None:
        host, port = url.removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        known = f"authorization: Bearer {key}\r\n" if key else ""
        self._head = f"POST {path} HTTP/1.1\r\nhost: {host}:{port}\r\n{known}".encode()

    def send(self, body: dict[str, object]) -> float:
        data = json.dumps(body).encode()
        kind = b"content-type: application/json\r\n"
        sent = time.monotonic()
        self.socket.sendall(
            b"%b%bcontent-length: %d\r\n\r\n%b" % (self._head, kind, len(data), data)
        )
        return sent

    def ask(self, body: dict[str, object], until: re.Pattern[bytes]) -> Heard:
        """The whole reply, and when `until` stood in it."""
        sent, there, seen = self.send(body), 0.0, b""
        while not seen.endswith(b"\r\n0\r\n\r\n"):
            data = self.socket.recv(65_536)
            now = time.monotonic()
            if not data:
                raise RuntimeError(f"the reply broke off: {seen[-300:]!r}")
            seen += data
            there = there or (now if until.search(seen) else 0.0)
        if b" 200 OK" not in seen[:20] or not there:
            raise RuntimeError(f"no answer: {seen[:300]!r}")
        return Heard(sent, there, seen)

    def close(self) -> None:
        self.socket.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--gap-ms", type=float, default=2.0)
    parser.add_argument("--streams", type=int, default=1000)
    args = parser.parse_args()
    raise_open_files()
    with tempfile.TemporaryDirectory() as folder:
        times = Path(folder) / "times"
        paced = ("--tokens", str(args.tokens), "--gap-ms", str(args.gap_ms))
        with (
            child("-m", "tests.model_server", *paced, "--times", str(times)) as model,
            service(model.url, max_in_flight=5000, model_calls=5000) as ours,
        ):
            report(measure(model, ours, times, args))


def measure(model: Child, ours: Child, times: Path, args: argparse.Namespace) -> Result:
    direct = Caller(model.url, "/v1/chat/completions")
    through = Caller(ours.url, "/v1/chat", ours.words[1])
    for _ in range(20):
        ask_model(direct)
        ask_us(through)
    times.write_text("")
    straight, round_about = [], []
    busy = ours.cpu()
    for _ in range(args.rounds):
        straight.append(ask_model(direct))
        round_about.append(ask_us(through))
    one = ours.cpu() - busy
    busy = ours.cpu()
    for _ in range(args.rounds):
        ask_us(through, NO_MODEL)
    short = ours.cpu() - busy
    moments = [tuple(map(float, line.split())) for line in times.read_text().splitlines()]
    looked = looking(ours, round_about)
    hops = [before_and_behind(h, m) for h, m in zip(straight, moments[::2], strict=True)]
    ways = [before_and_behind(h, m) for h, m in zip(round_about, moments[1::2], strict=True)]
    added = [before - look + behind for (before, behind), look in zip(ways, looked, strict=True)]
    usual = statistics.median(map(sum, hops))

    many, many_short = crowd(ours, QUESTION), crowd(ours, NO_MODEL)
    grown = open_streams(ours, args.streams)
    tokens = args.tokens * CALLERS * EACH
    return {
        "direct_ms": ms(map(sum, hops)),
        "added_first_sentence_ms": ms(each - usual for each in added),
        "added_before_model_ms": ms(b - look for (b, _), look in zip(ways, looked, strict=True)),
        "added_behind_model_ms": ms(behind for _, behind in ways),
        "looking_ms": ms(looked),
        "cpu_us_per_token_one_caller": round((one - short) / args.rounds / args.tokens * 1e6, 1),
        "cpu_us_per_token_32_callers": round((many - many_short) / tokens * 1e6, 1),
        "cpu_ms_per_request": round(one / args.rounds * 1000, 2),
        "cpu_ms_per_request_without_model": round(short / args.rounds * 1000, 2),
        "requests_per_s_of_one_core": round(CALLERS * EACH / many, 1),
        "requests_per_s_of_one_core_without_model": round(CALLERS * EACH / many_short, 1),
        "kb_per_open_stream": round(grown, 1),
    }


def ask_model(caller: Caller) -> Heard:
    body = {"model": "base", "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
    return caller.ask(body, SECOND_SENTENCE)


def ask_us(caller: Caller, question: str = QUESTION) -> Heard:
    return caller.ask({"message": question, "stream": True}, FIRST_SENTENCE)


def before_and_behind(heard: Heard, moments: Sequence[float]) -> tuple[float, float]:
    arrived, proven = moments
    return arrived - heard.sent, heard.there - proven


def looking(ours: Child, heard: Sequence[Heard]) -> list[float]:
    """Seconds that the answers' records say were spent on what was asked and what is known."""
    headers = {"authorization": f"Bearer {ours.words[1]}"}
    found = []
    with httpx.Client(base_url=ours.url, headers=headers, trust_env=False) as http:
        for each in heard:
            id = ANSWER_ID.search(each.body)
            assert id is not None
            timings = http.get(f"/v1/answers/{id[1].decode()}").json()["timings"]
            found.append(sum(timings[step] for step in LOOKING) / 1000)
    return found


def crowd(ours: Child, question: str) -> float:
    """CPU seconds of CALLERS asking EACH times, all at once."""

    def caller() -> None:
        with_key = Caller(ours.url, "/v1/chat", ours.words[1])
        for _ in range(EACH):
            ask_us(with_key, question)
        with_key.close()

    callers = [threading.Thread(target=caller) for _ in range(CALLERS)]
    busy = ours.cpu()
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    return ours.cpu() - busy


def open_streams(ours: Child, count: int) -> float:
    """KiB that each of `count` streams costs the service while it is open."""
    before, callers = ours.memory(), []
    for _ in range(count):
        caller = Caller(ours.url, "/v1/chat", ours.words[1])
        caller.send({"message": STAY, "stream": True})
        seen = b""
        while not FIRST_SENTENCE.search(seen):
            seen += caller.socket.recv(65_536)
        callers.append(caller)
    grown = ours.memory() - before
    for caller in callers:
        caller.close()
    return grown / count


def ms(seconds: Iterable[float]) -> dict[str, float]:
    return percentiles([each * 1000 for each in seconds])


def report(result: Result) -> None:
    table = Table(title="The model server directly, and through us")
    table.add_column("measure")
    table.add_column("p50 / value", justify="right")
    table.add_column("p95", justify="right")
    for name, value in result.items():
        cells = (
            (f"{value['p50']:.2f}", f"{value['p95']:.2f}")
            if isinstance(value, dict)
            else (f"{value}", "")
        )
        table.add_row(name.replace("_", " "), *cells)
    publish("answer_overhead", result, table)


if __name__ == "__main__":
    main()
