"""The items of the CLAIM checklist, filled from a run where a run can know.

Checklist for Artificial Intelligence in Medical Imaging: Mongan, Moy and Kahn, Radiology:
Artificial Intelligence 2020; numbered as in its 2024 update (Tejani and others, ibid. 2024). What
an item asks is told in our own words.
"""

from __future__ import annotations

from dataclasses import dataclass

from ml_tasks.evaluation.bootstrap import RESAMPLES
from ml_tasks.evaluation.levels import Level
from ml_tasks.evaluation.metrics_file import Metrics
from ml_tasks.evaluation.wording import smallest
from ml_tasks.records import PreprocessRecord, Split, TrainRecord

ASKED = {
    1: "That it is about AI, and of which kind",
    2: "A summary of design, methods, results and conclusions",
    3: "Background, intended use and role",
    4: "Aims and hypotheses",
    5: "Prospective or retrospective",
    6: "The goal of the study",
    7: "Where the data come from",
    8: "Who and what was included and excluded",
    9: "How the pictures were prepared",
    10: "Whether only a part of the data or of the picture was used",
    11: "How patients were made unrecognisable",
    12: "What was done about missing data",
    13: "How the pictures were taken",
    14: "How the reference standard was obtained",
    15: "Why this reference standard was chosen",
    16: "Who gave the labels, and how they were qualified",
    17: "How the test set was labelled",
    18: "How far the readers agreed with one another and with themselves",
    19: "How the data were parted",
    20: "At which level the parts are disjoint",
    21: "The intended sample size",
    22: "The model in detail",
    23: "Software",
    24: "What the weights were at the start",
    25: "How it was trained",
    26: "How the final model was selected",
    27: "Ensembles",
    28: "By which figures it is judged",
    29: "How uncertainty was measured",
    30: "Robustness",
    31: "What explains its answers",
    32: "Tested on internal data",
    33: "Tested on external data",
    34: "Registration of the trial",
    35: "How many patients were included and excluded",
    36: "Who the patients of each part are",
    37: "Figures with their uncertainty",
    38: "Diagnostic accuracy with its precision",
    39: "Where it fails",
    40: "Limitations",
    41: "What follows for practice",
    42: "Where the full protocol stands",
    43: "Whether software, model and data can be had",
    44: "Who paid, and what part they had",
}


@dataclass(frozen=True)
class Told:
    """The records that the items are filled from."""

    data: PreprocessRecord
    training: TrainRecord
    metrics: Metrics


def filled(told: Told) -> dict[int, str]:
    """What the run says, by the item's number; items that it cannot know are left out."""
    return {**_study(told), **_data(told), **_model(told), **_results(told)}


def _study(told: Told) -> dict[int, str]:
    positive = told.data.positive
    return {
        1: "Deep learning: a convolutional network (DenseNet-121) that classifies mammograms.",
        2: "This card.",
        6: f"A model that gives the probability that one mammogram is {positive}.",
        41: "None for patients: research use only, not a diagnosis.",
        42: "decision.json and lineage.json beside this card name configuration, code and data by "
        "their hashes.",
    }


def _data(told: Told) -> dict[int, str]:
    data = told.data
    images = {split: sum(data.counts.get(split, {}).values()) for split in Split}
    patients = sum(data.patients.values())
    return {
        7: f"{sum(images.values())} images of {patients} patients, snapshot "
        f"{data.manifest_sha256[:12]}. Institution and period: the team.",
        8: f"Every readable image in the folders {' and '.join(data.classes)}; "
        f"{data.quarantined} file(s) were set aside as unusable, each with its reason.",
        9: "The breast is cut out of the film (frames, labels and markers go), turned to one side "
        "and polarity, and brought to 128x128 grey pixels; image_spec.json "
        f"{data.spec_sha256[:12]}.",
        10: "All images are used; balancing repeats, drops or weighs those of the training split.",
        11: "Patient ids of DICOM files become keyed pseudonyms, and no other identifying field of "
        "a header is kept; names in metadata.csv are used as they are.",
        12: "Unreadable files were set aside. Unknown attributes of an image stay unknown, and "
        "form slices of their own.",
        19: "By a stable hash of the patient, recorded for good: "
        + ", ".join(f"{split.value} {data.patients.get(split, 0)} patients" for split in Split)
        + ".",
        20: f"Patient. {data.certificate or 'No certificate was made.'}",
        35: f"{patients} patients with {sum(images.values())} images are in, "
        f"{data.quarantined} file(s) are out.",
    }


def _model(told: Told) -> dict[int, str]:
    data, training = told.data, told.training
    shown = ", ".join(f"{count} {name}" for name, count in data.trained_on.items())
    weights = ", ".join(f"{name} {weight:.3g}" for name, weight in data.class_weights.items())
    return {
        22: "DenseNet-121 without its top; global average pooling, dropout in training, one "
        "sigmoid unit. Takes float32 (N,128,128,3) in 0 to 255, gives the probability and the "
        "class activation map.",
        23: "Keras, ONNX Runtime, scikit-learn, NumPy, SciPy; versions as locked in the code that "
        "lineage.json names by its hash.",
        24: f"{training.weights.rsplit('/', 1)[-1]}.",
        25: f"{training.epochs} epochs; an epoch shows {shown}"
        + (f", weighted {weights}" if weights else "")
        + ". Settings: the run's config.yaml, named in lineage.json by its hash.",
        26: f"The epoch with the smallest validation loss: {training.best_epoch}.",
        27: "None.",
        31: "Class activation maps (Zhou and others, CVPR 2016), exact for this network; the model "
        "gives them as its second output.",
    }


def _results(told: Told) -> dict[int, str]:
    metrics = told.metrics
    found = metrics.levels[Split.TEST][Level.PATIENT]
    part = smallest(metrics)
    slices = "no attribute of the patients is known, so there are no slices."
    if part is not None:
        slices = (
            f"{len(metrics.slices)} slices by "
            f"{', '.join(dict.fromkeys(one.attribute for one in metrics.slices))}; the smallest "
            f"({part.attribute} {part.value or 'not known'}) has {part.performance.patients} "
            "patient(s)."
        )
    figures = {
        name: str(found.figures[name]) for name in ("auc", "sensitivity", "specificity", "accuracy")
    }
    return {
        28: "AUC, average precision, sensitivity, specificity, accuracy, balanced accuracy, F1, "
        "sensitivity at fixed specificities, Brier score, calibration slope and error; of images, "
        "breasts and patients.",
        29: f"95 % intervals from {RESAMPLES} bootstraps of whole patients, and DeLong's for the "
        "AUC.",
        30: f"Figures are told apart: {slices}",
        32: f"The test split: {found.patients} patients whom neither training nor threshold saw.",
        37: "; ".join(f"{name} {value}" for name, value in figures.items()) + ".",
        38: f"At the threshold {metrics.threshold:.4f} ({metrics.rule}): sensitivity "
        f"{figures['sensitivity']}, specificity {figures['specificity']}.",
        39: "The evaluation report of the run shows the worst false negatives and false positives "
        "with their activation maps; it stays with the films.",
    }
