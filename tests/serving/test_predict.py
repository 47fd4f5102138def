"""/v1/predict and /v1/model over HTTP: the whole answer, several files, pictures, what is asked."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from ml_tasks.dataset.phantoms import phantom as phantom_film
from ml_tasks.imaging.clean import preprocess
from ml_tasks.inference.predictor import Predictor, Wanted
from tests.builders import encoded
from tests.imaging.dicom_files import dicom_bytes
from tests.serving.conftest import served, wait_for
from tests.toy_run import CLASSES, METRICS, SPEC, make_bundle, phantom

EVERYTHING = {"activation_map": "true", "picture": "true"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"), metrics={**METRICS, "rule": "toy rule"})


@pytest.fixture(scope="module")
def client(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with served(bundle, tmp_path_factory.mktemp("log") / "log") as (found, _):
        wait_for(found, "/ready", 200)
        yield found


def films(count: int) -> list[bytes]:
    pictures = (
        phantom_film(np.random.default_rng(number), bool(number % 2)) for number in range(count)
    )
    return [encoded(picture) for picture in pictures]


def ask(client: httpx.Client, files: list[bytes], **query: str) -> httpx.Response:
    sent = [("file", (f"{number}", data)) for number, data in enumerate(files)]
    return client.post("/v1/predict", files=sent, params=query)


def png(text: str) -> np.ndarray:
    data = np.frombuffer(base64.b64decode(text), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))


def test_the_whole_answer_for_one_film(client: httpx.Client) -> None:
    answer = ask(client, films(1)).json()
    assert set(answer) == {"model_version", "notice", "results"}
    assert answer["notice"] == "Research use; not a diagnosis."
    (result,) = answer["results"]
    assert result["status"] == "answered"
    assert result["threshold_rule"] == "toy rule"
    assert result["confidence_words"] in ("very high", "high", "moderate", "low")
    assert result["picture"] is None and result["activation_map"] is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "PGM", "DICOM"])
def test_answers_are_the_predictors_byte_for_byte(
    client: httpx.Client, bundle: Path, kind: str
) -> None:
    """Evaluation, batch scoring and the service must never come apart."""
    pixels = phantom_film(np.random.default_rng(3), True)
    data = {
        "PGM": lambda: b"P5 %d %d 255\n" % pixels.shape[::-1] + pixels.tobytes(),
        "DICOM": lambda: dicom_bytes(pixels.astype(np.uint16) * 16),
    }.get(kind, lambda: encoded(pixels, kind))()
    predictor = Predictor.load(bundle)
    judged = predictor.judge(data, Wanted(picture=True, activation_map=True))
    told = ask(client, [data], **EVERYTHING).text
    assert f'"results":[{judged.answer.model_dump_json()}]' in told
    short = client.post("/inference/predict", files={"file": ("x", data)})
    assert short.text == predictor.predict(data).model_dump_json()
    assert short.json().items() >= {"probability": judged.answer.probability}.items()


def test_several_files_are_answered_in_the_order_sent(client: httpx.Client) -> None:
    sent = [*films(3), b"no image", b"", phantom(60)]
    answer = ask(client, sent)
    assert answer.status_code == 200
    results = answer.json()["results"]
    states = [result.get("error", "answered") for result in results]
    assert states == ["answered"] * 3 + ["not_an_image", "empty", "answered"]
    alone = [ask(client, [data]).json()["results"] for data in (*sent[:3], sent[5])]
    assert [[results[at]] for at in (0, 1, 2, 5)] == alone


def test_one_bad_file_alone_is_the_refusal(client: httpx.Client) -> None:
    answer = ask(client, [b"no image"])
    assert (answer.status_code, answer.json()["error"]) == (422, "not_an_image")


def test_the_pictures_are_png_files_of_the_models_size(client: httpx.Client) -> None:
    (data,) = films(1)
    (result,) = ask(client, [data], **EVERYTHING).json()["results"]
    picture, overlay = png(result["picture"]), png(result["activation_map"])
    assert np.array_equal(picture, preprocess(data, SPEC))
    assert overlay.shape == (128, 128, 4)
    assert overlay[..., 3].max() > 0 and not overlay[..., 3][picture == 0].any()
    assert ask(client, [data], picture="1").json()["results"][0]["activation_map"] is None


def test_what_is_asked_wrongly_is_named(client: httpx.Client) -> None:
    answer = ask(client, films(1), activation_map="perhaps")
    assert (answer.status_code, answer.json()["error"]) == (422, "bad_parameter")
    assert "activation_map" in answer.json()["detail"]
    answer = ask(client, [b""] * 33)
    assert (answer.status_code, answer.json()["error"]) == (422, "too_many_files")
    answer = client.post("/inference/predict", files=[("file", ("a", b"")), ("file", ("b", b""))])
    assert (answer.status_code, answer.json()["error"]) == (422, "too_many_files")


def test_other_fields_of_the_form_are_passed_over(client: httpx.Client) -> None:
    (data,) = films(1)
    answer = client.post(
        "/v1/predict", files={"file": ("x", data), "second": ("y", b"z")}, data={"note": "n" * 9000}
    )
    assert len(answer.json()["results"]) == 1


def test_the_model_describes_itself(client: httpx.Client) -> None:
    page = client.get("/v1/model").json()
    assert page["model_version"] == client.get("/ready").json()["model_version"]
    assert (page["classes"], page["positive_class"]) == (["Negative", "Positive"], "Positive")
    assert page["class_meaning"] == CLASSES["meaning"]
    assert page["metrics"]["rule"] == page["threshold_rule"] == "toy rule"
    assert "not a diagnosis" in page["model_card"]
    assert page["lineage"]["run_id"] == "toy" and page["decision"] == {}
