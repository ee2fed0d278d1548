"""Every error as an RFC 9457 problem document, without a word about our insides."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from twofold.errors import Overloaded, TwofoldError, Unauthorized, Unavailable
from twofold.ledger.watch import NO_LEDGER, TROUBLE

MEDIA_TYPE = "application/problem+json"
URN = "urn:twofold:problem:"
OPENAI_PATHS = ("/v1/chat/completions", "/v1/models")
"""Where errors have OpenAI's shape: its clients talk to these."""
TITLES: Mapping[str, str] = {
    "conflict": "Somebody else holds it",
    "forbidden": "Not allowed",
    "internal": "Something went wrong here",
    "invalid-input": "The request cannot be used as it is",
    "not-found": "It does not exist",
    "overloaded": "Too much at once",
    "setup": "The installation is incomplete",
    "too-large": "Over the limit",
    "too-slow": "The request did not arrive in time",
    "unauthorized": "Who asks?",
    "unavailable": "Not possible at the moment",
    "upstream": "A service we need failed",
}
UNEXPECTED = "Something unexpected went wrong here. Try again; if it stays, report the error_id."

_log = structlog.get_logger("twofold.http")


class FieldProblem(BaseModel):
    field: str
    message: str


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    type: str = Field(description="`urn:twofold:problem:<slug>`; `about:blank` for plain HTTP.")
    title: str
    status: int
    detail: str
    instance: str | None = None
    error_id: str | None = Field(default=None, description="Look for it in the log.")
    errors: list[FieldProblem] | None = None


ANYWHERE = (400, 401, 403, 408, 413, 422, 429, 500, 503)
"""What the layers in front of every endpoint may say."""


def declare(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns `responses=` of an endpoint that may answer with these problems, beside those of
    ANYWHERE."""
    return _declare({MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}, statuses)


def declare_openai(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns the same where OpenAI's clients ask."""
    schema = {"$ref": "#/components/schemas/OpenAIError"}
    return _declare({"application/json": {"schema": schema}}, statuses)


def _declare(content: dict[str, Any], statuses: Iterable[int]) -> dict[int | str, dict[str, Any]]:
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in sorted({*ANYWHERE, *statuses})
    }


def problem_of(error: Exception, path: str | None = None) -> Problem:
    """Returns the problem that `error` is to a caller. What was not foreseen is logged under an
    id."""
    named = _named(error)
    if named is not error:
        _log.error("the ledger failed", path=_loggable(path), exc_info=error)
        error = named
    if isinstance(error, TwofoldError):
        return Problem(
            type=URN + error.slug,
            title=TITLES.get(error.slug, error.slug),
            status=error.status,
            detail=error.message,
            instance=path,
        )
    error_id = uuid4().hex[:12]
    _log.error("unexpected error", error_id=error_id, path=_loggable(path), exc_info=error)
    return Problem(
        type=URN + "internal",
        title=TITLES["internal"],
        status=500,
        detail=UNEXPECTED,
        instance=path,
        error_id=error_id,
    )


def _named(error: Exception) -> Exception:
    """Returns the error that a caller is told of: a database that cannot be reached is no bug of
    ours."""
    return Unavailable(NO_LEDGER) if isinstance(error, TROUBLE) else error


def _loggable(path: str | None) -> str | None:
    """Returns where in the API it was, without who: a customer's id may be an address."""
    return "/".join((path or "").split("/")[:3]) or None


def encode(problem: Problem) -> bytes:
    return orjson.dumps(problem.model_dump(exclude_none=True))


def respond(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    if problem.instance is not None and problem.instance.startswith(OPENAI_PATHS):
        content = orjson.dumps(openai_error(problem))
        return Response(content, problem.status, dict(headers or {}), "application/json")
    return Response(encode(problem), problem.status, dict(headers or {}), MEDIA_TYPE)


def openai_error(problem: Problem) -> dict[str, Any]:
    """Returns the same problem as OpenAI's clients expect it."""
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    server = "server_error" if problem.status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": problem.detail,
            "type": kinds.get(problem.status, server),
            "param": problem.errors[0].field if problem.errors else None,
            "code": problem.type.removeprefix(URN),
        }
    }


def headers_of(error: Exception) -> dict[str, str]:
    error = _named(error)
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, (Overloaded, Unavailable)):
        return {"Retry-After": str(max(1, round(error.retry_after)))}
    return {}


def install(app: FastAPI) -> None:
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(TwofoldError, _raised)


async def _raised(request: Request, error: Exception) -> Response:
    return respond(problem_of(error, request.url.path), headers_of(error))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for nothing else
    phrase = HTTPStatus(error.status_code).phrase
    problem = Problem(
        type="about:blank",
        title=phrase,
        status=error.status_code,
        detail=_say(error, request),
        instance=request.url.path,
    )
    return respond(problem, error.headers)


def _say(error: HTTPException, request: Request) -> str:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return f"There is nothing at {request.url.path}. See /openapi.json for what there is."
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "another method")
        return f"{request.method} is not possible at {request.url.path}; use {allowed}."
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return "The request cannot be read. Send valid JSON in UTF-8."
    return error.detail


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  registered for nothing else
    found = [{"field": _field(each), "message": _message(each)} for each in error.errors()]
    first = found[0]
    problem = Problem.model_validate(
        {
            "type": URN + "invalid-input",
            "title": TITLES["invalid-input"],
            "status": 422,
            "detail": f"`{first['field']}`: {first['message']}.",
            "instance": request.url.path,
            "errors": found,
        }
    )
    return respond(problem)


def _field(error: Mapping[str, Any]) -> str:
    """Returns where in the request, in the caller's words: without our union branches."""
    if error["type"] == "json_invalid":
        return "body"
    parts = [
        str(part) for part in error["loc"][1:] if not str(part).startswith(("list[", "constrained"))
    ]
    return ".".join(parts) or "body"


def _message(error: Mapping[str, Any]) -> str:
    # What pydantic says about broken JSON and wrong bodies speaks of its own types.
    if error["type"] == "json_invalid":
        return "the body is not valid JSON"
    if error["type"] in ("model_attributes_type", "model_type", "dict_type"):
        return "send a JSON object, with Content-Type: application/json"
    if error["type"] == "missing":
        return "it is missing"
    if error["type"] == "extra_forbidden":
        return "there is no such field"
    text = str(error["msg"]).removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
