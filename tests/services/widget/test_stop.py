"""A visitor who stops an answer stops the model that writes it."""

import asyncio
from pathlib import Path
from uuid import uuid4

import httpx

from services.standalone.app import create_app
from tests.model_server import FIRST_SENTENCE, ModelServer, hangs, says_then
from tests.services.answer.asking import QUESTION, knowing, with_model, with_settings
from tests.services.standalone.serving import served
from tests.services.widget.visiting import PLENTY, World


def test_a_stop_ends_the_models_call_and_keeps_what_was_said(tmp_path: Path) -> None:
    async def run() -> None:
        with knowing(tmp_path) as parts:
            behaviour = says_then(f"ANSWER\n{FIRST_SENTENCE} [1] Deploy", hangs)
            async with ModelServer(behaviour) as model:
                asked = with_model(with_settings(parts, **PLENTY), model.url)
                app = create_app(asked)
                with served(app) as url:
                    here = World(url, asked, app.state.widget)
                    await asyncio.to_thread(_stopped_midway, here)
                assert len(model.requests) == 1
                async with asyncio.timeout(30):
                    await model.requests[0].left.wait()

    asyncio.run(run())


def _stopped_midway(here: World) -> None:
    visitor, id = here.visitor(here.site()), str(uuid4())
    body = {"id": id, "text": QUESTION}
    with httpx.stream(
        "POST", f"{visitor.base}/messages", json=body, headers=visitor.headers, timeout=60
    ) as stream:
        lines = stream.iter_lines()
        assert any(line == "event: delta" for line in lines)
        assert visitor("POST", f"/messages/{id}/stop", {"chars": 9}).status_code == 204
        assert any(line == "event: done" for line in lines)
    (item,) = visitor.thread()["items"]
    assert item["status"] == "stopped"
    assert item["answer"]["text"] == f"{FIRST_SENTENCE} [1]"
