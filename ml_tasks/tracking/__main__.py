"""The process that speaks to MLflow: settings and run ids on stdin, the outcome on stdout."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout

from ml_tasks.config import Config
from ml_tasks.tracking.registration import register


def main() -> None:
    """Reads `{"config": {...}, "runs": [...]}` and answers with an Outcome."""
    order = json.load(sys.stdin)
    with redirect_stdout(sys.stderr):  # MLflow prints
        outcome = register(Config.model_validate(order["config"]), order["runs"])
    sys.stdout.write(outcome.model_dump_json())


if __name__ == "__main__":
    main()
