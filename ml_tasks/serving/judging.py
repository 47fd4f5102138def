"""The films of a request judged one after the other; of large ones, one at a time in all."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from ml_tasks.errors import ImageRejected
from ml_tasks.inference.predictor import Judged, Predictor, Wanted
from ml_tasks.serving.memory import give_memory_back

Outcome = Judged | ImageRejected

_SMALL_MEGAPIXELS = 6.0  # such a film is decoded in less than 100 MB, the largest takes 512
_SMALL_BYTES = 16 * 1024 * 1024

_large = threading.Lock()


def judge_all(
    predictor: Predictor, files: Sequence[bytes], wanted: Wanted, gone: threading.Event
) -> list[Outcome]:
    """What comes of each file, in order; none is begun once `gone` is set."""
    return [_outcome(predictor, data, wanted) for data in files if not gone.is_set()]


def _outcome(predictor: Predictor, data: bytes, wanted: Wanted) -> Outcome:
    small = _for_small(predictor)
    try:
        if len(data) <= _SMALL_BYTES:
            return small.judge(data, wanted)
    except ImageRejected as error:
        if error.code != "too_large":
            return _bare(error)
    with _large:
        try:
            return predictor.judge(data, wanted)
        except ImageRejected as error:
            return _bare(error)
        finally:
            give_memory_back()


def _bare(error: ImageRejected) -> ImageRejected:
    """The same refusal without its traceback, which would hold the whole file for long."""
    return ImageRejected(error.code, str(error))


def _for_small(predictor: Predictor) -> Predictor:
    """The same predictor, which refuses larger films by their header; its answers are the same."""
    spec = predictor.scorer.spec
    limit = min(spec.max_megapixels, _SMALL_MEGAPIXELS)
    limited = spec.model_copy(update={"max_megapixels": limit})
    return replace(predictor, scorer=replace(predictor.scorer, spec=limited))
