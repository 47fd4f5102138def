"""A whole run directory without TensorFlow: phantoms, a toy ONNX model, true records."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from ml_tasks.approve import not_needed
from ml_tasks.config import Config, PathsConfig, save_config
from ml_tasks.config_release import ReleaseConfig
from ml_tasks.dataset.manifest import IndexRow, write_rows
from ml_tasks.dataset.pictures import array_file
from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.dataset.shortcuts import CONTROLS, OUTLINE, ControlResult, write_controls
from ml_tasks.dataset.training_data import write_training_data
from ml_tasks.evaluation.bootstrap import Estimate
from ml_tasks.evaluation.comparison import Comparison
from ml_tasks.evaluation.levels import Level
from ml_tasks.evaluation.metrics_file import Metrics
from ml_tasks.evaluation.performance import Performance, Slice
from ml_tasks.imaging.clean import preprocess as clean_image
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.inference.calibration import Calibration
from ml_tasks.inference.scorer import Scorer
from ml_tasks.records import (
    Decision,
    EvaluationRecord,
    PreprocessRecord,
    RuleResult,
    Split,
    TrainRecord,
    Verdict,
)
from ml_tasks.release.bundle import seal
from ml_tasks.release.champion import Champion, note_champion
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file, write_bytes, write_json
from tests.builders import NO_CHAMPION
from tests.waiting import PATIENT

CLASSES = {
    "classes": ["Negative", "Positive"],
    "positive": "Positive",
    "output": "probability of the positive class",
    "meaning": {"Positive": "abnormality present", "Negative": "no abnormality"},
}
SPEC = ImageSpec()
THRESHOLD = 0.5
# Such that an answer that was not calibrated differs from what was evaluated.
CALIBRATION = Calibration(temperature=1.25, prior_shift=-0.2)
METRICS = {"threshold": THRESHOLD, "calibration": CALIBRATION.model_dump()}


@dataclass(frozen=True)
class ToyRun:
    """A run that has passed its gate, and the configuration it ran under."""

    run: RunPaths
    config: Config


def phantom(brightness: int, height: int = 300, width: int = 240) -> bytes:
    """A PNG that cleaning accepts: a half ellipse of the given grey level on black."""
    rows, columns = np.mgrid[:height, :width]
    inside = ((rows - height / 2) / (height * 0.4)) ** 2 + (columns / (width * 0.7)) ** 2 < 1
    texture = (rows * 7 + columns * 3) % 11
    pixels = np.where(inside, np.clip(brightness + texture, 0, 255), 0).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_onnx(path: Path, slope: float = 0.2, centre: float = 60.0) -> None:
    """A model with the real signature: sigmoid(slope * (mean grey level - centre)).

    The mean of its activation map is the log odds, as in the real network.
    """
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 128, 128, 3])
    output = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N", 1])
    activation = helper.make_tensor_value_info("activation", TensorProto.FLOAT, ["N", 128, 128])
    constants = [
        helper.make_tensor("channel", TensorProto.INT64, [1], [3]),
        helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
        helper.make_tensor("shape", TensorProto.INT64, [2], [-1, 1]),
        helper.make_tensor("slope", TensorProto.FLOAT, [], [slope]),
        helper.make_tensor("centre", TensorProto.FLOAT, [], [centre]),
    ]
    nodes = [
        helper.make_node("ReduceMean", ["image", "axes"], ["mean"], keepdims=1),
        helper.make_node("Reshape", ["mean", "shape"], ["flat"]),
        helper.make_node("Sub", ["flat", "centre"], ["shifted"]),
        helper.make_node("Mul", ["shifted", "slope"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
        helper.make_node("ReduceMean", ["image", "channel"], ["grey"], keepdims=0),
        helper.make_node("Sub", ["grey", "centre"], ["from_centre"]),
        helper.make_node("Mul", ["from_centre", "slope"], ["activation"]),
    ]
    graph = helper.make_graph(nodes, "toy", [image], [output, activation], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    write_bytes(path, model.SerializeToString())
    onnx.checker.check_model(model)


def make_toy_run(
    root: Path,
    run_id: str = "manual__2026-01-02T03:04:05+00:00",
    verdict: Verdict = Verdict.PASS,
    registry: str = "localhost:1",
    image: str = "mammography-toy",
    shift: float = 0.0,
    champion: Champion = NO_CHAMPION,
    models: Path | None = None,
) -> ToyRun:
    """Writes preprocess to approve of one run below `root`, with true hashes.

    Of a run that did not pass, nobody has decided.

    `shift` is added to the evaluated probabilities: the shipped model then answers otherwise;
    `champion` is what was in production as the run began; `models` is a folder with model.h5 and
    model.onnx that take the toy's place.
    """
    config = Config(
        paths=PathsConfig(raw=root / "raw", runs=root / "runs", releases=root / "releases"),
        release=ReleaseConfig(
            registry=registry, image=image, smoke_images=6, push_attempts=2, smoke=PATIENT
        ),
    )
    run = RunPaths(root / "runs", run_id)
    save_config(config, run.config)
    note_champion(run, champion)
    index = _write_raw(root / "raw")
    _preprocess(run, root / "raw", index)
    _train(run, models)
    _evaluate(run, root / "raw", index, shift, models)
    _gate(run, verdict, champion.digest)
    if verdict is Verdict.PASS:
        not_needed(run, config)
    return ToyRun(run, config)


def _write_raw(raw: Path) -> list[IndexRow]:
    rows = []
    splits = [Split.TRAIN, Split.VAL, Split.TEST, Split.TEST, Split.TEST]
    for number in range(20):
        label = "Positive" if number % 2 else "Negative"
        name = f"{label}/P{number:02}.png"
        write_bytes(raw / name, phantom(60 + 8 * number))
        rows.append(
            IndexRow(
                file=f"{splits[number % 5]}/{name}",
                raw=name,
                label=label,
                patient=f"P{number:02}",
                split=splits[number % 5],
                raw_sha256=sha256_file(raw / name),
            )
        )
    return rows


def _preprocess(run: RunPaths, raw: Path, index: list[IndexRow]) -> None:
    counts = {
        split: {
            label: sum(row.split is split and row.label == label for row in index)
            for label in ("Negative", "Positive")
        }
        for split in Split
    }
    with run.writing("preprocess") as work:
        write_training_data(work / "training_data.npz", run.run_id, [])
        write_json(work / "image_spec.json", SPEC.model_dump(mode="json"))
        record = PreprocessRecord(
            run_id=run.run_id,
            raw=str(raw),
            started_at="2026-01-02T03:04:05+00:00",
            manifest_sha256="ab" * 32,
            index_sha256=write_rows(work / "index.csv", index, IndexRow),
            arrays_sha256={split: _write_array(work, raw, index, split) for split in Split},
            spec_sha256=SPEC.sha256(),
            training_data_sha256=sha256_file(work / "training_data.npz"),
            controls_sha256=write_controls(work / CONTROLS, [OUTLINE_CONTROL]),
            classes=("Negative", "Positive"),
            positive="Positive",
            counts=counts,
            patients={split: sum(by.values()) for split, by in counts.items()},
            trained_on=counts[Split.TRAIN],
        )
        run.seal(work, record)


def _write_array(work: Path, raw: Path, index: list[IndexRow], split: Split) -> str:
    rows = [row for row in index if row.split is split]
    finished = [clean_image((raw / row.raw).read_bytes(), SPEC) for row in rows]
    np.save(work / array_file(split), np.stack(finished), allow_pickle=False)
    return sha256_file(work / array_file(split))


def _train(run: RunPaths, models: Path | None) -> None:
    stand_in = b"stands for the Keras weights"
    with run.writing("train") as work:
        write_bytes(work / "model.h5", (models / "model.h5").read_bytes() if models else stand_in)
        write_json(work / "classes.json", CLASSES)
        record = TrainRecord(
            run_id=run.run_id,
            inputs=run.mark(PreprocessRecord),
            model_sha256=sha256_file(work / "model.h5"),
            weights="none",
            device="CPU",
            epochs=1,
            best_epoch=1,
            val_loss=0.5,
            val_auc=0.9,
            seconds=1.0,
        )
        run.seal(work, record)


def _evaluate(
    run: RunPaths, raw: Path, index: list[IndexRow], shift: float, models: Path | None
) -> None:
    with run.writing("evaluate") as work:
        if models:
            write_bytes(work / "model.onnx", (models / "model.onnx").read_bytes())
        else:
            write_onnx(work / "model.onnx")
        scorer = Scorer.load(work / "model.onnx", SPEC)
        rows = [
            PredictionRow(
                raw=row.raw,
                label=row.label,
                patient=row.patient,
                split=row.split,
                probability=min(1.0, _told(scorer, (raw / row.raw).read_bytes()) + shift),
            )
            for row in index
            if row.split is not Split.TRAIN
        ]
        predictions = write_rows(work / "predictions.csv", rows, PredictionRow)
        write_json(work / "metrics.json", toy_metrics().model_dump(mode="json"))
        record = EvaluationRecord(
            run_id=run.run_id,
            inputs=run.mark(PreprocessRecord) | run.mark(TrainRecord),
            onnx_sha256=sha256_file(work / "model.onnx"),
            metrics_sha256=sha256_file(work / "metrics.json"),
            predictions_sha256=predictions,
            threshold=THRESHOLD,
            onnx_difference=0.0,
            headline={"accuracy": 0.9, "auc": 0.95, "sensitivity": 0.85},
        )
        run.seal(work, record)


def _told(scorer: Scorer, data: bytes) -> float:
    return float(CALIBRATION.apply(np.array([scorer.probability(data)]))[0])


def toy_metrics(
    figures: Mapping[str, Estimate] | None = None,
    slices: tuple[Slice, ...] = (),
    comparison: Comparison | None = None,
) -> Metrics:
    """metrics.json of a good model, but for the `figures` that are given, alike at every level."""
    found = toy_performance({**GOOD, **(figures or {})})
    return Metrics(
        positive="Positive",
        threshold=THRESHOLD,
        rule="toy",
        calibration=CALIBRATION,
        levels={split: dict.fromkeys(Level, found) for split in (Split.VAL, Split.TEST)},
        slices=slices,
        comparison=comparison,
    )


def toy_performance(figures: Mapping[str, Estimate], patients: int = 100) -> Performance:
    """These figures, said to be of so many patients."""
    return Performance(
        cases=patients,
        positives=patients // 2,
        patients=patients,
        figures=dict(figures),
        auc_delong=Estimate(value=None),
        calibration_slope=None,
    )


def around(value: float, reach: float = 0.03) -> Estimate:
    """A figure whose interval reaches as far to both sides."""
    return Estimate(value=value, low=max(0.0, value - reach), high=min(1.0, value + reach))


GOOD = {
    "accuracy": around(0.9),
    "auc": around(0.95),
    "sensitivity": around(0.85),
    "specificity": around(0.9),
    "sensitivity_at_specificity_0.8": around(0.9),
    "ece": around(0.05),
}
OUTLINE_CONTROL = ControlResult(name=OUTLINE, images=200, auc=0.5, low=0.42, high=0.58)


_SENTENCES = {
    Verdict.PASS: "accuracy 0.9 is at least 0.8",
    Verdict.INCONCLUSIVE: "whether accuracy reaches 0.8 cannot be told from 4 test patients",
    Verdict.FAIL: "accuracy 0.4 is below 0.8",
}


def _gate(run: RunPaths, verdict: Verdict, production: str | None) -> None:
    passed = verdict is Verdict.PASS
    rule = RuleResult(
        rule="min_accuracy",
        value=0.9 if passed else 0.4,
        bound=0.8,
        verdict=verdict,
        sentence=_SENTENCES[verdict],
    )
    with run.writing("gate") as work:
        record = Decision(
            run_id=run.run_id,
            inputs=run.mark(EvaluationRecord),
            verdict=verdict,
            rules=(rule,),
            production=production,
        )
        write_json(work / "decision.json", json.loads(record.model_dump_json()))
        run.seal(work, record)


def toy_parts(run: RunPaths) -> dict[str, Path | bytes]:
    """The files of a release of a toy run; lineage.json is taken from the run's folder."""
    return {
        "model.h5": run.stage("train") / "model.h5",
        "classes.json": run.stage("train") / "classes.json",
        "model.onnx": run.stage("evaluate") / "model.onnx",
        "metrics.json": run.stage("evaluate") / "metrics.json",
        "image_spec.json": run.stage("preprocess") / "image_spec.json",
        "decision.json": run.stage("gate") / "decision.json",
        "lineage.json": run.root / "lineage.json",
        "model_card.md": b"research use\n",
    }


