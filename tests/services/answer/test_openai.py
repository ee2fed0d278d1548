"""OpenAI's own client talks to us over a socket."""

from collections.abc import AsyncGenerator, Iterator
from typing import Any

import openai
import pytest
import structlog
from sqlalchemy import func, select

from services.answer import pipeline
from services.answer.app import create_app
from services.answer.contract import Ask
from services.answer.events import Acted, Delta, Event, Meta
from services.answer.pipeline import Parts
from tests.services.answer.edge import HACKED, ROLL, Client, key_for
from tests.services.standalone.serving import needs_weights, own_threads, served
from twofold import telemetry
from twofold.errors import Overloaded
from twofold.ledger.models import Answer, Handoff

pytestmark = needs_weights


@pytest.fixture(scope="module")
def url(lasting: Parts) -> Iterator[str]:
    with served(create_app(own_threads(lasting))) as url:
        yield url


@pytest.fixture(scope="module")
def client(lasting: Parts, url: str) -> Iterator[openai.OpenAI]:
    key = key_for(lasting, "openai", "answer", audiences=["customer"])
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        yield client


def asking(text: str) -> Any:
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]


def test_there_is_one_model(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["twofold"]


def test_a_completion(client: openai.OpenAI) -> None:
    said = client.chat.completions.create(model="twofold", messages=asking(ROLL), temperature=0)
    assert said.id.startswith("chatcmpl-")
    choice = said.choices[0]
    assert (choice.finish_reason, choice.message.role) == ("stop", "assistant")
    assert "12 hours" in (choice.message.content or "")
    assert said.usage is not None
    assert said.usage.total_tokens == said.usage.prompt_tokens + said.usage.completion_tokens
    ours = (said.model_extra or {})["twofold"]
    assert ours["text"] == choice.message.content
    assert ours["citations"][0]["document"] == "help/articles/rotate-signing-secret.md"


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (
            "### Task:\nGenerate a concise, 3-5 word title summarizing the chat history.\n"
            'JSON format: { "title": "..." }\n### Chat History:\n<chat_history>\n'
            f"USER: {HACKED}\nASSISTANT: One moment.\n</chat_history>",
            '{"title":"My account was hacked and someone"}',
        ),
        (
            "### Task:\nGenerate 1-3 broad tags categorizing the chat history.\nJSON format:"
            f' {{ "tags": ["x"] }}\n<chat_history>\nUSER: {HACKED}\n</chat_history>',
            '{"tags":["Support"]}',
        ),
        (
            "### Task:\nSuggest 3-5 relevant follow-up questions based on the chat history.\n"
            f"<chat_history>\nUSER: {HACKED}\n</chat_history>",
            "",
        ),
        (
            f"Provide a concise, 5-word-or-less title for this conversation.\n\nUser: {HACKED}",
            "My account was hacked and someone",
        ),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_titles_tags_and_follow_ups_open_no_handover(
    client: openai.OpenAI, lasting: Parts, order: str, says: str, stream: bool
) -> None:
    def counted() -> int:
        with lasting.stack.ledger.session() as session:
            answers = session.scalar(select(func.count()).select_from(Answer)) or 0
            return answers + (session.scalar(select(func.count()).select_from(Handoff)) or 0)

    before = counted()
    messages: Any = [{"role": "user", "content": order}]
    if stream:
        chunks = client.chat.completions.create(model="twofold", messages=messages, stream=True)
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    else:
        whole = client.chat.completions.create(model="twofold", messages=messages)
        said = whole.choices[0].message.content or ""
    assert said == says
    assert counted() == before


@pytest.mark.parametrize("question", ["How do I generate a title tag?", HACKED])
def test_what_a_customer_asks_is_no_order_about_a_transcript(
    client: openai.OpenAI, question: str
) -> None:
    said = client.chat.completions.create(model="twofold", messages=asking(question))
    assert "twofold" in (said.model_extra or {})


@pytest.mark.parametrize("usage", [True, False])
def test_a_stream(client: openai.OpenAI, usage: bool) -> None:
    options: Any = {"stream_options": {"include_usage": True}} if usage else {}
    chunks = list(
        client.chat.completions.create(
            model="twofold", messages=asking(ROLL), stream=True, **options
        )
    )
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    spoken = [chunk.choices[0] for chunk in chunks if chunk.choices]
    text = "".join(choice.delta.content or "" for choice in spoken)
    assert [choice.finish_reason for choice in spoken if choice.finish_reason] == ["stop"]
    ours = next(c.model_extra["twofold"] for c in chunks if "twofold" in (c.model_extra or {}))
    assert ours["text"] == text
    assert "12 hours" in text
    counted = [chunk for chunk in chunks if chunk.usage is not None]
    assert len(counted) == usage
    if usage:
        assert chunks[-1] is counted[0]
        assert chunks[-1].choices == []


def test_the_stream_helper_accumulates(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="twofold", messages=asking(ROLL)) as stream:
        for _ in stream:
            pass
        assert "12 hours" in (stream.get_final_completion().choices[0].message.content or "")


def test_a_conversation_is_the_messages_before(client: openai.OpenAI) -> None:
    messages: Any = [
        {"role": "user", "content": ROLL},
        {"role": "assistant", "content": "It keeps working for 12 hours."},
        {"role": "user", "content": [{"type": "text", "text": "And where do I do that?"}]},
    ]
    said = client.chat.completions.create(model="twofold", messages=messages)
    assert said.choices[0].message.content


def test_an_escalation_is_said_in_our_own_key(client: openai.OpenAI) -> None:
    said = client.chat.completions.create(
        model="twofold",
        messages=asking(HACKED),
        user="jo",
        extra_body={"twofold": {"locale": "en"}},
    )
    ours = (said.model_extra or {})["twofold"]
    assert ours["escalation"] == {"team": "security", "reason": "account_takeover"}


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"model": "gpt-9"}, openai.NotFoundError, "no model 'gpt-9'"),
        ({"messages": []}, openai.UnprocessableEntityError, "messages"),
        (
            {"messages": [{"role": "assistant", "content": "x"}]},
            openai.UnprocessableEntityError,
            "the user's",
        ),
        ({"messages": asking(" ")}, openai.UnprocessableEntityError, "empty"),
        ({"n": 2}, openai.UnprocessableEntityError, "n"),
        (
            {"extra_body": {"twofold": {"audience": "internal"}}},
            openai.PermissionDeniedError,
            "internal",
        ),
        ({"messages": asking("x" * 200_000)}, openai.APIStatusError, "128 kB"),
    ],
)
def test_errors_have_its_shape(
    client: openai.OpenAI, change: dict[str, Any], kind: type[openai.APIStatusError], says: str
) -> None:
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**{"model": "twofold", "messages": asking("x"), **change})
    body: Any = caught.value.body
    assert body.keys() == {"message", "type", "param", "code"}
    assert says in body["message"]


