"""docker-compose.yml as processes of this machine: the same programs, settings and secrets.

Where no Qdrant server is installed, `deploy/local/qdrant.py` stands in for it; without Prometheus
or an exporter there is none. Everything listens on the loopback address and lives in one folder.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import yaml

from deploy.local.promql import paced_rules

ROOT = Path(__file__).parents[2]
LOOPBACK = "127.0.0.1"
START_S, STOP_S = 180.0, 60.0
MADE = ("postgres", "redis", "qdrant")
ANSWERS = ("answer-1", "answer-2")
EXPORTERS = ("redis-exporter", "postgres-exporter")


class LocalError(Exception):
    """A sentence for the person at the terminal."""


class Service(NamedTuple):
    """`ready` says whether it serves; a service without it is ready when it runs."""

    command: list[str]
    env: Mapping[str, str]
    ready: Callable[[], bool]
    user: str | None = None
    stop: signal.Signals = signal.SIGTERM


class Topology:
    """Processes by the names that Compose gives them; a context manager that stops them."""

    def __init__(
        self,
        folder: Path,
        *,
        example: bool = True,
        settings: Mapping[str, str] = MappingProxyType({}),
        pace: int = 1,
    ) -> None:
        """`settings` of all our processes, by their variables. At a `pace` of 60 the rules take a
        minute for an hour."""
        self.settings = dict(settings)
        self.settings_of: dict[str, Mapping[str, str]] = {}
        """Settings of one process alone, by its name."""
        self.targets: dict[str, Sequence[str]] = {}
        """What else Prometheus scrapes: `host:port` by job; read when it starts."""
        self._pace = pace
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.secrets = self.folder / "secrets"
        self._example = example
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        wanted = (*MADE, *ANSWERS, "widget", "worker", "prometheus", *EXPORTERS)
        self.ports = dict(zip(wanted, _free_ports(len(wanted)), strict=True))

    def __enter__(self) -> "Topology":
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def names(self) -> list[str]:
        """In the order of their start."""
        return list(self._running)

    def url(self, name: str) -> str:
        return f"http://{LOOPBACK}:{self.ports[name]}"

    def key(self) -> str:
        return (self.secrets / "twofold" / "TWOFOLD_API_KEY").read_text().strip()

    @property
    def env(self) -> dict[str, str]:
        """What makes `twofold` on the command line one of them."""
        password = self._secret("postgres/password")
        redis = self._secret("redis/password")
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "TWOFOLD_SECRETS_DIR": str(self.secrets / "twofold"),
            "TWOFOLD_HOME": str(self.folder / "home"),
            "TWOFOLD_HOUSE": str(ROOT / "examples/brackwater/house.yaml"),
            "TWOFOLD_LEDGER_URL": f"postgresql+psycopg://twofold:{password}@{LOOPBACK}:"
            f"{self.ports['postgres']}/twofold",
            "TWOFOLD_REDIS_URL": f"redis://:{redis}@{LOOPBACK}:{self.ports['redis']}/0",
            "TWOFOLD_QDRANT_URL": self.url("qdrant"),
            **self.settings,
        }

    def restart(self, name: str, number: signal.Signals | None = None) -> None:
        """Stop one as an upgrade does (or by `number`), and start it again."""
        self.end(name, number)
        self.begin(name)

    def end(self, name: str, number: signal.Signals | None = None) -> None:
        """Stop one, and leave it so."""
        self._end(name, number or self._services()[name].stop)

    def begin(self, name: str) -> None:
        """Start one that was stopped."""
        self._begin(name, self._services()[name])

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def stop(self) -> None:
        for name in reversed(list(self._running)):
            self._end(name, self._services()[name].stop)

    def ended(self) -> list[str]:
        """Which have ended without being asked."""
        return [name for name, process in self._running.items() if process.poll() is not None]

    def run(self, *command: str) -> str:
        """A command of ours against this topology; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "twofold", *command],
            env=self.env, cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            said = (done.stdout + done.stderr).strip()
            raise LocalError(f"twofold {' '.join(command)} failed:\n{said}")
        return done.stdout

    def _start(self) -> None:
        self.begin_stores()
        self.prepare()
        self.begin_rest()

    def begin_stores(self) -> None:
        """The stores alone, with secrets: for a restore, which comes before everything else."""
        make = ROOT / "deploy/docker/make-secrets"
        subprocess.run([sys.executable, make, self.secrets], check=True)
        for name in MADE:
            self._begin(name, self._services()[name])

    def begin_rest(self) -> None:
        for name, service in self._services().items():
            if name not in MADE:
                self._begin(name, service)

    def prepare(self) -> None:
        """What `prepare` does in a container."""
        self.run("migrate")
        keys = {"internal": ("admin", "twofold/TWOFOLD_API_KEY"),
                "prometheus": ("metrics", "prometheus/key")}  # fmt: skip
        for name, (scope, file) in keys.items():
            path = str(self.secrets / file)
            self.run("key", "create", name, "--scope", scope, "--from-file", path)
        if self._example:
            help_center = str(ROOT / "examples/brackwater/help-center")
            self.run("ingest", help_center, "--source", "help-center")

    def _services(self) -> dict[str, Service]:
        found = {
            "postgres": self._postgres(), "redis": self._redis(), "qdrant": self._qdrant(),
            **{name: self._answer(name) for name in ANSWERS},
            "widget": self._widget(),
            **{kind: self._celery(kind) for kind in ("worker", "beat")},
        }  # fmt: skip
        for name in EXPORTERS:
            if program := shutil.which(f"prometheus-{name}"):
                found[name] = self._exporter(name, program)
        if program := shutil.which("prometheus"):
            found["prometheus"] = self._prometheus(program, {*found, "prometheus"})
        return found

    def _postgres(self) -> Service:
        binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        if not binaries:
            raise LocalError("PostgreSQL is not installed: apt-get install postgresql")
        user = "postgres" if os.getuid() == 0 else None
        cluster = self.folder / "postgres" / "cluster"
        if not cluster.exists():
            cluster.parent.mkdir(exist_ok=True)
            password = cluster.parent / "password"
            password.write_text(self._secret("postgres/password"))
            if user:
                shutil.chown(cluster.parent, user)
                shutil.chown(password, user)
            _run_as(
                user, binaries[-1] / "initdb", "-D", cluster, "-U", "twofold", "-E", "UTF8",
                "--auth=scram-sha-256", f"--pwfile={password}", "--data-checksums",
            )  # fmt: skip
            password.unlink()
        port = self.ports["postgres"]
        command = [binaries[-1] / "postgres", "-D", cluster, "-p", port, "-h", LOOPBACK, "-k", ""]

        def ready() -> bool:
            import psycopg

            known = {"host": LOOPBACK, "port": port, "user": "twofold",
                     "password": self._secret("postgres/password")}  # fmt: skip
            try:
                with psycopg.connect(**known, dbname="postgres", autocommit=True) as connection:
                    there = "SELECT 1 FROM pg_database WHERE datname = 'twofold'"
                    if connection.execute(there).fetchone() is None:
                        connection.execute("CREATE DATABASE twofold")
            except psycopg.OperationalError:
                return False
            return True

        # SIGINT is PostgreSQL's fast stop: it ends sessions instead of waiting for them.
        return Service([str(part) for part in command], {}, ready, user, signal.SIGINT)

    def _redis(self) -> Service:
        program = shutil.which("redis-server")
        if program is None:
            raise LocalError("Redis is not installed: apt-get install redis-server")
        data = self.folder / "redis"
        data.mkdir(exist_ok=True)
        port, password = self.ports["redis"], self._secret("redis/password")
        command = [program, str(self.secrets / "redis/redis.conf"), "--port", str(port), "--bind",
                   LOOPBACK, "--appendonly", "yes", "--save", "", "--maxmemory",
                   "256mb", "--maxmemory-policy", "noeviction", "--dir", str(data)]  # fmt: skip

        def ready() -> bool:
            import redis

            try:
                with redis.Redis(LOOPBACK, port, password=password) as client:
                    return bool(client.ping())
            except redis.RedisError:
                return False

        return Service(command, {}, ready)

    def _qdrant(self) -> Service:
        folder = self.folder / "qdrant"
        folder.mkdir(exist_ok=True)
        port = self.ports["qdrant"]
        if program := shutil.which("qdrant"):
            env = {"QDRANT__SERVICE__HTTP_PORT": str(port), "QDRANT__SERVICE__HOST": LOOPBACK,
                   "QDRANT__SERVICE__GRPC_PORT": "0",
                   "QDRANT__STORAGE__STORAGE_PATH": str(folder / "storage"),
                   "QDRANT__STORAGE__SNAPSHOTS_PATH": str(folder / "snapshots")}  # fmt: skip
            command = [program, "--config-path", str(self.secrets / "qdrant/qdrant.yaml")]
        else:
            env = self.env
            key = self.secrets / "twofold/TWOFOLD_QDRANT_KEY"
            command = [sys.executable, str(ROOT / "deploy/local/qdrant.py"), "--folder",
                       str(folder), "--port", str(port), "--key-file", str(key)]  # fmt: skip
        return Service(command, env, lambda: _answers(f"{self.url('qdrant')}/readyz"))

    def _answer(self, name: str) -> Service:
        command = [sys.executable, "-m", "twofold", "serve", "--host", "0.0.0.0", "--port",
                   str(self.ports[name])]  # fmt: skip
        env = {**self.env, "TWOFOLD_HOME": str(self.folder / name),
               **self.settings_of.get(name, {})}  # fmt: skip
        return Service(command, env, lambda: _answers(f"{self.url(name)}/readyz"))

    def _widget(self) -> Service:
        command = [sys.executable, "-m", "twofold", "widget", "--port", str(self.ports["widget"])]
        env = {**self.env, "TWOFOLD_HOME": str(self.folder / "widget"),
               "TWOFOLD_ANSWER_URL": self.url(ANSWERS[0])}  # fmt: skip
        return Service(command, env, lambda: _answers(f"{self.url('widget')}/readyz"))

    def _celery(self, kind: str) -> Service:
        alive = self.folder / f"{kind}.alive"
        counts = self.folder / f"{kind}-counts"
        command = [sys.executable, "-m", "celery", "-A", "services.standalone.celery", kind]
        env = {**self.env, "TWOFOLD_HOME": str(self.folder / kind),
               "TWOFOLD_ALIVE_FILE": str(alive)}  # fmt: skip
        if kind == "worker":
            command += ["--concurrency", "1"]
            env |= {"TWOFOLD_WORKER_METRICS_PORT": str(self.ports["worker"]),
                    "TWOFOLD_HOST": LOOPBACK, "PROMETHEUS_MULTIPROC_DIR": str(counts)}  # fmt: skip
        else:
            command += ["--schedule", str(self.folder / "beat.schedule"), "--pidfile", ""]
        begun = time.time()
        return Service(command, env, lambda: alive.exists() and alive.stat().st_mtime > begun)

    def _exporter(self, name: str, program: str) -> Service:
        """Of the database or of Redis; ready when it answers, whatever it has to tell."""
        listen = f"--web.listen-address={LOOPBACK}:{self.ports[name]}"
        redis = f"redis://{LOOPBACK}:{self.ports['redis']}"
        database = f"{LOOPBACK}:{self.ports['postgres']}/twofold?sslmode=disable"
        password = self.secrets / "postgres-exporter/password"
        env = {"REDIS_ADDR": redis, "REDIS_PASSWORD": self._secret("redis/password"),
               "DATA_SOURCE_URI": database, "DATA_SOURCE_USER": "twofold",
               "DATA_SOURCE_PASS_FILE": str(password)}  # fmt: skip
        return Service([program, listen], env, lambda: _answers(f"{self.url(name)}/metrics"))

    def _prometheus(self, program: str, found: Set[str]) -> Service:
        """Compose's own configuration, with the targets that are `found` on this machine."""
        mine = {
            "answer": ANSWERS, "widget": ("widget",), "worker": ("worker",),
            "qdrant": ("qdrant",), "prometheus": ("prometheus",),
            "redis": ("redis-exporter",), "postgres": ("postgres-exporter",),
        }  # fmt: skip
        targets: dict[str, Sequence[str]] = {
            job: [f"{LOOPBACK}:{self.ports[name]}" for name in names]
            for job, names in mine.items()
            if found.issuperset(names)
        } | self.targets
        rules = self.folder / "rules"
        rules.mkdir(exist_ok=True)
        for file in sorted((ROOT / "helm/twofold/rules").glob("*.yaml")):
            (rules / file.name).write_text(paced_rules(file.read_text(), self._pace))
        text = (ROOT / "deploy/prometheus/prometheus.yml").read_text()
        text = text.replace("/run/secrets", str(self.secrets))
        config = yaml.safe_load(text.replace("/etc/prometheus", str(self.folder)))
        every = "2s" if self._pace == 1 else "1s"
        config["global"] = {"scrape_interval": every, "evaluation_interval": every}
        config["scrape_configs"] = [
            {
                **{key: value for key, value in job.items() if not key.endswith("_sd_configs")},
                "static_configs": [{
                    "targets": list(targets[job["job_name"]]),
                    # As Kubernetes' discovery adds it.
                    "labels": {"namespace": "twofold"},
                }],
            }
            for job in config["scrape_configs"]
            if job["job_name"] in targets
        ]  # fmt: skip
        path = self.folder / "prometheus.yml"
        path.write_text(yaml.safe_dump(config))
        listen = f"{LOOPBACK}:{self.ports['prometheus']}"
        command = [program, f"--config.file={path}", f"--web.listen-address={listen}",
                   f"--storage.tsdb.path={self.folder / 'tsdb'}"]  # fmt: skip
        return Service(command, {}, lambda: _answers(f"{self.url('prometheus')}/-/ready"))

    def _begin(self, name: str, service: Service) -> None:
        if name == "worker":
            counts = self.folder / "worker-counts"
            shutil.rmtree(counts, ignore_errors=True)
            counts.mkdir()
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                service.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=ROOT,
                env={**os.environ, **service.env}, user=service.user,
                # Ctrl+C is for whoever started us: we stop them in order.
                start_new_session=True,
            )  # fmt: skip
        self._running[name] = process
        deadline = time.monotonic() + START_S
        while not service.ready():
            if process.poll() is not None or time.monotonic() > deadline:
                log_file = self.folder / f"{name}.log"
                tail = "\n".join(log_file.read_text(errors="replace").splitlines()[-15:])
                raise LocalError(f"{name} does not start; {log_file} ends:\n{tail}")
            time.sleep(0.1)

    def _end(self, name: str, number: signal.Signals) -> None:
        process = self._running.pop(name, None)
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _secret(self, name: str) -> str:
        path = self.secrets / name
        return path.read_text().strip() if path.exists() else ""


def _run_as(user: str | None, *command: str | Path) -> None:
    done = subprocess.run(
        list(map(str, command)), user=user, cwd="/", capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LocalError(f"{command[0]} failed: {done.stderr.strip()}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind((LOOPBACK, 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
