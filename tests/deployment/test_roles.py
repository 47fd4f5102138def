"""A viewer reads, an operator runs, an administrator manages; nobody else does anything."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import jwt
import pytest

from ml_tasks.local_stack.airflow import _secrets
from tests.conftest import PROJECT
from tests.deployment.access import DAG, Access
from tests.deployment.who_may import RUNS, table

pytestmark = pytest.mark.airflow
# What a viewer may send although it is no GET: lists by a filter, and marks for himself alone.
OF_A_VIEWER = {
    "/api/v2/dags/{dag_id}/dagRuns/list",
    "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/list",
    "/api/v2/dags/{dag_id}/favorite",
    "/api/v2/dags/{dag_id}/unfavorite",
}
# What Airflow checks only once it has read what is asked: asked for something real below.
LISTS_OF_CHANGES = {
    "/api/v2/connections": "connection_id",
    "/api/v2/pools": "pool",
    "/api/v2/variables": "key",
}


def changes(access: Access) -> Iterator[tuple[str, str]]:
    """Every address of Airflow's interface that changes something."""
    paths = access.as_("alma").get("/openapi.json").json()["paths"]
    for path, methods in paths.items():
        for method in {"post", "put", "patch", "delete"} & set(methods):
            yield method.upper(), path


def filled_in(path: str) -> str:
    return re.sub(r"\{[a-z_]+\}", "x", path.replace("{dag_id}", DAG))


def test_the_table_of_the_docs_is_what_the_server_does(access: Access) -> None:
    """Every cell is tried: the table that is printed belongs into docs/users.md."""
    found = table(access)
    print(found)  # noqa: T201
    assert found in (PROJECT / "docs" / "users.md").read_text()


def test_every_page_of_ours_is_open_to_a_viewer_and_to_nobody_without_a_right(
    access: Access,
) -> None:
    """A route that is added later and asks for no right would show here."""
    asked = 0
    for path, methods in access.routes:
        for method in methods:
            address = f"/mammography{filled_in(path.replace(':path', ''))}"
            answers = {
                who: access.as_(who).request(method, address).status_code
                for who in ("anonymous", "nora", "vera")
            }
            assert (answers["anonymous"], answers["nora"]) == (401, 403), address
            assert answers["vera"] in (200, 302, 404, 502, 503), (address, answers["vera"])
            asked += 1
    assert asked >= 20


def test_nothing_that_changes_anything_is_open_to_a_viewer(access: Access) -> None:
    """All of Airflow's interface, as it describes itself: new addresses of it are tried too."""
    tried = 0
    for method, path in changes(access):
        if path in OF_A_VIEWER:
            continue
        address = filled_in(path)
        assert access.as_("anonymous").request(method, address, json={}).status_code == 401, path
        for who in ("nora", "vera"):
            answer = access.as_(who).request(method, address, json={})
            # 422: it must know what is asked before it knows whose right is needed; 404: no such.
            assert answer.status_code in (403, 404, 422), (who, method, path, answer.text)
            tried += answer.status_code == 403
    assert tried > 80


def test_lists_of_changes_are_refused_whole(access: Access) -> None:
    for path, key in LISTS_OF_CHANGES.items():
        entity = {key: "new", "conn_type": "http", "slots": 1, "value": "1", "name": "new"}
        wanted = {"connection_id": entity["name"], "include_deferred": False}
        only = {
            "connection_id": ("connection_id", "conn_type"),
            "pool": ("name", "slots", "include_deferred"),
            "key": ("key", "value"),
        }[key]
        thing = {name: {**entity, **wanted}[name] for name in only}
        body = {"actions": [{"action": "create", "entities": [thing]}]}
        for who in ("vera", "otto"):
            assert access.as_(who).patch(path, json=body).status_code == 403, (who, path)
        assert access.as_("alma").patch(path, json=body).status_code == 200, path
    runs = {"runs": [{"dag_id": DAG, "dag_run_id": "x"}]}
    cleared = access.as_("vera").post(f"/api/v2/dags/{DAG}/clearDagRuns", json=runs)
    assert cleared.status_code in (403, 422)


def test_a_decision_bears_the_name_of_who_made_it(access: Access) -> None:
    """The audit log takes it from here."""
    question = access.ask(access.run("asked"))
    body = {"chosen_options": ["Reject"], "params_input": {"reason": "too few films"}}
    assert access.as_("vera").patch(question, json=body).status_code == 403
    told = access.as_("otto").patch(question, json=body).json()
    assert told["responded_by"]["name"] == "otto"
    made = access.as_("otto").post(RUNS, json={"logical_date": None, "dag_run_id": "whose"})
    assert made.json()["triggering_user_name"] == "otto"


@pytest.mark.parametrize(
    ("name", "password"),
    [("admin", "admin"), ("airflow", "airflow"), ("admin", "airflow"), ("admin", "password")],
)
def test_no_password_of_a_manual_opens_it(access: Access, name: str, password: str) -> None:
    assert access.token(name, password).status_code == 401


def test_the_password_of_the_settings_opens_it(access: Access) -> None:
    admin = access.logged_in("admin", access.passwords["admin"])
    assert admin.get("/auth/fab/v1/users").status_code == 200


def test_a_token_signed_with_the_public_secret_opens_nothing(access: Access) -> None:
    """Airflow's own compose file stands in the web with a secret in it."""
    now = int(time.time())
    claims = {"sub": "1", "aud": "apache-airflow", "nbf": now - 5, "iat": now - 5, "exp": now + 600}
    own = _secrets(access.settings.home)["jwt"]
    answers = {}
    for name, secret in {"public": "airflow_jwt_secret" * 4, "own": own}.items():
        token = jwt.encode(claims, secret, algorithm="HS512")
        headers = {"Authorization": f"Bearer {token}"}
        answers[name] = access.as_("anonymous").get("/api/v2/dags", headers=headers).status_code
    assert answers["public"] in (401, 403)
    assert answers["own"] == 200, "the claims of this test are no longer Airflow's"


def test_nobody_registers_himself(access: Access) -> None:
    assert access.as_("anonymous").get("/auth/register/form").status_code == 404
