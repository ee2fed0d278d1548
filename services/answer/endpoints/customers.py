"""GET and DELETE /v1/customers/{customer}: what is kept of a person, and its end."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from services.answer.access import privacy
from services.answer.endpoints.deps import CallerDep, PartsDep, RunsDep
from services.answer.schemas import MAX_CUSTOMER, CustomerExport
from services.http.problems import declare
from twofold.ledger.tombstones import customer_mark

router = APIRouter(tags=["privacy"])
Customer = Annotated[
    str, Path(max_length=MAX_CUSTOMER, description="As sent in `customer` of a question.")
]


@router.get(
    "/v1/customers/{customer:path}/export",
    summary="Everything that is kept of a customer",
    responses=declare(404),
)
def export(
    customer: Customer,
    parts: PartsDep,
    caller: CallerDep,
    redact: Annotated[
        bool, Query(description="Mask addresses, numbers of cards and accounts, phones, keys.")
    ] = True,
) -> CustomerExport:
    found = privacy.export_customer(parts.stack.ledger, caller.workspace, customer, redact)
    return CustomerExport.model_validate(found)


@router.delete(
    "/v1/customers/{customer:path}",
    status_code=204,
    summary="Delete everything that is kept of a customer",
    responses=declare(404),
)
def forget(customer: Customer, parts: PartsDep, runs: RunsDep, caller: CallerDep) -> None:
    """What is on its way for them ends."""
    try:
        for id in privacy.delete_customer(parts.stack.ledger, caller.workspace, customer):
            runs.forget(id)
    finally:
        parts.flights.end([customer_mark(caller.workspace, customer)])
