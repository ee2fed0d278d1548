"""A merged model: the base's weights and what the adapter adds, and nothing else is changed."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from models.manifest import MANIFEST, WEIGHTS
from models.serve.merge import merge
from models.tensors import Tensor, bfloat16, read_tensors, write_tensors
from tests.models.serve.adapters import adapter as adapter_folder
from tests.servers import free_port
from twofold.commands import build
from twofold.errors import Conflict, InvalidInput
from twofold.policy import HousePolicy

QUERY = "model.layers.0.self_attn.q_proj.weight"
NORM = "model.norm.weight"
SCALE = 2.0


def kept(values: NDArray[np.float32], dtype: str = "BF16") -> Tensor:
    data = bfloat16(values).tobytes() if dtype == "BF16" else values.tobytes()
    return Tensor(dtype, values.shape, memoryview(data))


def values(path: Path) -> dict[str, NDArray[np.float32]]:
    return {name: tensor.floats() for name, tensor in read_tensors(path)}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    folder = tmp_path / "base"
    folder.mkdir()
    weights = {QUERY: rng.normal(size=(6, 4)), NORM: rng.normal(size=(4,))}
    write_tensors(
        folder / "model.safetensors", {n: kept(w.astype(np.float32)) for n, w in weights.items()}
    )
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def adapter(tmp_path: Path, base: Path, house: HousePolicy) -> Path:
    return _adapter(tmp_path / "adapter", base, house)


def _adapter(folder: Path, base: Path, house: HousePolicy, layer: str = QUERY) -> Path:
    adapter_folder(folder, house)
    rng = np.random.default_rng(2)
    stem = "base_model.model." + layer.removesuffix(".weight")
    parts = {".lora_A.weight": (2, 4), ".lora_B.weight": (6, 2)}
    write_tensors(
        folder / WEIGHTS,
        {stem + n: kept(rng.normal(size=s).astype(np.float32), "F32") for n, s in parts.items()},
    )
    (folder / "adapter_config.json").write_text(json.dumps({"r": 2, "lora_alpha": 2 * SCALE}))
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["sha256"] = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    manifest["base"]["sha256"] = hashlib.sha256(
        (base / "model.safetensors").read_bytes()
    ).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def test_the_adapters_product_is_added_and_the_rest_stays(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    assert merge(adapter, base, tmp_path / "out")
    before, after = values(base / "model.safetensors"), values(tmp_path / "out/model.safetensors")
    parts = values(adapter / WEIGHTS)
    left, right = (next(v for n, v in parts.items() if f"lora_{p}" in n) for p in "AB")
    wanted = before[QUERY] + SCALE * right @ left
    assert np.abs(after[QUERY] - wanted).max() <= np.abs(wanted).max() * 2**-8
    assert after[NORM].tolist() == before[NORM].tolist()
    assert (tmp_path / "out/config.json").read_text() == "{}"


def test_it_is_made_once(base: Path, adapter: Path, tmp_path: Path) -> None:
    assert merge(adapter, base, tmp_path / "out")
    assert not merge(adapter, base, tmp_path / "out")


def test_another_base_is_refused(
    base: Path, adapter: Path, tmp_path: Path, house: HousePolicy
) -> None:
    write_tensors(base / "model.safetensors", {NORM: kept(np.ones(4, np.float32))})
    with pytest.raises(Conflict, match="another model"):
        merge(adapter, base, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_layer_that_the_base_lacks_is_named(
    base: Path, tmp_path: Path, house: HousePolicy
) -> None:
    other = _adapter(tmp_path / "other", base, house, "model.layers.9.mlp.up_proj.weight")
    with pytest.raises(Conflict, match=r"layers\.9\.mlp\.up_proj"):
        merge(other, base, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_cut_short_is_refused(base: Path, tmp_path: Path) -> None:
    whole = (base / "model.safetensors").read_bytes()
    (tmp_path / "short.safetensors").write_bytes(whole[:-8])
    with pytest.raises(InvalidInput, match="no whole safetensors"):
        dict(read_tensors(tmp_path / "short.safetensors"))


def test_serving_without_vllm_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = CliRunner().invoke(build(), ["model", "serve"])
    assert done.exit_code == 2
    assert "vLLM is not installed here" in done.output


def test_a_server_that_ends_at_once_is_told_with_its_log(tmp_path: Path) -> None:
    from models.serve.local import running
    from twofold.errors import SetupError

    script = tmp_path / "server"
    script.write_text("#!/bin/sh\necho no room for the cache >&2\nexit 3\n")
    script.chmod(0o755)
    with (
        pytest.raises(SetupError, match=r"ended with 3(.|\n)*no room for the cache"),
        running([str(script)], "http://127.0.0.1:9", tmp_path / "vllm.log", 30),
    ):
        raise AssertionError("it never was healthy")


SERVER = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Healthy)
open(sys.argv[2], "w").write(str(os.getpid()))
server.serve_forever()
"""
OWNER = """
import sys, time
from pathlib import Path
from models.serve.local import running
command, port, log = sys.argv[1:5], sys.argv[3], Path(sys.argv[5])
with running(command, f"http://127.0.0.1:{port}", log, 30):
    print("healthy", flush=True)
    time.sleep(60)
"""


def test_who_is_told_to_end_leaves_no_server_behind(tmp_path: Path) -> None:
    script, told = tmp_path / "server.py", tmp_path / "pid"
    script.write_text(SERVER)
    server = [sys.executable, str(script), str(free_port()), str(told)]
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, *server, str(tmp_path / "log")],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert owner.stdout is not None
    assert owner.stdout.readline() == "healthy\n"
    pid = int(told.read_text())
    os.kill(pid, 0)
    owner.terminate()
    assert owner.wait(20) == 128 + signal.SIGTERM
    owner.stdout.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
