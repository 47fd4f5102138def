"""The release, loaded in the background: the service answers /health while it is not ready yet."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ml_tasks.errors import ImageRejected, MammoError, ReleaseError
from ml_tasks.release.bundle import verify
from ml_tasks.serving.memory import give_memory_back

if TYPE_CHECKING:
    from ml_tasks.inference.predictor import Predictor
    from ml_tasks.serving.release_page import ReleasePage

log = logging.getLogger(__name__)


class LoadingRelease:
    """A release that becomes available; until then `reason` says why it is not.

    Hashing the files and importing what runs the model go on at the same time, and both while the
    rest of the service starts.
    """

    def __init__(self, bundle: Path) -> None:
        self.bundle = bundle
        self.predictor: Predictor | None = None  # all processors work on one film
        self.side_by_side: Predictor | None = None  # the same, one processor a film
        self.page: ReleasePage | None = None
        self.reason = "the model is being loaded"
        self.broken = False
        self.complete = False  # ready, and what a first request need not wait for is there too
        self._started = False

    def start(self) -> None:
        """Begins loading, once; daemon threads, so that they never hold up an ending service."""
        if not self._started:
            self._started = True
            threading.Thread(target=self._load, name="load-release", daemon=True).start()

    def _load(self) -> None:
        started = time.monotonic()
        try:
            predictor = self._loaded()
        except MammoError as error:
            self._give_up(str(error))
        except Exception as error:  # a service that is up must be able to say why it is not ready
            log.exception("loading failed in a way that was not foreseen")
            self._give_up(f"{type(error).__name__}: {error}")
        else:
            self.predictor = predictor
            log.info("ready: model %s in %.2f s", predictor.version, time.monotonic() - started)
            give_memory_back()
            self._warm_up(predictor)
            give_memory_back()
            self.complete = True

    def for_films(self, predictor: Predictor, at_work: int) -> Predictor:
        """The same model for `at_work` requests at a time; its answers are the same.

        One film is answered soonest by threads that wait for one another in a loop. Beside other
        films these loops take the processors that the others need: then one thread a film does
        more in all.
        """
        return predictor if at_work <= 1 else self.side_by_side or predictor

    def _warm_up(self, predictor: Predictor) -> None:
        """What a first request need not wait for: rare formats' imports, the second session."""
        from ml_tasks.imaging import dicom_pixels  # noqa: F401
        from ml_tasks.inference.predictor import Predictor
        from ml_tasks.inference.scorer import processors

        try:
            if processors() > 1:
                beside = Predictor.load(self.bundle, threads=1)
                if beside.version != predictor.version:
                    raise ReleaseError(f"{self.bundle} now holds {beside.version}")
                self.side_by_side = beside
            predictor.judge(b"P5 64 64 255\n" + bytes(64 * 64))
        except ImageRejected:
            pass  # a black film: it is refused, and the decoders are there
        except MammoError as error:  # altered since: what is loaded still serves
            log.error("the release was altered after it was loaded: %s", error)

    def _loaded(self) -> Predictor:
        check = _Check(self.bundle)
        check.start()
        from ml_tasks.inference.predictor import Predictor
        from ml_tasks.serving.release_page import ReleasePage

        check.join()
        if check.error is not None:
            raise check.error
        predictor = Predictor.load(self.bundle, verified=True)
        predictor.scorer.warm_up()
        self.page = ReleasePage.of(self.bundle, predictor)
        return predictor

    def _give_up(self, reason: str) -> None:
        self.reason = f"the release is broken: {reason}"
        self.broken = True
        log.error("not ready, and will not be: %s", self.reason)


class _Check(threading.Thread):
    """The hashes of a bundle, computed while others import: hashing needs no lock of Python's."""

    def __init__(self, bundle: Path) -> None:
        super().__init__(name="check-release", daemon=True)
        self.bundle = bundle
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            verify(self.bundle)
        except Exception as error:  # noqa: BLE001 - raised by who waits for the outcome
            self.error = error
