"""Where runs are noted, and that no password is ever written or shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_tasks.config import Config, PathsConfig, load_config
from ml_tasks.errors import ConfigError
from ml_tasks.tracking.place import URI, environment_for_mlflow, place_of, without_secrets


def settings(tmp_path: Path, text: str) -> Config:
    (tmp_path / "config.yaml").write_text(text)
    return load_config(tmp_path / "config.yaml")


def test_without_a_word_it_is_a_file_beside_the_runs(tmp_path: Path) -> None:
    place = place_of(settings(tmp_path, "tracking: {}"), {})
    assert place.uri == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    assert place.artifacts == tmp_path / "mlflow" / "artifacts"


def test_a_file_of_ones_own_is_found_from_the_settings_and_artefacts_lie_beside_it(
    tmp_path: Path,
) -> None:
    """A worker's working directory is not the folder of config.yaml."""
    place = place_of(settings(tmp_path, "tracking: {uri: 'sqlite:///team/all.db'}"), {})
    assert place.database == tmp_path / "team" / "all.db"
    assert place.artifacts == tmp_path / "team" / "artifacts"


def test_the_environment_wins_and_a_server_keeps_the_artefacts_itself(tmp_path: Path) -> None:
    config = settings(tmp_path, "tracking: {uri: 'http://one:5000'}")
    assert place_of(config, {}).uri == "http://one:5000"
    place = place_of(config, {URI: "https://two"})
    assert (place.uri, place.artifacts) == ("https://two", None)
    assert place_of(config, {URI: ""}).uri == "http://one:5000"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("http://me:s3cret@host", "must hold no user and no password"),
        ("./mlruns", "must begin with one of sqlite:///"),
        ("databricks", "must begin with one of"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(tmp_path: Path, uri: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as refusal:
        settings(tmp_path, f"tracking: {{uri: '{uri}'}}")
    assert "tracking.uri" in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


def test_what_is_shown_holds_no_password_and_no_token() -> None:
    place = place_of(Config(paths=PathsConfig()), {URI: "postgresql://me:s3cret@db/mlflow"})
    assert place.shown == "postgresql://db/mlflow"
    environment = {"MLFLOW_TRACKING_TOKEN": "t0ken", "MLFLOW_TRACKING_PASSWORD": "pa55"}
    text = "401 for http://me:s3cret@host/api with t0ken, pa55"
    assert without_secrets(text, environment) == "401 for http://host/api with ***, ***"


def test_mlflow_is_told_to_report_to_nobody_whatever_the_environment_says() -> None:
    environment = environment_for_mlflow({"MLFLOW_DISABLE_TELEMETRY": "false"})
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert environment["DO_NOT_TRACK"] == "true"
