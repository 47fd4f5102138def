"""Synthetic mammograms for a demo without data: breast, lesion, film border, label, tape."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_tasks.dataset.patients import METADATA
from ml_tasks.progress import counted
from ml_tasks.storage import replaced_directory, write_bytes

log = logging.getLogger(__name__)

# Of these 41 with and 42 without a lesion are test patients: about as few as prove, at the gate's
# default bounds, that a model without a mistake is good enough, and no worse than another such one.
PATIENTS = 520

_MARKER = ".synthetic"  # hidden, so that no scan takes it for data
HEIGHT, WIDTH = 512, 416  # pixels
Canvas = NDArray[np.float32]
Film = NDArray[np.uint8]


def write_sample(
    folder: Path, patients: int = PATIENTS, seed: int = 7, contrast: float = 1.0
) -> int:
    """Writes two phantoms for each patient to folder/<Class>/ and metadata.csv; their count.

    Every other patient is Positive: both pictures show a lesion, the fainter the smaller its
    `contrast`. One seed gives the same files.

    Raises:
        StorageError: the folder holds other files, or there is no space left.
    """
    names = [(patient, view) for patient in range(patients) for view in (1, 2)]
    rows = []
    with replaced_directory(folder, owned=lambda _: False) as work:
        for patient, view in counted(names, len(names), "drew phantom", log):
            label = "Positive" if patient % 2 else "Negative"
            file = f"{label}/phantom_{patient:03d}_{view}.png"
            random = np.random.default_rng([seed, patient, view])
            pixels = phantom(random, lesion=bool(patient % 2), contrast=contrast)
            write_bytes(work / file, cv2.imencode(".png", pixels)[1].tobytes())
            rows.append({"file": file, "label": label, "patient_id": f"phantom_{patient:03d}"})
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=["file", "label", "patient_id"])
        writer.writeheader()
        writer.writerows(rows)
        write_bytes(work / METADATA, text.getvalue().encode())
        write_bytes(work / _MARKER, b"synthetic mammograms, written by `mammo sample`\n")
    return len(names)


def is_sample(folder: Path) -> bool:
    """Whether `write_sample` wrote this folder."""
    return (folder / _MARKER).exists()


def phantom(random: np.random.Generator, lesion: bool, contrast: float = 1.0) -> Film:
    """One phantom film (HEIGHT, WIDTH) uint8 grey, breast at the left or the right edge."""
    canvas = np.full((HEIGHT, WIDTH), random.uniform(6, 22), np.float32)
    inside = _breast_shape(random)
    canvas += inside * (_tissue(random) - canvas)
    if lesion:
        canvas += contrast * _lesion(random, inside)
    canvas += random.normal(0, 2.5, canvas.shape)
    film = np.clip(canvas, 0, 255).astype(np.uint8)
    _draw_frame(film, random)
    _draw_label(film, random)
    _draw_tape(film, random)
    return film if random.random() < 0.5 else np.ascontiguousarray(film[:, ::-1])


def _breast_shape(random: np.random.Generator) -> Canvas:
    """A half ellipse on the left edge (HEIGHT, WIDTH), 0 outside to 1 inside, soft at the skin."""
    shape = np.zeros((HEIGHT, WIDTH), np.float32)
    centre = (0, int(HEIGHT * random.uniform(0.48, 0.55)))
    axes = (int(WIDTH * random.uniform(0.5, 0.68)), int(HEIGHT * random.uniform(0.3, 0.4)))
    cv2.ellipse(shape, centre, axes, random.uniform(-6, 6), 0, 360, 1.0, cv2.FILLED)
    return np.asarray(cv2.GaussianBlur(shape, (0, 0), 4), np.float32)


def _tissue(random: np.random.Generator) -> Canvas:
    """Grey levels of fat with strands of gland (HEIGHT, WIDTH)."""
    tissue = np.full((HEIGHT, WIDTH), random.uniform(75, 105), np.float32)
    for sigma, strength in ((40, 22), (12, 10), (4, 5)):
        noise = random.normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32)
        smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
        tissue += smooth * (strength / float(smooth.std()))
    return np.maximum(tissue, 50)


def _lesion(random: np.random.Generator, inside: Canvas) -> Canvas:
    """A bright mass with an uneven edge (HEIGHT, WIDTH), well inside the breast."""
    core = cv2.erode((inside > 0.9).astype(np.uint8), np.ones((81, 81), np.uint8))
    rows, columns = np.nonzero(core[:, 20:])
    at = int(random.integers(len(rows)))
    centre = (int(columns[at]) + 20, int(rows[at]))
    mass = np.zeros((HEIGHT, WIDTH), np.float32)
    for _ in range(5):
        shift = random.normal(0, 6, 2).astype(int)
        radius = int(random.uniform(15, 24))
        cv2.circle(mass, (centre[0] + shift[0], centre[1] + shift[1]), radius, 1.0, cv2.FILLED)
    return np.asarray(cv2.GaussianBlur(mass, (0, 0), 3), np.float32) * random.uniform(75, 100)


def _draw_frame(film: Film, random: np.random.Generator) -> None:
    if random.random() < 0.5:
        film[:, WIDTH - int(random.integers(4, 14)) :] = 250
    if random.random() < 0.3:
        film[: int(random.integers(3, 10))] = 250


def _draw_label(film: Film, random: np.random.Generator) -> None:
    left, top = int(WIDTH * random.uniform(0.72, 0.8)), int(HEIGHT * random.uniform(0.05, 0.1))
    cv2.rectangle(film, (left, top), (left + 50, top + 34), 235, cv2.FILLED)
    text = f"{random.choice(['L', 'R'])} {random.choice(['CC', 'MLO'])}"
    cv2.putText(film, text, (left + 4, top + 22), cv2.FONT_HERSHEY_SIMPLEX, 0.42, 30, 1)


def _draw_tape(film: Film, random: np.random.Generator) -> None:
    if random.random() < 0.4:
        top = int(HEIGHT * random.uniform(0.9, 0.94))
        film[top : top + 12, int(WIDTH * 0.35) : int(WIDTH * 0.9)] = int(random.uniform(120, 170))
