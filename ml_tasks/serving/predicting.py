"""Films in, answers out: the two endpoints that run the model."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from ml_tasks.errors import ImageRejected
from ml_tasks.inference.predictor import Predictor, Wanted
from ml_tasks.serving.judging import Outcome, judge_all
from ml_tasks.serving.loading import LoadingRelease
from ml_tasks.serving.noted import Noted
from ml_tasks.serving.refusals import ClientGone, RequestRefused, image_refused
from ml_tasks.serving.release_page import NOTICE
from ml_tasks.serving.replies import PredictReply, Refused
from ml_tasks.serving.settings import Settings
from ml_tasks.serving.upload import Bodies, Upload
from ml_tasks.serving.work_queue import WorkQueue

T = TypeVar("T")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_JSON = "application/json"


class Predicting:
    """The endpoints, and the queue that they share."""

    def __init__(self, settings: Settings, release: LoadingRelease) -> None:
        self.settings, self.release = settings, release
        self.queue = WorkQueue(settings.at_once, settings.queue)
        self.bodies = Bodies(settings.max_bodies)

    async def gateway(self, request: Request) -> Response:
        """POST /inference/predict: one file, the short answer."""
        predictor = self.ready()
        (outcome,) = await self._judged(request, predictor, Wanted(), 1)
        if isinstance(outcome, ImageRejected):
            raise image_refused(outcome)
        return Response(outcome.prediction.model_dump_json(), media_type=_JSON)

    async def predict(self, request: Request) -> Response:
        """POST /v1/predict: one or several files, the whole answer for each."""
        wanted = Wanted(
            picture=_flag(request, "picture"), activation_map=_flag(request, "activation_map")
        )
        predictor = self.ready()
        outcomes = await self._judged(request, predictor, wanted, self.settings.max_files)
        if len(outcomes) == 1 and isinstance(outcomes[0], ImageRejected):
            raise image_refused(outcomes[0])
        reply = PredictReply(
            model_version=predictor.version,
            notice=NOTICE,
            results=tuple(
                Refused(error=outcome.code, detail=str(outcome))
                if isinstance(outcome, ImageRejected)
                else outcome.answer
                for outcome in outcomes
            ),
        )
        return Response(reply.model_dump_json(), media_type=_JSON)

    def ready(self) -> Predictor:
        """The loaded model.

        Raises:
            RequestRefused: `not_ready` or `release_broken`, with the reason.
        """
        if self.release.predictor is None:
            broken = self.release.broken
            raise RequestRefused(
                "release_broken" if broken else "not_ready",
                self.release.reason,
                60 if broken else 1,
            )
        return self.release.predictor

    async def _judged(
        self, request: Request, predictor: Predictor, wanted: Wanted, most: int
    ) -> list[Outcome]:
        """What comes of each file of a request, one after the other in one turn of the queue."""
        noted = Noted.of(request.scope)
        noted.version = predictor.version
        self.queue.check()  # a full queue need not receive what it will not take
        upload = Upload(self.settings, self.bodies)
        try:
            files = await upload.files(request.scope, request.receive, most)
            gone = threading.Event()

            def work() -> list[Outcome]:
                loaded = self.release.for_films(predictor, self.queue.working)
                return judge_all(loaded, files, wanted, gone)

            try:
                noted.images = await self._in_turn(request.receive, work)
            finally:
                gone.set()  # films of a request that nobody waits for are not judged
                files.clear()  # nor held until the one at work is done
        finally:
            noted.bytes = upload.size
            upload.release()
        return noted.images

    async def _in_turn(self, receive: Receive, work: Callable[[], T]) -> T:
        """What `work` returns, unless the client hangs up or the time is up before."""
        job = asyncio.ensure_future(self.queue.run(work))
        hung_up = asyncio.ensure_future(_hang_up(receive))
        try:
            done, _ = await asyncio.wait(
                {job, hung_up},
                timeout=self.settings.answer_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if job in done:
                return job.result()
            if hung_up in done:
                raise ClientGone
            raise RequestRefused(
                "timed_out", f"no answer within {self.settings.answer_seconds} seconds", 1
            )
        finally:
            for task in (job, hung_up):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(job, hung_up, return_exceptions=True)


async def _hang_up(receive: Receive) -> None:
    """Returns once the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false")
    if text.lower() not in _FLAGS:
        raise RequestRefused("bad_parameter", f"{name} must be true or false")
    return _FLAGS[text.lower()]
