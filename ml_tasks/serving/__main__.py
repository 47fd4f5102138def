"""`python -m ml_tasks.serving`: serves until SIGTERM, then finishes what it is answering."""

from __future__ import annotations

import os
import signal
import sys

from ml_tasks.errors import ConfigError
from ml_tasks.serving.json_lines import start_logging
from ml_tasks.serving.loading import LoadingRelease
from ml_tasks.serving.memory import keep_little
from ml_tasks.serving.settings import Settings


def main() -> int:
    """Runs the service; a bad setting is named and ends it with status 2."""
    try:
        settings = Settings.from_environment(os.environ)
    except ConfigError as error:
        return _unusable(error)
    start_logging()
    keep_little()
    release = LoadingRelease(settings.release)
    release.start()
    # Imported only now: the release is loaded meanwhile, and the service is ready the earlier.
    import uvicorn

    from ml_tasks.serving.app import create_app
    from ml_tasks.serving.connection import Connection

    try:
        app = create_app(settings, release)
    except ConfigError as error:
        return _unusable(error)
    # Uvicorn raises the signal again once it has ended; that it came is no failure.
    signal.signal(signal.SIGTERM, lambda *_: None)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=Connection,
        ws="none",
        log_config=None,
        access_log=False,  # the app's own line holds no client address and no query
        server_header=False,
        timeout_graceful_shutdown=10,
    )
    return 0


def _unusable(error: ConfigError) -> int:
    sys.stderr.write(f"{error}\n")
    return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
