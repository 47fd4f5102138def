"""The pages: whatever a file is called stays text, and nothing is fetched from outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from jinja2 import UndefinedError

from ml_tasks.dataset.expectations import Expectation
from ml_tasks.dataset.manifest import ManifestRow
from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.evaluation.metrics_file import Metrics
from ml_tasks.evaluation.performance import Answers, by_level, by_slice
from ml_tasks.evaluation.plots import Plot
from ml_tasks.evaluation.worst_cases import Case
from ml_tasks.inference.calibration import Calibration
from ml_tasks.pages.evaluation_report import Evaluated, evaluation_report
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
            failing=(f"Positive/{EVIL}.png", "Positive/second.png"),
            failing_count=25,
        ),
    ]
    row = ManifestRow(
        path=f"Positive/{EVIL}.png", label="Positive", bytes=0, status="quarantined", reason=EVIL
    )
    return validation_report(record, results, [row], {EVIL: EVIL})


def evaluation_page(mistakes: bool = True) -> str:
    cleaned = PreprocessRecord(
        run_id=EVIL,
        raw=f"/data/{EVIL}",
        started_at="2026-01-02T03:04:05+00:00",
        manifest_sha256="ab" * 32,
        index_sha256="cd",
        arrays_sha256=dict.fromkeys(Split, "ef"),
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
    plots = [Plot(title, f"{title} in words", b"\x89PNG") for title in ("ROC curve", EVIL)]
    return evaluation_report(
        Evaluated(
            record=record,
            metrics=held_out(),
            plots=plots,
            training=Plot("Training curves", "curves in words", b"\x89PNG"),
            missed=[case("missed.png", 0.0123)] if mistakes else [],
            alarms=[case(f"{EVIL}.png", 0.9876)] if mistakes else [],
            cleaned=cleaned,
            trained=trained,
            history=[epoch],
            meaning={EVIL: EVIL},
            warnings=[f"careful with {EVIL}"],
        )
    )


def case(name: str, probability: float) -> Case:
    answer = PredictionRow(
        raw=name, label="Negative", patient=EVIL, split=Split.TEST, probability=probability
    )
    activation = np.linspace(-1, 2, 16, dtype=np.float32).reshape(4, 4)
    return Case(answer, np.full((128, 128), 90, np.uint8), activation)


def held_out() -> Metrics:
    """Ten patients of two images; one of two sites has positives only."""
    labels = np.repeat(np.arange(10) % 2 == 1, 2)
    scores = np.linspace(0.1, 0.9, 20)
    patients = [f"P{number // 2}" for number in range(20)]
    answers = Answers(labels, scores, patients, ["L", "R"] * 10)
    sites = [EVIL if number // 2 in (1, 3) else "" for number in range(20)]
    return Metrics(
        positive=EVIL,
        threshold=0.4321,
        rule="rule of the day",
        calibration=Calibration(temperature=1.75, prior_shift=-0.405, note=f"note on {EVIL}"),
        levels=dict.fromkeys((Split.VAL, Split.TEST), by_level(answers, 0.4321, 1)),
        slices=tuple(by_slice(answers, {"site": sites}, 0.4321, 1)),
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
    assert all(value.startswith("data:") or value == "data_docs/index.html" for value in sources)


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
    assert "23 more, in the Data Docs" in re.sub(r"\s+", " ", text)
    assert "Set aside (1)" in text


def test_the_evaluation_page_shows_plots_threshold_calibration_and_what_the_class_means() -> None:
    html = evaluation_page()
    text = re.sub(r"\s+", " ", Page(html).text)
    alternatives = [value for name, value in Page(html).attributes if name == "alt"]
    assert len(alternatives) == html.count("data:image/png;base64,") == 3 + 2 * 2
    assert all(alternatives)
    for shown in (
        "0.4321",
        "shifted by -0.405",
        "temperature 1.750",
        f"Note: note on {EVIL}.",
        "3 file(s) were set aside",
        "Warning: careful with",
        "Research use; not a diagnosis",
    ):
        assert shown in text


def test_the_evaluation_page_says_the_patients_figures_in_words_first() -> None:
    text = re.sub(r"\s+", " ", Page(evaluation_page()).text)
    start = text[: text.index("The test split in pictures")]
    assert "tested on 10 patients that it had never met, 5 of them" in start
    assert re.search(
        r"it finds about \d+, in truth likely between \d+ and \d+ \(sensitivity\)", start
    )
    assert "too few to know sensitivity and specificity well" in start


def test_the_worst_mistakes_are_shown_with_their_maps_or_said_to_be_none() -> None:
    text = re.sub(r"\s+", " ", Page(evaluation_page()).text)
    assert f"missed.pngpatient {EVIL}, probability 0.012" in text
    assert "probability 0.988" in text
    assert "4×4 cells" in text and "the fullest is 2 log odds" in text
    none = re.sub(r"\s+", " ", Page(evaluation_page(mistakes=False)).text)
    assert none.count("None.") == 2 and "cells" not in none


def test_a_value_that_a_template_lacks_is_an_error_not_a_gap() -> None:
    with pytest.raises(UndefinedError, match="'figure' is undefined"):
        render("{% block content %}{{ figure }}{% endblock %}", {"title": "t", "run_id": "r"})
