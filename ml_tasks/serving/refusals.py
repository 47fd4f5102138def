"""Every refusal: a stable code, its HTTP status, and a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from ml_tasks.errors import ImageRejected
from ml_tasks.records import Record

# By code: the status, and when it is given.
CODES: dict[str, tuple[int, str]] = {
    "bad_request": (400, "the request is no proper HTTP or no proper multipart form"),
    "unauthorized": (401, "the service wants a key, and the request carries none or another"),
    "not_found": (404, "there is nothing at this path"),
    "method_not_allowed": (405, "the path is there, but not for this method"),
    "slow_upload": (408, "the request did not arrive in MAMMO_RECEIVE_SECONDS"),
    "too_large": (
        413,
        "the request is over MAMMO_MAX_BODY, or the image over the release's limit of pixels",
    ),
    "missing_file": (422, "there is no multipart field `file` with a file"),
    "too_many_files": (422, "there are more files than may come in one request"),
    "bad_parameter": (422, "a query parameter is neither true nor false"),
    "empty": (422, "the file holds no bytes"),
    "not_an_image": (422, "the file is none of PNG, JPEG, TIFF, PGM and DICOM"),
    "unsupported": (422, "the image is of a kind that is not read, e.g. several pictures"),
    "unreadable": (422, "the image is damaged or cut off"),
    "too_small": (422, "a side of the image has fewer pixels than the release's limit"),
    "no_breast": (422, "no breast stands out from the background: blank, or no mammogram"),
    "internal": (500, "the service failed; its log says why"),
    "not_ready": (503, "the model is still being loaded"),
    "release_broken": (503, "the release cannot be used; the detail says why"),
    "busy": (503, "the queue is full, or the memory for requests is used up"),
    "timed_out": (503, "there was no answer in MAMMO_ANSWER_SECONDS"),
}


class Refusal(Record):
    """Why there is no answer."""

    error: str
    detail: str


class RequestRefused(Exception):
    """A request that gets a refusal instead of an answer; the code is one of CODES."""

    def __init__(self, code: str, detail: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.code, self.detail, self.status = code, detail, CODES[code][0]
        self.headers = {} if retry_after is None else {"retry-after": str(retry_after)}


class ClientGone(Exception):
    """The client hung up: nobody waits for an answer."""


def refusal(
    status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer that refuses."""
    content = Refusal(error=code, detail=detail).model_dump_json()
    return Response(content, status, headers, media_type="application/json")


def image_refused(error: ImageRejected) -> RequestRefused:
    """The refusal of a file that is no usable image."""
    return RequestRefused(error.code if error.code in CODES else "unreadable", str(error))
