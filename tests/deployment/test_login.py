"""The login page, its cookies and its end; and accounts as `make user` makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ml_tasks.deployment.users import UserRequest, user
from ml_tasks.errors import StackError
from tests.deployment.access import Access
from tests.deployment.account_desk import Desk
from tests.deployment.who_may import RUNS

pytestmark = pytest.mark.airflow
MODELS = "/mammography/models"
Make = Callable[..., str]


@pytest.fixture
def make(desk: Desk) -> Make:
    """`user …` as at the terminal; gives what it says."""

    def run(*arguments: object) -> str:
        said: list[str] = []
        user(desk, UserRequest(*arguments), said.append)  # type: ignore[arg-type]
        return "\n".join(said)

    return run


def test_the_form_lets_in_by_cookies_that_no_script_and_no_other_site_can_use(
    access: Access,
) -> None:
    client, answer = access.login_page("vera", access.passwords["vera"])
    assert answer.status_code == 302
    cookies = answer.headers.get_list("set-cookie")
    assert {cookie.partition("=")[0] for cookie in cookies} == {"session", "_token"}
    assert all("HttpOnly" in each and "SameSite=Lax" in each for each in cookies)
    assert client.get(MODELS).status_code == 200
    assert client.post(RUNS, json={"logical_date": None}).status_code == 403
    client.close()


def test_a_logout_ends_the_token_too(access: Access) -> None:
    """A copy of the cookie would otherwise be good for a day."""
    client, _ = access.login_page("otto", access.passwords["otto"])
    with access.client() as thief:
        thief.cookies.update(client.cookies)
        assert thief.get(MODELS).status_code == 200
        client.get("/api/v2/auth/logout")  # what the page's button calls
        assert client.get(MODELS).status_code in (401, 403)
        assert thief.get(MODELS).status_code in (401, 403)
    client.close()


def test_an_account_is_made_changed_and_removed(access: Access, make: Make) -> None:
    said = make("anna", "viewer")
    password = said.split(" with the password ")[1].split()[0]
    assert len(password) >= 24
    anna = access.logged_in("anna", password)
    assert anna.get(MODELS).status_code == 200
    assert anna.post(RUNS, json={"logical_date": None}).status_code == 403
    assert "anna is now operator" in make("anna", "operator")
    assert "operator" in next(line for line in make().splitlines() if line.startswith("anna"))
    another = make("anna", None, True).split(" with the password ")[1].split()[0]
    assert access.token("anna", password).status_code == 401
    assert access.logged_in("anna", another).get(MODELS).status_code == 200
    make("anna", None, False, True)
    assert "anna" not in make()
    assert access.token("anna", another).status_code == 401


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ghost", None, True), "there is no account 'ghost'"),
        (("ghost", None, False, True), "there is no account 'ghost'"),
        (("admin", None, False, True), "would be made again at the next start"),
        (("admin", "viewer"), "admin stays an administrator"),
        (("anna",), "say one thing about 'anna'"),
        (("anna", "viewer", True), "say one thing about 'anna'"),
        (("", "viewer"), "say whose account"),
        (("a b;c", "viewer"), "is no name for a login"),
        (("-x", "viewer"), "is no name for a login"),
    ],
)
def test_what_cannot_be_done_is_said(make: Make, arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(StackError, match=words):
        make(*arguments)


def test_whoever_guesses_passwords_waits(access: Access) -> None:
    """From an address of its own, which is then refused for a while."""
    vera, guesser = access.as_("vera"), replace(access, source="127.0.0.2")
    answers = [guesser.token("admin", f"guess {number}").status_code for number in range(12)]
    assert answers[0] == 401 and answers[-1] == 429
    pages = [guesser.login_page("admin", f"guess {n}")[1].status_code for n in range(6)]
    assert pages[-1] == 429
    assert vera.get(MODELS).status_code == 200, "who is logged in notices nothing"
    assert access.token("vera", access.passwords["vera"]).status_code == 201, "nor who comes later"
