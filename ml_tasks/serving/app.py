"""The FastAPI application: predict, health, readiness; every refusal is {"error", "detail"}."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import FastAPI, File, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.responses import JSONResponse

from ml_tasks.errors import ImageRejected
from ml_tasks.inference.predictor import Prediction
from ml_tasks.records import Record
from ml_tasks.serving.loading import LoadingPredictor
from ml_tasks.serving.middleware import BodyLimit, RequestLog
from ml_tasks.serving.settings import Settings

_NAMES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}
_UPLOAD = File(description="One mammogram: PNG, JPEG, TIFF or PGM")


class Refusal(Record):
    """Why there is no answer: a stable code and a sentence for people."""

    error: str
    detail: str


class NotReadyError(Exception):
    """Asked for an answer before the model is loaded."""


def create_app(settings: Settings) -> FastAPI:
    """The service for the bundle at `settings.release`, which is loaded once the app starts."""
    # The container's file system is read-only: an upload stays in memory, below the body limit.
    MultiPartParser.spool_max_size = settings.max_body + 1
    model = LoadingPredictor(settings.release)
    limiter = CapacityLimiter(settings.at_once)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        model.start()
        yield

    app = FastAPI(
        title="Mammography inference",
        description="Research use; not a diagnosis.",
        lifespan=lifespan,
        responses={code: {"model": Refusal} for code in (400, 413, 422, 503)},
    )
    app.add_middleware(BodyLimit, limit=settings.max_body)
    app.add_middleware(RequestLog)
    _add_refusals(app, model)
    _add_probes(app, model)

    @app.post("/inference/predict")
    async def predict(file: UploadFile = _UPLOAD) -> Prediction:
        """Which class one mammogram belongs to, how sure the model is, and which model says so."""
        if model.predictor is None:
            raise NotReadyError
        data = await file.read()
        return await anyio.to_thread.run_sync(model.predictor.predict, data, limiter=limiter)

    return app


def _add_probes(app: FastAPI, model: LoadingPredictor) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """The process is up; says nothing of the model."""
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> dict[str, str]:
        """200 once the model is loaded; 503 with the reason until then."""
        if model.predictor is None:
            raise NotReadyError
        return {"status": "ready", "model_version": model.predictor.version}


def _add_refusals(app: FastAPI, model: LoadingPredictor) -> None:
    @app.exception_handler(ImageRejected)
    async def rejected(_: Request, error: ImageRejected) -> JSONResponse:
        return _refusal(413 if error.code == "too_large" else 422, error.code, str(error))

    @app.exception_handler(RequestValidationError)
    async def missing(_: Request, __: RequestValidationError) -> JSONResponse:
        return _refusal(
            422, "missing_file", "send the image as a multipart form with one file field `file`"
        )

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        code = _NAMES.get(error.status_code, "refused")
        return _refusal(error.status_code, code, str(error.detail))

    @app.exception_handler(NotReadyError)
    async def not_ready(_: Request, __: NotReadyError) -> JSONResponse:
        return _refusal(503, "release_broken" if model.broken else "not_ready", model.reason)

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> JSONResponse:
        return _refusal(500, "internal", "the service failed; its log says why")


def _refusal(status: int, error: str, detail: str) -> JSONResponse:
    return JSONResponse(Refusal(error=error, detail=detail).model_dump(), status)
