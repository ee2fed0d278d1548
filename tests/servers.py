"""Real servers for tests, each on a free port in a folder of its own."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis

START_SECONDS = 30.0


def need(found: str | Path | None, what: str) -> str:
    """The path of a binary; without one the test is skipped, or fails where CI insists."""
    if found:
        return str(found)
    message = f"{what} is not installed (apt-get install redis-server postgresql)"
    if os.environ.get("TWOFOLD_REQUIRE_SERVERS") == "1":
        pytest.fail(message)
    pytest.skip(message)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(true: Callable[[], object], what: str, seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:g} s still not: {what}")
        time.sleep(0.01)


class RedisServer:
    """As DESIGN wants it: append-only file, nothing evicted."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._binary = need(shutil.which("redis-server"), "redis-server")
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._process is not None:
            return
        self._process = subprocess.Popen(
            [
                self._binary,
                *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)),
                *("--appendonly", "yes", "--maxmemory-policy", "noeviction", "--save", ""),
            ],
            stdout=subprocess.DEVNULL,
        )
        wait_until(self._answers, "Redis answers")

    def client(self) -> "redis.Redis":
        return redis.Redis(port=self.port)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(START_SECONDS)
            self._process = None

    def restart(self, number: signal.Signals) -> None:
        self.stop(number)
        self.start()

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:
            return False


class PostgresServer:
    """One cluster; each test makes a database of its own in it."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        """Tests kill processes, never the machine: they need no fsync."""
        self._fsync = "on" if durable else "off"
        self.port = free_port()
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        initdb = Path(need(found[-1] if found else shutil.which("initdb"), "postgresql"))
        self._binaries = initdb.parent
        self._folder = folder / "cluster"
        self._made = 0
        # PostgreSQL refuses to run as root.
        self._user = "postgres" if os.getuid() == 0 else None
        if self._user:
            shutil.chown(folder, self._user)
        self._run(
            initdb, "-D", self._folder, "-U", "twofold", "-A", "trust", "-E", "UTF8", "--no-sync"
        )

    def start(self) -> None:
        settings = ("listen_addresses=127.0.0.1", "unix_socket_directories=''")
        options = " ".join(f"-c {each}" for each in (f"fsync={self._fsync}", *settings))
        options += f" -p {self.port}"
        self._run(
            self._binaries / "pg_ctl",
            *("-D", self._folder, "-o", options, "-l", self._folder / "log", "-w", "start"),
        )

    def stop(self, mode: str = "fast") -> None:
        self._run(self._binaries / "pg_ctl", "-D", self._folder, "-m", mode, "-w", "stop")

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def signal(self, number: signal.Signals) -> None:
        """To all of its processes: SIGSTOP leaves connections open on which nothing is said."""
        main = int((self._folder / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        for pid in (main, *map(int, children)):
            os.kill(pid, number)

    def database(self, template: str = "template1") -> str:
        """A new database; its name."""
        self._made += 1
        name = f"t{self._made}"
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return name

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://twofold@127.0.0.1:{self.port}/{database}"

    def _dsn(self, database: str) -> str:
        return f"postgresql://twofold@127.0.0.1:{self.port}/{database}"

    def _run(self, *command: str | Path) -> None:
        done = subprocess.run(
            list(map(str, command)),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if "start" not in command else subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            user=self._user,
            cwd="/",
        )
        assert done.returncode == 0, (done.stdout or b"").decode()
