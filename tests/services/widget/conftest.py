"""One world for the tests of a module: each makes its own site."""

from collections.abc import Iterator

import pytest

from tests.services.widget.visiting import World, world


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("widget")) as found:
        yield found
