"""What the harness runs: the reading of damaged files, and one that does everything wrong."""

from __future__ import annotations

import os

import cv2
import numpy as np

from ml_tasks.errors import ImageRejected
from ml_tasks.imaging.clean import preprocess
from ml_tasks.imaging.spec import ImageSpec
from tests.fuzz.corpus import corpus
from tests.fuzz.mutations import mutated

_FILES = corpus()  # made once and not in a case, whose time and memory are taken
_SPEC = ImageSpec()


def damaged(case: int) -> tuple[str, bytes]:
    """The format and the bytes of a numbered case: the same in every run."""
    random, files = np.random.default_rng([case, 20260101]), _FILES
    kind, data = files[case % len(files)]
    alike = [other for name, other in files if name == kind]
    return kind, mutated(kind, data, alike[int(random.integers(len(alike)))], random)


def preprocess_damaged(case: int) -> str:
    """Reads a damaged file as the pipeline and the service do; gives its format."""
    cv2.setNumThreads(1)
    kind, data = damaged(case)
    try:
        pixels = preprocess(data, _SPEC)
    except ImageRejected as refusal:
        refusal.add_note(kind)
        raise
    if pixels.shape != (_SPEC.side, _SPEC.side) or pixels.dtype != np.uint8:
        raise AssertionError(f"gave {pixels.shape} {pixels.dtype}")
    return kind


def wrong(case: int) -> str:
    """Does in five cases what the harness has to notice."""
    if case == 3:
        os.abort()
    if case == 10:
        raise ValueError("untyped")
    if case == 21:
        np.ones(80_000_000).sum()  # 640 MB
    if case == 34:
        start = os.times().user
        while os.times().user < start + 3:
            pass
    if case == 55:
        raise ImageRejected("", "")
    return "none"
