"""CBIS-DDSM (Lee et al. 2017, The Cancer Imaging Archive): four tables and a tree of DICOM files.

The tables' paths, <case>/<study UID>/<series UID>/000000.dcm, are not those of the download, such
as <case>/07-20-2016-DDSM-NA-74994/1.000000-full mammogram images-24515/1-1.dcm. So a file is found
by its case folder and, where that holds several, by the last digits of the series UID.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ml_tasks.dataset.importers.cbis_masks import circle_of
from ml_tasks.dataset.importers.raw_folder import (
    NEGATIVE,
    POSITIVE,
    Film,
    Imported,
    LeftOut,
    about,
    inside,
    write_raw_folder,
)
from ml_tasks.dataset.lesions import Circle
from ml_tasks.dataset.patients import laterality_of, view_of
from ml_tasks.dataset.table import Table, TableRow, read_table
from ml_tasks.errors import DataError, ImageRejected

log = logging.getLogger(__name__)
TABLES = tuple(
    f"{kind}_case_description_{part}_set.csv"
    for kind in ("mass", "calc")
    for part in ("train", "test")
)
FILM, MASK = "image file path", "ROI mask file path"
COLUMNS = ("patient_id", "left or right breast", "image view", "pathology", FILM, MASK)
PATHOLOGIES = {"MALIGNANT": True, "BENIGN": False, "BENIGN_WITHOUT_CALLBACK": False}

_SPELLINGS = {name.replace(" ", "_"): name for name in COLUMNS} | {"patient id": "patient_id"}
_CASE = re.compile(r"(?:Mass|Calc)-(?:Training|Test)_(P_\d{5}_(?:LEFT|RIGHT)_(?:CC|MLO))(?:_\d+)?")
_IMAGES = (".dcm", ".png")
Tree = Mapping[str, list[Path]]  # image files by case folder


@dataclass(frozen=True)
class Abnormality:
    """A row of a table: one abnormality on one film."""

    film: str  # P_00001_LEFT_CC
    patient: str
    side: str
    view: str
    density: str  # BI-RADS, 1 to 4
    malignant: bool
    case: str  # folder of the film
    series: str  # UID of the film's series
    region: str  # folder of the mask and the crop


def import_cbis_ddsm(source: Path, output: Path) -> Imported:
    """Films with a malignant abnormality become Positive, the others Negative.

    A film that several rows name, in the mass and in the calcification tables too, is one image
    with the worst pathology; a patient keeps one id in all tables. Lesions come from the ROI masks.
    What the tables name and the tree does not hold is left out and listed: a download of a part of
    the data set can be imported.

    Raises:
        DataError: no table, a column or value that is not the data set's, or no film at all.
        StorageError: `output` holds files already, or there is no space left.
    """
    tables, tree = _walk(source)
    if not tables:
        raise DataError(
            f"{source} holds none of {', '.join(TABLES)}; name the folder that holds them and the "
            "tree CBIS-DDSM/"
        )
    by_film: dict[str, list[Abnormality]] = {}
    for row in (row for table in tables for row in read_abnormalities(table)):
        by_film.setdefault(row.film, []).append(row)
    shared = sum(len({row.case for row in group}) > 1 for group in by_film.values())
    log.info("%d films; %d of them in two sets, imported once", len(by_film), shared)
    films: list[Film] = []
    left_out: list[LeftOut] = []
    for name, group in by_film.items():
        path = _film_file(tree, group)
        if path is None:
            left_out.append(LeftOut(name=name, reason=_missing(tree, group)))
            continue
        lesions = _lesions(tree, group, path, left_out)
        films.append(_film(group, path, lesions))
    if not films:
        raise DataError(
            f"{source} holds none of the {len(by_film)} films that {tables[0].name} and the other "
            "tables name; a film lies in a folder such as Mass-Test_P_00016_LEFT_CC/"
        )
    return write_raw_folder(films, output, " and ".join(map(str, tables)), left_out)


def read_abnormalities(path: Path) -> Iterator[Abnormality]:
    """The rows of one table.

    Raises:
        DataError: a column is missing, or a value is not the data set's; the line is named.
    """
    table = read_table(path, COLUMNS, _SPELLINGS)
    for row in table.rows:
        yield _abnormality(table, row)


def _abnormality(table: Table, row: TableRow) -> Abnormality:
    patient, side, view = (row[name].upper() for name in COLUMNS[:3])
    if row["pathology"] not in PATHOLOGIES:
        raise table.problem(
            row, f"pathology {row['pathology']!r} is none of {', '.join(PATHOLOGIES)}"
        )
    film = f"{patient}_{side}_{view}"
    film_path, region = _parts(row[FILM]), _parts(row[MASK])[0]
    # Only names of the data set's own form are looked for: no row can lead out of the tree.
    case = _CASE.fullmatch(film_path[0])
    if case is None:
        raise table.problem(
            row,
            f"{FILM} {row[FILM]!r} begins with no case folder such as Mass-Test_P_00016_LEFT_CC",
        )
    if case[1] != film:
        raise table.problem(
            row, f"{FILM} is of {case[1]}, but the row is of {film}; correct the one that is wrong"
        )
    return Abnormality(
        film=film,
        patient=patient,
        side=side,
        view=view,
        density=row["breast density"] or row["breast_density"],
        malignant=PATHOLOGIES[row["pathology"]],
        case=film_path[0],
        series=film_path[-2] if len(film_path) > 1 else "",
        region=region,
    )


def _parts(path: str) -> list[str]:
    """The folders and the file of a path; older copies of the tables write backslashes."""
    return path.replace("\\", "/").split("/")


def _walk(source: Path) -> tuple[list[Path], Tree]:
    """The tables below `source`, and the image files of each case folder."""
    tables: dict[str, Path] = {}
    tree: dict[str, list[Path]] = {}
    for folder, below, names in os.walk(source):
        below.sort()
        case = next((part for part in reversed(Path(folder).parts) if _CASE.fullmatch(part)), None)
        for name in sorted(names):
            path = Path(folder, name)
            if case is None and name in TABLES and inside(source, path):
                if name in tables:
                    raise DataError(f"{name} is there twice: {tables[name]}, {path}; remove one")
                tables[name] = path
            elif case and path.suffix.lower() in _IMAGES and inside(source, path):
                tree.setdefault(case, []).append(path)
    return [tables[name] for name in TABLES if name in tables], tree


def _film_file(tree: Tree, group: Iterable[Abnormality]) -> Path | None:
    """The film's file in the first of its case folders that holds it."""
    for row in group:
        files = tree.get(row.case, [])
        if len(files) > 1:
            files = [path for path in files if row.series and _is_series(path.parent, row.series)]
        if len(files) == 1:
            return files[0]
    return None


