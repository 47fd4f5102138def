"""`python -m ml_tasks.serving.probe`: exit status 0 if the service in this container is ready."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

from ml_tasks.serving.settings import Settings


def main() -> int:
    """Asks /ready of this container's own service; the image's HEALTHCHECK."""
    port = Settings.from_environment(os.environ).port
    # No proxy: an environment that names one must not send the probe out of the container.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/ready", timeout=3):
            return 0
    except (urllib.error.URLError, OSError):
        return 1


if __name__ == "__main__":
    sys.exit(main())
