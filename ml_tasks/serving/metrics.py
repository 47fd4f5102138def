"""The figures of GET /metrics, in Prometheus' text format; no label grows without bound."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from ml_tasks.errors import ImageRejected
from ml_tasks.inference.predictor import Judged
from ml_tasks.serving.noted import Noted

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """One service's figures, in a registry of their own."""

    def __init__(self, waiting: Callable[[], int], working: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "mammo_requests", "Requests answered", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "mammo_request_seconds",
            "Seconds from a request's head to the end of its answer",
            ["path"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "mammo_requests_in_flight",
            "Requests being received or answered",
            registry=self.registry,
        )
        self._gauge("mammo_queue_waiting", "Requests that wait for their turn", waiting)
        self._gauge("mammo_queue_working", "Requests whose images are being judged", working)
        self.predictions = Counter(
            "mammo_predictions", "Images judged", ["prediction"], registry=self.registry
        )
        self.quality = Counter(
            "mammo_quality_warnings", "Warnings told with answers", ["code"], registry=self.registry
        )
        self.refused = Counter(
            "mammo_images_refused", "Images that are not usable", ["code"], registry=self.registry
        )
        self.model = Gauge(
            "mammo_model_info", "1 for the loaded model", ["model_version"], registry=self.registry
        )

    def count(self, path: str, status: int, seconds: float, noted: Noted) -> None:
        """Counts one answered request; `path` is one of the routes, not what was asked for."""
        self.requests.labels(path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)
        for image in noted.images:
            self._count_image(image)

    def text(self, version: str | None) -> bytes:
        """All figures as Prometheus reads them."""
        if version is not None:
            self.model.labels(version).set(1)
        return generate_latest(self.registry)

    def _count_image(self, image: Judged | ImageRejected) -> None:
        if isinstance(image, ImageRejected):
            self.refused.labels(image.code).inc()
            return
        self.predictions.labels(image.prediction.prediction).inc()
        for warning in image.answer.quality:
            self.quality.labels(str(warning.code)).inc()

    def _gauge(self, name: str, meaning: str, value: Callable[[], int]) -> None:
        Gauge(name, meaning, registry=self.registry).set_function(value)
