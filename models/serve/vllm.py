"""A running vLLM, as its operators see it: what it serves, and loading and unloading adapters."""

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import httpx

from models.serve.private import private_address
from twofold.errors import Conflict, SetupError, UpstreamError
from twofold.prompt import Message

LOAD_S = 120.0
"""Reading an adapter from a slow disk, and a first request that compiles its kernels."""
HEALTH_PAUSE_S = 0.5


class Served(NamedTuple):
    """One name that a server answers to. `parent` is the base's name, "" for the base itself."""

    root: str
    parent: str


class Vllm:
    """Calls a running vLLM, until its `with` block ends. Every call raises SetupError where nobody
    answers, or UpstreamError."""

    def __init__(self, url: str, key: str = "") -> None:
        """Raises InvalidInput on a public address."""
        url = url.rstrip("/").removesuffix("/v1")
        address = private_address(url)
        parts = urlsplit(url)
        host = f"[{address}]" if ":" in address else address
        port = f":{parts.port}" if parts.port else ""
        self.url = url
        self._names = {"sni_hostname": parts.hostname}
        headers = {"host": parts.netloc}
        if key:
            headers["authorization"] = f"Bearer {key}"
        # A proxy of the environment would be a way out of the admin network.
        self._http = httpx.Client(
            base_url=f"{parts.scheme}://{host}{port}",
            headers=headers,
            timeout=LOAD_S,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def wait(self, seconds: float, lives: Callable[[], None] = lambda: None) -> None:
        """Waits until the server is healthy, which takes a minute or more from its start. Raises
        SetupError after that, or whatever `lives` raises where it has ended meanwhile."""
        until = time.monotonic() + seconds
        while True:
            lives()
            try:
                if self._send("GET", "/health").is_success:
                    return
            except SetupError:
                pass
            if time.monotonic() >= until:
                raise SetupError(f"{self.url} was not healthy within {seconds:g} s. See its log.")
            time.sleep(HEALTH_PAUSE_S)

    def served(self) -> dict[str, Served]:
        """Returns what it answers to, by name."""
        listed = self._checked("GET", "/v1/models")
        try:
            return {
                str(card["id"]): Served(str(card["root"]), str(card["parent"] or ""))
                for card in listed["data"]
            }
        except (KeyError, TypeError) as error:
            raise UpstreamError(f"{self.url} lists its models in no way we know.") from error

    def load(self, name: str, path: str) -> None:
        """Loads an adapter under a name. Raises Conflict where the name is loaded already."""
        body = {"lora_name": name, "lora_path": path}
        response = self._send("POST", "/v1/load_lora_adapter", body)
        if response.is_success:
            return
        said = _message(response)
        if "already been loaded" in said:
            raise Conflict(f"{self.url} holds an adapter named {name!r} already.")
        if response.status_code in (404, 405) and "adapter" not in said.lower():
            raise SetupError(
                f"{self.url} loads no adapters while it runs: start it with"
                " VLLM_ALLOW_RUNTIME_LORA_UPDATING=1, on the admin network only."
            )
        self._refused(response, said)

    def unload(self, name: str) -> None:
        """Forgets an adapter, if it is there."""
        response = self._send("POST", "/v1/unload_lora_adapter", {"lora_name": name})
        if not response.is_success and response.status_code != 404:
            self._refused(response, _message(response))

    def ask(self, name: str, messages: Sequence[Message], grammar: str) -> None:
        """Asks `name` for one token: it answers, and what a first request pays for is paid."""
        body = {
            "model": name,
            "messages": [message._asdict() for message in messages],
            "max_tokens": 1,
            "temperature": 0,
            "structured_outputs": {"grammar": grammar},
        }
        said = self._checked("POST", "/v1/chat/completions", body)
        if said.get("model") != name or not said.get("choices"):
            raise UpstreamError(f"{self.url} was asked for {name!r} and answers as another model.")

    def _checked(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        response = self._send(method, path, body)
        if not response.is_success:
            self._refused(response, _message(response))
        try:
            data = response.json()
        except ValueError as error:
            raise UpstreamError(f"{self.url}{path} answers no JSON: is it vLLM?") from error
        if not isinstance(data, dict):
            raise UpstreamError(f"{self.url}{path} answers in no way we know: is it vLLM?")
        return data

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        try:
            return self._http.request(method, path, json=body, extensions=self._names)
        except httpx.HTTPError as error:
            raise SetupError(
                f"{self.url} does not answer ({type(error).__name__}). Is vLLM running there?"
            ) from error

    def _refused(self, response: httpx.Response, said: str) -> None:
        if response.status_code == 401:
            raise SetupError(f"{self.url} wants another key: set TWOFOLD_MODEL_ADMIN_KEY.")
        raise UpstreamError(f"{self.url} refused with status {response.status_code}: {said}")


def _message(response: httpx.Response) -> str:
    try:
        data = response.json()
        return str(data["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