def _is_series(folder: Path, series: str) -> bool:
    """Whether a download's folder is that of a series: by its UID, or by the last five digits."""
    return folder.name == series or folder.name.endswith(f"-{series[-5:]}")


def _missing(tree: Tree, group: list[Abnormality]) -> str:
    cases = sorted({row.case for row in group})
    several = [case for case in cases if case in tree]
    if several:
        return f"{several[0]} holds {len(tree[several[0]])} images, not one of the film's series"
    return f"no image in a folder {' or '.join(cases)}"


def _lesions(
    tree: Tree, group: list[Abnormality], film: Path, left_out: list[LeftOut]
) -> tuple[Circle, ...]:
    """The circles of a film's abnormalities; those without a usable mask go to `left_out`."""
    circles: dict[str, Circle] = {}
    for region in dict.fromkeys(row.region for row in group):
        try:
            if region not in tree or f"_{group[0].film}_" not in region:
                raise ImageRejected("no_mask", f"{MASK} {region!r}: no such folder of this film")
            circles[region] = circle_of(tree[region], film)
        except ImageRejected as rejected:
            name = f"lesion {region or group[0].film}"
            left_out.append(LeftOut(name=name, reason=str(rejected)))
    return tuple(circles.values())


def _film(group: list[Abnormality], path: Path, lesions: tuple[Circle, ...]) -> Film:
    row = group[0]
    return Film(
        source=path,
        label=POSITIVE if any(one.malignant for one in group) else NEGATIVE,
        name=row.film + path.suffix.lower(),
        about=about(
            row.patient,
            view_of(row.view),
            laterality_of(row.side),
            "CBIS-DDSM",
            density=row.density,
        ),
        lesions=lesions,
    )
