"""Examining many files: once each, in processes that may die, with the same result every time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_tasks.dataset.cache import ExaminationCache
from ml_tasks.dataset.examination import examine
from ml_tasks.dataset.examine_files import Examined, Examiner, _result, examine_files
from ml_tasks.errors import WorkersLost
from ml_tasks.imaging.clean import preprocess
from ml_tasks.imaging.encode import decoded_png
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.storage import sha256_file
from tests.builders import encoded, film
from tests.waiting import PATIENCE, until

SPEC = ImageSpec()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Twelve films that were written long ago, so that their times can be trusted."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for number in range(12):
        write_old(folder / f"{number:02}.png", encoded(film(number)))
    return folder


@pytest.fixture
def examiner(tmp_path: Path) -> Examiner:
    return Examiner(SPEC, tmp_path / "cache", workers=2)


def write_old(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    time.sleep(0)
    os.utime(path, (1_700_000_000, 1_700_000_000))


def files_of(raw: Path) -> list[Path]:
    return sorted(raw.iterdir())


def entries(examiner: Examiner) -> dict[Path, int]:
    """The cache's examinations with the time of their writing."""
    found = examiner.cache.glob("??/*")
    return {path: path.stat().st_mtime_ns for path in found}


def test_each_file_is_examined_in_its_order(raw: Path, examiner: Examiner) -> None:
    found = examine_files(raw, files_of(raw), examiner)
    for file, examined in zip(files_of(raw), found, strict=True):
        assert examined.sha256 == sha256_file(file)
        assert examined.bytes == file.stat().st_size
        assert examined.facts == examine(file.read_bytes(), SPEC).facts
    assert len({examined.facts.pixel_sha256 for examined in found}) == 12


IN_A_CELERY_WORKER = """
import sys
from pathlib import Path
from billiard.context import ForkContext  # what Celery starts its workers with
from ml_tasks.dataset.examine_files import Examiner, examine_files
from ml_tasks.imaging.spec import ImageSpec

def task():
    raw, cache = map(Path, sys.argv[1:])
    examiner = Examiner(ImageSpec(), cache, workers=2)
    print(len(examine_files(raw, sorted(raw.iterdir()), examiner)), flush=True)

worker = ForkContext().Process(target=task, daemon=True)
worker.start()
worker.join()
sys.exit(worker.exitcode)
"""


def test_a_worker_of_celery_examines_too(raw: Path, tmp_path: Path) -> None:
    """It is a daemon, of another library's kind: such a one may start no processes."""
    command = [sys.executable, "-c", IN_A_CELERY_WORKER, str(raw), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "12"


def test_the_kept_pictures_are_those_of_the_service(
    raw: Path, examiner: Examiner, tmp_path: Path
) -> None:
    """Training reads the kept ones; another picture there would be another model's input."""
    (examined, *_) = examine_files(raw, files_of(raw), examiner)
    kept = examiner.open_cache().get(examined.sha256)
    assert kept is not None and kept.pictures is not None
    (tmp_path / "kept.png").write_bytes(kept.pictures.finished)
    data = files_of(raw)[0].read_bytes()
    assert np.array_equal(decoded_png((tmp_path / "kept.png").read_bytes()), preprocess(data, SPEC))


def test_an_unchanged_run_examines_nothing_and_one_changed_file_costs_one(
    raw: Path, examiner: Examiner
) -> None:
    first = examine_files(raw, files_of(raw), examiner)
    before = entries(examiner)
    assert len(before) == 12
    assert examine_files(raw, files_of(raw), examiner) == first
    assert entries(examiner) == before
    write_old(raw / "05.png", encoded(film(50)))
    again = examine_files(raw, files_of(raw), examiner)
    assert [a == b for a, b in zip(again, first, strict=True)].count(False) == 1
    assert len(entries(examiner)) == 13
    assert before.items() <= entries(examiner).items()


def test_a_file_of_old_times_and_new_content_is_read_again(raw: Path, examiner: Examiner) -> None:
    """A copy that keeps the old time of writing still has a new time of change."""
    examine_files(raw, files_of(raw), examiner)
    new = encoded(film(77))
    size = (raw / "03.png").stat().st_size
    write_old(raw / "03.png", new[:size].ljust(size, b"\0"))
    found = examine_files(raw, files_of(raw), examiner)
    assert found[3].sha256 == sha256_file(raw / "03.png")


def test_a_fixed_file_is_used_again(raw: Path, examiner: Examiner) -> None:
    good = (raw / "04.png").read_bytes()
    write_old(raw / "04.png", good[:500])
    assert examine_files(raw, files_of(raw), examiner)[4].facts.rejection
    write_old(raw / "04.png", good)
    assert not examine_files(raw, files_of(raw), examiner)[4].facts.rejection


@pytest.mark.parametrize("damage", [b"", b"\n{}", None])
def test_a_damaged_cache_entry_is_made_anew(
    raw: Path, examiner: Examiner, damage: bytes | None
) -> None:
    first = examine_files(raw, files_of(raw), examiner)
    for path in entries(examiner):
        path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)
    assert examine_files(raw, files_of(raw), examiner) == first


