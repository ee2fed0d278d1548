"""A stream that breaks off anywhere, however often, ends up with the same text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.standalone.app import create_app
from tests.services.answer.asking import QUESTION
from tests.services.standalone.serving import own_threads, served
from tests.services.widget.visiting import Visitor, World, world

QUESTIONS = (QUESTION, "When are invoices issued, and where do I download each invoice?")
Cuts = Sequence[tuple[int, int]]
"""(bytes that arrive, server that is asked next) of each broken try."""


class Reader:
    """What a frame does: keeps whole events, and goes on behind the last one."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.text = ""
        self.done: Mapping[str, Any] | None = None

    def read(self, data: bytes) -> None:
        for block in data.split(b"\n\n")[:-1]:
            fields = dict(
                line.split(": ", 1) for line in block.decode().split("\n") if line[:1] != ":"
            )
            if not fields:
                continue
            self.ids += [fields["id"]] if "id" in fields else []
            content = httpx.Response(200, content=fields["data"]).json()
            if fields["event"] == "delta":
                self.text += content["text"]
            elif fields["event"] == "done":
                self.done = content


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    """Two servers on one ledger: what one began, the other knows from the record alone."""
    with (
        world(tmp_path_factory.mktemp("resume")) as first,
        served(create_app(own_threads(first.parts))) as second,
    ):
        yield first, second


def ask(visitor: Visitor, bases: Sequence[str], body: Mapping[str, str], cuts: Cuts) -> Reader:
    reader = Reader()
    base = bases[0]
    for most, after in (*cuts, (-1, 0)):
        headers = {**visitor.headers}
        if reader.ids:
            headers["Last-Event-ID"] = reader.ids[-1]
        url = f"{base}/widget/v1/{visitor.site.id}/messages"
        with httpx.stream("POST", url, json=body, headers=headers, timeout=30) as stream:
            assert stream.status_code == 200, stream.read()
            data = b""
            for chunk in stream.iter_raw():
                data += chunk
                if 0 <= most <= len(data):
                    data = data[:most]
                    break
            reader.read(data)
        if reader.done is not None:
            break
        base = bases[after]
    return reader


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    question=st.sampled_from(QUESTIONS),
    cuts=st.lists(st.tuples(st.integers(0, 2500), st.just(0)), max_size=5),
)
def test_wherever_it_is_cut_nothing_is_lost_or_told_twice(
    two: tuple[World, str], question: str, cuts: list[tuple[int, int]]
) -> None:
    first, _ = two
    visitor = first.visitor(first.site())
    reader = ask(visitor, [first.url], {"id": str(uuid4()), "text": question}, cuts)
    assert reader.done is not None
    assert reader.text == reader.done["text"] != ""
    assert len(reader.ids) == len(set(reader.ids))
    (item,) = visitor.thread()["items"]
    assert item["answer"]["text"] == reader.text


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.tuples(st.integers(0, 2500), st.integers(0, 1)), min_size=1, max_size=4))
def test_another_server_goes_on_where_the_first_one_broke_off(
    two: tuple[World, str], cuts: list[tuple[int, int]]
) -> None:
    first, second = two
    visitor = first.visitor(first.site())
    body = {"id": str(uuid4()), "text": QUESTION}
    reader = ask(visitor, [first.url, second], body, cuts)
    assert reader.done is not None
    assert reader.text == reader.done["text"] != ""
    assert len(visitor.thread()["items"]) == 1


def test_an_answer_that_nobody_waited_for_is_there_later(two: tuple[World, str]) -> None:
    first, _ = two
    visitor = first.visitor(first.site())
    body = {"id": str(uuid4()), "text": QUESTION}
    with httpx.stream(
        "POST", f"{visitor.base}/messages", json=body, headers=visitor.headers, timeout=30
    ) as stream:
        next(stream.iter_raw())
    with visitor.following() as following:
        item = following.until("item", kind="question", status="answered")
    assert item["answer"]["text"]
