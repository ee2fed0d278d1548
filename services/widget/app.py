"""The widget's HTTP application: mounted beside the answer service, or a process of its own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import Depends, FastAPI, Request, params
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from services.http import problems
from services.http.boundary import ErrorBoundary, RequestLimits
from services.http.traced import NOT_FASTAPIS, Traced
from services.widget.agents import require
from services.widget.endpoints import routers
from services.widget.endpoints.deps import WidgetDep
from services.widget.endpoints.sites import router as sites_router
from services.widget.widget import Widget, open_widget
from twofold import telemetry, tracing
from twofold.errors import Unavailable
from twofold.ledger import Ledger
from twofold.settings import Settings


def mount(app: FastAPI, widget: Widget, for_sites: Sequence[params.Depends]) -> None:
    """Adds the widget to an application that checks keys for `/v1` itself; `for_sites` must
    refuse those of other workspaces."""
    app.state.widget = widget
    for router in routers:
        app.include_router(router)
    app.include_router(sites_router, dependencies=for_sites)


def create_app(widget: Widget) -> FastAPI:
    """Returns the widget alone."""
    app = FastAPI(
        title="Twofold widget",
        version=version("twofold"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_open,
        telemetry=NOT_FASTAPIS,
    )
    app.state.widget = widget
    problems.install(app)
    for router in routers:
        app.include_router(router)
    app.include_router(sites_router, dependencies=[Depends(_admin)])
    app.add_api_route("/healthz", _healthz)
    app.add_api_route("/readyz", _readyz)
    app.add_api_route("/metrics", _metrics, dependencies=[Depends(_reader)])
    app.add_middleware(Traced, trusts=lambda _scope: False)
    settings = widget.settings
    most = settings.max_request_kb * 1000
    app.add_middleware(RequestLimits, max_bytes=most, proxies=settings.proxies)
    app.add_middleware(ErrorBoundary)
    return app


def served() -> FastAPI:
    """Returns the application by the settings of the environment, a ledger of its own opened."""
    settings = Settings()
    telemetry.configure(settings.log_json)
    tracing.configure(settings, "widget")
    return create_app(open_widget(settings, Ledger(settings.ledger)))


@asynccontextmanager
async def _open(app: FastAPI) -> AsyncIterator[None]:
    widget: Widget = app.state.widget
    async with widget.running():
        yield


async def _admin(request: Request, widget: WidgetDep) -> None:
    require(await widget.callers.scopes(request), ["admin"])


async def _reader(request: Request, widget: WidgetDep) -> None:
    require(await widget.callers.scopes(request), ["metrics"])


async def _healthz() -> dict[str, str]:
    return {"status": "ok"}


def _readyz(widget: WidgetDep) -> dict[str, str]:
    """Returns whether the ledger answers; the answer service is asked for its own readiness."""
    try:
        with widget.ledger.session() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        raise Unavailable("Not ready: the ledger does not answer.") from error
    return {"status": "ready"}


async def _metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
