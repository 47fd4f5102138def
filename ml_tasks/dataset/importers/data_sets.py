"""The public data sets that `mammo import --kind` knows, by name."""

from __future__ import annotations

from pathlib import Path

from ml_tasks.dataset.importers.raw_folder import Imported
from ml_tasks.errors import DataError

KINDS = ("mini-mias", "cbis-ddsm", "rsna")


def import_data_set(kind: str, source: Path, output: Path) -> Imported:
    """Brings the data set `kind` from its own layout in `source` into the new folder `output`.

    Raises:
        DataError: `source` is no folder, or does not hold that data set; what is missing is named.
        StorageError: `output` holds files already, or there is no space left.
    """
    if not source.is_dir():
        raise DataError(f"{source} is no folder; name the one that holds the data set {kind}")
    if output.resolve().is_relative_to(source.resolve()):
        raise DataError(f"the new folder {output} would lie inside {source}; name one elsewhere")
    if kind == "mini-mias":
        from ml_tasks.dataset.importers.mini_mias import import_mini_mias

        return import_mini_mias(source, output)
    if kind == "cbis-ddsm":
        from ml_tasks.dataset.importers.cbis_ddsm import import_cbis_ddsm

        return import_cbis_ddsm(source, output)
    if kind == "rsna":
        from ml_tasks.dataset.importers.rsna import import_rsna

        return import_rsna(source, output)
    raise DataError(f"{kind!r} is no known data set; known are {', '.join(KINDS)}")
