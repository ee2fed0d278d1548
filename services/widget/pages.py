"""HTML shells, the loader and built files, each with headers that let nothing else run."""

import hashlib
import html
import mimetypes
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import orjson
from starlette.responses import Response

from twofold.errors import NotFound, SetupError, TwofoldError

STATIC: Final = Path(__file__).parent / "static"
PLACE: Final = b"__TWOFOLD_SITE__"
"""Stands in the built loader where the site's configuration goes."""
_ASSET = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,100}")
_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


_ICON: Final = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E"
    "%3Cpath fill='%231d4ed8' d='M21 11.5a8.5 8.5 0 0 1-12.6 7.4L3.5 20.5l1.6-4.9A8.5 8.5 0 1 1"
    " 21 11.5Z'/%3E%3C/svg%3E"
)


class BuiltScript(NamedTuple):
    """A built script with its styles, as paths."""

    script: str
    styles: tuple[str, ...]


def loader(config: Mapping[str, Any], known: str) -> Response:
    """Returns the loader with a site's configuration in it; `known` is the browser's
    If-None-Match."""
    content = _built("loader.js").replace(PLACE, _data(config), 1)
    tag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
    headers = {
        **_ALWAYS,
        "ETag": tag,
        "Cache-Control": "public, max-age=300",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    if known == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="text/javascript", headers=headers)


def no_loader(site: str) -> Response:
    """Returns a script that only says what is wrong, to whoever looks into the console."""
    says = _data(f"Twofold: there is no site {site!r} here. See `twofold site list`.")
    headers = {
        **_ALWAYS,
        "Cache-Control": "no-store",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    return Response(b"console.warn(" + says + b")", media_type="text/javascript", headers=headers)


def shell(
    name: str,
    title: str,
    locale: str,
    data: Mapping[str, Any],
    around: Sequence[str] = (),
    logo: str = "",
    body: str = "",
    end: str = "",
) -> Response:
    """Returns the page of a built entry. `around` are the origins that may frame it; `data` is
    for its script; `body` and `end` are trusted markup around it."""
    entry = entry_of(name)
    styles = "".join(f'<link rel="stylesheet" href="{path}">' for path in entry.styles)
    page = (
        f'<!doctype html>\n<html lang="{html.escape(locale)}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover,'
        ' interactive-widget=resizes-content">\n<meta name="color-scheme" content="light dark">\n'
        f'<title>{html.escape(title)}</title>\n<link rel="icon" href="{_ICON}">\n{styles}\n'
        f'<script type="module" src="{entry.script}"></script>\n</head>\n<body>\n'
        f'<script type="application/json" id="twofold">{_data(data).decode()}</script>\n'
        f"{body or '<div id=root></div>'}\n{end}\n</body>\n</html>\n"
    )
    headers = {
        **_ALWAYS,
        "Content-Security-Policy": policy(around, logo, framing=name == "demo"),
        "Cache-Control": "no-store",
    }
    return Response(page, media_type="text/html", headers=headers)


def policy(around: Sequence[str], logo: str = "", *, framing: bool = False) -> str:
    """Returns a Content-Security-Policy without `unsafe-*`, under which no text becomes markup."""
    image = urlsplit(logo)
    images = f" {image.scheme}://{image.netloc}" if image.scheme == "https" else ""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self';"
        f" img-src 'self' data:{images}; connect-src 'self';"
        + (" frame-src 'self';" if framing else "")
        + " base-uri 'none'; form-action 'none';"
        f" frame-ancestors {' '.join(around) or chr(39) + 'none' + chr(39)};"
        " require-trusted-types-for 'script'; trusted-types 'none'"
    )


def refused(error: TwofoldError) -> Response:
    """Returns a page for whoever sets the chat up; it may be framed by anybody, and runs
    nothing."""
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Not available</title>'
        f"<p>{html.escape(error.message)}</p></html>"
    )
    headers = {
        **_ALWAYS,
        "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'",
        "Cache-Control": "no-store",
    }
    return Response(page, error.status, headers, "text/html")


def asset(name: str) -> Response:
    """Returns a built file; its name says what is in it, so that it never changes. Raises
    NotFound."""
    path = STATIC / "assets" / name
    if not _ASSET.fullmatch(name) or not path.is_file():
        raise NotFound(f"There is no file {name!r}.")
    kind = {".js": "text/javascript"}.get(path.suffix) or mimetypes.guess_type(name)[0]
    headers = {
        **_ALWAYS,
        "Cache-Control": "public, max-age=31536000, immutable",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    return Response(
        path.read_bytes(), media_type=kind or "application/octet-stream", headers=headers
    )


def entry_of(name: str) -> BuiltScript:
    """Returns the built entry of that name. Raises SetupError where there is none."""
    manifest = orjson.loads(_built("manifest.json"))
    for key, each in manifest.items():
        if each.get("isEntry") and each.get("name") == name:
            styles = tuple(f"/widget/{path}" for path in _styles(manifest, key))
            return BuiltScript(f"/widget/{each['file']}", styles)
    raise SetupError(f"The widget's {name} is not built. Run `make widget`.")


def _styles(manifest: Mapping[str, Any], key: str) -> dict[str, None]:
    """Returns the style sheets of a chunk and of what it imports, each once, in order."""
    found: dict[str, None] = {}
    for other in manifest[key].get("imports", ()):
        found |= _styles(manifest, other)
    return found | dict.fromkeys(manifest[key].get("css", ()))


def _built(name: str) -> bytes:
    try:
        path = STATIC / name
        return _read(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise SetupError("The widget's pages are not built. Run `make widget`.") from error


@lru_cache(maxsize=16)
def _read(path: Path, changed: int) -> bytes:
    del changed  # what is read again when it does
    return path.read_bytes()


def _data(value: Any) -> bytes:
    """Returns JSON that ends neither its script element nor, as JavaScript, its line."""
    content = orjson.dumps(value)
    for plain, escaped in (
        (b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"),
        ("\u2028".encode(), b"\\u2028"), ("\u2029".encode(), b"\\u2029"),
    ):  # fmt: skip
        content = content.replace(plain, escaped)
    return content
