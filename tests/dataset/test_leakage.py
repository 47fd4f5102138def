"""The leakage certificate: each kind of seeded leak is caught, in the run and with production."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from ml_tasks.dataset.fingerprint import Fingerprint, fingerprint
from ml_tasks.dataset.leakage import (
    LeakageCertificate,
    OverlapKind,
    certify,
    refuse_leaks,
)
from ml_tasks.dataset.phantoms import phantom
from ml_tasks.dataset.training_data import (
    ImageRef,
    TrainingData,
    read_training_data,
    write_training_data,
)
from ml_tasks.errors import DataError
from ml_tasks.imaging.clean import preprocess
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.records import Split
from tests.dataset.leaks import LEAKS, Leak, pgm

KINDS = list(OverlapKind)
SIDES = list(combinations(Split, 2))
BARRED = [(Split.TEST, Split.TRAIN), (Split.TEST, Split.VAL), (Split.VAL, Split.TRAIN)]


def film(number: int) -> np.ndarray:
    return phantom(np.random.default_rng([5, number]), lesion=bool(number % 2))


def print_of(data: bytes) -> Fingerprint:
    return fingerprint(preprocess(data, ImageSpec()))


PRINTS = [print_of(pgm(film(number))) for number in range(12)]


def ref(number: int, split: Split, print_: Fingerprint | None = None, name: str = "") -> ImageRef:
    """Picture `number` of patient `number`; without leaks, nothing of two numbers is alike."""
    return ImageRef(
        file=f"Positive/{name or number}.png",
        label="Positive",
        patient=f"P{name or number}",
        split=split,
        pixel_sha256=hashlib.sha256(f"{name or number}".encode()).hexdigest(),
        fingerprint=PRINTS[number] if print_ is None else print_,
    )


def clean_set() -> list[ImageRef]:
    splits = [Split.TRAIN] * 6 + [Split.VAL] * 3 + [Split.TEST] * 3
    return [ref(number, split) for number, split in enumerate(splits)]


def leaked(kind: OverlapKind, image: ImageRef, split: Split) -> ImageRef:
    """A picture in `split` that belongs to `image` by `kind` alone."""
    empty = np.full_like(image.fingerprint, -128)
    other = ref(0, split, print_=empty, name="leaked")
    if kind is OverlapKind.PATIENT:
        return replace(other, patient=image.patient)
    if kind is OverlapKind.EXACT:
        return replace(other, pixel_sha256=image.pixel_sha256)
    return replace(other, fingerprint=image.fingerprint)


def test_a_clean_set_gets_a_clean_certificate() -> None:
    certificate = certify("r", clean_set(), None)
    assert certificate.clean and certificate.overlaps == ()
    assert certificate.images == {Split.TRAIN: 6, Split.VAL: 3, Split.TEST: 3}
    assert certificate.pairs == 6 * 3 + 6 * 3 + 3 * 3
    assert certificate.summary() == ("no leakage: 12 images of 12 patients compared across splits")
    refuse_leaks(certificate)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("one", "other"), SIDES)
def test_a_leak_between_two_splits_is_caught_and_named(
    kind: OverlapKind, one: Split, other: Split
) -> None:
    images = clean_set()
    source = next(image for image in images if image.split is one)
    certificate = certify("r", [leaked(kind, source, other), *images], None)
    (overlap,) = certificate.overlaps
    assert (overlap.kind, overlap.first.file, overlap.first.split) == (kind, source.file, one)
    assert (overlap.second.file, overlap.second.split) == ("Positive/leaked.png", other)
    assert (overlap.similarity is not None) == (kind is OverlapKind.NEAR_DUPLICATE)
    assert not certificate.clean
    with pytest.raises(DataError, match=rf"{source.file} .*{one}\) and .*/leaked.png .*{other}\)"):
        refuse_leaks(certificate)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("split", Split)
def test_what_belongs_together_in_one_split_is_no_leak(kind: OverlapKind, split: Split) -> None:
    images = clean_set()
    source = next(image for image in images if image.split is split)
    assert certify("r", [leaked(kind, source, split), *images], None).clean


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.name)
def test_a_film_that_came_in_a_second_time_is_caught(leak: Leak) -> None:
    """Between splits and against production, whatever was done to the film."""
    number = 3  # of the training split
    data = leak.of(film(number), np.random.default_rng(0))
    again = ref(0, Split.TEST, print_=print_of(data), name="again")
    images = clean_set()
    (overlap,) = certify("r", [*images, again], None).overlaps
    assert overlap.kind is OverlapKind.NEAR_DUPLICATE
    assert {overlap.first.file, overlap.second.file} == {"Positive/3.png", "Positive/again.png"}
    against = certify("r", [again], TrainingData("v1", tuple(images)))
    assert [found.kind for found in against.production_overlaps] == [OverlapKind.NEAR_DUPLICATE]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("now", "then"), BARRED)
def test_testing_on_what_trained_production_is_caught(
    kind: OverlapKind, now: Split, then: Split
) -> None:
    trained = ref(7, then)
    production = TrainingData("20260101-1", (trained, ref(8, Split.TRAIN)))
    certificate = certify("r", [leaked(kind, trained, now), ref(1, Split.TRAIN)], production)
    assert certificate.overlaps == () and not certificate.clean
    (overlap,) = certificate.production_overlaps
    assert (overlap.kind, overlap.first.split, overlap.second.split) == (kind, now, then)
    assert overlap.second.file == trained.file
    with pytest.raises(DataError, match=r"of production 20260101-1\)(?s:.*)restore the split led"):
        refuse_leaks(certificate)
    assert "production 20260101-1" in certificate.summary()


def test_a_retraining_on_the_same_ledger_is_clean() -> None:
    """Everyone stays in their split: production's test and validation pictures are ours too."""
    images = clean_set()
    certificate = certify("r", images, TrainingData("v1", tuple(images)))
    assert certificate.clean
    assert certificate.production_images == 9
    assert certificate.production_pairs == 3 * 9 + 3 * 6


