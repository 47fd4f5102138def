"""A real MLflow server: what a worker notes over HTTP is there, artefacts and versions too."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from mlflow import MlflowClient

from ml_tasks.config_tracking import TrackingConfig
from ml_tasks.release.bundle import verify
from ml_tasks.tracking.place import URI
from ml_tasks.tracking.process import register_apart
from ml_tasks.tracking.registration import register
from tests.tracking.conftest import Server
from tests.tracking.runs import noted_runs, release, told_run
from tests.waiting import PATIENCE


def test_a_run_and_its_release_are_noted_at_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    """The environment names the server; what comes back from it is the release as it was sealed."""
    toy = told_run(tmp_path)
    shipped = release(toy)
    monkeypatch.setenv(URI, server.address)
    assert register(toy.config, [toy.run.run_id]).done == (toy.run.run_id,)
    client = MlflowClient(server.address)
    (run,) = noted_runs(client)
    assert run.data.tags["image_digest"] == shipped.digest
    version = client.get_model_version_by_alias("mammography-toy", "production")
    assert version.tags["version"] == shipped.version
    uri = client.get_model_version_download_uri("mammography-toy", version.version)
    assert uri.startswith("mlflow-artifacts:")
    path = uri.partition("/artifacts/")[2]
    verify(Path(client.download_artifacts(run.info.run_id, path, str(tmp_path))))
    assert not (tmp_path / "mlflow").exists()


def test_user_and_password_of_the_address_are_used_and_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    toy = told_run(tmp_path, "with login")
    port = urlsplit(server.address).port
    monkeypatch.setenv(URI, f"http://worker:s3cret@localhost:{port}")
    assert register(toy.config, ["with login"]).where == server.address
    monkeypatch.setenv(URI, f"http://worker:s3cret@no-such-host.invalid:{port}")
    outcome = register_apart(toy.config, ["with login"], PATIENCE)
    assert "no-such-host.invalid" in outcome.unreachable
    assert "s3cret" not in outcome.model_dump_json() + outcome.advice("with login")


def test_the_page_shows_what_was_noted_in_the_file_beside_it(
    tmp_path: Path, server: Server
) -> None:
    """`make demo`: stages write the database file, and a server only shows it."""
    toy = told_run(tmp_path, "past the server")
    paths = toy.config.paths.model_copy(update={"tracking": server.folder})
    tracking = TrackingConfig(experiment="in the file")
    config = toy.config.model_copy(update={"paths": paths, "tracking": tracking})
    assert register(config, [toy.run.run_id]).complete
    client = MlflowClient(server.address)
    (run,) = noted_runs(client, "in the file")
    page = httpx.get(
        f"{server.address}/get-artifact",
        params={"run_uuid": run.info.run_id, "path": "evaluation/metrics.json"},
        timeout=PATIENCE,
        trust_env=False,
    )
    assert page.content == (toy.run.stage("evaluate") / "metrics.json").read_bytes()


def test_a_request_under_another_hosts_name_is_refused(server: Server) -> None:
    """A page on the web must not reach MLflow through the browser of somebody here."""
    search = f"{server.address}/api/2.0/mlflow/experiments/search"
    for host, status in (("evil.example", 403), (urlsplit(server.address).netloc, 200)):
        headers, asked = {"Host": host}, {"max_results": 1}
        answer = httpx.post(search, json=asked, headers=headers, timeout=PATIENCE, trust_env=False)
        assert answer.status_code == status
