"""Beat and the workers' signs of life, on a real Redis."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.servers import RedisServer, wait_until


def test_beat_sends_its_ticks_and_tells_that_it_lives(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    alive = tmp_path / "alive"
    env = {
        **os.environ, "TWOFOLD_HOME": str(tmp_path), "TWOFOLD_REDIS_URL": redis_server.url,
        "TWOFOLD_ALIVE_FILE": str(alive),
    }  # fmt: skip
    command = [sys.executable, "-m", "celery", "-A", "ingestion.jobs.celery", "beat",
               "--schedule", str(tmp_path / "beat"), "--pidfile", ""]  # fmt: skip
    with redis_server.client() as client:
        client.flushall()
        beat = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
        try:
            wait_until(alive.exists, "beat tells that it lives", 60.0)
            assert client.llen("clock") >= 1
        finally:
            beat.send_signal(signal.SIGTERM)
            beat.wait(30)
