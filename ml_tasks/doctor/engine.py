"""The Docker engine: its socket and who may use it, its version and store, and compose."""

from __future__ import annotations

import grp
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from ml_tasks.doctor.findings import Finding, note, ok, to_mend
from ml_tasks.doctor.place import Place, words_of
from ml_tasks.errors import EngineUnavailable
from ml_tasks.records import Record

NAME, STORE, COMPOSE = "Docker engine", "image store", "docker compose"
OLDEST, NEWEST = (20, 10), (28, 99)  # known to build, test and push a release
_INSTALL = "install and start one: sudo apt-get install -y docker.io"
_JOIN = "run `sudo usermod -aG docker $USER` and log in again"
_DEFAULT = "unix:///var/run/docker.sock"
_CONTAINERD = "io.containerd.snapshotter"


class EngineFacts(Record):
    """What is known of the engine; `refusal` is empty where it answered."""

    address: str
    wanted: bool = True  # SKIP_DOCKER is not set
    socket_exists: bool = True
    socket_usable: bool = True
    socket_group: str = ""
    refusal: str = ""
    version: str = ""
    driver: str = ""
    containerd_store: bool = False
    runtimes: tuple[str, ...] = ()
    root: str = ""
    time: str = ""  # the engine's own, as it tells it


def look(place: Place) -> EngineFacts:
    """Asks the engine that the stages would use."""
    address = place.environment.get("DOCKER_HOST") or _DEFAULT
    facts: dict[str, Any] = {
        "address": address,
        "wanted": place.environment.get("SKIP_DOCKER", "") in ("", "0"),
    }
    if address.startswith("unix://"):
        facts |= _socket(Path(address.removeprefix("unix://")))
    return EngineFacts(**facts, **_asked(address))


def judge(facts: EngineFacts) -> list[Finding]:
    """One line for the engine, and one for its store if it answers."""
    if not facts.wanted:
        return [note(NAME, "SKIP_DOCKER is set: no image is built", "unset it to build one")]
    if facts.refusal:
        return [to_mend(NAME, *_why_silent(facts))]
    return [_version(facts), _store(facts)]


def _why_silent(facts: EngineFacts) -> tuple[str, str]:
    where = facts.address
    if not facts.socket_exists:
        return f"there is no {where}", _INSTALL
    if not facts.socket_usable:
        group = f" (its group is {facts.socket_group})" if facts.socket_group else ""
        return f"this user may not use {where}{group}", _JOIN
    return f"nothing answers at {where}", "start it: sudo systemctl start docker, or sudo dockerd"


def _version(facts: EngineFacts) -> Finding:
    found = numbers(facts.version)
    shown = f"{facts.version} answers at {facts.address}"
    known = "20.10 to 28"
    if found < OLDEST:
        return to_mend(NAME, shown, f"update it: {known} are known to work")
    if found > NEWEST:
        return note(NAME, f"{shown}; {known} are known to work", "try `mammo run` on a sample")
    return ok(NAME, shown)


def _store(facts: EngineFacts) -> Finding:
    if facts.containerd_store:
        return to_mend(
            STORE,
            "the containerd image store takes no release",
            'put {"features": {"containerd-snapshotter": false}} into /etc/docker/daemon.json and '
            "restart the engine",
        )
    return ok(STORE, f"classic ({facts.driver})")


class ComposeFacts(Record):
    """The version of `docker compose` or, where there is none, of docker-compose; else empty."""

    version: str = ""


def look_at_compose(_: Place) -> ComposeFacts:
    """Asks both programs for their versions."""
    for command in (["docker", "compose"], ["docker-compose"]):
        said = words_of([*command, "version", "--short"])
        if said and numbers(said):
            return ComposeFacts(version=said.split()[-1])
    return ComposeFacts()


def judge_compose(facts: ComposeFacts) -> list[Finding]:
    """Only the stack of several workers needs it."""
    wanted = "take docker compose v2, or docker-compose 1.29"
    if not facts.version:
        return [note(COMPOSE, "not installed; only docker-compose.yaml needs it", wanted)]
    if numbers(facts.version) < (1, 29):
        return [to_mend(COMPOSE, f"{facts.version} cannot read docker-compose.yaml", wanted)]
    return [ok(COMPOSE, facts.version)]


def numbers(version: str) -> tuple[int, ...]:
    """The first two numbers of a version: `20.10.24+dfsg1` gives (20, 10); () where none is."""
    found = re.search(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else ()


def _socket(path: Path) -> dict[str, Any]:
    try:
        owner = path.stat().st_gid
    except OSError:
        return {"socket_exists": False, "socket_usable": False}
    group = str(owner)
    with suppress(KeyError):
        group = grp.getgrgid(owner).gr_name
    return {"socket_usable": os.access(path, os.R_OK | os.W_OK), "socket_group": group}


def _asked(address: str) -> dict[str, Any]:
    from ml_tasks.release.engine import connect, engine_errors

    try:
        client = connect(address=address)
        try:
            with engine_errors(client, "it was asked about itself"):
                said = client.info()
        finally:
            client.close()
    except EngineUnavailable as error:
        return {"refusal": str(error)}
    kinds = [str(pair[-1]) for pair in said.get("DriverStatus") or () if pair]
    return {
        "version": str(said.get("ServerVersion", "")),
        "driver": str(said.get("Driver", "")),
        "containerd_store": any(kind.startswith(_CONTAINERD) for kind in kinds),
        "runtimes": tuple(sorted(said.get("Runtimes") or ())),
        "root": str(said.get("DockerRootDir", "")),
        "time": str(said.get("SystemTime", "")),
    }
