"""Whoever reads the OpenAPI document is told what each name means."""

from services.answer.pipeline import Parts
from services.http.described import glossary, named
from services.standalone.app import create_app


def test_every_parameter_and_field_of_the_api_says_what_it_is(parts: Parts) -> None:
    document = create_app(parts).openapi()
    silent = {names[0] for names, described in named(document) if not described.get("description")}
    assert not silent


def test_the_glossary_has_no_name_that_the_api_has_not(parts: Parts) -> None:
    used = {name for names, _ in named(create_app(parts).openapi()) for name in names}
    assert not {name for names in glossary().values() for name in names} - used
