"""A film stays in its split: re-compressed, renamed, given to another patient, or taken back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_tasks.config import Config, DataConfig
from ml_tasks.dataset.ledger import Film, Ledger
from ml_tasks.dataset.manifest import IndexRow, read_rows
from ml_tasks.errors import DataError
from ml_tasks.preprocessing import LEDGER, plan_cleaning
from ml_tasks.records import Split
from ml_tasks.run_paths import RunPaths
from tests.builders import encoded, film, toy_config, validated, write_csv, write_raw


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Settings, and thirty films of which nobody knows the patients."""
    made = toy_config(tmp_path, data=DataConfig(min_patients_per_class=3))
    write_raw(made.paths.raw, patients=30, metadata=False)
    return made


def planned(config: Config, run_id: str) -> dict[str, IndexRow]:
    """What a run plans, by raw file."""
    run = RunPaths(config.paths.runs, run_id)
    validated(run, config)
    plan_cleaning(run, config)
    rows = read_rows(run.stage("plan_cleaning") / "plan.csv", IndexRow)
    return {row.raw: row for row in rows}


def name_patients(config: Config, patient_of: Callable[[str], str], files: list[str]) -> None:
    write_csv(
        config.paths.raw / "metadata.csv",
        [{"file": file, "patient_id": patient_of(file)} for file in files],
    )


def ledger_bytes(config: Config) -> bytes:
    return (config.paths.splits / LEDGER).read_bytes()


def test_originals_that_come_back_beside_copies_of_another_split_are_refused(
    config: Config, tmp_path: Path
) -> None:
    """The copies alone were films that nobody knew; with the originals, one film has two splits."""
    raw, store = config.paths.raw, tmp_path / "store"
    first = planned(config, "originals")
    shutil.copytree(raw, store)
    for path in sorted(raw.glob("*/*.png")):
        number = int(path.stem[1:])
        copy = encoded(film(number, lesion=bool(number % 2)), "JPEG", quality=85)
        path.with_name(f"{path.stem}_b.jpg").write_bytes(copy)
        path.unlink()
    second = planned(config, "copies")
    for path in store.glob("*/*.png"):
        shutil.copy(path, raw / path.relative_to(store))
    copies = {file: file.replace(".png", "_b.jpg") for file in first}
    torn = [file for file in first if first[file].split is not second[copies[file]].split]
    assert len(torn) > 5
    before = ledger_bytes(config)
    with pytest.raises(DataError, match=f"holds films of {len(torn)} patient") as refusal:
        planned(config, "both")
    said, example = str(refusal.value), min(torn)
    assert f"and {len(torn) - 10} more" in said or len(torn) <= 10
    assert "near-duplicates" in said and "remove one of two near-duplicates" in said
    assert ledger_bytes(config) == before
    for file in torn:
        (raw / copies[file]).unlink()
    third = planned(config, "mended")
    assert all(third[file].split is first[file].split for file in first)
    assert all(third[file].split is second[file].split for file in second if file in third)
    assert third[example].split is first[example].split


def test_metadata_that_come_later_move_no_film(config: Config) -> None:
    first = planned(config, "unknown")
    name_patients(config, lambda file: Path(file).stem, list(first))
    second = planned(config, "named")
    assert {row.patient for row in second.values()} == {Path(file).stem for file in first}
    assert {file: row.split for file, row in second.items()} == {
        file: row.split for file, row in first.items()
    }
    (config.paths.raw / "metadata.csv").unlink()
    again = planned(config, "unknown again")
    assert again == first
    pattern = config.data.model_copy(update={"patient_pattern": r"(\d+)\.png"})
    by_name = planned(config.model_copy(update={"data": pattern}), "by pattern")
    assert all(by_name[file].split is row.split for file, row in first.items())


def test_a_new_film_of_a_patient_follows_the_films_that_are_known(config: Config) -> None:
    first = planned(config, "unknown")
    tested = next(file for file, row in first.items() if row.split is Split.TEST)
    for number in range(60, 70):
        (config.paths.raw / "Positive" / f"P{number}.png").write_bytes(encoded(film(number)))
    new = [f"Positive/P{number}.png" for number in range(60, 70)]
    name_patients(
        config,
        lambda file: "hers" if file in (tested, *new) else Path(file).stem,
        [*first, *new],
    )
    second = planned(config, "named")
    assert all(second[file].split is Split.TEST for file in new)


def test_one_patient_for_films_of_two_splits_is_refused_with_films_splits_and_remedy(
    config: Config,
) -> None:
    first = planned(config, "unknown")
    trained, tested = (
        next(file for file, row in first.items() if row.split is split)
        for split in (Split.TRAIN, Split.TEST)
    )
    before = ledger_bytes(config)
    both = (trained, tested)
    name_patients(config, lambda file: "both" if file in both else Path(file).stem, list(first))
    with pytest.raises(DataError, match=r"films of 1 patient\(s\) in other splits") as refusal:
        planned(config, "joined")
    said = str(refusal.value)
    assert f"patient both: {trained} is of the train split (as patient film-" in said
    assert f"{tested} is of the test split (as patient film-" in said
    assert "let these files have the patients that they had" in said
    assert "start a new ledger by moving this file away" in said
    assert ledger_bytes(config) == before


def test_a_film_that_is_given_to_a_patient_of_another_split_is_refused(config: Config) -> None:
    """Under a name that the ledger knows, so that the name alone would say nothing new."""
    files = [
        path.relative_to(config.paths.raw).as_posix() for path in config.paths.raw.glob("*/*.png")
    ]
    name_patients(config, lambda file: Path(file).stem, files)
    first = planned(config, "named")
    trained, tested = (
        next(row for row in first.values() if row.split is split)
        for split in (Split.TRAIN, Split.TEST)
    )
    name_patients(
        config, lambda file: trained.patient if file == tested.raw else Path(file).stem, files
    )
    says = (
        rf"patient {trained.patient} \(train split\): {tested.raw} is of the test split "
        rf"\(as patient {tested.patient}\)"
    )
    with pytest.raises(DataError, match=says):
        planned(config, "given away")


def test_films_are_known_by_the_guessed_names_of_a_ledger_without_film_lines(
    config: Config,
) -> None:
    first = planned(config, "unknown")
    path = config.paths.splits / LEDGER
    whole = Ledger.open(path, config.split)
    path.unlink()
    Ledger.open(path, config.split).commit(whole.recorded, "old", "2026-01-02T03:04:05+00:00")
    name_patients(config, lambda file: Path(file).stem, list(first))
    second = planned(config, "named")
    assert all(second[file].split is row.split for file, row in first.items())


def test_a_film_is_known_by_its_bytes_where_another_decoder_gives_other_pixels(
    config: Config,
) -> None:
    first = planned(config, "unknown")
    path = config.paths.splits / LEDGER
    whole = Ledger.open(path, config.split)
    path.unlink()
    hashes = {row.raw_sha256: whole.films[row.raw_sha256] for row in first.values()}
    recoded = [Film(file, f"other {file}", known.patient) for file, known in hashes.items()]
    names = {known.patient: known.split for known in hashes.values()}
    other = {f"other {name}": split for name, split in names.items()}
    Ledger.open(path, config.split).commit(
        other, "old", "-", [film._replace(patient=f"other {film.patient}") for film in recoded]
    )
    second = planned(config, "other decoder")
    assert all(second[file].split is row.split for file, row in first.items())
