"""The application: its routes, what requests pass through, and the form of every refusal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from ml_tasks.serving.access import KeyCheck
from ml_tasks.serving.loading import LoadingRelease
from ml_tasks.serving.logbook import StatisticsLog
from ml_tasks.serving.metrics import CONTENT_TYPE, Metrics
from ml_tasks.serving.middleware import RequestRecord
from ml_tasks.serving.noted import Noted
from ml_tasks.serving.page.routes import page_routes
from ml_tasks.serving.predicting import Predicting
from ml_tasks.serving.refusals import CODES, ClientGone, RequestRefused, refusal
from ml_tasks.serving.replies import Health, Ready
from ml_tasks.serving.settings import Settings

_JSON = "application/json"
_STATUS_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}
_HUNG_UP = 499


def create_app(settings: Settings, release: LoadingRelease | None = None) -> Starlette:
    """The service of a release, which is loaded once the app starts if it is not already."""
    release = release or LoadingRelease(settings.release)
    predicting = Predicting(settings, release)
    metrics = Metrics(lambda: predicting.queue.waiting, lambda: predicting.queue.working)
    routes = [*_predictions(predicting), *_probes(predicting, metrics), *_documents()]
    routes += page_routes()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        release.start()
        yield
        predicting.queue.close()

    paths = frozenset(route.path for route in routes)
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=_middleware(settings, paths, metrics),
        exception_handlers={
            RequestRefused: _refused,
            HTTPException: _no_route,
            ClientGone: _gone,
            Exception: _failed,
        },
    )
    # A path with a slash too many is none: sent on, a film would follow an address that a header
    # names, over plain HTTP even where a proxy took it in by TLS.
    app.router.redirect_slashes = False
    return app


def _middleware(settings: Settings, paths: frozenset[str], metrics: Metrics) -> list[Middleware]:
    """From the outside in: the log sees everything, and a browser may read a refused key."""
    found = [
        Middleware(RequestRecord, paths=paths, metrics=metrics, statistics=StatisticsLog(settings))
    ]
    if settings.cors_origins:
        found.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["authorization", "x-api-key", "content-type"],
                expose_headers=["retry-after"],
            )
        )
    if settings.api_key is not None:
        found.append(Middleware(KeyCheck, key=settings.api_key))
    return found


def _predictions(predicting: Predicting) -> list[Route]:
    async def model(_: Request) -> Response:
        predicting.ready()
        page = predicting.release.page
        assert page is not None  # stands before the model is called ready
        return Response(page.content, media_type=_JSON)

    return [
        Route("/inference/predict", predicting.gateway, methods=["POST"]),
        Route("/v1/predict", predicting.predict, methods=["POST"]),
        Route("/v1/model", model),
    ]


def _probes(predicting: Predicting, metrics: Metrics) -> list[Route]:
    async def health(_: Request) -> Response:
        return Response(Health().model_dump_json(), media_type=_JSON)

    async def ready(_: Request) -> Response:
        told = Ready(model_version=predicting.ready().version)
        return Response(told.model_dump_json(), media_type=_JSON)

    async def figures(_: Request) -> Response:
        predictor = predicting.release.predictor
        return Response(
            metrics.text(predictor.version if predictor else None), media_type=CONTENT_TYPE
        )

    return [Route("/health", health), Route("/ready", ready), Route("/metrics", figures)]


def _documents() -> list[Route]:
    # Made when somebody asks for them: most services never are, and it would delay the start.
    async def description(_: Request) -> Response:
        from ml_tasks.serving.openapi import document_json

        return Response(document_json(), media_type=_JSON)

    async def documentation(_: Request) -> Response:
        from ml_tasks.serving.documentation import page

        return HTMLResponse(page())

    return [Route("/openapi.json", description), Route("/docs", documentation)]


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefused)
    Noted.of(request.scope).error = error.code
    return refusal(error.status, error.code, error.detail, error.headers)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _STATUS_CODES.get(error.status_code, "bad_request")
    Noted.of(request.scope).error = code
    return refusal(error.status_code, code, CODES[code][1], error.headers)


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=_HUNG_UP)


async def _failed(request: Request, _: Exception) -> Response:
    Noted.of(request.scope).error = "internal"
    return refusal(500, "internal", CODES["internal"][1])
