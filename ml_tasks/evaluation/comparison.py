"""Challenger against champion on the same locked test patients."""

from __future__ import annotations

from ml_tasks.evaluation.bootstrap import Estimate
from ml_tasks.records import Record


class Comparison(Record):
    """What evaluate found when it scored the production model beside the new one."""

    version: str  # of the champion
    digest: str
    champion: dict[str, Estimate]  # its own patient-level figures, at its own threshold
    # Challenger less champion, patient level, by a paired patient-clustered bootstrap.
    difference: dict[str, Estimate]
    refused: str = ""  # why the two cannot be compared; empty where they can
