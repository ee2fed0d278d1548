"""What is reached over HTTP: model servers, the models they serve, and certificates."""

import re
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from socket import create_connection
from typing import Any
from urllib.parse import urlsplit

import httpx

from services.answer.search.rerank import open_reranker
from services.standalone.operate.findings import Check, CheckResult, failed, ok, warning
from twofold.clients.chat import server_root
from twofold.ledger import Ledger
from twofold.ledger.releases import served
from twofold.settings import Settings
from twofold.stack import open_embedder

SECONDS = 5.0
EXPIRES_DAYS, EXPIRES_SOON_DAYS = 3, 21
VLLM = (0, 32)
"""Older ones have known holes in templates and in constrained decoding."""


def checks(settings: Settings) -> Iterator[tuple[str, Check, str]]:
    """Yields each check with its name, and what to do where it breaks."""
    if settings.model_url:
        yield "model", partial(model, settings), "Start the model server, or set TWOFOLD_MODEL_URL."
    if settings.embedder_url:
        yield "embedder", partial(embedder, settings), "Start it, or set TWOFOLD_EMBEDDER_URL."
    if settings.reranker_url or settings.reranker_folder:
        yield "reranker", partial(reranker, settings), "See TWOFOLD_RERANKER_URL and _FOLDER."
    for url in sorted(_secured(settings)):
        yield "certificate", partial(certificate, url), f"Can {url} be reached from here?"


def model(settings: Settings) -> Iterator[CheckResult]:
    adapter = settings.model_adapter if settings.model_adapter_url else ""
    beside = "" if adapter else settings.model_adapter
    yield from _model(settings, settings.model_url, settings.model_name, beside)
    if adapter:
        yield from _model(settings, settings.model_adapter_url, adapter)


def _model(settings: Settings, url: str, *expected: str) -> Iterator[CheckResult]:
    root = server_root(url)
    key = settings.model_key.get_secret_value()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(timeout=SECONDS, trust_env=False, headers=headers) as client:
        response = client.get(f"{root}/v1/models")
        if response.status_code in (401, 403):
            yield failed("model", f"{root} refuses the key.", "Set TWOFOLD_MODEL_KEY to its own.")
            return
        names = _names(response.raise_for_status().json())
        release = _release(client, root)
    for wanted in expected:
        if wanted and wanted not in names:
            yield failed(
                "model", f"{root} does not serve {wanted!r}; it has {', '.join(names) or 0}.",
                "Set TWOFOLD_MODEL_NAME and TWOFOLD_MODEL_ADAPTER to what it serves.",
            )  # fmt: skip
    if release and release < VLLM:
        yield warning(
            "model",
            f"vLLM {'.'.join(map(str, release))}.",
            "Use vLLM 0.32 or newer: security fixes.",
        )
    yield ok("model", f"{root} serves {', '.join(names)}.")
    told = response.headers.get("date")
    if told:
        skew = parsedate_to_datetime(told).timestamp() - time.time()
        if abs(skew) > 60:
            yield warning("clock", f"{root}'s differs by {skew:.0f} s.", "Set both by NTP.")


def _names(found: Any) -> list[str]:
    return [str(each["id"]) for each in found["data"]]


def _release(client: httpx.Client, root: str) -> tuple[int, int] | None:
    """Returns the version of vLLM; None where it is another server."""
    try:
        found = client.get(f"{root}/version").json()["version"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None
    numbers = re.match(r"(\d{1,9})\.(\d{1,9})", str(found))
    return (int(numbers[1]), int(numbers[2])) if numbers else None


def releases(settings: Settings, ledger: Ledger) -> Iterator[CheckResult]:
    """Yields live release and canary against what the model server has loaded."""
    with ledger.session() as session:
        wanted = [release.name for release in served(session)]
    if not wanted:
        return
    if not settings.model_url:
        yield warning(
            "releases", f"{', '.join(wanted)} should serve, and no model server is set.",
            "Set TWOFOLD_MODEL_URL.",
        )  # fmt: skip
        return
    key = settings.model_key.get_secret_value()
    with httpx.Client(timeout=SECONDS, trust_env=False) as client:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        listing = client.get(f"{server_root(settings.model_url)}/v1/models", headers=headers)
        names = _names(listing.raise_for_status().json())
    missing = [name for name in wanted if name not in names]
    if missing:
        yield failed(
            "releases", f"The model server has not loaded {', '.join(missing)}.",
            "twofold model publish brings them back; until then the base model answers.",
        )  # fmt: skip
    else:
        yield ok("releases", f"{', '.join(wanted)} loaded.")


def embedder(settings: Settings) -> Iterator[CheckResult]:
    found = open_embedder(settings)
    found.embed(["Is this on?"])
    yield ok("embedder", f"{found.name} answers, {found.dimension} wide.")


def reranker(settings: Settings) -> Iterator[CheckResult]:
    import asyncio

    async def ask() -> None:
        opened = open_reranker(settings)
        if opened is not None:
            try:
                by = time.monotonic() + SECONDS
                await opened.scores("Is this on?", ["It is."], deadline=by)
            finally:
                await opened.aclose()

    asyncio.run(asyncio.wait_for(ask(), SECONDS))
    yield ok("reranker", "answers.")


def _secured(settings: Settings) -> set[str]:
    """Returns hosts that settings name with https."""
    urls = [settings.model_url, settings.qdrant_url, settings.embedder_url, settings.reranker_url]
    urls += [settings.model_admin_url, settings.model_adapter_url]
    urls += [str(target.get("url", "")) for target in settings.handoff_targets]
    parts = [urlsplit(url) for url in urls if url.startswith("https://")]
    return {f"{part.hostname}:{part.port or 443}" for part in parts if part.hostname}


def certificate(place: str) -> Iterator[CheckResult]:
    host, _, port = place.rpartition(":")
    try:
        with (
            create_connection((host, int(port)), SECONDS) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secured,
        ):
            told = secured.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        yield failed(
            "certificate", f"{place}: {error.verify_message}.", "Renew it, or trust its maker."
        )
        return
    ends = ssl.cert_time_to_seconds(str(told["notAfter"]))
    days = (ends - time.time()) / 86_400
    found = f"{place} until {datetime.fromtimestamp(ends, UTC).date()}."
    if days < EXPIRES_DAYS:
        yield failed("certificate", found, "Renew it now.")
    elif days < EXPIRES_SOON_DAYS:
        yield warning("certificate", found, "Renew it: does the automatic renewal work?")
    else:
        yield ok("certificate", found)
