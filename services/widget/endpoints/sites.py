"""/v1/sites: the places where the widget stands, for their owner."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import BaseModel, Field

from services.http.problems import declare
from services.widget.endpoints.deps import WidgetDep
from services.widget.site import SiteConfig
from services.widget.sites import Placed

router = APIRouter(prefix="/v1/sites", tags=["sites"])


class SiteOut(BaseModel):
    site: str = Field(description="The key that stands in the page; it is no secret.")
    config: SiteConfig
    created_at: float
    changed_at: float

    @classmethod
    def of(cls, site: Placed) -> "SiteOut":
        return cls(
            site=site.id,
            config=site.config,
            created_at=site.created_at,
            changed_at=site.changed_at,
        )


class SitesOut(BaseModel):
    sites: list[SiteOut]


class SecretOut(BaseModel):
    secret: str = Field(description="Sign identity tokens with it (HS256), on your server alone.")
    generation: int


@router.get("", summary="All sites", responses=declare())
async def read_all(widget: WidgetDep) -> SitesOut:
    found = await asyncio.to_thread(widget.sites.all)
    return SitesOut(sites=[SiteOut.of(site) for site in found])


@router.post("", status_code=201, summary="Add a site", responses=declare(409))
async def add(body: SiteConfig, widget: WidgetDep) -> SiteOut:
    return SiteOut.of(await asyncio.to_thread(widget.sites.add, body))


@router.get("/{site}", summary="One site", responses=declare(404))
async def read(site: str, widget: WidgetDep) -> SiteOut:
    return SiteOut.of(await asyncio.to_thread(widget.sites.get, site))


@router.patch("/{site}", summary="Change a site", responses=declare(404, 409))
async def edit(site: str, body: Annotated[dict[str, Any], Body()], widget: WidgetDep) -> SiteOut:
    """Fields that are left out stay as they are."""
    return SiteOut.of(await asyncio.to_thread(widget.sites.edit, site, body))


@router.delete("/{site}", status_code=204, summary="Remove a site", responses=declare(404))
async def remove(site: str, widget: WidgetDep) -> None:
    """With its visitors and their threads."""
    await asyncio.to_thread(widget.sites.remove, site)


@router.get(
    "/{site}/secret", summary="What its identity tokens are signed with", responses=declare(404)
)
async def secret(site: str, widget: WidgetDep) -> SecretOut:
    return _secret(widget, await asyncio.to_thread(widget.sites.get, site))


@router.post("/{site}/secret", summary="A new identity secret", responses=declare(404))
async def rotate(site: str, widget: WidgetDep) -> SecretOut:
    """The one before it is still taken, until the next rotation."""
    return _secret(widget, await asyncio.to_thread(widget.sites.rotate, site))


def _secret(widget: Any, site: Placed) -> SecretOut:
    found = widget.tokens.identity_secret(site.id, site.generation)
    return SecretOut(secret=found, generation=site.generation)
