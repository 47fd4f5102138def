"""`python -m ml_tasks.serving`: serves until SIGTERM, then finishes what it is answering."""

from __future__ import annotations

import logging
import os
import sys

import uvicorn

from ml_tasks.errors import ConfigError
from ml_tasks.serving.app import create_app
from ml_tasks.serving.settings import Settings


def main() -> int:
    """Runs the service; a bad setting is named and ends it with status 2."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        settings = Settings.from_environment(os.environ)
    except ConfigError as error:
        logging.getLogger(__name__).error("%s", error)
        return error.exit_status
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,  # the app's own line holds no client address and no query
        server_header=False,
        timeout_graceful_shutdown=10,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
