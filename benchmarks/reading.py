"""From one large file to finished pixels: ours, the fastest bare decode and the plain way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np

from benchmarks import films, peers
from benchmarks.table import Effort, Row
from benchmarks.timing import Seconds, fastest, in_turn, ratio
from ml_tasks.imaging.clean import preprocess
from ml_tasks.imaging.spec import ImageSpec

OURS = "ours"
SPEC = ImageSpec()
JPEG_GOAL, OTHER_GOAL, PLAIN_GOAL, PARITY_GOAL = 1.5, 1.2, 8.0, 1.5


def rows(folder: Path, effort: Effort) -> list[Row]:
    """The comparisons of all formats; their files are written into `folder`."""
    cv2.setNumThreads(1)
    return [
        *_jpeg(folder, effort),
        *_png(folder, effort),
        *_dicom(folder, effort),
        *_parity(effort),
    ]


def _jpeg(folder: Path, effort: Effort) -> list[Row]:
    file = _written(folder / "film.jpg", films.jpeg(films.film(effort.scale)))
    plain = {"the plain way": peers.plain_way}
    seconds = _timed(file, {**peers.JPEG, **plain}, effort.rounds)
    found = ratio(seconds["the plain way"], seconds[OURS])
    against_plain = Row(
        "JPEG, the plain way / ours",
        _ms(seconds[OURS]),
        _ms(seconds["the plain way"]),
        found,
        f"at least {PLAIN_GOAL:g}",
        found.median >= PLAIN_GOAL,
    )
    return [_against_fastest("JPEG", seconds, list(peers.JPEG), JPEG_GOAL), against_plain]


def _png(folder: Path, effort: Effort) -> list[Row]:
    file = _written(folder / "film.png", films.png(films.deep_film(effort.scale, bits=16)))
    seconds = _timed(file, peers.PNG_16, effort.rounds)
    return [_against_fastest("PNG, 16 bit", seconds, list(peers.PNG_16), OTHER_GOAL)]


def _dicom(folder: Path, effort: Effort) -> list[Row]:
    values, found = films.deep_film(effort.scale, bits=12), []
    for name, bare in peers.DICOM.items():
        file = _written(folder / f"{name}.dcm", films.dicom(values, name))
        by_hand = {"by hand": peers.by_hand} if name == "uncompressed" else {}
        seconds = _timed(file, {**bare, **by_hand}, effort.rounds)
        found.append(_against_fastest(f"DICOM, {name}", seconds, list(bare), OTHER_GOAL))
        if by_hand:
            found.append(_against_fastest(f"DICOM, {name}, pixels", seconds, ["by hand"], None))
    return found


def _parity(effort: Effort) -> list[Row]:
    """How far the reduced decode's finished pixels are from those of the film at full size."""
    differences = []
    for number in range(6):
        film = films.film(effort.scale, number)
        reduced = preprocess(films.jpeg(film), SPEC).astype(int)
        differences.append(np.abs(reduced - peers.full_resolution(film, SPEC)).mean())
    mean = float(np.mean(differences))
    return [
        Row(
            "Mean difference from cleaning at full size, six films",
            "JPEG",
            "full size",
            mean,
            f"at most {PARITY_GOAL:g} grey levels",
            mean <= PARITY_GOAL,
        )
    ]


def _timed(file: Path, others: Mapping[str, peers.Bare], rounds: int) -> dict[str, Seconds]:
    def bound(bare: peers.Bare) -> Callable[[], object]:
        return lambda: bare(file)

    contenders = {name: bound(bare) for name, bare in others.items()}
    return in_turn({OURS: lambda: preprocess(file.read_bytes(), SPEC), **contenders}, rounds)


def _against_fastest(
    what: str, seconds: Mapping[str, Seconds], others: list[str], goal: float | None
) -> Row:
    best = fastest(seconds, others)
    found = ratio(seconds[OURS], seconds[best])
    return Row(
        f"{what}: ours / fastest bare decode ({best})" if goal else f"{what} {best}",
        _ms(seconds[OURS]),
        "; ".join(f"{name} {_ms(seconds[name])}" for name in others),
        found,
        f"at most {goal:g}" if goal else "",
        found.median <= goal if goal else None,
    )


def _written(file: Path, data: bytes) -> Path:
    file.write_bytes(data)
    return file


def _ms(seconds: Seconds) -> str:
    return f"{1000 * float(np.median(seconds)):.1f} ms"
