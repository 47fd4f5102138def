"""What the service writes down: one JSON object a line, without pixels, names or addresses."""

from __future__ import annotations

import logging
import sys
from logging.handlers import RotatingFileHandler
from typing import Any

from ml_tasks.errors import ConfigError
from ml_tasks.inference.predictor import Judged
from ml_tasks.serving.json_lines import JsonLines
from ml_tasks.serving.noted import Noted
from ml_tasks.serving.settings import OFF, STDOUT, Settings

log = logging.getLogger(__name__)
_PROBES = ("/health", "/ready", "/metrics")


def log_request(method: str, path: str, status: int, seconds: float, noted: Noted) -> None:
    """The line of one request; probes that go well are left out, since they come every second."""
    quiet = path in _PROBES and (status < 500 or noted.error == "not_ready")
    fields: dict[str, Any] = {
        "method": method,
        "path": path,
        "status": status,
        "ms": round(seconds * 1000, 1),
        "bytes": noted.bytes,
        "model_version": noted.version,
    }
    if noted.error is not None:
        fields["error"] = noted.error
    if noted.images:
        fields["answers"] = noted.answers()
    log.log(logging.DEBUG if quiet else logging.INFO, "request", extra={"fields": fields})


class StatisticsLog:
    """Figures of every judged image, by which a later drift of the films can be seen."""

    def __init__(self, settings: Settings) -> None:
        self._log = logging.Logger("statistics")
        self._on = settings.statistics != OFF
        if self._on:
            handler = _handler(settings)
            handler.setFormatter(JsonLines())
            self._log.addHandler(handler)

    def write(self, noted: Noted) -> None:
        """One line for each image of a request that was judged."""
        if not self._on:
            return
        for image in noted.images:
            if isinstance(image, Judged):
                self._log.info("statistics", extra={"fields": _figures(image)})


class _Rotated(RotatingFileHandler):
    """A file that is never the reason for an answer to fail: a full disk is told once."""

    told = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - its name in logging
        if not self.told:
            self.told = True
            log.error("the image statistics cannot be written: %s", sys.exc_info()[1])


def _handler(settings: Settings) -> logging.Handler:
    if settings.statistics == STDOUT:
        return logging.StreamHandler(sys.stdout)
    try:
        return _Rotated(
            settings.statistics,
            maxBytes=settings.statistics_bytes,
            backupCount=settings.statistics_files,
            encoding="utf-8",
        )
    except OSError as error:
        raise ConfigError(
            f"MAMMO_STATISTICS is {settings.statistics!r}, which cannot be written "
            f"({error.strerror}); name another file, {STDOUT} or {OFF}"
        ) from error


def _figures(image: Judged) -> dict[str, Any]:
    decoded, cleaned = image.decoded, image.cleaned
    told = image.prediction
    picture = zip(image.statistics.names(), image.statistics.vector(), strict=True)
    return {
        "model_version": told.model_version,
        "prediction": told.prediction,
        "probability": round(told.probability, 4),
        "quality": [str(warning.code) for warning in image.answer.quality],
        "format": decoded.format,
        "width": decoded.width,
        "height": decoded.height,
        "bit_depth": decoded.bit_depth,
        "inverted": cleaned.inverted,
        "framed": cleaned.framed,
        "side": cleaned.side,
        "parts": cleaned.parts,
        "kept_share": round(cleaned.kept_share, 4),
        "picture": {name: round(float(value), 4) for name, value in picture},
    }
