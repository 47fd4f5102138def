"""Which files of a run, a release, a drift report or a scored batch a browser may have.

What is not listed here is not served: no raw films, no model weights, no settings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from ml_tasks.pages.answer import DRAWN, HTML, NOTHING, REPORT, Answer
from ml_tasks.pages.frame import told
from ml_tasks.pages.reading import run_in
from ml_tasks.pages.site import Site

VERSION = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{12}")
DATA_DOCS = "data_docs"

_TEXT = "text/plain; charset=utf-8"
_MEDIA: Mapping[str, tuple[str, str]] = {
    ".html": (HTML, REPORT),
    ".css": ("text/css; charset=utf-8", NOTHING),
    ".png": ("image/png", NOTHING),
    ".json": ("application/json", NOTHING),
    ".md": (_TEXT, NOTHING),
    ".csv": ("text/csv; charset=utf-8", NOTHING),
    ".parquet": ("application/vnd.apache.parquet", NOTHING),
}
_DOWNLOADS = (".csv", ".parquet")
# The stages whose own folder may be looked into, and what else is in them for the browser.
_STAGES: Mapping[str, tuple[str, ...]] = {
    "validate_data": (".html", ".png", ".json", ".csv", ".md"),
    "plan_cleaning": (".html", ".png", ".json", ".csv"),
    "preprocess": (".html", ".png", ".json", ".csv"),
    "train": (".json", ".csv"),
    "evaluate": (".html", ".png", ".json", ".csv", ".md"),
    "gate": (".json",),
    "approve": (".json",),
    "build_image": (".json",),
    "smoke_test": (".json",),
    "push_model": (".json",),
}
_IN_DATA_DOCS = (".html", ".css", ".png")
_IN_RELEASE: Mapping[str, tuple[str, ...]] = {"bundle": (".json", ".md"), "record": (".json",)}
_IN_BATCH = ("summary.html", "summary.json", "predictions.csv", "predictions.parquet")
_IN_DRIFT = ("report.html", "summary.html", "verdict.json")


def run_file(site: Site, run_id: str, path: str) -> Answer:
    """`<stage>/<file>` of a run, or a file of its Data Docs."""
    run = run_in(site.config.paths.runs, run_id)
    stage, *rest = PurePosixPath(path).parts or ("",)
    docs = stage == "validate_data" and rest[:1] == [DATA_DOCS]
    allowed = _IN_DATA_DOCS if docs else _STAGES.get(stage, ())
    if not rest or PurePosixPath(path).suffix not in allowed or (len(rest) > 1 and not docs):
        return _refused(site, path)
    folder = run.stage(stage)
    if docs and rest == [DATA_DOCS, "index.html"]:
        result = _result_in_docs(folder)
        if result:
            return Answer(location=site.to("runs", run_id, "files", stage, *result))
    # A stage's folder lies in the run, unless the run names another place for it.
    top = run.root if folder.parent == run.root else folder.parent
    missing = f"{stage} of this run has left none so far"
    return _answer(site, top, (folder.name, *rest), missing)


def _result_in_docs(folder: Path) -> tuple[str, ...] | None:
    """The page of Data Docs with the results.

    Their index is drawn by scripts from other hosts, which do not run here: it would stay empty.
    """
    found = sorted((folder / DATA_DOCS / "validations").rglob("*.html"))
    return found[-1].relative_to(folder).parts if found else None


def release_file(site: Site, version: str, path: str) -> Answer:
    """`bundle/<file>` or `record/<file>` of a release: JSON and the card, never a model."""
    part, *rest = PurePosixPath(path).parts or ("",)
    suffix = PurePosixPath(path).suffix
    if not VERSION.fullmatch(version) or len(rest) != 1 or suffix not in _IN_RELEASE.get(part, ()):
        return _refused(site, path)
    top = site.config.paths.releases / version
    return _answer(site, top, (part, *rest), "the release does not hold it")


def drift_file(site: Site, day: str, path: str) -> Answer:
    """The report of one day; it draws itself, so its scripts run apart from Airflow's page."""
    if path not in _IN_DRIFT or not plain_name(day):
        return _refused(site, path)
    policy = DRAWN if path == "report.html" else None
    return _answer(site, site.config.paths.drift / day, (path,), "there is no such report", policy)


def batch_file(site: Site, name: str, path: str) -> Answer:
    """The summary of a scored batch, or its predictions as a download."""
    if path not in _IN_BATCH or not plain_name(name):
        return _refused(site, path)
    missing = "the batch is not finished, or there is none"
    return _answer(site, site.config.paths.scoring / name, (path,), missing)


def plain_name(name: str) -> bool:
    """Whether a name is that of one folder, and of no hidden one."""
    return bool(name) and not name.startswith(".") and not set(name) & set("/\\\0")


def _answer(
    site: Site, top: Path, steps: Sequence[str], missing: str, policy: str | None = None
) -> Answer:
    """The file below `top`, if every step to it is real: no `..` and no link, wherever it leads."""
    file = top.joinpath(*steps)
    try:
        real = file.resolve(strict=True)
        if real != top.parent.resolve().joinpath(top.name, *steps) or not real.is_file():
            return _refused(site, file.name)
        real.open("rb").close()  # an answer that has begun could not say that it is not readable
    except PermissionError:
        text = f"{file.name} may not be read by Airflow's own user: give it the right to."
        return told(site, "Not readable", text)
    except (OSError, ValueError, RuntimeError):  # not there, a NUL in the name, a loop of links
        return told(site, "Not there", f"There is no {file.name} here: {missing}.")
    media, usual = _MEDIA[file.suffix]
    download = file.name if file.suffix in _DOWNLOADS else None
    return Answer(media=media, file=real, download=download, policy=policy or usual)


def _refused(site: Site, path: str) -> Answer:
    return told(site, "Not served", f"{path!r} is none of the files that these pages show.")
