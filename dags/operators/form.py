"""The form of the retraining: its fields, and the settings of config.yaml that they stand for."""

from __future__ import annotations

from airflow.sdk import Param

# An empty field means "as config.yaml says": a default retyped here would silently overrule it.
FORM = {
    "data_dir": Param(
        None,
        type=["null", "string"],
        minLength=1,
        title="Data directory",
        description="Folder with one folder of images for each of the two classes.",
    ),
    "shards": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=1000,
        title="Cleaning shards",
        description="Parts that are cleaned at once, one for each worker machine.",
    ),
    "weights": Param(
        None,
        type=["null", "string"],
        minLength=1,
        title="Pretrained weights",
        description="`imagenet`, `none`, or the path of a DenseNet-121 weights file without top.",
    ),
    "epochs": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=1000,
        title="Epochs",
        description="At most this many; training stops early when validation no longer improves.",
    ),
    "batch_size": Param(
        None,
        type=["null", "integer"],
        minimum=2,
        maximum=4096,
        title="Batch size",
        description="Images in one training step; a smaller one needs less memory.",
    ),
    "min_accuracy": Param(
        None,
        type=["null", "number"],
        minimum=0,
        maximum=1,
        title="Minimum accuracy",
        description="The gate's bound on the test split, from 0 to 1.",
    ),
    "push": Param(
        None,
        type=["null", "boolean"],
        title="Push",
        description="No: build and test the image, but leave the registry and production alone.",
    ),
    "approval": Param(
        None,
        type=["null", "string"],
        enum=[None, "always", "when_inconclusive", "never"],
        title="Ask a person",
        description="Before an image is made: always, when the gate cannot tell, or never.",
    ),
    "force": Param(
        None,
        type=["null", "boolean"],
        title="Train even if nothing changed",
        description="Yes: also where data, settings and code are those of the last completed run.",
    ),
}

# `force` is no setting: it is about this one run, not about how a model is made.
SETTINGS = {
    "data_dir": "paths.raw",
    "shards": "cleaning.shards",
    "weights": "model.weights",
    "epochs": "training.epochs",
    "batch_size": "training.batch_size",
    "min_accuracy": "gate.min_accuracy",
    "approval": "approval.ask",
    "push": "release.push",
}
