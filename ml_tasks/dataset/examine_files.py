"""Many files examined at once by worker processes; what no worker survives is set aside."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import process
from pathlib import Path
from types import ModuleType

import cv2

from ml_tasks.dataset.cache import ExaminationCache
from ml_tasks.dataset.examination import ImageFacts, examine
from ml_tasks.dataset.seen_files import SeenFiles, stamp_of
from ml_tasks.errors import ImageRejected, WorkersLost
from ml_tasks.imaging.limits import MOST_FILE_BYTES, check_file_size
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.progress import counted

log = logging.getLogger(__name__)

KEY_VARIABLE = "MAMMO_PSEUDONYM_KEY"
_CRASHED = "reading it ended the process that read it; the file is damaged or made to do harm"
_PATIENCE = 5.0  # seconds between two looks at whether a pool still lives
_AT_ONCE = 16  # files at most handed to a worker together; handing over then costs nearly nothing


@dataclass(frozen=True)
class Examined:
    """One file as it was found: its size, the hash of its bytes, and its facts."""

    bytes: int
    sha256: str
    facts: ImageFacts

    @property
    def closed(self) -> bool:
        """Whether the system would not give its bytes: nothing is known of what is in it."""
        return not self.sha256 and not self.facts.code


@dataclass(frozen=True)
class Examiner:
    """Everything that decides what an examination gives, and how many processes share it."""

    spec: ImageSpec
    cache: Path
    key: bytes | None = None
    workers: int = 0  # 0: one for each core

    @classmethod
    def of_this_place(cls, spec: ImageSpec, cache: Path, workers: int = 0) -> Examiner:
        """With the pseudonym key that this machine's environment holds, if any."""
        key = os.environ.get(KEY_VARIABLE, "")
        return cls(spec, cache, key.encode() or None, workers)

    @property
    def processes(self) -> int:
        return self.workers or len(os.sched_getaffinity(0))

    def open_cache(self) -> ExaminationCache:
        return ExaminationCache.open(self.cache, self.spec, self.key)


def examine_files(raw: Path, files: Sequence[Path], examiner: Examiner) -> list[Examined]:
    """Examines files below `raw`, in their order; kept examinations are used again.

    Raises:
        StorageError: no space left for the cache.
        WorkersLost: no process can be started.
    """
    seen, kept = SeenFiles(examiner.cache, raw), examiner.open_cache()
    found = [_known(file, seen, kept) for file in files]
    missing = [place for place, known in enumerate(found) if known is None]
    if len(missing) < len(files):
        same = len(files) - len(missing)
        log.info("%d of %d files are as they were when last read", same, len(files))
    if missing:
        stamps = {place: _stamp(files[place]) for place in missing}
        fresh = _in_parallel([files[place] for place in missing], examiner)
        for place, examined in zip(missing, counted(fresh, len(missing), "read", log), strict=True):
            found[place] = examined
            stamp = stamps[place]
            if stamp and examined.sha256:
                seen.note(str(files[place]), stamp, examined.sha256)
    seen.save()
    return [examined for examined in found if examined is not None]


def _known(file: Path, seen: SeenFiles, kept: ExaminationCache) -> Examined | None:
    stamp = _stamp(file)
    sha256 = stamp and seen.content(str(file), stamp)
    facts = sha256 and kept.facts(sha256)
    return Examined(stamp[0], sha256, facts) if stamp and sha256 and facts else None


def _stamp(file: Path) -> tuple[int, int, int, int] | None:
    try:
        return stamp_of(file)
    except OSError:
        return None


def _in_parallel(files: Sequence[Path], examiner: Examiner) -> Iterator[Examined]:
    """Examines every file once; a file that ends its worker is named and the others go on."""
    left = list(files)
    while left:
        done = 0
        try:
            with _pool(examiner, min(examiner.processes, len(left))) as pool:
                together = _files_at_once(len(left), examiner)
                parts = [left[at : at + together] for at in range(0, len(left), together)]
                with _free_to_start():
                    found = [pool.submit(_examine_these, part) for part in parts]
                for future in found:
                    for examined in _result(pool, future):
                        yield examined
                        done += 1
            return
        except BrokenProcessPool:
            suspects = left[done : done + examiner.processes * _AT_ONCE]
            log.warning("a worker process died; %d files are read one by one", len(suspects))
            yield from _one_by_one(suspects, examiner)
            left = left[done + len(suspects) :]


