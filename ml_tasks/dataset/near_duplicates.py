"""Near-duplicates: pictures of one film that was resized, compressed, cropped or regraded.

Two steps. Candidates come from the spectra of the textures, which do not change with shifts, by
matrix products over 17 scales and both mirrorings; what passes is laid over its partner and
correlated (`alignment`). Quarter turns are not looked for.

Measured on the 322 films of mini-MIAS against 25 leaks of each (tests/dataset/leaks.py), 8050 in
all. Near-duplicates: similarity 0.80 at least (a film half saturated by more contrast), 0.91 the
next, 0.97 in the middle of the hardest kind. Different films, those of a woman's two breasts among
them: 0.65 at most. Found: all. A film that the breast fills may be taken for an inverted one once
it has more contrast, and another part of it be kept (mdb151, mdb152): where polarity is in doubt,
a film has the fingerprints of both. 10,000 pictures take 55 s and 0.25 GB on two cores.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_tasks.dataset.alignment import similarity
from ml_tasks.dataset.fingerprint import SIDE, Fingerprint, Values, inverted, texture

SIMILAR = 0.75  # from here on two pictures show one film: between 0.65 and 0.80, see above
CANDIDATE = 0.38  # of two spectra; near-duplicates have 0.51 and more, 1 in 4000 other pairs 0.38

_SCALES = 1.05 ** np.arange(-8, 9)  # 0.68 to 1.48
_FINE, _COARSE = 3, 15  # the band of the spectrum that is compared, in periods a side
_EVEN = 3  # sigma, in periods, of what counts as the spectrum's slow change
_ROWS, _COLUMNS = 128, 2048  # of one block of comparisons


@dataclass(frozen=True)
class Pair:
    """Two near-duplicates by their places, and how alike they are (0 to 1)."""

    first: int
    second: int
    similarity: float


@dataclass(frozen=True)
class _Candidate:
    first: int
    second: int
    scale: float
    flipped: bool


def near_duplicates(
    prints: Fingerprint, against: Fingerprint | None = None, threshold: float = SIMILAR
) -> list[Pair]:
    """All pairs of fingerprints (N,64,64) int8 that show one film, first < second.

    With `against` (M,64,64) the pairs of one of `prints` with one of `against`.
    """
    candidates = list(_candidates(prints, against))
    others = prints if against is None else against

    def verified(candidate: _Candidate) -> Pair:
        first, second = prints[candidate.first], others[candidate.second]
        alike = similarity(first, second, candidate.scale, candidate.flipped)
        if alike < threshold:  # cleaning may have taken one of the two for an inverted film
            turned = inverted(first)
            alike = max(alike, similarity(turned, second, candidate.scale, candidate.flipped))
        return Pair(candidate.first, candidate.second, alike)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pairs = pool.map(verified, candidates, chunksize=64)
        return [pair for pair in pairs if pair.similarity >= threshold]


def films_alike(
    films: Sequence[Fingerprint], against: Sequence[Fingerprint] | None = None
) -> list[Pair]:
    """All pairs of films that are one, by any of the fingerprints (K,64,64) that each has."""
    prints, owners = _laid_out(films)
    others, their_owners = (None, owners) if against is None else _laid_out(against)
    best: dict[tuple[int, int], float] = {}
    for pair in near_duplicates(prints, others):
        place = owners[pair.first], their_owners[pair.second]
        if against is not None or place[0] != place[1]:
            best[place] = max(best.get(place, 0.0), pair.similarity)
    return [Pair(*place, alike) for place, alike in sorted(best.items())]


def _laid_out(films: Sequence[Fingerprint]) -> tuple[Fingerprint, list[int]]:
    """The fingerprints of all films in one array (N,64,64), and whose each is."""
    owners = [place for place, prints in enumerate(films) for _ in prints]
    empty = np.empty((0, SIDE, SIDE), np.int8)
    return np.concatenate([empty, *films]).astype(np.int8), owners


def groups(pairs: Iterable[Pair], count: int) -> tuple[int, ...]:
    """For each of `count` pictures the first one that it is joined with, by pairs upon pairs."""
    group = list(range(count))

    def root(place: int) -> int:
        while group[place] != place:
            group[place] = group[group[place]]
            place = group[place]
        return place

    for pair in pairs:
        low, high = sorted((root(pair.first), root(pair.second)))
        group[high] = low
    return tuple(root(place) for place in range(count))


def _candidates(prints: Fingerprint, against: Fingerprint | None) -> Iterator[_Candidate]:
    others = _spectra(prints if against is None else against, 1.0)
    warped_count = 2 * len(_SCALES)
    for top in range(0, len(prints), _ROWS):
        rows = prints[top : top + _ROWS]
        upright = np.stack([_spectra(rows, scale) for scale in _SCALES])
        warped = np.concatenate([upright, upright[:, :, _MIRROR]]).reshape(-1, upright.shape[2])
        for left in range(0 if against is not None else top, len(others), _COLUMNS):
            block = others[left : left + _COLUMNS]
            scores = (warped @ block.T).reshape(warped_count, len(rows), len(block))
            best = scores.max(axis=0)
            for row, column in np.argwhere(best >= CANDIDATE).tolist():
                if against is None and left + column <= top + row:
                    continue
                how = int(scores[:, row, column].argmax())
                scale = float(_SCALES[how % len(_SCALES)])
                yield _Candidate(top + row, left + column, scale, how >= len(_SCALES))


def _spectra(prints: Fingerprint, scale: float) -> Values:
    """Unit vectors (N,D) float32: the evened-out amplitude spectrum of each texture.

    Amplitudes do not change where the picture is shifted. Each is divided by its neighbours' mean:
    all breasts share the slow fall of the spectrum, the speckle is the film's own.
    """
    made = np.zeros((len(prints), int(_BAND.sum())), np.float32)
    centre = (SIDE - 1) / 2
    matrix = np.array([[scale, 0, centre * (1 - scale)], [0, scale, centre * (1 - scale)]])
    for row, levels in enumerate(prints):
        values, mask = texture(levels)
        values *= cv2.GaussianBlur(mask, (0, 0), 1.5)  # no hard edge, whose spectrum is everywhere
        if scale != 1:
            values = np.asarray(cv2.warpAffine(values, matrix, (SIDE, SIDE)), np.float32)
        amplitude = np.sqrt(np.abs(np.fft.fftshift(np.fft.rfft2(values), axes=0)))
        amplitude = amplitude.astype(np.float32)
        even = amplitude / (cv2.GaussianBlur(amplitude, (0, 0), _EVEN) + 1e-3)
        vector = even[_BAND] - even[_BAND].mean()
        made[row] = vector / max(float(np.linalg.norm(vector)), 1e-6)
    return made


def _band() -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Which entries of a centred half spectrum are compared, and their order when mirrored."""
    rows, columns = np.mgrid[-SIDE // 2 : SIDE // 2, : SIDE // 2 + 1]
    radius = np.hypot(rows, columns)
    band = (radius >= _FINE) & (radius <= _COARSE) & ((columns > 0) | (rows > 0))
    points = list(zip(rows[band].tolist(), columns[band].tolist(), strict=True))
    place = {point: at for at, point in enumerate(points)}
    # On the axis a point's mirror image is left out, being the same number as the point itself.
    mirrored = [place.get((-row, column), at) for at, (row, column) in enumerate(points)]
    return band, np.array(mirrored)


_BAND, _MIRROR = _band()
