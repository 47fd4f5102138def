"""The images of one chunk through the release's predictor; a bad film is a row, not a failure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2

from ml_tasks.errors import ImageRejected, ScoringError
from ml_tasks.inference.predictor import Predictor
from ml_tasks.release.bundle import bundle_of
from ml_tasks.scoring.film_file import read_film
from ml_tasks.scoring.listing import Listed
from ml_tasks.scoring.plan import BatchPlan
from ml_tasks.scoring.rows import ScoredRow, answered, refused


@dataclass(frozen=True)
class Scoring:
    """A loaded release and the threads that work with it, one image each."""

    predictor: Predictor
    folder: Path
    pool: ThreadPoolExecutor

    @classmethod
    @contextmanager
    def opened(cls, plan: BatchPlan, releases: Path, threads: int) -> Iterator[Scoring]:
        """The planned release, verified anew, ready to score in `threads` threads.

        Raises:
            ReleaseError: it is gone or was altered.
            ScoringError: the bundle is of another version than its folder says.
        """
        cv2.setNumThreads(1)  # each film has a thread of its own
        predictor = Predictor.load(bundle_of(releases, plan.version), threads=1)
        if predictor.version != plan.version:
            raise ScoringError(
                f"{bundle_of(releases, plan.version)} holds {predictor.version}, not the planned "
                f"{plan.version}; restore the release from a copy"
            )
        with ThreadPoolExecutor(threads) as pool:
            yield cls(predictor, Path(plan.folder), pool)

    def rows(self, planned: Sequence[Listed]) -> list[ScoredRow]:
        """A row for each file, in their order.

        Raises:
            ReleaseError: the model answers with no number.
            ImagesUnreachable: the folder is gone.
        """
        waiting = [self.pool.submit(self._row, each) for each in planned]
        try:
            return [each.result() for each in waiting]
        finally:
            for each in waiting:
                each.cancel()

    def _row(self, planned: Listed) -> ScoredRow:
        data = None
        try:
            data = read_film(self.folder, planned)
            return answered(planned, data, self.predictor.judge(data))
        except ImageRejected as error:
            return refused(planned, data, error)
