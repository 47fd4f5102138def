"""mini-MIAS (Suckling et al. 1994): 322 films in pairs, with circles around the abnormalities."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

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
from ml_tasks.dataset.patients import Laterality, View
from ml_tasks.errors import DataError

TABLES = ("MIAS-Info.txt", "Info.txt", "README", "README.txt")
SIDE = 1024  # of every film, in pixels; the table's coordinates are for this size

# As Info.txt explains them.
_TISSUES = {"F": "fatty", "G": "fatty-glandular", "D": "dense-glandular"}
_FILM = re.compile(r"mdb(\d{3})")
_ROW = re.compile(
    r"(?P<film>mdb\d{3})\s+(?P<tissue>[FGD])\s+"
    r"(?:(?P<normal>NORM)|(?P<kind>CALC|CIRC|SPIC|MISC|ARCH|ASYM)\s+(?P<severity>[BM])"
    r"(?:\s+(?P<x>\d+)\s+(?P<y>\d+)\s+(?P<radius>\d+)|\s*\*NOTE\s+\d\*)?)\s*"
)


@dataclass(frozen=True)
class Finding:
    """A line of the table: a normal film, or one abnormality, with its circle if there is one."""

    film: str
    density: str
    abnormal: bool
    circle: Circle | None


def import_mini_mias(source: Path, output: Path) -> Imported:
    """Films with an abnormality become Positive, normal ones Negative.

    `source` is the original distribution (mdb001.pgm ... beside Info.txt or README) or one with
    images in a folder below and MIAS-Info.txt. The data set's table is the only truth used.

    Raises:
        DataError: no table, a line of it that cannot be read, no film, or one of another size.
        StorageError: `output` holds files already, or there is no space left.
    """
    table = _table(source)
    findings: dict[str, list[Finding]] = {}
    for finding in read_findings(table):
        findings.setdefault(finding.film, []).append(finding)
    files = _films(source)
    if not files:
        raise DataError(
            f"{source} holds no film (mdb001.pgm or .png and so on); name the folder that holds "
            "them and the table"
        )
    films = [_film(files[name], rows) for name, rows in findings.items() if name in files]
    left_out = [
        LeftOut(name=name, reason=f"{table.name} lists it, but there is no such film")
        for name in findings
        if name not in files
    ] + [
        LeftOut(name=name, reason=f"{table.name} does not list it")
        for name in files
        if name not in findings
    ]
    return write_raw_folder(films, output, str(table), left_out)


def read_findings(table: Path) -> Iterator[Finding]:
    """The lines of Info.txt; y, counted from the bottom there, is turned to count from the top.

    Raises:
        DataError: a line begins like a film but cannot be read.
    """
    for number, line in enumerate(table.read_text("latin-1").splitlines(), start=1):
        if not _FILM.match(line):
            continue
        row = _ROW.fullmatch(line)
        if row is None:
            raise DataError(
                f"{table} line {number}: {line!r} is no line of the table, such as "
                "'mdb001 G CIRC B 535 425 197'; fetch the file anew"
            )
        circle = None
        if row["x"] is not None:
            circle = Circle(x=int(row["x"]), y=SIDE - 1 - int(row["y"]), radius=int(row["radius"]))
        yield Finding(row["film"], _TISSUES[row["tissue"]], row["normal"] is None, circle)


def _table(source: Path) -> Path:
    """The first of `TABLES`, in any case, that lists films."""
    there = {path.name.lower(): path for path in source.iterdir()} if source.is_dir() else {}
    for name in TABLES:
        path = there.get(name.lower())
        if path is not None and inside(source, path):
            lines = path.read_text("latin-1").splitlines()
            if any(_FILM.match(line) for line in lines):
                return path
    raise DataError(
        f"{source} holds none of {', '.join(TABLES)} with a table of the films; "
        "name the folder of mini-MIAS"
    )


def _films(source: Path) -> dict[str, Path]:
    """The film files by name, in their order."""
    films: dict[str, Path] = {}
    for path in sorted(source.rglob("mdb*"), key=lambda path: path.name):
        if path.suffix not in (".pgm", ".png") or not _FILM.fullmatch(path.stem):
            continue
        if not inside(source, path):
            raise DataError(f"{path} is a link to nothing or to outside of {source}; copy the film")
        if path.stem in films:
            raise DataError(
                f"{path.stem} is there twice, as {films[path.stem]} and {path}; remove one"
            )
        films[path.stem] = path
    return films


def _film(path: Path, rows: list[Finding]) -> Film:
    _check_size(path)
    number = int(path.stem.removeprefix("mdb"))
    return Film(
        source=path,
        label=POSITIVE if any(row.abnormal for row in rows) else NEGATIVE,
        name=path.name,
        about=about(
            patient=f"mias{(number + 1) // 2:03}",  # "arranged in pairs of films" (Info.txt)
            view=View.MLO,  # of all films of MIAS; Info.txt does not say it
            # Info.txt calls the even ones left; the markers that can be read on films say the
            # opposite (L on odd, R on even ones), and the film itself is believed.
            laterality=Laterality.L if number % 2 else Laterality.R,
            data_set="mini-MIAS",
            density=rows[0].density,
        ),
        lesions=tuple(row.circle for row in rows if row.circle is not None),
    )


def _check_size(path: Path) -> None:
    try:
        with Image.open(path, formats=("PPM", "PNG")) as image:
            size = image.size
    except Exception as error:  # third-party decoders raise nearly anything on broken files
        raise DataError(f"{path} is no readable film ({error}); fetch it anew") from error
    if size != (SIDE, SIDE):
        raise DataError(
            f"{path} has {size[0]}x{size[1]} pixels; the coordinates of mini-MIAS are for "
            f"{SIDE}x{SIDE}: use the films as they were distributed"
        )
