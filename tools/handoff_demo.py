"""A hand-over from both sides, over HTTP: ask for a person, answer at the desk, see it arrive.

    make demo-handoff

Takes the server that runs on `TWOFOLD_HOME`, or starts one with the example help center.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx

from services.widget.secrets import open_secret
from services.widget.sites import Sites, read_config
from services.widget.tokens import Tokens
from twofold import server_file
from twofold.errors import NotFound
from twofold.ledger import Ledger
from twofold.settings import Settings

SITE = "hand-over demo"
ORIGIN = "http://localhost:3000"
QUESTION = "How long does the old signing secret keep working after I roll it?"
START_S = 180


def main() -> None:
    settings = Settings()
    with running(settings) as url, httpx.Client(base_url=url, timeout=60) as http:
        visitor, api = begin(settings, http)
        say("visitor", QUESTION)
        message = {"id": str(uuid4()), "text": QUESTION}
        told = events(http.post(f"{api}/messages", json=message, headers=visitor).text)
        say("assistant", next(data for name, data in told if name == "done")["text"])
        with http.stream("GET", f"{api}/events", headers=visitor) as stream:
            heard = following(stream)
            say("visitor", "asks for a person")
            asked = http.post(f"{api}/handoff", json={"consent": True}, headers=visitor).json()
            card = f"/desk/v1/handoffs/{asked['thread_id']}"
            found = http.get(card).json()
            say("desk", f"waiting for {found['team']}: {found['summary'].splitlines()[0]}")
            say("desk", f"suggested: {found['suggested_reply'][:100]}…")
            http.post(f"{card}/take", json={"name": "Anna"}).raise_for_status()
            say(
                "visitor",
                f"sees: {until(heard, 'state', 'state', 'taken')['handoff']['agent']} is here",
            )
            reply = {"id": str(uuid4()), "text": "Hello, this is Anna. It is 12 hours."}
            begun = time.perf_counter()
            http.post(f"{card}/reply", json=reply).raise_for_status()
            arrived = until(heard, "item", "text", reply["text"])
            took = (time.perf_counter() - begun) * 1000
            say("visitor", f"reads, {took:.0f} ms later: {arrived['text']} ({arrived['name']})")
            http.post(f"{card}/close", json={}).raise_for_status()
            until(heard, "state", "state", "closed")
            say("visitor", "sees that it is closed")
    print(
        "\nBy hand: make run, then its address in one window, and the same with /desk in another."
    )


@contextmanager
def running(settings: Settings) -> Iterator[str]:
    if found := server_file.find(settings.home):
        yield found.url
        return
    command = ["serve", "--port", "0", "--index", "examples/brackwater/help-center"]
    process = subprocess.Popen([sys.executable, "-m", "twofold", *command])
    try:
        until_s = time.monotonic() + START_S
        while (found := server_file.find(settings.home)) is None:
            if process.poll() is not None or time.monotonic() > until_s:
                sys.exit("The server did not start.")
            time.sleep(0.2)
        yield found.url
    finally:
        process.terminate()
        process.wait()


def begin(settings: Settings, http: httpx.Client) -> tuple[dict[str, str], str]:
    """A visitor's headers, and where its frame asks: what the page of `/widget/app/` would hold."""
    sites = Sites(Ledger(settings.ledger), settings.workspace)
    try:
        site = sites.get(SITE)
    except NotFound:
        site = sites.add(read_config({"name": SITE, "origins": [ORIGIN]}))
    ticket = Tokens(open_secret(settings)).ticket(site.id, ORIGIN)
    api = f"/widget/v1/{site.id}"
    session = http.post(f"{api}/sessions", json={"ticket": ticket, "origin": ORIGIN}).json()
    return {"Authorization": f"Bearer {session['token']}", "Twofold-Origin": ORIGIN}, api


def events(text: str) -> list[tuple[str, Any]]:
    found = re.findall(r"event: (\w+)\n(?:id: .*\n)?data: (.*)\n", text)
    return [(name, json.loads(data)) for name, data in found]


def following(stream: httpx.Response) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in stream.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def until(heard: Iterator[tuple[str, Any]], event: str, key: str, value: object) -> Any:
    return next(data for name, data in heard if name == event and data.get(key) == value)


def say(who: str, what: str) -> None:
    print(f"{who:>9}  {what}", flush=True)


if __name__ == "__main__":
    main()
