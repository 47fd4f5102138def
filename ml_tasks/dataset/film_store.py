"""The pictures of a shard in one archive: small PNG files, the same bytes whatever the day."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ml_tasks.dataset.examination import Pictures
from ml_tasks.errors import DataError
from ml_tasks.imaging.breast import Pixels
from ml_tasks.imaging.encode import decoded_png

KINDS = ("finished", "mask", "film", "kept")


class FilmWriter:
    """Adds the pictures of one film after the other to an archive."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def add(self, file: str, pictures: Pictures) -> None:
        """The four PNG files of one film, stored as they are."""
        for kind in KINDS:
            # A fixed date: ZipInfo's own default, 1980.
            self._archive.writestr(zipfile.ZipInfo(f"{kind}/{file}"), getattr(pictures, kind))


@contextmanager
def writing_films(path: Path) -> Iterator[FilmWriter]:
    """A new archive at `path`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        yield FilmWriter(archive)


class FilmStore:
    """The films of all shards of a run, read one at a time."""

    def __init__(self, archives: list[Path]) -> None:
        self._archives = [zipfile.ZipFile(path) for path in archives]
        self._where = {name: archive for archive in self._archives for name in archive.namelist()}

    def png(self, kind: str, file: str) -> bytes:
        """One PNG file of a film; `kind` is one of KINDS.

        Raises:
            DataError: the archive is damaged.
        """
        name = f"{kind}/{file}"
        try:
            return self._where[name].read(name)
        except (KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"the cleaned film {name} is missing or damaged ({error})") from None

    def pixels(self, kind: str, file: str) -> Pixels:
        """One picture of a film: uint8, (128,128) for finished and mask, else (192,192)."""
        return decoded_png(self.png(kind, file))

    def close(self) -> None:
        """Closes the archives."""
        for archive in self._archives:
            archive.close()
