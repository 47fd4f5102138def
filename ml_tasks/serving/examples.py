"""Answers as they look, for the OpenAPI document; each is checked against its own schema."""

from __future__ import annotations

from typing import Any

from ml_tasks.serving.release_page import NOTICE

_VERSION = "20260102T030405Z-0123456789ab"
_RULE = "Youden index on the validation patients"

EXAMPLES: dict[str, dict[str, Any]] = {
    "Prediction": {
        "prediction": "Positive",
        "confidence": 0.93,
        "probability": 0.93,
        "threshold": 0.41,
        "model_version": _VERSION,
    },
    "PredictReply": {
        "model_version": _VERSION,
        "notice": NOTICE,
        "results": [
            {
                "status": "answered",
                "prediction": "Positive",
                "probability": 0.93,
                "confidence": 0.93,
                "confidence_words": "high",
                "threshold": 0.41,
                "threshold_rule": _RULE,
                "positive_class": "Positive",
                "quality": [
                    {
                        "code": "low_resolution",
                        "text": "The breast measures 90 pixels in the file; the model looks at "
                        "128, so the picture had to be enlarged.",
                    }
                ],
                "picture": None,
                "activation_map": None,
            },
            {
                "status": "refused",
                "error": "not_an_image",
                "detail": "not a readable image; PNG, JPEG, TIFF, PGM and DICOM files are read",
            },
        ],
    },
    "ModelPage": {
        "model_version": _VERSION,
        "classes": ["Negative", "Positive"],
        "positive_class": "Positive",
        "threshold": 0.41,
        "threshold_rule": _RULE,
        "notice": NOTICE,
        "model_card": "# Mammography classifier\n\n**Research use; not a diagnosis.**\n",
        "metrics": {"threshold": 0.41},
        "lineage": {"run_id": "manual__2026-01-02T03:04:05+00:00"},
        "decision": {"verdict": "PASS"},
        "class_meaning": {"Positive": "abnormality present", "Negative": "no abnormality"},
    },
    "Health": {"status": "ok"},
    "Ready": {"status": "ready", "model_version": _VERSION},
}
