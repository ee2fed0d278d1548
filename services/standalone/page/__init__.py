"""The plain page: static files, and what the house tells it."""

from itertools import islice
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from services.answer.guard import detect_locale
from twofold.house import HousePolicy
from twofold.index import PUBLIC

HERE = Path(__file__).parent
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/page/markdown.js": ("markdown.js", "text/javascript; charset=utf-8"),
    "/page/words.js": ("words.js", "text/javascript; charset=utf-8"),
    "/page/style.css": ("style.css", "text/css; charset=utf-8"),
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
}
AUDIENCES = (PUBLIC, "customer", "internal")
EXAMPLES = 4
EXAMPLE_CHARS = range(18, 64)
HEADERS = {
    # No `unsafe-inline`, and no way to make markup from a string: what slips in cannot run.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def page_router(house: HousePolicy) -> APIRouter:
    """The page at `/` and its parts under `/page/`."""
    router = APIRouter(include_in_schema=False)
    for path, (name, media_type) in FILES.items():
        router.add_api_route(path, _serve(HERE / name, media_type), methods=["GET", "HEAD"])
    told = describe(house)
    router.add_api_route("/page/house.json", lambda: told)
    return router


def describe(house: HousePolicy) -> dict[str, Any]:
    """What the page shows of a house."""
    return {
        "company": house.company,
        "product": house.product,
        "locales": list(house.locales),
        "audiences": list(AUDIENCES),
        "teams": {locale: house.say(locale).teams for locale in house.locales},
        "examples": {locale: examples(house, locale) for locale in house.locales},
    }


def examples(house: HousePolicy, locale: str) -> list[str]:
    """A few well-formed plain questions of the house in `locale`."""
    return list(
        islice(
            (
                question
                for question in house.plain_examples
                if question[:1].isupper()
                and question.endswith("?")
                and len(question) in EXAMPLE_CHARS
                and detect_locale(question, house.locales) == locale
            ),
            EXAMPLES,
        )
    )


def _serve(path: Path, media_type: str) -> Any:
    content = path.read_bytes()

    async def serve() -> Response:
        return Response(content, media_type=media_type, headers=HEADERS)

    return serve
