"""The OpenAPI document: valid, with true examples, and kept by the running service."""

from __future__ import annotations

import contextlib
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ml_tasks.serving.openapi import document
from ml_tasks.serving.refusals import CODES
from tests.counts import cases
from tests.serving.test_predict import films

CHECKS = [
    schemathesis.checks.not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": document()["components"]})


def answers(told: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path} {status}", answer["content"])
        for path, methods in told["paths"].items()
        for method, operation in methods.items()
        for status, answer in operation["responses"].items()
    ]


def test_every_example_fits_its_schema() -> None:
    told = document()
    assert told["openapi"].startswith("3.1")
    checked = 0
    for place, contents in answers(told):
        content = contents.get("application/json", {})
        examples = [each["value"] for each in content.get("examples", {}).values()]
        examples += [content["example"]] if "example" in content else []
        for example in examples:
            validator(content["schema"]).validate(example)
            checked += 1
            assert place
    assert checked > len(CODES)


def test_every_code_of_a_refusal_is_documented() -> None:
    told = document()
    documented = {
        code
        for _, contents in answers(told)
        for code in contents.get("application/json", {}).get("examples", {})
    }
    general = {"not_found", "method_not_allowed", "internal"}  # of any path, so of none
    assert documented == set(CODES) - general


def test_real_answers_fit_the_document(service: httpx.Client) -> None:
    told = service.get("/openapi.json").json()
    assert told == document()
    (data,) = films(1)
    reply = service.post(
        "/v1/predict?picture=true&activation_map=true",
        files=[("file", ("a", data)), ("file", ("b", b"no image"))],
    )
    for path, answer in {
        "/v1/predict": reply,
        "/inference/predict": service.post("/inference/predict", files={"file": ("a", data)}),
        "/v1/model": service.get("/v1/model"),
        "/health": service.get("/health"),
        "/ready": service.get("/ready"),
    }.items():
        (operation,) = told["paths"][path].values()
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        validator(schema).validate(answer.json())


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_the_service_keeps_to_the_document(service: httpx.Client, mode: GenerationMode) -> None:
    """Requests made from the document, and ones that break it, against the running service."""
    described = schemathesis.openapi.from_url(f"{service.base_url}/openapi.json")
    operations = [found.ok() for found in described.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) >= 7  # the document itself may be left out
    for operation in operations:
        _try_out(operation, mode)


def _try_out(operation: Any, mode: GenerationMode) -> None:
    @settings(
        max_examples=cases(15, 500),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def kept(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    with contextlib.suppress(Unsatisfiable):  # an operation that takes nothing cannot be broken
        kept()
