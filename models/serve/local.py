"""vLLM on this machine: started with the arguments that fit it, healthy, and ended with us."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from models.serve.args import PREFIX_CACHE
from models.serve.vllm import Vllm
from twofold.errors import NotFound, SetupError

PYTHON: Final = Path(".venv-vllm/bin/python")
"""Where `make .venv-vllm/.ready` puts a CPU's vLLM."""
_MODULE: Final = ("-m", "vllm.entrypoints.openai.api_server")
_ON_CPU: Final = ("--enforce-eager", "--block-size", "32", "--max-num-seqs", "8")
"""Compiling kernels would take minutes; attention on a CPU wants blocks of 32."""
_CPU_ENV: Final = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # Threads that spin while they wait starve whatever else runs here.
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""One GiB of cache, no core of its own."""
_QUIET: Final = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
"""A folder is served: nobody is called."""
_TAIL: Final = 15
"""Lines of its log that are told where it ends."""


def on_gpu() -> bool:
    return Path("/dev/nvidiactl").exists()


def python(named: str) -> list[str]:
    """Returns the command that starts vLLM's server. Raises SetupError where there is none."""
    if named:
        if shutil.which(named) is None:
            raise SetupError(f"{named} is no command here.")
        return [named, *_MODULE]
    if PYTHON.exists():
        return [str(PYTHON), *_MODULE]
    if found := shutil.which("vllm"):
        return [found, "serve"]
    raise SetupError(
        "vLLM is not installed here. On a CPU: make .venv-vllm/.ready (3.5 GB). On a GPU: pip"
        " install vllm into an environment of its own, and name its python with --python."
    )


def merged_args(folder: Path, name: str, port: int, max_model_len: int) -> list[str]:
    """Returns what vLLM needs to serve one whole model under a name, reached from this machine
    alone. Grammars constrain decoding where a request brings one; nothing has to be switched on
    for it."""
    if not (folder / "config.json").exists():
        raise NotFound(f"{folder} holds no model. Make one: twofold model merge ADAPTER")
    argv = [
        *("--model", str(folder), "--served-model-name", name),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--max-model-len", str(max_model_len), *PREFIX_CACHE),
    ]
    template = folder / "chat_template.jinja"
    return argv + (["--chat-template", str(template)] if template.exists() else [])


@contextmanager
def _told_to_end() -> Iterator[None]:
    """Ends the block on SIGTERM as Ctrl-C does, where nobody else handles it: the server is a
    session of its own, and would outlive us."""
    heard = signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    if heard or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def running(
    command: Sequence[str], url: str, log: Path, wait: float, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the server until the end of the block and yields it once it is healthy. Raises
    SetupError where it ends before, with the last lines of its log."""
    cpu = () if on_gpu() else _ON_CPU
    more = _QUIET if on_gpu() else _QUIET | _CPU_ENV
    environment = os.environ | more | dict(env or {})
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        server = subprocess.Popen(  # noqa: S603  its words are ours
            [*command, *cpu],
            stdout=file,
            stderr=file,
            start_new_session=True,
            env=environment,
        )

    def lives() -> None:
        if server.poll() is not None:
            tail = log.read_text(errors="replace").splitlines()[-_TAIL:]
            raise SetupError(
                f"vLLM ended with {server.returncode} before it was healthy. The end of {log}:\n"
                + "\n".join(tail)
            )

    try:
        with _told_to_end():
            with Vllm(url, environment.get("VLLM_API_KEY", "")) as admin:
                admin.wait(wait, lives)
            yield server
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait()
