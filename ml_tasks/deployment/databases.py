"""The databases in the stack's Postgres: written out and read back by its own programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ml_tasks.deployment.compose import Compose
from ml_tasks.deployment.health import wait_until_healthy
from ml_tasks.deployment.streams import feed, output_of
from ml_tasks.errors import StackError

NAMES = ("airflow", "mlflow")
_USER = "airflow"
# By the network of its own container: that asks for the password in every image of Postgres.
_LOGIN = 'PGPASSWORD="$POSTGRES_PASSWORD" exec "$0" --host 127.0.0.1 --username "$@"'


@contextmanager
def database_up(compose: Compose) -> Iterator[None]:
    """Within the block Postgres answers; one that was started for it ends with it.

    Raises:
        StackError: it does not come up.
    """
    started = not compose.containers("postgres")
    if started:
        compose.output("up", "--detach", "postgres")
    wait_until_healthy(compose, service="postgres")
    try:
        yield
    finally:
        if started:
            compose.output("stop", "postgres")


def dump(compose: Compose, name: str) -> Iterator[bytes]:
    """A database as it stands at one moment, compressed, in pg_restore's form.

    Raises:
        StackError: it cannot be read.
    """
    command = inside(compose, "pg_dump", "--format", "custom", name)
    return output_of(command, f"writing out the database {name}")


def present(compose: Compose) -> list[str]:
    """Those of NAMES that Postgres has.

    Raises:
        StackError: it does not answer.
    """
    command = inside(compose, "psql", "--dbname", "postgres", "-tAc", _LIST)
    found = b"".join(output_of(command, "listing the databases")).decode().split()
    return [name for name in NAMES if name in found]


def load(compose: Compose, name: str, chunks: Iterable[bytes]) -> None:
    """Makes a database of what `dump` gave; all of it or nothing.

    Raises:
        StackError: it cannot be written.
    """
    if name not in present(compose):
        change(compose, "postgres", f"CREATE DATABASE {name}", f"making the database {name}")
    options = ["--exit-on-error", "--single-transaction", "--no-owner", "--clean", "--if-exists"]
    command = inside(compose, "pg_restore", *options, "--dbname", name)
    feed(command, chunks, f"reading back the database {name}")


def change(compose: Compose, name: str, statement: str, what: str) -> None:
    """Runs one SQL statement; `what` says in an error what was tried.

    Raises:
        StackError: Postgres refuses it.
    """
    options = ["--set", "ON_ERROR_STOP=1", "--dbname", name, "-c", statement]
    feed(inside(compose, "psql", *options), [], what)


def inside(compose: Compose, program: str, *arguments: str) -> list[str]:
    """The command line of one of Postgres's programs, with the right to everything.

    Raises:
        StackError: Postgres does not run.
    """
    running = compose.containers("postgres")
    if not running:
        raise StackError("postgres does not run: make up")
    shell = ["docker", "exec", "--interactive", running[0], "sh", "-c", _LOGIN]
    return [*shell, program, _USER, *arguments]


_LIST = "SELECT datname FROM pg_database"
