"""`python -m ml_tasks.statsd`: the bridge from Airflow's StatsD to Prometheus, until SIGTERM."""

from __future__ import annotations

import argparse
import signal
import socket
import sys
from pathlib import Path
from types import FrameType

from ml_tasks.statsd.bridge import Bridge
from ml_tasks.statsd.series import Series


def main(arguments: list[str] | None = None) -> int:
    """Listens on both ports; a taken one ends it with a word and status 1."""
    given = _parser().parse_args(arguments)
    source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        source.bind((given.host, given.statsd_port))
        bridge = Bridge(Series(given.first_zero, given.forget), given.disk)
        bridge.answer(given.host, given.port)
    except OSError as error:
        sys.stderr.write(
            f"ports {given.statsd_port} (udp) and {given.port} of {given.host}: {error}; "
            "choose others with --statsd-port and --port\n"
        )
        return 1
    signal.signal(signal.SIGTERM, _end)
    bridge.listen(source)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ml_tasks.statsd", description=__doc__)
    parser.add_argument("--host", default="0.0.0.0", help="address of both ports")
    parser.add_argument("--statsd-port", type=int, default=9125, help="where Airflow sends (udp)")
    parser.add_argument("--port", type=int, default=9102, help="where Prometheus asks")
    parser.add_argument("--disk", type=Path, action="append", default=[], help="volume to measure")
    parser.add_argument("--first-zero", type=float, default=30.0, metavar="SECONDS")
    parser.add_argument("--forget", type=float, default=300.0, metavar="SECONDS")
    return parser


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
