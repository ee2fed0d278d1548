"""Which server runs on this home: `server.json`, there while it does; and how commands ask it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from twofold.errors import InvalidInput, UpstreamError

if TYPE_CHECKING:
    import httpx
    from pydantic import SecretStr

HEALTH_SECONDS = 2.0


class Running(NamedTuple):
    pid: int
    url: str

    def ask(
        self,
        method: str,
        path: str,
        key: "SecretStr",
        *,
        timeout_s: float,
        json: dict[str, Any] | None = None,
        params: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Returns what the server answers: a JSON object.

        Raises InvalidInput where it refuses the request, UpstreamError where it breaks off.
        """
        import httpx

        secret = key.get_secret_value()
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        try:
            with httpx.Client(trust_env=False, timeout=timeout_s, headers=headers) as client:
                response = client.request(method, f"{self.url}{path}", json=json, params=params)
        except httpx.HTTPError as error:
            raise _broke_off(self.url, error) from error
        return result(response, self.url)


def result(response: "httpx.Response", url: str) -> dict[str, Any]:
    """Returns the JSON object that the server at `url` answered; nothing where it had nothing to
    say.

    Raises InvalidInput where it refuses the request, UpstreamError where it broke off.
    """
    try:
        found = response.json() if response.content else {}
    except ValueError as error:
        raise _broke_off(url, error) from error
    if response.is_success and isinstance(found, dict):
        return found
    detail = found.get("detail") if isinstance(found, dict) else None
    said = str(detail or f"The server at {url} answered status {response.status_code}.")
    if response.status_code == 401:
        said += (
            " This command sends TWOFOLD_API_KEY: set it to a key of that server. One for every"
            " command: twofold key create NAME --scope admin"
        )
    raise InvalidInput(said) if response.is_client_error else UpstreamError(said)


def _broke_off(url: str, error: Exception) -> UpstreamError:
    return UpstreamError(
        f"The server at {url} broke off ({type(error).__name__}). Try again, or read its log."
    )


def announce(home: Path, url: str) -> None:
    """Tells other processes where this one serves. The file is whole or absent."""
    path = _file(home)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_bytes(orjson.dumps({"pid": os.getpid(), "url": url}))
    draft.replace(path)


def withdraw(home: Path) -> None:
    """Removes what `announce` wrote, unless another process has announced itself since."""
    found = _read(home)
    if found and found.pid == os.getpid():
        _file(home).unlink(missing_ok=True)


def find(home: Path) -> Running | None:
    """Returns the server that runs on `home` and answers, if one does."""
    found = _read(home)
    return found if found and _alive(found.pid) and _answers(found.url) else None


def _read(home: Path) -> Running | None:
    try:
        data = orjson.loads(_file(home).read_bytes())
        return Running(int(data["pid"]), str(data["url"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _answers(url: str) -> bool:
    # Imported late: most commands never look for a server.
    import httpx

    try:
        # A proxy of the environment has no business between two processes of one machine.
        with httpx.Client(trust_env=False, timeout=HEALTH_SECONDS) as client:
            return client.get(f"{url}/healthz").is_success
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def _file(home: Path) -> Path:
    return home / "server.json"
