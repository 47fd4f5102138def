"""Programs that read or write more than fits in memory, and file-like views of such streams."""

from __future__ import annotations

import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO

from ml_tasks.errors import StackError

_CHUNK = 1 << 20
_GZIP = 31  # zlib's number for the form of gzip with the widest window
_FAST = 1  # three times as fast as the usual level, for a tenth more bytes


def output_of(
    command: Sequence[str],
    what: str,
    data: bytes = b"",
    warn: Callable[[str], None] | None = None,
) -> Iterator[bytes]:
    """What a program writes, as it comes. It reads `data`; `warn` hears what else it says.

    Raises:
        StackError: it failed, so that what came is not all; `what` says what was tried.
    """
    with tempfile.TemporaryFile() as words, tempfile.TemporaryFile() as given:
        given.write(data)
        given.seek(0)
        with subprocess.Popen(
            command, stdin=given, stdout=subprocess.PIPE, stderr=words
        ) as program:
            assert program.stdout is not None
            try:
                while chunk := program.stdout.read(_CHUNK):
                    yield chunk
            except BaseException:
                program.kill()
                raise
        _check(program.returncode, words, what)
        if warn is not None:
            words.seek(0)
            for line in words:
                warn(line.decode(errors="replace").strip())


def feed(command: Sequence[str], chunks: Iterable[bytes], what: str) -> None:
    """Runs a program that reads the chunks.

    Raises:
        StackError: it failed; the end of what it said is quoted.
    """
    with tempfile.TemporaryFile() as words:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=words
        ) as program:
            assert program.stdin is not None
            try:
                for chunk in chunks:
                    program.stdin.write(chunk)
                program.stdin.close()
            except BrokenPipeError:
                pass  # it has ended, and says why
            except BaseException:
                program.kill()
                raise
        _check(program.returncode, words, what)


def compressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks as one gzip stream."""
    squeeze = zlib.compressobj(_FAST, zlib.DEFLATED, _GZIP)
    for chunk in chunks:
        yield squeeze.compress(chunk)
    yield squeeze.flush()


class ChunkReader:
    """Chunks as a file that can be read once, from its start to its end."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._left = b""

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; fewer only at the end."""
        parts, wanted = [], size
        while wanted:
            if not self._left:
                self._left = next(self._chunks, b"")
                if not self._left:
                    break
            taken = self._left if wanted < 0 else self._left[:wanted]
            self._left = self._left[len(taken) :]
            parts.append(taken)
            wanted -= len(taken) if wanted > 0 else 0
        return b"".join(parts)


def _check(status: int, words: IO[bytes], what: str) -> None:
    if status:
        words.seek(0)
        end = words.read()[-2000:].decode(errors="replace").strip()
        raise StackError(f"{what} failed (status {status}):\n{end}")