def test_a_wrong_key_is_an_authentication_error(url: str) -> None:
    wrong = openai.OpenAI(base_url=f"{url}/v1", api_key="tf_" + "x" * 43, max_retries=0)
    with wrong, pytest.raises(openai.AuthenticationError):
        wrong.models.list()


def test_a_full_house_is_a_rate_limit_with_a_time(
    lasting: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_ask: Ask, _parts: Parts) -> Any:
        raise Overloaded("Too many.", 3)

    monkeypatch.setattr(pipeline, "ask_once", full)
    body = {"model": "twofold", "messages": asking("x")}
    call = Client(create_app(lasting), key_for(lasting, "full", "answer"))
    response = call("POST", "/v1/chat/completions", body)
    assert (response.status_code, response.headers["retry-after"]) == (429, "3")
    assert response.json()["error"]["type"] == "rate_limit_error"


def test_a_stream_that_breaks_raises(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(_ask: Ask, _parts: Parts) -> AsyncGenerator[Event, None]:
        yield Meta("a", "c")
        yield Acted("ANSWER", None, "tuned")
        yield Delta("Open ")
        raise RuntimeError("the card is 4111")

    monkeypatch.setattr(pipeline, "answer", broken)
    telemetry.configure(json=True)
    stream = client.chat.completions.create(model="twofold", messages=asking("x"), stream=True)
    with pytest.raises(openai.APIError, match="unexpected"):
        list(stream)
    structlog.reset_defaults()
    assert "4111" not in "".join(capsys.readouterr())
