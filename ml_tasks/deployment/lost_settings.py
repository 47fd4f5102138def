"""Data of a stack whose .env is not here: no new secrets open them, so nothing starts on them."""

from __future__ import annotations

from pathlib import Path

from ml_tasks.deployment import kept_volumes
from ml_tasks.deployment.compose import Compose
from ml_tasks.deployment.settings_file import NAME, settings_so_far, usual_place
from ml_tasks.errors import StackError

_PASSWORD = "POSTGRES_PASSWORD"  # the database takes it in when it is made, and never again


def refuse_lost_settings(project: Path) -> None:
    """Refuses to draw a password for a database that has one already.

    Raises:
        StackError: the engine holds the database of a stack of this name, and .env does not hold
            its password.
    """
    settings = {**usual_place(project), **settings_so_far(project)}
    compose = Compose(project, settings)
    if _PASSWORD in settings or not kept_volumes.there(compose, kept_volumes.POSTGRES):
        return
    name, file = compose.name, project / NAME
    raise StackError(
        f"the engine holds the database of an earlier stack {name} (volume {name}_"
        f"{kept_volumes.POSTGRES}), and {file} does not hold its {_PASSWORD}. Put the .env of that "
        "stack back: each of its backups holds it. Or set up another stack beside it: lines "
        f"COMPOSE_PROJECT_NAME, MAMMO_SHARED and ports of its own in {file}. Or, if nobody needs "
        "what it kept, remove it. docs/backup.md tells how, of each (A stack whose .env is lost)"
    )
