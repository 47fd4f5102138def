"""`killed_deploy FILE NETWORK AT`: deploy_service, killed right before a step of it."""

from __future__ import annotations

import sys
from pathlib import Path

from ml_tasks.config import load_config
from ml_tasks.deploy_service import follow_production
from ml_tasks.release.engine import connect
from ml_tasks.release.service_place import ServicePlace
from tests.docker.killed_at_step import killed_at


def main(file: str, network: str, at: str) -> int:
    """Gives the exit status, if it was let live."""
    config, client = load_config(Path(file)), connect()
    place = ServicePlace(network, config.paths.statistics)
    return killed_at(at, lambda: follow_production(config, client, place))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3]))
