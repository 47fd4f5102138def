"""The leakage certificate: does a patient or a film lie in two splits, or in production's training?

A ledger keeps patients in their splits, but ledger files can be replaced, patients be misnamed and
films be handed in twice; so every run is compared afresh, by three means that fail differently.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import combinations

from pydantic import Field, model_validator

from ml_tasks.dataset.fingerprint import FINGERPRINT_METHOD
from ml_tasks.dataset.near_duplicates import SIMILAR, films_alike
from ml_tasks.dataset.training_data import ImageRef, TrainingData
from ml_tasks.errors import DataError
from ml_tasks.records import Record, Split

SHOWN = 10  # overlaps that an error lists

# Which split of this run must not meet which split of production's. Under one ledger, validation
# pictures of this run were validation pictures then: they chose production's best epoch and its
# threshold, so they are barred from the test split alone.
_BARRED = (
    (Split.TEST, (Split.TRAIN, Split.VAL)),
    (Split.VAL, (Split.TRAIN,)),
)


class OverlapKind(StrEnum):
    """By what two pictures belong together."""

    PATIENT = "patient"
    EXACT = "exact"
    NEAR_DUPLICATE = "near_duplicate"


class OverlapImage(Record):
    """One of the two pictures of an overlap."""

    file: str  # below the raw folder of its run
    patient: str
    split: Split


class Overlap(Record):
    """Two pictures that must not lie where they lie."""

    kind: OverlapKind
    first: OverlapImage
    second: OverlapImage  # with production: the picture that production was trained on
    similarity: float | None = Field(None, ge=0, le=1)  # of near-duplicates


class LeakageCertificate(Record):
    """What was compared, how, and every overlap that was found."""

    run_id: str
    images: dict[Split, int]
    patients: dict[Split, int]
    pairs: int  # of pictures in different splits, all compared
    method: str  # of the near-duplicate search
    threshold: float  # from this similarity on two pictures show one film
    overlaps: tuple[Overlap, ...]
    against_production: str | None  # its version; None: there was none to compare with
    production_images: int = 0
    production_pairs: int = 0
    production_overlaps: tuple[Overlap, ...] = ()
    clean: bool

    @model_validator(mode="after")
    def _verdict_fits(self) -> LeakageCertificate:
        if self.clean == bool(self.overlaps or self.production_overlaps):
            raise ValueError(f"clean={self.clean} contradicts the overlaps that are listed")
        return self

    def summary(self) -> str:
        """One line for the log and for people."""
        images, patients = sum(self.images.values()), sum(self.patients.values())
        compared = f"{images} images of {patients} patients compared across splits"
        if self.against_production is not None:
            compared += f" and with the training data of production {self.against_production}"
        if self.clean:
            return f"no leakage: {compared}"
        found = [*self.overlaps, *self.production_overlaps]
        kinds = [(kind, sum(overlap.kind is kind for overlap in found)) for kind in OverlapKind]
        counts = ", ".join(f"{count} by {_WORDS[kind]}" for kind, count in kinds if count)
        return f"LEAKAGE: {len(found)} overlap(s) ({counts}); {compared}"


_WORDS = {
    OverlapKind.PATIENT: "patient",
    OverlapKind.EXACT: "equal pixels",
    OverlapKind.NEAR_DUPLICATE: "near-duplicate",
}


def certify(
    run_id: str, images: Sequence[ImageRef], production: TrainingData | None
) -> LeakageCertificate:
    """Compares each split with the others, and test and validation with production's training.

    A patient, or one set of equal pixels, is named once for each two splits that it joins.
    """
    parts = {split: [image for image in images if image.split is split] for split in Split}
    sides = [(parts[one], parts[other]) for one, other in combinations(Split, 2)]
    trained = () if production is None else production.images
    barred = [
        (parts[split], [image for image in trained if image.split in others])
        for split, others in _BARRED
    ]
    overlaps = tuple(found for one, other in sides for found in _overlaps(one, other))
    with_production = tuple(found for one, other in barred for found in _overlaps(one, other))
    return LeakageCertificate(
        run_id=run_id,
        images={split: len(part) for split, part in parts.items()},
        patients={split: len({image.patient for image in part}) for split, part in parts.items()},
        pairs=sum(len(one) * len(other) for one, other in sides),
        method=FINGERPRINT_METHOD,
        threshold=SIMILAR,
        overlaps=overlaps,
        against_production=None if production is None else production.version,
        production_images=sum(image.split is not Split.TEST for image in trained),
        production_pairs=sum(len(one) * len(other) for one, other in barred),
        production_overlaps=with_production,
        clean=not overlaps and not with_production,
    )


def seen_in_training(tests: Sequence[ImageRef], production: TrainingData) -> tuple[Overlap, ...]:
    """What production's training or validation split has in common with test pictures."""
    seen = [image for image in production.images if image.split in dict(_BARRED)[Split.TEST]]
    return tuple(_overlaps(tests, seen))


