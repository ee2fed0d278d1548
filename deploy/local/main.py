"""`deploy/local/up`: start everything, say where it is, and watch over it until Ctrl+C."""

import argparse
import signal
import sys
import time
from pathlib import Path

from deploy.local.topology import ANSWERS, LocalError, Topology


def main() -> None:
    parser = argparse.ArgumentParser(prog="deploy/local/up", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(".twofold/local"))
    parser.add_argument("--no-example", action="store_true", help="index no example company")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        print(f"Starting in {options.folder.resolve()}", flush=True)
        with Topology(options.folder, example=not options.no_example) as topology:
            _tell(topology)
            while True:
                time.sleep(1)
                for name in topology.ended():
                    print(f"{name} ended; starting it again", flush=True)
                    topology.restart(name)
    except LocalError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("Stopped.")


def _tell(topology: Topology) -> None:
    for name in (*ANSWERS, "widget", "qdrant", "prometheus"):
        if name in topology.names:
            print(f"  {name:10}  {topology.url(name)}")
    print(f"  logs        {topology.folder}/*.log")
    print("Ask it something:")
    print(
        f"  curl -s {topology.url(ANSWERS[0])}/v1/chat -H 'content-type: application/json'"
        f' -H "authorization: Bearer $(cat {topology.secrets}/twofold/TWOFOLD_API_KEY)"'
        ' -d \'{"message": "How long are logs kept on River?"}\'',
        flush=True,
    )


if __name__ == "__main__":
    main()
