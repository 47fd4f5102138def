"""The rollback DAG in a real scheduler: asked and answered in the page, cancelled, by the form."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import docker
import pytest

from ml_tasks.build_image import build_image
from ml_tasks.config import Config, save_config
from ml_tasks.local_stack.airflow_api import TaskInstance
from ml_tasks.push_model import push_model
from ml_tasks.records import ReleaseRecord
from ml_tasks.release.audit import Deed, read_audit
from ml_tasks.release.ledger import read_moves
from tests.airflow.questions import ends_seen
from tests.airflow.runs import PATIENCE
from tests.builders import NO_CHAMPION
from tests.docker.image_tags import tags_of
from tests.docker.light_release import in_production, said_to_be_tested
from tests.toy_run import make_toy_run

if TYPE_CHECKING:
    from tests.conftest import LocalAirflow

DAG = "mammography_rollback_elsewhere"


class Place:
    """Two releases with a real service, the second one in production, apart from other tests'."""

    def __init__(self, root: Path, airflow: LocalAirflow, engine: docker.DockerClient) -> None:
        self.airflow, self.api = airflow, airflow.api
        self.image = f"mammography-back-{uuid4().hex[:8]}"
        address = airflow.config.release.registry
        champion, done = NO_CHAMPION, []
        for number in (1, 2):
            toy = make_toy_run(
                root, f"run-{number}", registry=address, image=self.image, champion=champion
            )
            build_image(toy.run, toy.config, engine)
            said_to_be_tested(toy)
            done.append(push_model(toy.run, toy.config, engine))
            champion = in_production(done[-1])
        self.first: ReleaseRecord = done[0]
        self.second: ReleaseRecord = done[1]
        tracking = toy.config.tracking.model_copy(update={"enabled": False})
        self.config: Config = toy.config.model_copy(update={"tracking": tracking})
        save_config(self.config, root / "config.yaml")
        text = (airflow.root / "dags" / "mammography_rollback.py").read_text()
        head = "from __future__ import annotations\n"
        assert head in text and "    dag_display_name=" in text
        # Its tasks go by a configuration of their own; the id keeps the two apart.
        text = text.replace(
            head, f"{head}\nimport os\nos.environ['MAMMO_CONFIG'] = '{root / 'config.yaml'}'\n"
        ).replace("    dag_display_name=", f'    dag_id="{DAG}",\n    dag_display_name=')
        (airflow.root / "dags" / "rollback_elsewhere.py").write_text(text)
        self.api.wait_for_dag(DAG, PATIENCE)
        self.api.pause(DAG, False)

    def tasks(self, run_id: str) -> dict[str, TaskInstance]:
        return {task.task_id: task for task in self.api.tasks(DAG, run_id)}

    def wait(self, run_id: str, task: str, state: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while (found := self.tasks(run_id)[task].state) != state:
            assert found not in ("failed", "upstream_failed"), self.text(run_id, task)
            assert time.monotonic() < deadline, f"{task} is still {found}"
            time.sleep(0.5)

    def asked(self, run_id: str) -> dict[str, Any]:
        """What the page shows under Required Actions."""
        self.wait(run_id, "choose", "awaiting_input")
        path = f"/dags/{DAG}/dagRuns/{run_id}/hitlDetails"
        (detail,) = self.api.call("GET", path)["hitl_details"]
        return dict(detail)

    def answer(self, run_id: str, option: str, reason: str | None) -> None:
        path = f"/dags/{DAG}/dagRuns/{run_id}/taskInstances/choose/-1/hitlDetails"
        body = {"chosen_options": [option], "params_input": {"reason": reason}}
        self.api.call("PATCH", path, json=body)

    def ended(self, run_id: str) -> dict[str, str | None]:
        deadline = time.monotonic() + PATIENCE
        while not (run := self.api.run(DAG, run_id)).ended:
            assert time.monotonic() < deadline, f"{run_id} is still {run.state}"
            time.sleep(0.5)
        return {name: task.state for name, task in self.tasks(run_id).items()}

    def answered(self, run_id: str, option: str, reason: str | None) -> dict[str, str | None]:
        """Answers, no sooner than `wait_until_asked` of tests/airflow/questions.py would."""
        deadline = time.monotonic() + PATIENCE
        while not ends_seen(self.airflow, DAG, run_id, "choose"):
            assert time.monotonic() < deadline, self.text(run_id, "choose")
            time.sleep(0.5)
        self.answer(run_id, option, reason)
        self.wait(run_id, "choose", "success")
        return self.ended(run_id)

    def text(self, run_id: str, task: str) -> str:
        return "\n".join(map(str, self.api.log(DAG, run_id, self.tasks(run_id)[task])))

    def last_words(self, run_id: str, task: str) -> str:
        lines = self.api.log(DAG, run_id, self.tasks(run_id)[task])
        return next(line.event for line in reversed(lines) if line.own)

    def serving(self, engine: docker.DockerClient) -> str:
        repository = f"{self.config.release.registry}/{self.image}"
        return str(engine.images.get_registry_data(f"{repository}:production").id)


@pytest.fixture(scope="module")
def place(
    airflow: LocalAirflow,
    serving_base: str,
    engine: docker.DockerClient,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("back"), airflow, engine)
    yield place
    place.api.pause(DAG)
    for tag in tags_of(engine, place.image):
        engine.images.remove(tag)


def test_an_empty_form_asks_and_the_answer_is_tested_moved_and_signed_with_a_name(
    place: Place, engine: docker.DockerClient
) -> None:
    run_id = place.api.trigger(DAG, {}).dag_run_id
    detail = place.asked(run_id)
    assert detail["options"] == [place.first.version, "Cancel"]
    assert place.second.version in detail["body"] and "**serves**" in detail["body"]
    ended = place.answered(run_id, place.first.version, "misses small lesions")
    assert ended == dict.fromkeys(("choose", "smoke_test", "move"), "success")
    assert place.serving(engine) == place.first.digest
    entry = read_audit(place.config.paths.releases)[-1]
    assert (entry.deed, entry.subject) == (Deed.ROLLED_BACK, place.first.version)
    assert (entry.who, entry.why) == (place.api.user, "misses small lesions")
    assert place.last_words(run_id, "move") == (
        f"production serves {place.first.version} again (was {place.second.version}); "
        f"misses small lesions; by {place.api.user}"
    )


def test_cancelled_it_ends_green_and_moves_nothing(
    place: Place, engine: docker.DockerClient
) -> None:
    before, moves = place.serving(engine), read_moves(place.config.paths.releases)
    run_id = place.api.trigger(DAG, {}).dag_run_id
    place.asked(run_id)
    states = place.answered(run_id, "Cancel", None)
    assert states == {"choose": "success", "smoke_test": "skipped", "move": "skipped"}
    assert place.last_words(run_id, "choose") == f"cancelled by {place.api.user}"
    assert place.serving(engine) == before
    assert read_moves(place.config.paths.releases) == moves


def test_a_version_in_the_form_needs_no_question(place: Place, engine: docker.DockerClient) -> None:
    target = place.second if place.serving(engine) == place.first.digest else place.first
    conf = {"version": target.version, "reason": "the first was no better"}
    run_id = place.api.trigger(DAG, conf).dag_run_id
    assert place.ended(run_id) == dict.fromkeys(("choose", "smoke_test", "move"), "success")
    assert place.serving(engine) == target.digest
    assert read_audit(place.config.paths.releases)[-1].who == place.api.user


def test_a_form_that_cannot_be_done_is_refused_with_what_can(place: Place) -> None:
    answer = place.api.request(
        "POST", f"/dags/{DAG}/dagRuns", json={"logical_date": None, "conf": {"version": "newest"}}
    )
    assert answer.status_code == 400 and "version" in answer.text
    conf = {"version": "20250101T000000Z-0123456789ab", "reason": "why not"}
    run_id = place.api.trigger(DAG, conf).dag_run_id
    states = place.ended(run_id)
    assert states == {
        "choose": "failed",
        "smoke_test": "upstream_failed",
        "move": "upstream_failed",
    }
    assert "was never in production; choose one of" in place.text(run_id, "choose")