def make_bundle(
    root: Path,
    classes: Mapping[str, object] = CLASSES,
    metrics: Mapping[str, object] = METRICS,
    spec: ImageSpec = SPEC,
    write_model: Callable[[Path], None] = write_onnx,
) -> Path:
    """A sealed toy bundle below `root`, for tests of the predictor and the service."""
    write_model(root / "model.onnx")
    lineage = {"run_id": "toy", "run_started_at": "2026-01-02T03:04:05+00:00"}
    parts: dict[str, Path | bytes] = {
        "model.onnx": root / "model.onnx",
        "model.h5": b"stands for the Keras weights",
        "classes.json": json.dumps(dict(classes)).encode(),
        "image_spec.json": spec.model_dump_json().encode(),
        "metrics.json": json.dumps(dict(metrics)).encode(),
        "decision.json": b"{}",
        "model_card.md": b"research use; not a diagnosis\n",
        "lineage.json": json.dumps(lineage).encode(),
    }
    return seal(root / "releases", parts)


def make_toy_bundle(root: Path, run_id: str = "toy") -> Path:
    """A sealed bundle as build_image seals it, with figures and a full lineage; no engine."""
    write_onnx(root / "model.onnx")
    decision = Decision(run_id=run_id, verdict=Verdict.PASS, rules=())
    lineage = {
        "run_id": run_id,
        "run_started_at": "2026-01-02T03:04:05+00:00",
        **{f"{name}_sha256": name[:2] * 32 for name in ("manifest", "config", "code")},
    }
    parts: dict[str, Path | bytes] = {
        "model.onnx": root / "model.onnx",
        "model.h5": b"stands for the Keras weights",
        "classes.json": json.dumps(CLASSES).encode(),
        "image_spec.json": SPEC.model_dump_json().encode(),
        "metrics.json": toy_metrics().model_dump_json().encode(),
        "decision.json": decision.model_dump_json().encode(),
        "model_card.md": b"research use; not a diagnosis\n",
        "lineage.json": json.dumps(lineage).encode(),
    }
    return seal(root / "releases", parts)
