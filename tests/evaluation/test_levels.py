"""Images make breasts, breasts make patients."""

from __future__ import annotations

import numpy as np

from ml_tasks.evaluation.levels import Level, levels

LABELS = np.array([False, True, False, False, True, False])
SCORES = np.array([0.2, 0.6, 0.9, 0.1, 0.4, 0.3])
PATIENTS = ["a", "a", "a", "b", "c", "c"]
BREASTS = ["L", "L", "R", "", "", "R"]


def test_a_breast_is_the_mean_of_its_images_and_positive_if_any_is() -> None:
    found = levels(LABELS, SCORES, PATIENTS, BREASTS)[Level.BREAST]
    assert sorted(zip(found.patients.tolist(), found.scores.tolist(), strict=True)) == [
        (0, 0.4),
        (0, 0.9),
        (1, 0.1),
        (2, 0.3),
        (2, 0.4),
    ]
    assert {
        score: bool(label) for score, label in zip(found.scores, found.labels, strict=True)
    } == {
        0.4: True,
        0.9: False,
        0.1: False,
        0.3: False,
    }


def test_a_patient_is_the_maximum_of_her_breasts() -> None:
    found = levels(LABELS, SCORES, PATIENTS, BREASTS)[Level.PATIENT]
    assert found.scores.tolist() == [0.9, 0.1, 0.4]
    assert found.labels.tolist() == [True, False, True]
    assert found.patients.tolist() == [0, 1, 2]


def test_images_stay_as_they_are() -> None:
    found = levels(LABELS, SCORES, PATIENTS, BREASTS)[Level.IMAGE]
    assert np.array_equal(found.scores, SCORES) and np.array_equal(found.labels, LABELS)
    assert found.patients.tolist() == [0, 0, 0, 1, 2, 2]


def test_names_cannot_run_into_one_another() -> None:
    found = levels(np.array([True, False]), np.array([0.1, 0.9]), ["1", "1L"], ["L1", "1"])
    assert len(found[Level.BREAST].scores) == 2
