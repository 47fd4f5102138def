"""Scored batches, drift reports and Data Docs, as the pages lead to them."""

from __future__ import annotations

import json
from urllib.parse import unquote

from ml_tasks.scoring.plan import BatchPlan
from ml_tasks.scoring.summary import BINS, BatchSummary, ProductionNow
from tests.pages.shown_pages import shown
from tests.pages.toy_project import FAILED, Project


def test_a_batch_is_listed_with_what_became_of_it(project: Project) -> None:
    folder = project.config.paths.scoring / "ward-7"
    assert "summary.json is gone or cannot be read" in shown(project, "/scoring").text
    plan = BatchPlan(
        name="ward-7",
        folder="/data/ward-7",
        planned_at="2026-02-01T00:00:00+00:00",
        version=project.versions[1],
        digest="sha256:" + "ab" * 32,
        proof="the ledger",
        positive="Positive",
        negative="Negative",
        threshold=0.5,
        images=1200,
        size=1,
        chunk=100,
        chunks=12,
        shards=2,
        format="csv",
        listing_sha256="ab" * 32,
        left_out={},
        left_out_names={},
    )
    summary = BatchSummary(
        plan=plan,
        plan_sha256="ab" * 32,
        finished_at="2026-02-01T01:00:00+00:00",
        seconds=60,
        scored=1190,
        classes={"Negative": 1000, "Positive": 190},
        errors={"BAD": 10},
        quality={},
        warned=0,
        histogram=(0,) * BINS,
        first_errors=(),
        production=ProductionNow(same=True, text="serves"),
        files=("predictions.csv",),
    )
    (folder / "summary.json").write_text(summary.model_dump_json())
    text = shown(project, "/scoring").text
    assert "1,190 of 1,200 images scored by" in text and "10 could not be scored" in text


def test_drift_is_listed_with_what_follows_from_it(project: Project) -> None:
    assert "brightness has moved by 0.31" in shown(project, "/drift").text
    told = {"action": "none", "reason": "drift seen, but retraining suggested on 2026-01-28"}
    (project.config.paths.drift / "2026-01-30" / "suggestion.json").write_text(json.dumps(told))
    assert "retraining suggested on 2026-01-28" in shown(project, "/drift").text


def test_data_docs_open_at_their_results(project: Project) -> None:
    """Their index, which scripts from other hosts fill, stays empty in these pages."""
    path = "validate_data/data_docs/validations/raw_mammograms/__none__/2026/manifest.html"
    file = project.run(FAILED).root / path
    file.parent.mkdir(parents=True)
    file.write_text("<h1>18 expectations</h1>")
    address = "/runs/{run_id}/files/{path:path}"
    index = shown(project, address, run_id=FAILED, path="validate_data/data_docs/index.html")
    assert index.location is not None and unquote(index.location).endswith(path)
    assert shown(project, address, run_id=FAILED, path=path).file == file.resolve()