def test_another_spec_or_key_has_examinations_of_its_own(tmp_path: Path) -> None:
    """Pictures of another size, or pseudonyms of another key, must never be mixed."""
    opened = [
        ExaminationCache.open(tmp_path, SPEC, None),
        ExaminationCache.open(tmp_path, ImageSpec(side=64), None),
        ExaminationCache.open(tmp_path, SPEC, b"key"),
        ExaminationCache.open(tmp_path, SPEC, b"other"),
    ]
    assert len({cache.place("0" * 64) for cache in opened}) == 4


def test_a_file_that_cannot_be_read_is_told(raw: Path, examiner: Examiner) -> None:
    (raw / "13.png").symlink_to(raw / "nowhere")
    found = examine_files(raw, files_of(raw), examiner)
    assert found[12] == Examined(0, "", found[12].facts)
    assert found[12].facts.rejection == "cannot be read: No such file or directory"


def workers_of(pid: int) -> list[int]:
    """All processes below `pid`, from the kernel's list; a child may have the smaller number."""
    children: dict[int, list[int]] = {}
    for entry in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        with suppress(OSError):
            stat = Path(f"/proc/{entry}/stat").read_text()
            children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(entry)
    found = list(children.get(pid, ()))
    for each in found:  # grows as it is gone through
        found += children.get(each, ())
    return found


def test_a_file_that_ends_its_process_is_set_aside_and_the_others_go_on(
    raw: Path, examiner: Examiner
) -> None:
    """A crash of a decoder must cost one file, not the run. A pipe stands for such a file."""
    deadly = raw / "06a.png"
    os.mkfifo(deadly)
    stop = threading.Event()

    def kill_readers() -> None:
        while not stop.wait(0.05):
            for worker in workers_of(os.getpid()):
                waiting = Path(f"/proc/{worker}/wchan")
                if waiting.exists() and waiting.read_text() == "wait_for_partner":
                    os.kill(worker, signal.SIGKILL)

    killer = threading.Thread(target=kill_readers)
    killer.start()
    try:
        found = examine_files(raw, files_of(raw), examiner)
    finally:
        stop.set()
        killer.join()
    assert len(found) == 13
    (rejected,) = [place for place, one in enumerate(found) if one.facts.rejection]
    assert files_of(raw)[rejected] == deadly
    assert "ended the process that read it" in found[rejected].facts.rejection


