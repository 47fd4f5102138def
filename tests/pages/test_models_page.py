"""The page Models: figures, what serves, links, and a registry that is silent."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from ml_tasks.local_stack.ports import free_ports
from ml_tasks.pages import models_page
from ml_tasks.pages.models_page import models
from ml_tasks.pages.reading import figure
from ml_tasks.pages.serving_now import serving_now
from ml_tasks.pages.site import MLFLOW, Site
from tests.pages.shown_pages import page, shown
from tests.pages.toy_project import FAILED, REJECTED, SHIPPED, Project


@pytest.fixture
def silent_registry() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", free_ports(1)[0])) as listening:
        yield f"localhost:{listening.getsockname()[1]}"


def test_who_let_an_inconclusive_model_ship_stands_with_its_release(project: Project) -> None:
    version = project.versions[0]
    record = project.config.paths.releases / version / "record"
    told = {"answer": "approved", "who": "Jane McKay", "when": "", "why": "it is no worse"}
    (record / "approval.json").write_text(json.dumps(told))
    for text in (page(project), shown(project, "/releases/{version}", version=version).text):
        assert "reaches 0.80. Approved by Jane McKay: it is no worse" in text


def test_the_newest_stands_first_and_each_stands_once(project: Project) -> None:
    text = page(project)
    order = [
        text.index(f'<article aria-label="{name}"')
        for name in (_html(REJECTED), _html(FAILED), project.versions[1], project.versions[0])
    ]
    assert order == sorted(order)
    assert text.count("<article") == 5
    assert f'aria-label="{_html(SHIPPED)}"' not in text


def _html(text: str) -> str:
    return text.replace("+", "&#43;") if "&#43;" in text else text


def test_figures_come_with_intervals_and_against_production_then(project: Project) -> None:
    text = page(project)
    assert "0.950 [0.920, 0.980]" in text
    assert "+0.012 [-0.020, +0.044]" in text
    assert f"Production then was {project.versions[0]}" in text


def test_every_release_is_shown_however_many_candidates_came_after_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What serves, and what can be gone back to, is on the page for good."""
    monkeypatch.setattr(models_page, "SHOWN", 1)
    text = page(project)
    for version in project.versions:
        assert f'aria-label="{version}"' in text
    assert text.count("<article") == 3 and "And 2 older candidates" in text


def test_a_registry_that_never_answers_costs_the_page_its_patience_and_no_more(
    project: Project, silent_registry: str
) -> None:
    release = project.config.release.model_copy(update={"registry": silent_registry})
    config = project.config.model_copy(update={"release": release})
    told = serving_now(config, patience=0.5)
    assert not told.known and "has not answered within" in told.problems[0]
    # What was shipped, and could be gone back to, is known without the registry.
    assert told.listed and set(told.shipped) == set(project.versions)


class _Holds(BaseHTTPRequestHandler):
    """A registry: what it holds by tag."""

    tags: ClassVar[dict[str, str]] = {}

    def do_HEAD(self) -> None:
        digest = self.tags.get(self.path.rpartition("/")[2])
        self.send_response(200 if digest else 404)
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(404)
        self.end_headers()
        self.wfile.write(b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def holding(project: Project) -> Iterator[Project]:
    """The project with a registry that answers; what it holds is for the test to say."""
    _Holds.tags.clear()
    server = HTTPServer(("127.0.0.1", 0), _Holds)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    release = project.config.release.model_copy(
        update={"registry": f"localhost:{server.server_port}"}
    )
    yield replace(project, config=project.config.model_copy(update={"release": release}))
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("production", "says"),
    [
        ("sha256:" + "7" * 64, f"ledger last noted it: <code>sha256:{'7' * 64}</code>"),
        ("", "holds no <code>production</code>"),
    ],
)
def test_what_serves_outside_the_ledger_is_never_called_nothing(
    holding: Project, production: str, says: str
) -> None:
    """Somebody may have moved, or removed, the tag by hand."""
    _Holds.tags["production"] = production
    text = page(holding)
    assert says in text and "nothing was released" not in text


def test_mlflow_is_linked_where_an_address_is_known(project: Project) -> None:
    assert Site(project.config, {}).mlflow is None
    assert Site(project.config, {MLFLOW: "http://localhost:5001"}).mlflow == "http://localhost:5001"
    server = {"MLFLOW_TRACKING_URI": "http://jane:secret@mlflow:5000"}
    assert "secret" not in str(Site(project.config, server).mlflow)


def test_pages_below_another_path_link_below_it(project: Project) -> None:
    """Airflow may stand below a path of its host."""
    text = models(Site(project.config, {}, "/airflow/mammography")).text
    assert 'href="/airflow/mammography/audit"' in text
    assert 'href="/airflow/dags/mammography_retraining"' in text
    assert 'href="/mammography' not in text


def test_a_figure_is_written_with_its_interval() -> None:
    assert figure({"value": 0.71, "low": 0.66, "high": 0.76}) == "0.710 [0.660, 0.760]"
    assert figure({"value": None}) == "not computable"
    assert figure({"value": 0.5, "low": None, "high": None}) == "0.500 (no interval)"
    assert figure(None) == figure(["x"]) == figure({"value": "x", "low": 1, "high": 2}) == ""
