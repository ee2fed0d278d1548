"""Into a running server: once, verified, never something else under a name that was used."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.registry import Registry
from models.serve.private import private_address
from models.serve.publish import Publisher
from models.serve.vllm import Vllm
from tests.models.serve.adapters import adapter, report
from tests.models.serve.admin_server import AdminServer
from twofold.errors import Conflict, InvalidInput, SetupError, UpstreamError
from twofold.policy import HousePolicy


@pytest.fixture
def server() -> Iterator[AdminServer]:
    with AdminServer(key="admin") as server:
        yield server


@pytest.fixture
def publisher(server: AdminServer, registry: Registry) -> Iterator[Publisher]:
    with Vllm(server.url, "admin") as vllm:
        yield Publisher(registry, vllm, grace_s=0)


def test_a_release_is_loaded_once_and_asked(
    publisher: Publisher, server: AdminServer, house: HousePolicy, tmp_path: Path
):
    release = publisher.registry.register(adapter(tmp_path / "a", house))
    assert publisher.ready(release) is True
    assert server.adapters == {"brackwater": str(tmp_path / "a")}
    assert server.asked == ["brackwater"]
    assert server.called("/v1/chat/completions")[0]["max_tokens"] == 1
    assert publisher.ready(release) is False
    assert len(server.called("/v1/load_lora_adapter")) == 1
    assert server.asked == ["brackwater"]
    assert server.keys == {"admin"}


def test_publishing_at_once_loads_once(
    publisher: Publisher, server: AdminServer, house: HousePolicy, tmp_path: Path
):
    release = publisher.registry.register(adapter(tmp_path / "a", house))
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: publisher.ready(release), range(4)))
    assert loaded.count(True) == 1
    assert list(server.adapters) == ["brackwater"]


def test_a_used_name_is_never_loaded_with_something_else(
    publisher: Publisher, server: AdminServer, house: HousePolicy, tmp_path: Path
):
    release = publisher.registry.register(adapter(tmp_path / "a", house))
    server.adapters["brackwater"] = "/somewhere/else"
    with pytest.raises(Conflict, match=r"/somewhere/else.*never loaded twice"):
        publisher.ready(release)
    assert server.called("/v1/load_lora_adapter") == []
    server.adapters.clear()
    adapter(tmp_path / "a", house, weights=b"trained again into the same folder")
    with pytest.raises(Conflict, match="another adapter"):
        publisher.ready(release)
    assert server.calls[-1][0] == "/v1/models"
    assert server.adapters == {}


def test_an_adapter_belongs_upon_its_base(
    publisher: Publisher, server: AdminServer, house: HousePolicy, tmp_path: Path
):
    release = publisher.registry.register(adapter(tmp_path / "a", house))
    server.base, server.root = "base", "/models/tiny"
    assert publisher.ready(release) is True  # served under another name, and the same
    server.adapters.clear()
    server.root = "/models/other"
    with pytest.raises(Conflict, match=r"made upon tiny.*serves base \(/models/other\)"):
        publisher.ready(release)
    assert server.adapters == {}


def test_warming_up_asks_every_name_once(
    publisher: Publisher, server: AdminServer, house: HousePolicy, tmp_path: Path
):
    registry = publisher.registry
    for name in ("a", "b"):
        registry.register(adapter(tmp_path / name, house), name)
    publisher.ready(registry.get("a"))
    server.calls.clear()
    server.adapters["stranger"] = "/x"
    assert publisher.warm() == ["a", "b", "tiny"]
    assert {*server.adapters} == {"a", "b", "stranger"}
    assert sorted(server.asked) == ["a", "b", "tiny"]
    profiles = {
        body["model"]: len(body["messages"][0]["content"])
        for body in server.called("/v1/chat/completions")
    }
    assert profiles["tiny"] > profiles["a"]  # the base has the full prompt


def test_retired_releases_go_after_a_grace(
    publisher: Publisher, server: AdminServer, house: HousePolicy, tmp_path: Path
):
    registry = publisher.registry
    for name in ("a", "b", "c", "d"):
        release = registry.register(adapter(tmp_path / name, house), name)
        registry.gated(name, report(release))
        publisher.ready(release)
        if name != "d":
            registry.promote(name)
    server.adapters["stranger"] = "/x"
    patient = Publisher(registry, publisher.server, grace_s=60)
    assert patient.sweep() == []
    late = Publisher(
        registry, publisher.server, 60, lambda: registry.get("a").changed_at + 61
    )  # fmt: skip
    assert late.sweep() == ["a"]
    assert late.sweep() == []
    # A roll-back finds its release there.
    assert {*server.adapters} == {"b", "c", "d", "stranger"}


def test_a_server_that_does_not_load_says_how(
    publisher: Publisher, server: AdminServer, house: HousePolicy, tmp_path: Path
):
    release = publisher.registry.register(adapter(tmp_path / "a", house))
    server.updating = False
    with pytest.raises(SetupError, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING"):
        publisher.ready(release)
    server.key = "another"
    with pytest.raises(SetupError, match="TWOFOLD_MODEL_ADMIN_KEY"):
        publisher.ready(release)


def test_a_starting_server_is_waited_for(server: AdminServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("models.serve.vllm.HEALTH_PAUSE_S", 0.01)
    server.unhealthy = 2
    with Vllm(server.url) as vllm:
        vllm.wait(60)
    assert len(server.called("/health")) == 3


def test_nobody_there(server: AdminServer):
    url = server.url
    server.unhealthy = 10_000
    with Vllm(url) as vllm, pytest.raises(SetupError, match="not healthy within 0 s"):
        vllm.wait(0)
    with Vllm("http://127.0.0.1:1") as vllm, pytest.raises(SetupError, match="Is vLLM running"):
        vllm.served()


@pytest.mark.parametrize(
    "url",
    [
        *("http://8.8.8.8:8000", "http://[2001:4860:4860::8888]", "http://169.254.169.254"),
        *(
            "http://[::ffff:8.8.8.8]",
            "http://0.0.0.0:8000",
            "http://100.64.0.1",
            "http://224.0.0.1",
        ),
        *("ftp://127.0.0.1", "127.0.0.1:8000", "http://", "http://127.0.0.1:x", "http://134744072"),
        *("http://user:pass@127.0.0.1", "http://127.0.0.1@8.8.8.8", "http://[fe80::1]"),
    ],
)
def test_adapters_are_loaded_over_the_admin_network_only(url: str):
    with pytest.raises(InvalidInput, match="TWOFOLD_MODEL_ADMIN_URL"):
        Vllm(url)


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1:8000", "http://localhost/v1", "https://10.1.2.3", "http://[fd00::1]:1"),
        *("http://192.168.0.9", "http://172.16.0.1", "http://[::1]:8000/"),
    ],
)
def test_the_admin_network_is_private(url: str):
    Vllm(url).__exit__(None, None, None)


def test_an_unknown_host_is_named():
    with pytest.raises(UpstreamError, match=r"nobody knows the host 'vllm\.invalid'"):
        private_address("http://vllm.invalid:8000")