def _files_at_once(files: int, examiner: Examiner) -> int:
    """How many files a worker gets together: so few that all workers are busy to the end."""
    return max(1, min(_AT_ONCE, files // (4 * examiner.processes)))


def _one_by_one(files: Sequence[Path], examiner: Examiner) -> Iterator[Examined]:
    left = list(files)
    while left:
        try:
            with _pool(examiner, 1) as pool:
                while left:
                    with _free_to_start():
                        found = pool.submit(_examine_these, left[:1])
                    yield from _result(pool, found)
                    left.pop(0)
        except BrokenProcessPool:
            log.warning("%s: %s", left.pop(0), _CRASHED)
            yield Examined(0, "", ImageFacts(rejection=_CRASHED, code="unreadable"))


def _result(pool: ProcessPoolExecutor, future: Future[list[Examined]]) -> list[Examined]:
    """What a worker found.

    A pool that breaks while it is still being given work can forget some of it, and would be waited
    for without end; but it takes no more work, and so it is asked to take some now and then.
    """
    while not wait([future], timeout=_PATIENCE).done:
        with _free_to_start():
            pool.submit(os.getpid)
    return future.result()


def _pool(examiner: Examiner, workers: int) -> ProcessPoolExecutor:
    """Workers that have been seen to start.

    Raises:
        WorkersLost: they end at once; no file is to blame.
    """
    # Forked from a small fresh process: this one may hold threads and much memory.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ml_tasks.dataset.examine_files"])
    pool = ProcessPoolExecutor(workers, context, _start_worker, (examiner,))
    try:
        with _free_to_start():
            started = pool.submit(os.getpid)
        started.result()
    except BrokenProcessPool as error:
        pool.shutdown()
        raise WorkersLost(
            f"the processes that read the films end as soon as they start ({error}); see the lines "
            "above, and whether this machine has memory left"
        ) from error
    return pool


@contextmanager
def _free_to_start() -> Iterator[None]:
    """Around what starts processes, which must not import the program that runs here.

    That may be a whole Airflow. Celery, too, is in the way: where Python looks for its own process,
    it leaves one of another library's kind, a daemon, which may start none.
    """
    main, current = sys.modules["__main__"], multiprocessing.current_process()
    sys.modules["__main__"] = ModuleType("__main__")
    if not isinstance(current, process.BaseProcess):
        process._current_process = _own(bytes(current.authkey))
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        process._current_process = current  # type: ignore[attr-defined]


def _own(key: bytes) -> process.BaseProcess:
    """This process as Python itself would know it."""
    own = process.BaseProcess()
    own.daemon, own.authkey = False, key
    return own


_here: tuple[Examiner, ExaminationCache] | None = None  # of a worker process


def _start_worker(examiner: Examiner) -> None:
    """One thread for OpenCV, since the processes already fill the cores; no life without parent."""
    global _here
    cv2.setNumThreads(1)
    _here = examiner, examiner.open_cache()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _examine_these(files: Sequence[Path]) -> list[Examined]:
    assert _here is not None  # set by the pool
    return [examine_file(file, *_here) for file in files]


def examine_file(file: Path, examiner: Examiner, kept: ExaminationCache) -> Examined:
    """Examines one file in this process, unless its content has been examined before."""
    try:
        data = _content(file)
    except OSError as error:
        return Examined(0, "", ImageFacts(rejection=f"cannot be read: {error.strerror}"))
    except ImageRejected as rejected:
        refusal = ImageFacts(rejection=str(rejected), code=rejected.code)
        return Examined(file.stat().st_size, "", refusal)
    sha256 = hashlib.sha256(data).hexdigest()
    facts = kept.facts(sha256)
    if facts is None:
        examination = examine(data, examiner.spec, examiner.key)
        kept.put(sha256, examination)
        facts = examination.facts
    return Examined(len(data), sha256, facts)


def _content(file: Path) -> bytes:
    """All bytes of a file, once its size is known to be bearable; it may yet grow meanwhile."""
    check_file_size(file.stat().st_size)
    with file.open("rb") as stream:
        data = stream.read(MOST_FILE_BYTES + 1)
    check_file_size(len(data))
    return data
