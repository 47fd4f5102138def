"""Films to splits: one that the ledger knows stays, whatever its patient is called now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ml_tasks.dataset.ledger import NEW_LEDGER, Film, Ledger, Standing
from ml_tasks.dataset.manifest import ManifestRow
from ml_tasks.dataset.same_films import guessed_patient
from ml_tasks.errors import DataError
from ml_tasks.records import Split

_SHOWN = 10  # patients that an error lists


@dataclass(frozen=True)
class _KnownFilm:
    row: ManifestRow
    standing: Standing

    def sentence(self) -> str:
        split, patient = self.standing.split.value, self.standing.patient
        return f"{self.row.path} is of the {split} split (as patient {patient})"


def placed_patients(rows: Sequence[ManifestRow], ledger: Ledger) -> dict[str, Split]:
    """The split of each patient of these rows: that of the ledger for the patient or its films.

    Patients get other names when metadata.csv, a pattern or another pseudonym key comes; then the
    films tell where they belong. Only who is new with all films is placed by the hash.

    Raises:
        DataError: films that are now of one patient, or near-duplicates, stand in two splits; it
            names films, splits and the remedy.
    """
    known: dict[str, list[_KnownFilm]] = defaultdict(list)
    for row in rows:
        standing = _standing(row, ledger)
        if standing is not None:
            known[row.patient].append(_KnownFilm(row, standing))
    _refuse_torn(known, ledger)
    inherited = {patient: films[0].standing.split for patient, films in known.items()}
    return ledger.place({row.patient for row in rows}, inherited)


def films_of(rows: Sequence[ManifestRow]) -> list[Film]:
    """What the ledger keeps of these rows."""
    return [Film(row.sha256, row.pixel_sha256, row.patient) for row in rows]


def _standing(row: ManifestRow, ledger: Ledger) -> Standing | None:
    """By its pixels, which outlast another file format; by its bytes, which outlast a decoder."""
    found = ledger.films.get(row.pixel_sha256) or ledger.films.get(row.sha256)
    if found is not None:
        return found
    name = guessed_patient(row)  # all that ledgers from before films were recorded tell of a film
    return Standing(name, ledger.recorded[name]) if name in ledger.recorded else None


def _refuse_torn(known: Mapping[str, Sequence[_KnownFilm]], ledger: Ledger) -> None:
    torn = []
    for patient, films in known.items():
        splits = {film.standing.split for film in films}
        if len(splits | {ledger.recorded.get(patient, films[0].standing.split)}) > 1:
            torn.append(patient)
    if not torn:
        return
    lines = [_sentence(patient, known[patient], ledger) for patient in sorted(torn)]
    more = f"\n  and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    remedies = {_remedy(known[patient]) for patient in torn}
    raise DataError(
        f"{ledger.path} holds films of {len(torn)} patient(s) in other splits than they would now "
        "come to, and no film may move: models were trained and judged by it\n  "
        + "\n  ".join(lines[:_SHOWN])
        + f"{more}\nRemedy: {'; '.join(sorted(remedies))}; or {NEW_LEDGER}"
    )


def _sentence(patient: str, films: Sequence[_KnownFilm], ledger: Ledger) -> str:
    """One film for each split."""
    recorded = ledger.recorded.get(patient)
    shown = {film.standing.split: film for film in reversed(films)}
    if recorded is not None and len(shown) > 1:
        shown.pop(recorded, None)
    named = " and ".join(shown[split].sentence() for split in Split if split in shown)
    alike = ", near-duplicates" if len(films) > 1 and _one_film(films) else ""
    where = f" ({recorded.value} split)" if recorded is not None else ""
    return f"patient {patient}{where}: {named}{alike}"


def _remedy(films: Sequence[_KnownFilm]) -> str:
    if _one_film(films) and len(films) > 1:
        return "remove one of two near-duplicates from the raw folder"
    return (
        "let these files have the patients that they had (metadata.csv, data.patient_pattern and "
        "the pseudonym key as before), or remove those of all splits but one from the raw folder"
    )


def _one_film(films: Sequence[_KnownFilm]) -> bool:
    return len({film.row.near_duplicate_of or film.row.path for film in films}) == 1
