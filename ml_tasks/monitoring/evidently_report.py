"""Evidently: the distance of each column, and its own page, which loads nothing from outside."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml_tasks.errors import DriftError

METHOD = "wasserstein"  # over the reference's standard deviation
# Evidently's page draws itself by scripts that stand in it; whatever else it would load is refused
# by the browser, should a later version of Evidently try.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
)
_HEAD = "<head>"


def compare_columns(
    reference: Mapping[str, NDArray[np.float64]],
    current: Mapping[str, NDArray[np.float64]],
    limits: Mapping[str, float],
    counted: tuple[str, ...],
    drift_share: float,
    page: Path,
) -> dict[str, float]:
    """Writes Evidently's page and gives each column's distance, in deviations of the reference.

    The columns are those of `limits`, which may be of different lengths; the page tells the share
    of the `counted` ones that have drifted.

    Raises:
        DriftError: Evidently gives no distance for a column.
    """
    from_evidently = _evidently()
    columns = list(limits)
    metrics = [
        from_evidently["DriftedColumnsCount"](
            columns=list(counted),
            num_method=METHOD,
            drift_share=drift_share,
            per_column_threshold={name: limits[name] for name in counted},
        ),
        *(
            from_evidently["ValueDrift"](column=name, method=METHOD, threshold=limits[name])
            for name in columns
        ),
    ]
    definition = from_evidently["DataDefinition"](numerical_columns=columns)
    data = [
        from_evidently["Dataset"].from_pandas(_frame(each, columns), data_definition=definition)
        for each in (current, reference)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas' to Evidently: nobody here can act on them
        snapshot = from_evidently["Report"](metrics).run(*data)
        text = snapshot.get_html_str(as_iframe=False)
        told = snapshot.dict()
    page.write_text(_confined(text), encoding="utf-8")
    return _distances(told, columns)


def _evidently() -> dict[str, Any]:
    """Evidently's classes, imported without its telemetry and beside pandas 3."""
    os.environ.setdefault("DO_NOT_TRACK", "1")  # it reads this where it would report its use
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import DriftedColumnsCount, ValueDrift

    kinds = (DataDefinition, Dataset, Report, DriftedColumnsCount, ValueDrift)
    return {kind.__name__: kind for kind in kinds}


def _frame(values: Mapping[str, NDArray[np.float64]], columns: list[str]) -> pd.DataFrame:
    """Columns side by side, shorter ones filled up with what Evidently leaves out."""
    return pd.DataFrame({name: pd.Series(values[name], dtype="float64") for name in columns})


def _distances(told: dict[str, Any], columns: list[str]) -> dict[str, float]:
    found = {
        metric["config"]["column"]: float(metric["value"])
        for metric in told["metrics"]
        if "column" in metric["config"]
    }
    for name in columns:
        if not np.isfinite(found.get(name, np.nan)):
            raise DriftError(
                f"Evidently gives no distance for {name!r} (it gives {found.get(name)}); check the "
                "locked versions of evidently and pandas"
            )
    return {name: found[name] for name in columns}


def _confined(page: str) -> str:
    """The page with a policy by which a browser loads nothing from elsewhere."""
    if _HEAD not in page:
        raise DriftError("Evidently's page has no head; check the locked version of evidently")
    policy = f'{_HEAD}<meta http-equiv="Content-Security-Policy" content="{CONTENT_POLICY}">'
    return page.replace(_HEAD, policy, 1)
