"""The files of a multipart form, in memory and within limits: nothing is ever written to disk."""

from __future__ import annotations

import asyncio

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive, Scope

from ml_tasks.serving.refusals import ClientGone, RequestRefused
from ml_tasks.serving.settings import Settings

FIELD = "file"
_KIND = b"multipart/form-data"
_MOST_FIELDS = 64  # that are no files; they are passed over
_MISSING = "send the image as a multipart form with a file field `file`"


class Bodies:
    """How many bytes of requests are held in memory, all requests together."""

    def __init__(self, limit: int) -> None:
        self.limit, self.held = limit, 0

    def take(self, count: int) -> None:
        """Counts bytes that arrived.

        Raises:
            RequestRefused: `busy`, too much is held already.
        """
        if self.held + count > self.limit:
            raise RequestRefused("busy", "too much is being uploaded at once; try again", 1)
        self.held += count

    def give_back(self, count: int) -> None:
        """Counts bytes that are held no more."""
        self.held -= count


class Upload:
    """One request's body while it arrives; `size` bytes of it stand in `bodies`."""

    def __init__(self, settings: Settings, bodies: Bodies) -> None:
        self.settings, self.bodies = settings, bodies
        self.size = 0

    async def files(self, scope: Scope, receive: Receive, most: int) -> list[bytes]:
        """The contents of the fields `file`, in the order sent; file names are not even kept.

        Raises:
            RequestRefused: too large, too slow, too many, no such field or no proper form.
            ClientGone: the client hung up.
        """
        form = _Form(_boundary(scope), most)
        self._check_stated(scope)
        try:
            async with asyncio.timeout(self.settings.receive_seconds):
                await self._receive(receive, form)
            return form.finished()
        except TimeoutError:
            raise RequestRefused(
                "slow_upload",
                f"the request did not arrive in {self.settings.receive_seconds} seconds",
            ) from None
        finally:
            form.close()

    def release(self) -> None:
        """Gives back what the request held; the files must not be used any more."""
        self.bodies.give_back(self.size)
        self.size = 0

    def _check_stated(self, scope: Scope) -> None:
        stated = _header(scope, b"content-length") or b"0"
        if not stated.isdigit() or int(stated) > self.settings.max_body:
            raise self._too_large()

    async def _receive(self, receive: Receive, form: _Form) -> None:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part: bytes = message.get("body", b"")
            if self.size + len(part) > self.settings.max_body:
                raise self._too_large()
            self.bodies.take(len(part))
            self.size += len(part)
            form.feed(part)
            more = message.get("more_body", False)

    def _too_large(self) -> RequestRefused:
        return RequestRefused(
            "too_large", f"the body is larger than {self.settings.max_body:,} bytes"
        )


class _Form:
    """A multipart form, of which only the files named `file` are kept."""

    def __init__(self, boundary: bytes, most: int) -> None:
        self._most, self._files, self._fields = most, list[bytearray](), 0
        self._name, self._value, self._disposition = b"", b"", b""
        self._into: bytearray | None = None
        self._complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._data,
                "on_end": self._end,
            },
        )

    def close(self) -> None:
        """Lets go of the files: form and parser hold each other, and would do so for long."""
        self._parser.callbacks = {}
        self._files, self._into = [], None

    def feed(self, data: bytes) -> None:
        """Takes the next bytes of the body."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise RequestRefused(
                "bad_request", f"the multipart form is broken ({error})"
            ) from error

    def finished(self) -> list[bytes]:
        """The files, once the body is there as a whole."""
        if not self._complete and (self._files or self._fields):
            raise RequestRefused("bad_request", "the multipart form ends without its last boundary")
        if not self._files:
            raise RequestRefused("missing_file", _MISSING)
        return [bytes(file) for file in self._files]

    def _begin(self) -> None:
        self._disposition, self._into = b"", None

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        if options.get(b"name") == FIELD.encode() and b"filename" in options:
            if len(self._files) == self._most:
                raise RequestRefused(
                    "too_many_files",
                    f"there are more than {self._most} file(s); send fewer at a time",
                )
            self._into = bytearray()
            self._files.append(self._into)
            return
        self._fields += 1
        if self._fields > _MOST_FIELDS:
            raise RequestRefused(
                "bad_request", f"the form has more than {_MOST_FIELDS} other fields"
            )

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._into is not None:
            self._into += memoryview(data)[start:end]

    def _end(self) -> None:
        self._complete = True


def _boundary(scope: Scope) -> bytes:
    kind, options = parse_options_header(_header(scope, b"content-type") or b"")
    boundary = options.get(b"boundary", b"")
    if kind != _KIND:
        raise RequestRefused("missing_file", _MISSING)
    if not 1 <= len(boundary) <= 200:
        raise RequestRefused(
            "bad_request", "the multipart form names no boundary of 1 to 200 bytes"
        )
    return boundary


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for found, value in scope["headers"] if found == name), None)
