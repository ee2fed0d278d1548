"""Idempotency keys and resumed streams: one generation, told as often as it is asked for."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, select, update

from services.answer.access import idempotency
from services.answer.app import create_app
from services.answer.pipeline import Parts
from tests.servers import wait_until
from tests.services.answer.edge import ROLL, Client, Slowly, key_for
from tests.services.standalone.serving import (
    events,
    needs_weights,
    own_threads,
    served,
    small_parts,
)
from twofold.ledger.models import Answer
from twofold.ledger.service import Replay

pytestmark = needs_weights


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> Slowly:
    return Slowly(0.03).install(monkeypatch)


@pytest.fixture
def url(parts: Parts, slowly: Slowly) -> Iterator[str]:
    with served(create_app(own_threads(parts))) as url:
        yield url


def count(parts: Parts) -> int:
    with parts.stack.ledger.session() as session:
        return session.scalar(select(func.count()).select_from(Answer)) or 0


def ask(call: Client, key: str, **body: Any) -> httpx.Response:
    return call("POST", "/v1/chat", {"message": ROLL, **body}, {"Idempotency-Key": key})


def first_events(url: str, key: str, most: int) -> list[tuple[str, str, Any]]:
    """A client that leaves after `most` events."""
    text = ""
    body = {"message": ROLL, "stream": True}
    with httpx.stream(
        "POST", f"{url}/v1/chat", json=body, headers={"Idempotency-Key": key}, trust_env=False
    ) as response:
        assert response.status_code == 200
        for piece in response.iter_text():
            text += piece
            if text.count("\n\n") >= most:
                break
    return list(events(text[: text.rindex("\n\n") + 2]))[:most]


def resume(url: str, answer_id: str, after: str = "") -> list[tuple[str, str, Any]]:
    headers = {"Last-Event-ID": after} if after else {}
    response = httpx.get(
        f"{url}/v1/answers/{answer_id}/events", headers=headers, timeout=30, trust_env=False
    )
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    return list(events(response.text))


# --- idempotency --------------------------------------------------------------------------------


def test_concurrent_replays_are_one_generation(parts: Parts, slowly: Slowly) -> None:
    call, before, key = Client(create_app(parts)), count(parts), str(uuid4())
    body = {"message": ROLL}

    async def all_at_once() -> list[httpx.Response]:
        headers = {"Idempotency-Key": key}
        asked = [call.ask("POST", "/v1/chat", body, headers) for _ in range(20)]
        streamed = call.ask("POST", "/v1/chat", body | {"stream": True}, headers)
        return list(await asyncio.gather(*asked, streamed))

    *whole, streamed = asyncio.run(all_at_once())
    assert {each.status_code for each in whole} == {200}
    assert len({each.text for each in whole}) == 1
    assert events(streamed.text)[-1][2] == whole[0].json()
    assert slowly.begun == 1
    assert count(parts) == before + 1


def test_a_later_replay_comes_from_the_record(parts: Parts, slowly: Slowly) -> None:
    key = str(uuid4())
    told = ask(Client(create_app(parts)), key).json()
    elsewhere = Client(create_app(parts))  # another process, or this one after a restart
    assert ask(elsewhere, key).json() == told
    streamed = events(ask(elsewhere, key, stream=True).text)
    assert "".join(data["text"] for name, _, data in streamed if name == "delta") == told["text"]
    assert slowly.begun == 1


def test_a_key_is_for_one_question(parts: Parts) -> None:
    key = str(uuid4())
    call = Client(create_app(parts))
    ask(call, key)
    for app in (call, Client(create_app(parts))):
        refused = ask(app, key, audience="customer")
        assert refused.status_code == 422
        assert "used for another question" in refused.json()["detail"]


def test_two_callers_may_use_the_same_key(parts: Parts, tmp_path: Any) -> None:
    with small_parts(tmp_path) as own:
        app, key = create_app(own), str(uuid4())
        one, two = (Client(app, key_for(own, name, "answer")) for name in ("one", "two"))
        assert ask(one, key).json()["answer_id"] != ask(two, key).json()["answer_id"]


def test_a_question_that_failed_may_be_asked_again(parts: Parts) -> None:
    key = str(uuid4())
    call = Client(create_app(parts))
    assert ask(call, key, message=" ").status_code == 422
    assert ask(call, key).status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
def test_an_unusable_key_is_refused(parts: Parts, key: str) -> None:
    assert ask(Client(create_app(parts)), key).status_code == 422


def test_keys_expire_after_a_day(parts: Parts, slowly: Slowly) -> None:
    key = str(uuid4())
    first = ask(Client(create_app(parts)), key).json()
    with parts.stack.ledger.session() as session:
        session.execute(update(Replay).values(started_at=time.time() - idempotency.KEPT_S - 1))
    second = ask(Client(create_app(parts)), key).json()
    assert second["answer_id"] != first["answer_id"]


def test_what_a_dead_process_began_is_taken_over(parts: Parts) -> None:
    at = idempotency.slot("default", "", "crashed")
    ledger = parts.stack.ledger
    assert idempotency.claim(ledger, at, "r", abandoned_s=60).mine
    assert not idempotency.claim(ledger, at, "r", abandoned_s=60).mine
    with ledger.session() as session:
        session.execute(
            update(Replay).where(Replay.key == at.key).values(started_at=time.time() - 61)
        )
    assert idempotency.claim(ledger, at, "r", abandoned_s=60).mine
    assert not idempotency.claim(ledger, at, "r", abandoned_s=60).mine


# --- resumed streams ----------------------------------------------------------------------------


def test_an_answer_is_finished_though_its_reader_left(url: str, slowly: Slowly) -> None:
    seen = first_events(url, str(uuid4()), 4)
    answer_id = seen[0][2]["answer_id"]
    rest = resume(url, answer_id, after=seen[-1][1])
    told = seen + rest
    assert [id for _, id, _ in told] == [f"{answer_id}:{n}" for n in range(len(told))]
    assert [name for name, _, _ in told][-2:] == ["citations", "done"]
    text = "".join(data["text"] for name, _, data in told if name == "delta")
    assert text == told[-1][2]["text"]
    assert (slowly.begun, slowly.finished) == (1, 1)


def test_a_reconnect_with_the_same_post_goes_on_too(url: str, slowly: Slowly) -> None:
    key = str(uuid4())
    seen = first_events(url, key, 3)
    headers = {"Idempotency-Key": key, "Last-Event-ID": seen[-1][1]}
    body = {"message": ROLL, "stream": True}
    rest = httpx.post(f"{url}/v1/chat", json=body, headers=headers, timeout=30, trust_env=False)
    assert events(rest.text)[0][1].endswith(":3")
    assert slowly.begun == 1


@pytest.mark.parametrize("after", [0, 1, 3])
def test_the_record_resumes_where_the_stream_broke(
    url: str, parts: Parts, slowly: Slowly, after: int
) -> None:
    key = str(uuid4())
    whole = first_events(url, key, 99)
    answer_id = whole[0][2]["answer_id"]
    with served(create_app(own_threads(parts))) as other_process:
        rest = resume(other_process, answer_id, after=whole[after][1])
    assert rest == whole[after + 1 :]


def test_an_answer_without_a_key_can_be_read_again(parts: Parts) -> None:
    call = Client(create_app(parts))
    told = call("POST", "/v1/chat", {"message": ROLL}).json()
    path = f"/v1/answers/{told['answer_id']}/events"
    names = [name for name, _, _ in events(call("GET", path).text)]
    assert names == ["meta", "action", "delta", "citations", "done"]
    # How far its first reader came is not known: the whole text is in `done`.
    later = call("GET", path, headers={"Last-Event-ID": f"{told['answer_id']}:7"})
    assert [(name, data) for name, _, data in events(later.text)] == [("done", told)]


def test_nobody_resumes_what_is_not_there(parts: Parts) -> None:
    response = Client(create_app(parts))("GET", "/v1/answers/none/events")
    assert response.status_code == 404


def test_readers_leave_without_a_trace(parts: Parts, slowly: Slowly, url: str) -> None:
    before = count(parts)
    for _ in range(3):
        first_events(url, str(uuid4()), 2)
    wait_until(lambda: count(parts) == before + 3, "what nobody reads any more is on record")
