"""The OpenAPI 3.1 document of the service, made from the records that it answers with."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from ml_tasks.inference.answer import Prediction
from ml_tasks.serving.examples import EXAMPLES
from ml_tasks.serving.refusals import CODES, Refusal
from ml_tasks.serving.release_page import NOTICE, ModelPage
from ml_tasks.serving.replies import Health, PredictReply, Ready

_MODELS = (Prediction, PredictReply, ModelPage, Health, Ready, Refusal)
_UPLOAD = (400, 401, 408, 413, 422, 503)
_FORMATS = "PNG, JPEG, TIFF, PGM or DICOM"
_Json = dict[str, Any]


@cache
def document_json() -> bytes:
    """The document as it is sent."""
    return json.dumps(document(), indent=1).encode()


def document() -> _Json:
    """The document: every path, what it takes, what it answers, with examples."""
    _, schemas = models_json_schema(
        [(model, "serialization") for model in _MODELS],
        ref_template="#/components/schemas/{model}",
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Mammography inference",
            "version": "1",
            "description": f"{NOTICE} One mammogram in, its class and how sure the model is out.",
        },
        "paths": _paths(),
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _paths() -> _Json:
    return {
        "/v1/predict": {"post": _predict()},
        "/inference/predict": {"post": _gateway()},
        "/v1/model": {
            "get": _operation(
                "The model: its card, figures, origin and the gate's decision",
                "ModelPage",
                (401, 503),
                guarded=True,
            )
        },
        "/health": {"get": _operation("The process is up", "Health")},
        "/ready": {"get": _operation("The model is loaded", "Ready", (503,))},
        "/metrics": {"get": _text("Figures for Prometheus", "text/plain")},
        "/openapi.json": {"get": _text("This document", "application/json", {"type": "object"})},
        "/docs": {"get": _text("This document as a page", "text/html")},
    }


def _predict() -> _Json:
    operation = _operation(
        "Judges one or several mammograms", "PredictReply", _UPLOAD, guarded=True
    )
    meanings = {
        "activation_map": "also answer what speaks for the class, as a PNG to lay over the picture",
        "picture": "also answer the cleaned picture that the model saw, as a PNG",
    }
    operation["parameters"] = [
        {
            "name": name,
            "in": "query",
            "description": meaning,
            "schema": {"type": "boolean", "default": False},
        }
        for name, meaning in meanings.items()
    ]
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    operation["requestBody"] = _form({"type": "array", "items": file, "minItems": 1})
    return operation


def _gateway() -> _Json:
    operation = _operation("Judges one mammogram, in short", "Prediction", _UPLOAD, guarded=True)
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    operation["requestBody"] = _form(file)
    return operation


def _form(file: _Json) -> _Json:
    schema = {
        "type": "object",
        "properties": {"file": {**file, "description": f"a mammogram as {_FORMATS}"}},
        "required": ["file"],
    }
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _operation(
    summary: str, model: str, refused: tuple[int, ...] = (), guarded: bool = False
) -> _Json:
    answers: _Json = {"200": _answer(summary, model)}
    for status in refused:
        answers[str(status)] = _refusals(status)
    operation: _Json = {"summary": summary, "responses": answers}
    if guarded:
        operation["security"] = [{}, {"bearer": []}, {"key": []}]  # a key only where one is set
    return operation


def _answer(summary: str, model: str) -> _Json:
    schema = {"$ref": f"#/components/schemas/{model}"}
    content = {"schema": schema, "example": EXAMPLES[model]}
    return {"description": summary, "content": {"application/json": content}}


def _refusals(status: int) -> _Json:
    """All codes that come with a status, each with an example."""
    codes = {code: meaning for code, (found, meaning) in CODES.items() if found == status}
    answer: _Json = {
        "description": "; ".join(f"`{code}`: {meaning}" for code, meaning in codes.items()),
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Refusal"},
                "examples": {
                    code: {"value": {"error": code, "detail": meaning}}
                    for code, meaning in codes.items()
                },
            }
        },
    }
    if status == 503:
        answer["headers"] = {
            "Retry-After": {
                "description": "seconds after which to try again",
                "schema": {"type": "integer"},
            }
        }
    return answer


def _text(summary: str, kind: str, schema: _Json | None = None) -> _Json:
    content = {kind: {"schema": schema or {"type": "string"}}}
    return {"summary": summary, "responses": {"200": {"description": summary, "content": content}}}
