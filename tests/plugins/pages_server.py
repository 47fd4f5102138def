"""`python -m tests.plugins.pages_server HOME PORT`: Airflow's own api-server app with our plugin.

The app, the login, the permissions and the plugin's loading are Airflow's; only the scheduler and
what it would need are left out, so that it starts in seconds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(home: Path, port: int) -> None:
    """Serves until it is ended; first writes the plugin's routes to HOME/routes.json."""
    from airflow import settings
    from airflow.models.base import Base
    from airflow.utils.db import import_all_models

    import_all_models()
    assert settings.engine is not None
    Base.metadata.create_all(settings.engine)
    import uvicorn
    from airflow.api_fastapi.app import create_app

    app: Any = create_app(apps="core")
    ours = next(route for route in app.routes if getattr(route, "path", "") == "/mammography")
    routes = [[route.path, sorted(route.methods)] for route in ours.app.routes]
    (home / "routes.json").write_text(json.dumps(routes))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