def test_workers_end_with_the_process_that_they_work_for(tmp_path: Path) -> None:
    """Else each killed task would leave processes behind that hold memory for ever."""
    os.mkfifo(tmp_path / "slow.png")
    code = (
        "from pathlib import Path\n"
        "from ml_tasks.dataset.examine_files import Examiner, examine_files\n"
        "from ml_tasks.imaging.spec import ImageSpec\n"
        "if __name__ == '__main__':\n"
        f"    here = Path({str(tmp_path)!r})\n"
        "    examine_files(here, [here / 'slow.png'], Examiner(ImageSpec(), here / 'cache'))\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    here = str(Path(__file__).resolve().parents[2])
    parent = subprocess.Popen([sys.executable, str(script)], env=os.environ | {"PYTHONPATH": here})
    deadline = time.monotonic() + PATIENCE
    while len(found := list(workers_of(parent.pid))) < 3:  # tracker, fork server, worker
        assert time.monotonic() < deadline and parent.poll() is None
        time.sleep(0.1)
    parent.kill()
    parent.wait()
    outlived = "a worker outlived the process it worked for"
    until(lambda: not any(_alive(pid) for pid in found), outlived)


def test_the_program_that_runs_is_not_run_again_by_its_workers(raw: Path, tmp_path: Path) -> None:
    """Airflow's own start script fails when it is imported inside of a task."""
    script = tmp_path / "no_guard.py"
    script.write_text(
        "from pathlib import Path\n"
        "from ml_tasks.dataset.examine_files import Examiner, examine_files\n"
        "from ml_tasks.imaging.spec import ImageSpec\n"
        "print('started')\n"
        f"raw = Path({str(raw)!r})\n"
        "found = examine_files(raw, sorted(raw.iterdir()), Examiner(ImageSpec(), raw / 'cache'))\n"
        "assert not any(examined.facts.rejection for examined in found)\n"
    )
    here = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": here},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout) == (0, "started\n"), done.stderr


class DeadOnArrival(Examiner):
    """Ends each process that it is handed to."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


def test_workers_that_cannot_start_blame_no_file(raw: Path, tmp_path: Path) -> None:
    """A machine without memory must not set all films aside."""
    with pytest.raises(WorkersLost, match="end as soon as they start .* memory left"):
        examine_files(raw, files_of(raw), DeadOnArrival(SPEC, tmp_path / "cache"))


def _alive(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_pool_that_has_forgotten_its_work_is_noticed() -> None:
    """CPython sets the results of a broken pool without a lock: one handed in just then is lost."""
    with ProcessPoolExecutor(1) as pool:
        pool.submit(os._exit, 1)
        with pytest.raises(BrokenProcessPool):
            pool.submit(os.getpid).result()
        with pytest.raises(BrokenProcessPool):
            _result(pool, Future())


def test_a_file_of_gigabytes_is_refused_unread(raw: Path, examiner: Examiner) -> None:
    """A good film, and behind its end nothing for two gigabytes; a sparse file costs no disk."""
    endless = raw / "00.png"
    with endless.open("r+b") as stream:
        stream.truncate(2 << 30)
    (found, other) = examine_files(raw, [endless, raw / "01.png"], examiner)
    assert found.facts.code == "too_large"
    assert found.facts.rejection.startswith("the file has 2,147,483,648 bytes; at most 134,217,728")
    assert (found.bytes, found.sha256) == (2 << 30, "")
    assert not other.facts.rejection


def test_looking_at_some_files_does_not_forget_the_others(raw: Path, examiner: Examiner) -> None:
    """Shards ask for their own files alone; each would have made the others read all again."""
    files = files_of(raw)
    time.sleep(2.1)  # files that were written just now are not trusted
    examine_files(raw, files, examiner)
    (note,) = examiner.cache.glob("seen-*.json")
    assert len(json.loads(note.read_bytes())) == len(files)
    examine_files(raw, files[:3], examiner)
    assert len(json.loads(note.read_bytes())) == len(files)
    files[0].unlink()
    examine_files(raw, files[1:], examiner)
    assert len(json.loads(note.read_bytes())) == len(files) - 1


def test_what_a_killed_writer_left_in_the_cache_goes_after_an_hour(
    raw: Path, examiner: Examiner
) -> None:
    files = files_of(raw)[:2]
    time.sleep(2.1)  # files that were written just now are not trusted
    examine_files(raw, files, examiner)
    (note,) = examiner.cache.glob("seen-*.json")
    left, at_work = (note.with_name(f".{note.name}.{name * 8}.tmp") for name in "ab")
    for path in (left, at_work):
        path.write_bytes(b"half")
    os.utime(left, (time.time() - 4000,) * 2)
    examine_files(raw, files, examiner)
    assert not left.exists()
    assert at_work.exists(), "another process may be writing it"
