"""Routes that read their request themselves: for where a customer waits for the first word."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.responses import Response


class DirectRoute(APIRoute):
    """FastAPI finds and describes it as any route; its endpoint is handed the `body`, the `request`
    and, by name, the headers of its signature, as text.

    FastAPI's own way of finding parameters is general, and took as long as the search's thread, the
    prompt and the model's request together.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        field = self.body_field
        assert field is not None  # noqa: S101  a programmer's mistake
        model: type[BaseModel] = field.field_info.annotation  # type: ignore[assignment]
        headers = [(each.name, each.alias) for each in self.dependant.header_params]

        async def handle(request: Request) -> Response:
            body = read(model, await request.body(), request.headers.get("content-type", ""))
            given = {name: request.headers.get(alias) for name, alias in headers}
            response: Response = await self.endpoint(body=body, request=request, **given)
            return response

        return handle


def read(model: type[BaseModel], body: bytes, content_type: str) -> BaseModel:
    """Returns the body as `model`. Raises RequestValidationError.

    Another content type is refused whatever the body holds: a foreign web page may send this
    machine text unasked, but JSON only if the server agreed before.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind[:12] == "application/" and kind[-5:] == "+json"):
        raise RequestValidationError([{"type": "model_type", "loc": ("body",), "msg": "no JSON"}])
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        raise RequestValidationError(
            [each | {"loc": ("body", *each["loc"])} for each in found]
        ) from error
