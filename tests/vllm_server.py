"""A real vLLM for tests, on a free port, on the CPU. At most one runs on a machine at a time.

TWOFOLD_VLLM_PYTHON     the Python that vLLM is installed in (default: .venv-vllm/bin/python)
"""

import ctypes
import fcntl
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from models.serve.args import ServeArgs
from models.serve.vllm import Vllm
from tests.servers import free_port

ROOT = Path(__file__).parents[1]
SENTENCE = "Invoices are issued on the first day of every month."
"""What the tiny base says, with a mark, over and over."""
START_SECONDS = 900.0
"""A minute where nobody else works; tests beside it may take ten."""
STOP_SECONDS = 30.0
PR_SET_PDEATHSIG = 1
"""From Linux's sys/prctl.h."""
ON_CPU = ("--enforce-eager", "--block-size", "32", "--max-num-seqs", "8")
"""Eager: kernels need no compiling. Blocks: the CPU's attention wants multiples of 32."""
ENVIRONMENT: Mapping[str, str] = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    # Bound to a core of its own, it would fight for it with whatever else runs there.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


def vllm_python() -> str:
    """Where vLLM is; without it the test is skipped, or fails where CI insists."""
    python = os.environ.get("TWOFOLD_VLLM_PYTHON") or str(ROOT / ".venv-vllm/bin/python")
    if Path(python).exists():
        return python
    message = f"no vLLM at {python}; set TWOFOLD_VLLM_PYTHON to the Python that has it"
    if os.environ.get("TWOFOLD_REQUIRE_SERVERS") == "1":
        pytest.fail(message)
    pytest.skip(message)


def make_tiny_models(folder: Path, adapters: int) -> Path:
    """`base` and `adapter-1`, … in `folder`: see tests/tiny_model.py."""
    text = ROOT / "examples/brackwater/help-center"
    command = [vllm_python(), str(ROOT / "tests/tiny_model.py"), str(folder), "--text", str(text)]
    command += ["--adapters", str(adapters), "--sentence", f"{SENTENCE} [1]"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class VllmServer:
    """A context manager: serves while it lasts, and is gone after it, whatever happened."""

    def __init__(self, folder: Path, key: str = "") -> None:
        """The log goes into `folder`."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "vllm.log"
        self._key = key
        self._python = vllm_python()
        self._process: subprocess.Popen[bytes] | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        lock = self._open.enter_context(
            (Path(tempfile.gettempdir()) / "vllm.lock").open("a", encoding="utf-8")
        )
        fcntl.flock(lock, fcntl.LOCK_EX)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()
        self._open.close()

    def start(self, args: ServeArgs, more: Sequence[str] = ON_CPU) -> None:
        """Until it is healthy."""
        environment = os.environ | ENVIRONMENT | args.env
        environment |= dict.fromkeys(args.secrets, self._key)
        command = ["-m", "vllm.entrypoints.openai.api_server", "--model", args.model]
        with self.log.open("ab") as log:
            # A session of its own: its engine and workers die with it.
            self._process = subprocess.Popen(
                [self._python, *command, *args.argv, *more],
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        with self.admin() as admin:
            admin.wait(START_SECONDS, lives=self._lives)

    @property
    def group(self) -> int | None:
        """The process group of the server and its engine, while there is one."""
        return self._process.pid if self._process else None

    def admin(self) -> Vllm:
        return Vllm(self.url, self._key)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        _signal(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        _signal(process.pid, signal.SIGKILL)  # whoever of its group is left
        process.wait()

    def kill(self) -> None:
        """Gone at once, in the middle of whatever it does."""
        assert self._process is not None
        _signal(self._process.pid, signal.SIGKILL)

    def _lives(self) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"vLLM ended:\n{self.log.read_text()[-4000:]}")


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def _die_with_parent() -> None:
    """Also where the tests are killed: a server that nobody stops holds its memory for good."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
