"""The release, loaded in the background: the service answers /health while it is not ready yet."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from ml_tasks.errors import MammoError
from ml_tasks.inference.predictor import Predictor

log = logging.getLogger(__name__)


class LoadingPredictor:
    """A Predictor that becomes available; until then `reason` says why it is not."""

    def __init__(self, bundle: Path) -> None:
        self.bundle = bundle
        self.predictor: Predictor | None = None
        self.reason = "the model is being loaded"
        self.broken = False

    def start(self) -> None:
        """Begins loading; a daemon thread, so that it never holds up an ending service."""
        threading.Thread(target=self._load, name="load-release", daemon=True).start()

    def _load(self) -> None:
        started = time.monotonic()
        try:
            self.predictor = Predictor.load(self.bundle)
        except MammoError as error:
            self._give_up(str(error))
        except Exception as error:  # a service that is up must be able to say why it is not ready
            log.exception("loading failed in a way that was not foreseen")
            self._give_up(f"{type(error).__name__}: {error}")
        else:
            log.info(
                "ready: model %s in %.2f s", self.predictor.version, time.monotonic() - started
            )

    def _give_up(self, reason: str) -> None:
        self.reason = f"the release is broken: {reason}"
        self.broken = True
        log.error("not ready, and will not be: %s", self.reason)