@pytest.mark.parametrize("kind", KINDS)
def test_what_production_tested_on_may_come_back(kind: OverlapKind) -> None:
    tested = ref(7, Split.TEST)
    production = TrainingData("v1", (tested,))
    assert certify("r", [leaked(kind, tested, Split.TEST)], production).clean


def test_a_patient_with_many_pictures_is_named_once() -> None:
    images = [replace(ref(n, Split.TRAIN), patient="P") for n in range(3)]
    images += [replace(ref(n, Split.TEST), patient="P") for n in range(3, 6)]
    (overlap,) = certify("r", images, None).overlaps
    assert (overlap.first.file, overlap.second.file) == ("Positive/0.png", "Positive/3.png")


def test_an_exact_copy_is_not_named_a_near_duplicate_too() -> None:
    copy = replace(ref(0, Split.TEST), file="Positive/copy.png", patient="other")
    overlaps = certify("r", [ref(0, Split.TRAIN), copy], None).overlaps
    assert [overlap.kind for overlap in overlaps] == [OverlapKind.EXACT]


def test_the_refusal_lists_ten_and_counts_the_rest() -> None:
    moved = [replace(ref(n, Split.TEST), file=f"Negative/{n}.png") for n in range(6)]
    certificate = certify("r", [*(ref(n, Split.TRAIN) for n in range(6)), *moved], None)
    assert certificate.summary().startswith(
        "LEAKAGE: 12 overlap(s) (6 by patient, 6 by equal pixels)"
    )
    with pytest.raises(DataError, match="12 overlap") as refused:
        refuse_leaks(certificate)
    assert str(refused.value).count("\n  ") == 11
    assert "and 2 more, in the certificate" in str(refused.value)
    assert "same patient_id in metadata.csv" in str(refused.value)


def test_a_certificate_comes_back_from_its_file_and_cannot_be_declared_clean() -> None:
    certificate = certify("r", [ref(0, Split.TRAIN), ref(0, Split.TEST)], None)
    text = certificate.model_dump_json()
    assert LeakageCertificate.model_validate_json(text) == certificate
    with pytest.raises(ValidationError, match="contradicts the overlaps"):
        LeakageCertificate.model_validate_json(text.replace('"clean":false', '"clean":true'))


def test_no_pictures_and_empty_splits_are_clean() -> None:
    assert certify("r", [], TrainingData("v1", ())).clean
    assert certify("r", [ref(1, Split.TEST)], None).clean


def test_a_picture_that_cannot_be_compared_is_refused() -> None:
    with pytest.raises(DataError, match=r"1.png has no patient; run validate_data again"):
        replace(ref(1, Split.TRAIN), patient="")
    with pytest.raises(DataError, match=r"1.png has no pixel hash; run validate_data again"):
        replace(ref(1, Split.TRAIN), pixel_sha256="")


def test_training_data_come_back_as_they_were(tmp_path: Path) -> None:
    images = [*clean_set(), ref(1, Split.VAL, name="Ünï\u2028 \n,\"'")]
    one, other = tmp_path / "one.zip", tmp_path / "other.zip"
    write_training_data(one, "20260101-1", images)
    write_training_data(other, "20260101-1", images)
    assert one.read_bytes() == other.read_bytes()
    assert one.stat().st_size < 5000 * len(images)
    back = read_training_data(one)
    assert back.version == "20260101-1"
    for found, image in zip(back.images, images, strict=True):
        assert np.array_equal(found.fingerprint, image.fingerprint)
        assert found == image


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.95])
def test_damaged_training_data_are_refused(place: float, tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    write_training_data(path, "v1", clean_set())
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 255
    path.write_bytes(data[: -(len(data) // 10)] if place > 0.9 else data)
    with pytest.raises(DataError, match="cannot be read as training data .* restore it"):
        read_training_data(path)


def test_missing_training_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as training data"):
        read_training_data(tmp_path / "nothing.zip")


def test_fingerprints_of_another_method_are_refused_not_compared(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("about.json", '{"method": "older", "version": "v1", "images": 0}')
    with pytest.raises(DataError, match="method older, this version makes .* model v1"):
        read_training_data(path)
