"""The pages: whatever a file is called stays text, and nothing is fetched from outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from jinja2 import UndefinedError

from ml_tasks.dataset.expectations import Expectation
from ml_tasks.dataset.manifest import ManifestRow
from ml_tasks.evaluation.metrics import SplitMetrics
from ml_tasks.evaluation.performance import Answers, HeldOut, by_level, by_slice
from ml_tasks.pages.evaluation_report import evaluation_report
from ml_tasks.pages.layout import render
from ml_tasks.pages.validation_report import validation_report
from ml_tasks.records import (
    EvaluationRecord,
    PreprocessRecord,
    Split,
    TrainRecord,
    ValidationRecord,
)

EVIL = "<script>alert('x')</script>"
FIGURES = SplitMetrics(
    images=10,
    positives=4,
    accuracy=0.8,
    auc=0.75,
    sensitivity=0.75,
    specificity=5 / 6,
    true_positives=3,
    false_positives=1,
    true_negatives=5,
    false_negatives=1,
)


class Page(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def validation_page(passed: bool = False) -> str:
    record = ValidationRecord(
        run_id=EVIL,
        started_at="2026-01-02T03:04:05+00:00",
        raw=f"/data/{EVIL}",
        manifest_sha256="ab" * 32,
        spec_sha256="cd" * 32,
        images=10,
        quarantined=1,
        classes={"Negative": 6, EVIL: 4},
        patients=8,
        passed=passed,
        failures=() if passed else ("not met: a title",),
        warnings=(f"careful with {EVIL}",),
    )
    results = [
        Expectation(title="holds", met=True, observed="0 of 10 files differ"),
        Expectation(
            title="does not hold",
            met=passed,
            observed="25 of 10 files differ",
            failing=(f"Positive/{EVIL}.png", "Positive/second.png", *[f"{EVIL}.png"] * 23),
        ),
    ]
    row = ManifestRow(
        path=f"Positive/{EVIL}.png", label="Positive", bytes=0, status="quarantined", reason=EVIL
    )
    return validation_report(record, results, [row], {EVIL: EVIL})


def evaluation_page() -> str:
    cleaned = PreprocessRecord(
        run_id=EVIL,
        raw=f"/data/{EVIL}",
        started_at="2026-01-02T03:04:05+00:00",
        manifest_sha256="ab" * 32,
        index_sha256="cd",
        spec_sha256="ef",
        training_data_sha256="01",
        classes=("Negative", EVIL),
        positive=EVIL,
        counts={split: {"Negative": 6, EVIL: 4} for split in Split},
        patients=dict.fromkeys(Split, 5),
        trained_on={"Negative": 6, EVIL: 6},
        quarantined=3,
    )
    trained = TrainRecord(
        run_id=EVIL,
        model_sha256="12" * 32,
        weights=EVIL,
        device="CPU",
        epochs=2,
        best_epoch=1,
        val_loss=0.5,
        val_auc=0.7,
        seconds=3,
    )
    record = EvaluationRecord(
        run_id=EVIL,
        onnx_sha256="34" * 32,
        metrics_sha256="56",
        predictions_sha256="78",
        threshold=0.4321,
        onnx_difference=1e-7,
        headline={"accuracy": 0.8},
    )
    epoch = {
        "epoch": 1.0,
        "loss": 0.7,
        "auc": 0.6,
        "val_loss": 0.5,
        "val_accuracy": 0.6,
        "val_auc": 0.7,
        "learning_rate": 0.001,
    }
    splits = {"val": FIGURES, "test": FIGURES}
    plots = {"ROC curve": b"\x89PNG one", "Confusion matrix": b"\x89PNG two"}
    return evaluation_report(
        record, splits, held_out(), cleaned, trained, [epoch], plots, {EVIL: EVIL}
    )


def held_out() -> HeldOut:
    """Ten patients of two images; one of two sites has positives only."""
    labels = np.repeat(np.arange(10) % 2 == 1, 2)
    scores = np.linspace(0.1, 0.9, 20)
    patients = [f"P{number // 2}" for number in range(20)]
    answers = Answers(labels, scores, patients, ["L", "R"] * 10)
    sites = [EVIL if number // 2 in (1, 3) else "" for number in range(20)]
    return HeldOut(
        by_level(answers, 0.5, 1), by_slice(answers, {"site": sites}, 0.5, 1), "rule of the day"
    )


@pytest.mark.parametrize("html", [validation_page(), validation_page(True), evaluation_page()])
def test_names_from_outside_stay_text(html: str) -> None:
    """A file called <script> would else run in the browser of whoever reads the report."""
    page = Page(html)
    assert "script" not in page.tags
    assert EVIL in page.text


@pytest.mark.parametrize("html", [validation_page(), evaluation_page()])
def test_nothing_is_fetched_from_another_address(html: str) -> None:
    assert not re.search(r"https?://|@import|url\(", html)
    sources = [value or "" for name, value in Page(html).attributes if name in ("src", "href")]
    here = ("data_docs/index.html", "failing_files.csv")
    assert all(value.startswith("data:") or value in here for value in sources)


def test_the_evaluation_page_tells_each_level_and_the_smallest_slice() -> None:
    text = re.sub(r"(<[^>]+>|\s)+", " ", evaluation_page())
    assert "image breast patient" in text
    assert "20 (10) 20 (10) 10 (5)" in text
    assert "by the rule of the day" in text
    assert re.search(r"AUC 0\.\d{3} \[0\.\d{3}, [01]\.\d{3}\]", text)
    assert "The smallest slice has 2 patient(s): site" in text
    assert "not computable" in text  # the AUC of positives alone


def test_the_validation_page_names_the_failing_files() -> None:
    text = Page(validation_page()).text
    assert "NOT met" in text and "does not hold" in text
    assert "Positive/second.png" in text
    assert "and 5 more" in re.sub(r"\s+", " ", text)
    assert text.count(f"{EVIL}.png") == 24 + 1  # and once among those set aside
    assert "Set aside (1)" in text


def test_the_evaluation_page_shows_figures_plots_and_what_the_class_means() -> None:
    html = evaluation_page()
    text = re.sub(r"\s+", " ", Page(html).text)
    assert html.count("data:image/png;base64,") == 2
    for shown in ("0.833", "0.4321", "3 file(s) were set aside", "Research use; not a diagnosis"):
        assert shown in text


def test_a_value_that_a_template_lacks_is_an_error_not_a_gap() -> None:
    with pytest.raises(UndefinedError, match="'figure' is undefined"):
        render("{% block content %}{{ figure }}{% endblock %}", {"title": "t", "run_id": "r"})
