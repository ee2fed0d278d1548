"""Anything at all, sent to everything that takes a body: told in time, and never a fault of ours.

`FUZZ=1000 pytest tests/services/standalone/test_fuzz.py` sends more.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any
from uuid import uuid4

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.answer.pipeline import Parts
from services.standalone.app import create_app
from tests.services.answer.edge import Client
from tests.services.standalone.serving import needs_weights, small_parts
from twofold.signatures import sign

pytestmark = needs_weights
EACH = int(os.environ.get("FUZZ", "12"))
SECRET = "fuzz"

NASTY = st.sampled_from(
    ["\x00", "\u202e", "\ud800", "'; --", "%00", "../" * 9, "![" * 500, "<!--" * 300, "9" * 3000,
     "thanks" + " for the" * 40 + " qq?", "---\na: &a [x]\n---\n", "{/*" * 300, "\n" * 2000]
)  # fmt: skip
TEXT = st.one_of(NASTY, st.text(max_size=300), st.lists(NASTY, max_size=3).map("".join))
ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
TURN = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "text": TEXT})


def body(required: dict[str, Any], **optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Mostly what the endpoint takes; at times with something else in one of its places."""
    right = st.fixed_dictionaries(required, optional=optional)
    names = [*required, *optional, "conversation_id", "audience", "team", "url"]
    wrong = st.dictionaries(st.sampled_from(names), ANY, max_size=2)
    return st.one_of(right, right, st.builds(lambda one, two: {**one, **two}, right, wrong))


DAY = st.dates(max_value=date(2026, 1, 1)).map(str)
NAME = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=40)
PLACES: dict[tuple[str, str], st.SearchStrategy[dict[str, Any]]] = {
    ("POST", "/v1/chat"): body(
        {"message": TEXT}, customer=NAME, history=st.lists(TURN, max_size=4), as_of=DAY,
        locale=st.sampled_from(["en", "de", "fr"]),
    ),
    ("POST", "/v1/search"): body({"query": TEXT}, as_of=DAY, locale=st.just("en")),
    ("POST", "/v1/handoffs"): body({"message": TEXT}, customer=NAME, locale=st.just("en")),
    ("POST", "/v1/feedback"): body({"answer_id": TEXT, "rating": st.just("up")}, comment=TEXT),
    ("PUT", "/v1/documents/fuzz/a.md"): body(
        {"content": TEXT}, title=NAME, locale=st.just("en"), updated_at=DAY,
        labels=st.lists(NAME, max_size=3),
        content_type=st.sampled_from(["text/markdown", "text/html", "text/plain"]),
    ),
    ("POST", "/v1/hooks/fuzz"): body(
        {}, refresh=st.lists(TEXT, max_size=2), delete=st.lists(TEXT, max_size=2),
        put=st.lists(st.fixed_dictionaries({"external_id": TEXT, "content": TEXT}), max_size=2),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWOFOLD_SECRET_FUZZ", SECRET)
        with small_parts(tmp_path_factory.mktemp("fuzz")) as parts:
            yield Client(_pushed(parts))


def _pushed(parts: Parts) -> Any:
    from ingestion.sync.lease import register

    config = {"hook_secret": "TWOFOLD_SECRET_FUZZ"}
    register(parts.stack.ledger, parts.stack.settings.workspace, "fuzz", "push", config)
    return create_app(parts)


@pytest.mark.heavy
@pytest.mark.parametrize("place", PLACES, ids=[path for _, path in PLACES])
def test_whatever_is_sent_is_told_in_time_and_is_no_fault_of_ours(
    call: Client, place: tuple[str, str]
) -> None:
    method, path = place
    seen: Counter[int] = Counter()
    slowest = [0.0]

    @settings(
        max_examples=EACH, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(PLACES[place])
    def send(value: dict[str, Any]) -> None:
        content = _json(value)
        headers = {"Content-Type": "application/json"}
        if "hooks" in path:
            headers |= sign(SECRET, uuid4().hex, content, int(time.time()))
        started = time.process_time()
        response = call(method, path, headers=headers, content=content)
        slowest[0] = max(slowest[0], time.process_time() - started)
        seen[response.status_code] += 1
        assert response.status_code < 500, (value, response.text)

    send()
    print(path, dict(seen), f"{slowest[0]:.2f} s of CPU at most")
    assert slowest[0] < 10, "no request takes more than its deadline, even of CPU alone"


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, orjson.JSONEncodeError):
        import json

        return json.dumps(value).encode("utf-8", "surrogatepass")