def refuse_leaks(certificate: LeakageCertificate) -> None:
    """Stops a run whose certificate is not clean.

    Raises:
        DataError: it lists the first overlaps, their count and the remedy.
    """
    if certificate.clean:
        return
    version = certificate.against_production
    lines = [_sentence(overlap, "") for overlap in certificate.overlaps]
    lines += [
        _sentence(overlap, f" of production {version}")
        for overlap in certificate.production_overlaps
    ]
    shown = "\n".join(f"  {line}" for line in lines[:SHOWN])
    more = f"\n  and {len(lines) - SHOWN} more, in the certificate" if len(lines) > SHOWN else ""
    remedies = []
    if certificate.overlaps:
        remedies.append(
            "give the files of one patient the same patient_id in metadata.csv, or remove one "
            "picture of each pair from the raw folder"
        )
    if certificate.production_overlaps:
        remedies.append(
            f"what trained production {version} can test no later model: restore the split ledger "
            "that it was trained with, or remove those pictures from the raw folder"
        )
    raise DataError(
        f"the test figures would be too good: {len(lines)} overlap(s) between splits\n"
        f"{shown}{more}\nRemedy: {'; '.join(remedies)}"
    )


def _overlaps(one: Sequence[ImageRef], other: Sequence[ImageRef]) -> Iterator[Overlap]:
    """Every overlap of two sets of pictures that must have nothing in common."""
    for kind, attribute in ((OverlapKind.PATIENT, "patient"), (OverlapKind.EXACT, "pixel_sha256")):
        firsts = {getattr(image, attribute): image for image in reversed(one)}
        seconds = {getattr(image, attribute): image for image in reversed(other)}
        for value in firsts:
            if value in seconds:
                yield _overlap(kind, firsts[value], seconds[value])
    prints = [[image.prints for image in side] for side in (one, other)]
    for pair in films_alike(*prints):
        first, second = one[pair.first], other[pair.second]
        if first.pixel_sha256 != second.pixel_sha256:  # else named above
            yield _overlap(OverlapKind.NEAR_DUPLICATE, first, second, pair.similarity)


def _overlap(
    kind: OverlapKind, first: ImageRef, second: ImageRef, similarity: float | None = None
) -> Overlap:
    sides = [
        OverlapImage(file=image.file, patient=image.patient, split=image.split)
        for image in (first, second)
    ]
    alike = None if similarity is None else min(round(similarity, 4), 1.0)
    return Overlap(kind=kind, first=sides[0], second=sides[1], similarity=alike)


def _sentence(overlap: Overlap, where: str) -> str:
    first, second = overlap.first, overlap.second
    alike = "" if overlap.similarity is None else f" {overlap.similarity:.2f}"
    return (
        f"{_WORDS[overlap.kind]}{alike}: {first.file} (patient {first.patient}, "
        f"{first.split.value}) and {second.file} (patient {second.patient}, "
        f"{second.split.value}{where})"
    )
