"""The Docker engine: finding it, and saying plainly when it stops answering."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager

import requests
import urllib3
from docker import DockerClient as DockerClient  # stages take the type from here
from docker.credentials.errors import StoreError
from docker.errors import APIError, DockerException

from ml_tasks.errors import EngineUnavailable, ReleaseError

# What the Docker SDK lets through when the engine goes away in the middle of an answer.
_BROKEN = (
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    ConnectionError,
)
_PROBE_SECONDS = 5


def connect(skip: bool = False, address: str | None = None) -> DockerClient:
    """A client of the engine at `address`, else of DOCKER_HOST, else of the default socket.

    Raises:
        EngineUnavailable: `skip` was asked for, or no engine answers.
    """
    if skip:
        raise EngineUnavailable("SKIP_DOCKER is set, so no image is built; unset it to build one")
    try:
        # from_env with version="auto" asks the engine at once.
        client = DockerClient(base_url=address) if address else DockerClient.from_env()
        client.ping()
    except (DockerException, *_BROKEN) as error:
        raise EngineUnavailable(
            f"no Docker engine answers at {address or 'the default socket or DOCKER_HOST'} "
            f"({error}); install and start one (Debian, Ubuntu: apt-get install docker.io), "
            "and see that this user may use its socket; then clear this task"
        ) from error
    return client


@contextmanager
def engine_errors(client: DockerClient, doing: str) -> Iterator[None]:
    """Turns the loss of the engine inside the block into EngineUnavailable.

    `doing` completes "the Docker engine stopped answering while ...". A stream that is cut can end
    without an error of its own, so any Docker error is followed by the question whether the engine
    is still there; if it is, the error passes unchanged.
    """
    try:
        yield
    except StoreError as error:  # a build hands the engine every login that it finds
        raise ReleaseError(
            f"while {doing}, a credential helper that Docker's configuration names failed "
            f"({type(error).__name__}); install it, or take credsStore and credHelpers out of "
            "~/.docker/config.json"
        ) from None  # its text may hold what it was asked for
    except _BROKEN as error:
        # A time-out of an engine that answers is somebody else's: a registry that hangs.
        passing = isinstance(error, APIError | requests.exceptions.Timeout)
        if passing and answers(client):
            raise
        raise _stopped(doing, error) from error
    except DockerException as error:
        if answers(client):
            raise
        raise _stopped(doing, error) from error


def answers(client: DockerClient) -> bool:
    """Whether the engine answers a ping within a few seconds."""
    patience, client.api.timeout = client.api.timeout, _PROBE_SECONDS
    try:
        return bool(client.ping())
    except (DockerException, *_BROKEN):
        return False
    finally:
        client.api.timeout = patience


def _stopped(doing: str, error: BaseException) -> EngineUnavailable:
    return EngineUnavailable(
        f"the Docker engine stopped answering while {doing} ({type(error).__name__}: {error}); "
        "start it and clear this task: what earlier stages left is untouched"
    )
