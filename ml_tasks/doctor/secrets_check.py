"""Airflow's secrets: those that are missing, known to everybody, or readable by others."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence

from ml_tasks.doctor.airflow_settings import AirflowFacts
from ml_tasks.doctor.findings import Finding, ok, to_mend

NAME = "Airflow secrets"
# What documents, images and examples use.
_KNOWN = {
    "", "admin", "airflow", "airflow_jwt_secret", "airflow_secret", "change_me", "changeme",
    "default", "letmein", "none", "null", "passw0rd", "password", "postgres", "root", "secret",
    "secret_key", "temporary_key", "test", "123456", "12345678",
}  # fmt: skip
_SHORTEST_SECRET, _SHORTEST_PASSWORD = 24, 8
_MAKE = 'python3 -c "import secrets; print(secrets.token_hex(32))"'
_MAKE_FERNET = (
    'python3 -c "import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())"'
)


def judge(airflows: Sequence[AirflowFacts]) -> list[Finding]:
    """One line for each thing to mend, else one for each Airflow; never a secret itself."""
    if not airflows:
        return [ok(NAME, "no Airflow is set up here; `mammo demo` makes its own secrets")]
    findings = []
    for airflow in airflows:
        wrong = [to_mend(NAME, *words) for words in _complaints(airflow)]
        findings += wrong or [ok(NAME, f"{airflow.name}: all are its own ({airflow.source})")]
    return findings


def _complaints(airflow: AirflowFacts) -> Iterator[tuple[str, str]]:
    who = airflow.name
    fernet = airflow.setting("core", "fernet_key")
    if fernet != "<elsewhere>" and not _is_fernet(fernet):
        what = "is empty" if not fernet else "is no Fernet key"
        yield f"{who}: [core] fernet_key {what}", f"set it to what this prints: {_MAKE_FERNET}"
    for section, key in (("api", "secret_key"), ("api_auth", "jwt_secret")):
        value = airflow.setting(section, key)
        if value != "<elsewhere>" and _is_guessable(value, _SHORTEST_SECRET):
            what = "is not set" if not value else "is a default or short"
            yield (
                f"{who}: [{section}] {key} {what}, so others can log in as anybody",
                f"set it to what this prints: {_MAKE}",
            )
    if airflow.setting("core", "simple_auth_manager_all_admins").lower() in ("true", "1", "t"):
        yield (
            f"{who}: [core] simple_auth_manager_all_admins lets everybody in as admin",
            "set it to False",
        )
    yield from _about_passwords(airflow)
    for path in airflow.open_files:
        yield f"{who}: others may read {path}", f"chmod 600 {path}"


def _about_passwords(airflow: AirflowFacts) -> Iterator[tuple[str, str]]:
    for name, password in airflow.passwords.items():
        if _is_guessable(password, _SHORTEST_PASSWORD) or password == name:
            yield (
                f"{airflow.name}: the password {name} in {airflow.source} is a default or short"
                if password
                else f"{airflow.name}: the password {name} in {airflow.source} is empty",
                f"set another: {_MAKE}",
            )
    if "airflow:airflow@" in airflow.setting("database", "sql_alchemy_conn"):
        yield (
            f"{airflow.name}: the database's password in [database] sql_alchemy_conn is a default",
            "give its user another, here and in the database",
        )


def _is_guessable(value: str, shortest: int) -> bool:
    return value.lower() in _KNOWN or len(value) < shortest or value.startswith("{")


def _is_fernet(key: str) -> bool:
    """Whether every key of a comma-separated list is 32 bytes in URL-safe base64."""
    try:
        return all(len(base64.urlsafe_b64decode(part)) == 32 for part in key.split(","))
    except (ValueError, binascii.Error):
        return False
