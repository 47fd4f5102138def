"""Pictures that show the same film: copies are set aside, near-duplicates share one patient."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from ml_tasks.dataset.cache import ExaminationCache
from ml_tasks.dataset.fingerprint import Fingerprint
from ml_tasks.dataset.manifest import ManifestRow
from ml_tasks.dataset.near_duplicates import films_alike, groups
from ml_tasks.errors import StageOrderError

_GUESSED = "film-"


def set_aside_copies(rows: Sequence[ManifestRow]) -> list[ManifestRow]:
    """Sets aside repeated pictures of one class, so that none is counted twice or split in two.

    Copies under different classes stay: they contradict one another, which validation refuses.
    """
    first: dict[tuple[str, str], str] = {}
    kept = []
    for row in rows:
        original = first.setdefault((row.pixel_sha256, row.label), row.path) if row.usable else ""
        copy = row.usable and original != row.path
        kept.append(row.aside(f"same picture as {original}") if copy else row)
    return kept


def group_near_duplicates(
    rows: Sequence[ManifestRow], kept: ExaminationCache
) -> tuple[list[ManifestRow], tuple[str, ...]]:
    """Marks near-duplicates; where no patient is known, each group of them is one patient.

    Also gives warnings for the report.
    """
    members = [row for row in rows if row.usable]
    found = groups(films_alike(_prints(members, kept)), len(members))
    films: dict[int, list[ManifestRow]] = defaultdict(list)
    for row, group in zip(members, found, strict=True):
        films[group].append(row)
    marked = {row.path: row for film in films.values() for row in _as_one_film(film)}
    return [marked.get(row.path, row) for row in rows], tuple(_warnings(list(films.values())))


def _as_one_film(film: Sequence[ManifestRow]) -> list[ManifestRow]:
    """The pictures of one film: the first is the original; one patient where none is known."""
    original = film[0].path
    known = sorted({row.patient for row in film if row.patient})
    unknown = known[0] if known else guessed_patient(film[0])
    return [
        row.model_copy(
            update={
                "patient": row.patient or unknown,
                "near_duplicate_of": "" if row.path == original else original,
            }
        )
        for row in film
    ]


def guessed_patient(row: ManifestRow) -> str:
    """The patient of a film that nobody is known of: by its pixels, whatever the file's name."""
    return f"{_GUESSED}{row.pixel_sha256[:16]}"


def as_recorded(rows: Sequence[ManifestRow], recorded: Collection[str]) -> list[ManifestRow]:
    """Rows whose guessed patients have the name under which their film stands in the ledger.

    Else a new picture of an old film, sorted before it, would rename the film's patient. Where the
    pictures of one film have names in several splits, `placement` refuses them.
    """
    names: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        names[row.near_duplicate_of or row.path].append(guessed_patient(row))
    settled = []
    for row in rows:
        old = [name for name in names[row.near_duplicate_of or row.path] if name in recorded]
        guessed = row.patient.startswith(_GUESSED) and old
        settled.append(row.model_copy(update={"patient": min(old)}) if guessed else row)
    return settled


def _prints(rows: Sequence[ManifestRow], kept: ExaminationCache) -> list[Fingerprint]:
    """The fingerprints (1 or 2,64,64) int8 of each examined film.

    Raises:
        StageOrderError: an examination is no longer in the cache.
    """
    found = []
    for row in rows:
        examination = kept.get(row.sha256)
        if examination is None or examination.pictures is None:
            raise StageOrderError(
                f"the cache {kept.folder} has lost {row.path}; run validate_data again"
            )
        found.append(examination.pictures.prints)
    return found


def _warnings(films: Sequence[Sequence[ManifestRow]]) -> list[str]:
    torn = sorted(film[0].path for film in films if len({row.label for row in film}) > 1)
    if not torn:
        return []
    return [
        f"{len(torn)} film(s) lie under both classes as near-duplicates, e.g. {torn[0]}; see which "
        "class is right and take the other picture out"
    ]
