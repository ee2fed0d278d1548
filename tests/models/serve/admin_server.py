"""A server that answers an operator's requests in vLLM's words; the real one is in the integration
tests."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class AdminServer:
    """Serves while its context lasts. `adapters`: name -> path of what is loaded."""

    def __init__(self, base: str = "tiny", root: str = "/models/tiny", key: str = "") -> None:
        self.base = base
        self.root = root
        self.key = key
        self.adapters: dict[str, str] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.keys: set[str] = set()
        self.unhealthy = 0
        """So many health checks are answered with 503 first."""
        self.updating = True
        """VLLM_ALLOW_RUNTIME_LORA_UPDATING."""
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def called(self, path: str) -> list[dict[str, Any]]:
        return [body for called, body in self.calls if called == path]

    @property
    def asked(self) -> list[str]:
        return [body["model"] for body in self.called("/v1/chat/completions")]

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        with self._lock:
            self.calls.append((path, body))
            if path == "/health":
                self.unhealthy -= 1
                return (503, {}) if self.unhealthy >= 0 else (200, {})
            if path == "/v1/models":
                cards = [{"id": self.base, "root": self.root, "parent": None}]
                cards += [
                    {"id": name, "root": root, "parent": self.base}
                    for name, root in self.adapters.items()
                ]
                return 200, {"data": cards}
            if path == "/v1/chat/completions":
                return self._completion(body["model"])
            if path.endswith("load_lora_adapter") and self.updating:
                return self._adapter(path, body)
            return 404, {"detail": "Not Found"}

    def _completion(self, model: str) -> tuple[int, Any]:
        if model != self.base and model not in self.adapters:
            return 404, _error(f"The model `{model}` does not exist.")
        return 200, {"model": model, "choices": [{"message": {"content": "ANSWER"}}]}

    def _adapter(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        name = body["lora_name"]
        if path == "/v1/unload_lora_adapter":
            found = self.adapters.pop(name, None)
            return (
                (200, {}) if found else (404, _error(f"The lora adapter '{name}' cannot be found."))
            )
        if name in self.adapters:
            return 400, _error(f"The lora adapter '{name}' has already been loaded. If you want …")
        self.adapters[name] = body["lora_path"]
        return 200, {}


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message}}


def _handler(server: AdminServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            self._answer(json.loads(self.rfile.read(length)))

        def _answer(self, body: dict[str, Any]) -> None:
            shown = (self.headers["authorization"] or "").removeprefix("Bearer ")
            server.keys.add(shown)
            status, said = server.answer(self.path, body)
            if server.key not in ("", shown) and self.path != "/health":
                status, said = 401, {"error": "Unauthorized"}
            raw = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
