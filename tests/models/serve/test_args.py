"""How vLLM is started: everything from the registry, no key where others could read it."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from models.registry import Registry
from models.serve.args import serve_args
from tests.models.serve.adapters import adapter, report
from twofold.errors import Conflict, InvalidInput, NotFound
from twofold.policy import HousePolicy
from twofold.settings import Settings


def settings(**changed: Any) -> Settings:
    return Settings(_env_file=None, **changed)  # type: ignore[call-arg]


def option(argv: tuple[str, ...], name: str) -> str:
    return argv[argv.index(name) + 1]


def test_every_release_gets_a_name_of_its_own(
    registry: Registry, house: HousePolicy, tmp_path: Path
):
    for name in ("a", "b"):
        registry.register(adapter(tmp_path / name, house), name)
    args = serve_args(registry.wanted(), settings(model_name="base"), port=9000, max_model_len=2048)
    assert args.model == "/models/tiny"
    assert option(args.argv, "--served-model-name") == "base"
    assert option(args.argv, "--port") == "9000"
    assert option(args.argv, "--max-model-len") == "2048"
    assert option(args.argv, "--max-lora-rank") == "8"
    assert int(option(args.argv, "--max-loras")) > 2
    assert int(option(args.argv, "--max-cpu-loras")) >= int(option(args.argv, "--max-loras"))
    assert Path(option(args.argv, "--chat-template")).read_text()
    assert {"--enable-lora", "--enable-prefix-caching"} <= {*args.argv}
    start = args.argv.index("--lora-modules") + 1
    assert args.argv[start:] == (f"a={tmp_path / 'a'}", f"b={tmp_path / 'b'}")


def test_without_a_name_the_base_is_called_as_it_was_trained(
    registry: Registry, house: HousePolicy, tmp_path: Path
):
    registry.register(adapter(tmp_path / "a", house))
    assert option(serve_args(registry.wanted(), settings()).argv, "--served-model-name") == "tiny"


def test_what_serves_or_may_come_back_is_there(
    registry: Registry, house: HousePolicy, tmp_path: Path
):
    for name in ("old", "before", "rolled", "live", "canary", "new", "ended"):
        release = registry.register(adapter(tmp_path / name, house), name)
        registry.gated(name, report(release))
    for name in ("old", "before", "rolled"):
        registry.promote(name)
    registry.rollback()
    registry.promote("live")
    registry.canary("canary", 0.1)
    registry.retire("ended")
    strange = registry.register(adapter(tmp_path / "x", house, prompt="a" * 12), "x")
    assert strange.state == "candidate"
    assert [r.name for r in registry.wanted()] == ["before", "live", "canary", "new"]


def test_no_key_is_an_argument(registry: Registry, house: HousePolicy, tmp_path: Path):
    registry.register(adapter(tmp_path / "a b", house), "a")
    args = serve_args(
        registry.wanted(), settings(model_key="sesame", model_admin_url="http://127.0.0.1:1")
    )
    assert args.secrets == {"VLLM_API_KEY": "TWOFOLD_MODEL_KEY"}
    assert args.env == {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
    assert "sesame" not in json.dumps(args.data()) + args.shell()
    words = shlex.split(args.shell())
    assert words[:5] == [
        *("VLLM_ALLOW_RUNTIME_LORA_UPDATING=1", "VLLM_API_KEY=${TWOFOLD_MODEL_KEY:?}"),
        *("vllm", "serve", args.model),
    ]
    assert tuple(words[5:]) == args.argv


def test_nothing_loads_at_runtime_unless_an_admin_address_is_named(
    registry: Registry, house: HousePolicy, tmp_path: Path
):
    registry.register(adapter(tmp_path / "a", house))
    assert serve_args(registry.wanted(), settings()).env == {}


def test_ranks_are_those_that_vllm_has(registry: Registry, house: HousePolicy, tmp_path: Path):
    for rank, room in ((4, "8"), (16, "16"), (33, "64")):
        folder = tmp_path / str(rank)
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"r": rank}))
        registry.register(adapter(folder, house), f"r{rank}")
        args = serve_args(registry.wanted(), settings())
        assert option(args.argv, "--max-lora-rank") == room


def test_the_base_says_how_long_a_prompt_may_be(
    registry: Registry, house: HousePolicy, tmp_path: Path
):
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text(json.dumps({"max_position_embeddings": 1024}))
    made_upon = {"name": "own", "path": str(base), "sha256": "0" * 64}
    registry.register(adapter(tmp_path / "a", house, base=made_upon))
    args = serve_args(registry.wanted(), settings())
    assert (args.model, option(args.argv, "--max-model-len")) == (str(base), "1024")


def test_one_server_has_one_base(registry: Registry, house: HousePolicy, tmp_path: Path):
    for name, base in (("a", "one"), ("b", "two")):
        made_upon = {"name": base, "path": f"/{base}", "sha256": "0" * 64}
        registry.register(adapter(tmp_path / name, house, base=made_upon), name)
    registry.gated("a", report(registry.get("a")))
    registry.promote("a")
    args = serve_args(registry.wanted(), settings())
    assert args.model == "/one"
    assert list(args.left_out) == ["b"]
    assert not any(arg.startswith("b=") for arg in args.argv)


def test_the_template_is_never_left_to_the_server(
    registry: Registry, house: HousePolicy, tmp_path: Path
):
    registry.register(adapter(tmp_path / "a", house), "a")
    (tmp_path / "a" / "chat_template.jinja").unlink()
    with pytest.raises(InvalidInput, match="--chat-template"):
        serve_args(registry.wanted(), settings())
    named = serve_args(registry.wanted(), settings(), template=Path("t.jinja"))
    assert option(named.argv, "--chat-template") == "t.jinja"
    for name in ("b", "c"):
        registry.register(adapter(tmp_path / name, house), name)
        (tmp_path / name / "chat_template.jinja").write_text(name)
    with pytest.raises(Conflict, match="differ"):
        serve_args(registry.wanted(), settings())


def test_an_adapter_that_changed_on_disk_is_not_served(
    registry: Registry, house: HousePolicy, tmp_path: Path
):
    with pytest.raises(NotFound, match="twofold model publish"):
        serve_args([], settings())
    registry.register(adapter(tmp_path / "a", house), "a")
    adapter(tmp_path / "a", house, weights=b"trained again into the same folder")
    with pytest.raises(Conflict, match=r"another adapter than 'a'"):
        serve_args(registry.wanted(), settings())
    (tmp_path / "a" / "manifest.json").unlink()
    with pytest.raises(Conflict, match="no longer whole"):
        serve_args(registry.wanted(), settings())
