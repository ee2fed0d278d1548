"""An OpenAI-compatible chat server that really speaks HTTP, and says what a test wants."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[list[dict[str, str]]], str | int]
"""Messages -> the text of the reply, or the status to refuse with."""


@dataclass
class ChatServer:
    reply: Reply
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    inside: int = 0
    most_inside: int = 0
    usage: dict[str, Any] = field(
        default_factory=lambda: {
            "prompt_tokens": 100,
            "completion_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 75},
        }
    )
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def chat_server(reply: Reply) -> Iterator[ChatServer]:
    """On a port of its own, while the block runs."""
    told = ChatServer(reply)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with told.lock:
                told.asked.append(body)
                told.keys.add(self.headers["authorization"])
                told.inside += 1
                told.most_inside = max(told.most_inside, told.inside)
            said = told.reply(body["messages"])
            with told.lock:
                told.inside -= 1
            status = said if isinstance(said, int) else 200
            message = {"role": "assistant", "content": said}
            answer = {"choices": [{"message": message}], "usage": told.usage}
            self._send(status, {"error": "refused"} if isinstance(said, int) else answer)

        def _send(self, status: int, value: Any) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
