"""Takes runs to MLflow, one after the other, trying again for a few seconds; tells how it went."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from ml_tasks.config import Config
from ml_tasks.errors import MammoError
from ml_tasks.release.ledger import read_moves
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import locked
from ml_tasks.tracking.content import content_of
from ml_tasks.tracking.outcome import Outcome
from ml_tasks.tracking.place import place_of, without_secrets
from ml_tasks.tracking.releases import model_name, release_of
from ml_tasks.tracking.store import Store

T = TypeVar("T")
_WAITS = (1.0, 2.0)  # seconds between three attempts
_PATIENCE = 8.0  # seconds after which nothing is tried again


def register(config: Config, run_ids: Sequence[str]) -> Outcome:
    """Notes the runs in MLflow, registers the releases they have pushed, sets the alias right.

    One process at a time: two would each make a run of the same one. Ends early once MLflow does
    not answer.
    """
    place = place_of(config, os.environ)
    begin = time.monotonic()
    done: list[str] = []
    failed: dict[str, str] = {}
    with locked(config.paths.runs / "tracking"):
        for run_id in run_ids:
            try:
                store = _patiently(begin, lambda: Store(place))
            except Exception as error:  # noqa: BLE001 - whatever MLflow raises: it does not answer
                return Outcome(
                    where=place.shown, done=tuple(done), failed=failed, unreachable=_words(error)
                )
            trouble = _tried(begin, partial(_register_one, store, config, run_id))
            if trouble:
                failed[run_id] = trouble
            else:
                done.append(run_id)
        if not run_ids:  # a rollback is of no run of its own, and the alias follows all the same
            try:
                store = _patiently(begin, lambda: Store(place))
                _patiently(begin, partial(_point_alias, store, config))
            except Exception as error:  # noqa: BLE001 - as above
                return Outcome(where=place.shown, unreachable=_words(error))
    return Outcome(where=place.shown, done=tuple(done), failed=failed)


def _register_one(store: Store, config: Config, run_id: str) -> None:
    run = RunPaths.reopen(config.paths.runs, run_id)
    noted = store.note(content_of(run))
    release = release_of(run, config)
    if release is not None:
        store.register(release, noted)
    _point_alias(store, config)


def _point_alias(store: Store, config: Config) -> None:
    # The image registry's tag says what serves; the ledger holds its every move. The alias follows.
    moves = read_moves(config.paths.releases)
    if moves:
        store.point_production_to(model_name(config), moves[-1].version)


def _tried(begin: float, action: Callable[[], None]) -> str:
    """Why it failed; empty if it did not."""
    try:
        _patiently(begin, action)
    except Exception as error:  # noqa: BLE001 - one run's trouble is not the next one's
        return _words(error)
    return ""


def _patiently(begin: float, action: Callable[[], T]) -> T:
    """Tries again what may pass by itself, a locked database for example, for a few seconds."""
    for wait in _WAITS:
        try:
            return action()
        except MammoError:
            raise
        except Exception:
            if time.monotonic() - begin > _PATIENCE:
                raise
            time.sleep(wait)
    return action()


def _words(error: Exception) -> str:
    """One line for people, without what nobody may read."""
    text = " ".join(str(error).split())[:400]
    kind = "" if isinstance(error, MammoError) else f"{type(error).__name__}: "
    return without_secrets(f"{kind}{text}", os.environ)
