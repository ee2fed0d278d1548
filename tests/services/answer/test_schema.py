"""The OpenAPI document is true: whatever it allows is answered as it says, and nothing breaks."""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi_checks

from services.answer.pipeline import Parts
from services.standalone.app import create_app
from tests.services.answer.edge import key_for
from tests.services.standalone.serving import needs_weights, small_parts

pytestmark = needs_weights

CHECKS = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.BaseSchema]:
    with small_parts(tmp_path_factory.mktemp("schema")) as parts:
        yield _schema(parts)


def _schema(parts: Parts) -> schemathesis.BaseSchema:
    app = create_app(parts)
    opens = {"Authorization": f"Bearer {key_for(parts, 'schema', audiences=['customer'])}"}
    found = schemathesis.openapi.from_asgi("/openapi.json", app, headers=opens)
    # What ingestion serves has tests of its own; operations answer in plain text.
    return found.exclude(tag="knowledge").exclude(path="/metrics")


def test_every_operation_keeps_to_its_description(api: schemathesis.BaseSchema) -> None:
    seen = []
    for found in api.get_all_operations():
        operation = found.ok()
        seen.append(operation.label)
        _ask_all_kinds_of_things(operation.as_strategy())
    assert len(seen) >= 15, seen


def _ask_all_kinds_of_things(cases: SearchStrategy[schemathesis.Case]) -> None:
    @settings(
        max_examples=40,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS)

    ask()
