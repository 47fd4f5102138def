"""The doctor's eyes: folders, files, ports, sockets and settings that are really there."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ml_tasks.config import Config
from ml_tasks.doctor import (
    airflow_settings,
    clock,
    disk,
    engine,
    packages,
    pools,
    registry,
    settings,
    stack_ports,
)
from ml_tasks.doctor.examination import examine, place_here, side_by_side
from ml_tasks.doctor.findings import Finding, State, ok
from ml_tasks.doctor.place import Place, words_of
from ml_tasks.local_stack.airflow import AirflowSettings, write_environment
from ml_tasks.storage import sha256_file
from tests.builders import toy_config
from tests.free_ports import free_ports
from tests.waiting import PATIENCE


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A project with nothing in it, and an empty environment."""
    return Place(
        config_file=tmp_path / "config.yaml",
        config=toy_config(tmp_path),
        refusal="",
        project=tmp_path,
        state=tmp_path / ".local",
        environment={"HOME": str(tmp_path), "AIRFLOW_HOME": str(tmp_path / "home")},
    )


def among(place: Place, **variables: str) -> Place:
    return replace(place, environment={**place.environment, **variables})


def with_model(place: Place, **changed: object) -> Place:
    model = place.config.model.model_copy(update=changed)
    return replace(place, config=place.config.model_copy(update={"model": model}))


def test_the_local_stacks_own_secrets_are_seen_and_private(place: Place) -> None:
    """What `make demo` makes must be what the doctor calls well."""
    write_environment(AirflowSettings(place.state, 8080, place.project, place.config_file))
    (found,) = airflow_settings.look(place)
    assert found.name == airflow_settings.LOCAL
    assert found.open_files == ()
    assert found.setting("core", "parallelism") == "4"
    assert set(found.passwords) == {"admin"}
    (place.state / "airflow" / "secrets.json").chmod(0o644)
    (opened,) = airflow_settings.look(place)
    assert [Path(path).name for path in opened.open_files] == ["secrets.json"]


def test_the_environment_wins_over_airflow_cfg(place: Place) -> None:
    home = place.project / "home"
    home.mkdir()
    (home / "airflow.cfg").write_text("[core]\nparallelism = 16\nfernet_key = %s\n[api]\nport=1\n")
    (found,) = airflow_settings.look(among(place, AIRFLOW__CORE__PARALLELISM="3"))
    assert found.name == airflow_settings.HERE
    assert found.setting("core", "parallelism") == "3"
    assert found.setting("core", "fernet_key") == "%s"
    assert found.setting("core", "executor", "LocalExecutor") == "LocalExecutor"


def test_composes_env_file_is_read_under_the_names_of_the_containers(place: Place) -> None:
    (place.project / ".env").write_text("# A=1\nAIRFLOW_JWT_SECRET='abc'\nREDIS_PASSWORD=x\n")
    (found,) = airflow_settings.look(place)
    assert found.name == airflow_settings.COMPOSE
    assert found.setting("api_auth", "jwt_secret") == "abc"
    assert found.passwords["REDIS_PASSWORD"] == "x"
    assert found.passwords["POSTGRES_PASSWORD"] == ""


def test_no_airflow_is_looked_for_where_none_is_set_up(place: Place) -> None:
    assert airflow_settings.look(place) == []
    assert not pools.look(place).running


def test_a_socket_that_is_missing_and_one_that_nobody_serves_are_told_apart(place: Place) -> None:
    missing = engine.look(among(place, DOCKER_HOST=f"unix://{place.project}/none.sock"))
    assert (missing.socket_exists, bool(missing.refusal)) == (False, True)
    path = place.project / "dead.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    silent = engine.look(among(place, DOCKER_HOST=f"unix://{path}"))
    assert (silent.socket_exists, silent.socket_usable) == (True, True)
    assert "systemctl start docker" in engine.judge(silent)[0].mend


def test_a_socket_of_another_group_is_named_with_that_group(place: Place) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may use every socket")
    path = place.project / "closed.sock"
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(path))
    path.chmod(0)
    facts = engine.look(among(place, DOCKER_HOST=f"unix://{path}"))
    assert not facts.socket_usable
    assert "usermod -aG docker" in engine.judge(facts)[0].mend


def test_a_port_that_another_process_holds_is_seen_with_its_holder(place: Place) -> None:
    ports = free_ports(5)
    parts = ("MLFLOW", "AIRFLOW", "REGISTRY", "TENSORBOARD", "SERVICE")
    names = {f"{part}_PORT": str(port) for part, port in zip(parts, ports, strict=True)}
    with socket.create_server(("127.0.0.1", ports[0])):
        facts = stack_ports.look(among(place, **names))
    held = [each for each in facts.ports if each.holder]
    assert [each.variable for each in held] == ["MLFLOW_PORT"]
    assert f"pid {os.getpid()}" in held[0].holder
    assert not held[0].ours
    assert stack_ports.look(among(place, AIRFLOW_PORT="http")).refusal


def test_weights_are_looked_for_where_keras_keeps_them(place: Place) -> None:
    asked = with_model(among(place, KERAS_HOME=str(place.project / "keras")), weights="imagenet")
    missing = settings.look_at_weights(asked)
    assert missing.size is None
    Path(missing.file).parent.mkdir(parents=True)
    Path(missing.file).write_bytes(b"cut off")
    assert settings.look_at_weights(asked).size == 7


def test_the_hash_of_a_weights_file_is_compared(place: Place) -> None:
    file = place.project / "weights.h5"
    file.write_bytes(b"weights")
    right = with_model(place, weights=str(file), weights_sha256=sha256_file(file))
    assert settings.judge_weights(settings.look_at_weights(right))[0].state is State.OK
    wrong = with_model(place, weights=str(file), weights_sha256="0" * 64)
    assert settings.judge_weights(settings.look_at_weights(wrong))[0].state is State.MEND


def test_folders_are_looked_at_where_they_are_or_would_be_made(place: Place) -> None:
    facts = disk.look_at_folders(place)
    assert (facts.unwritable, facts.not_folders) == ({}, {})
    place.config.paths.cache.write_text("a file")
    assert set(disk.look_at_folders(place).not_folders) == {"cache"}


def test_no_mend_is_about_a_folder_above_the_one_that_is_missing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`chown -R` of the nearest folder that exists may be one of the whole disk."""
    monkeypatch.setattr("ml_tasks.doctor.disk.os.access", lambda *_: False)  # root may everything
    runs = place.config.paths.runs
    assert not runs.exists()
    line = next(
        each for each in disk.judge_folders(disk.look_at_folders(place)) if "runs" in each.text
    )
    assert line.mend == f"sudo install -d -o {os.geteuid()} {runs}"


def test_the_statistics_folder_must_be_open_to_the_services_user(place: Place) -> None:
    folder = place.config.paths.statistics
    folder.mkdir(mode=0o755)
    assert not disk.look_at_folders(place).statistics_open
    folder.chmod(0o777)
    assert disk.look_at_folders(place).statistics_open


def test_free_room_is_read_where_the_folders_will_be(place: Place) -> None:
    facts = disk.look_at_disk(place, engine_root=str(place.project))
    assert set(facts.free_gb) == {"runs", "releases", "cache", "engine"}
    assert "engine" not in disk.look_at_disk(place, engine_root="/no/such").free_gb


def test_this_environment_is_held_against_its_lock(place: Place) -> None:
    (place.project / "requirements").mkdir()
    lock = place.project / "requirements" / "all.txt"
    assert packages.look(replace(place, project=place.project / "none")).locked is None
    lock.write_text("pydantic==0.1 \\\n    --hash=sha256:0\nno-such-package==1\n")
    facts = packages.look(place)
    assert set(facts.other) == {"pydantic"}
    assert facts.missing == ("no-such-package",)


def test_files_of_tomorrow_show_a_clock_that_runs_behind(place: Place) -> None:
    assert clock.judge(clock.look(place))[0].state is State.OK
    release = place.config.paths.releases / "r"
    release.mkdir(parents=True)
    os.utime(release, (time.time() + 86_400,) * 2)
    assert clock.judge(clock.look(place))[0].state is State.MEND
    zoned = clock.look(among(place, TZ="Mars/Base"), engine_time="2026-11-29T09:47:31.033390109Z")
    assert (zoned.zone_known, zoned.engine) == (False, 1795945651.0)


def test_a_registry_that_is_away_does_not_hide_what_the_ledger_says(place: Place) -> None:
    away = among(place, MAMMO_REGISTRY=f"localhost:{free_ports(1)[0]}")
    facts = registry.look(away)
    assert facts.unreachable
    assert "no model was ever released" in facts.proof


def test_a_check_that_hangs_or_breaks_is_a_finding_and_keeps_nobody_waiting() -> None:
    hung = threading.Event()

    def hangs() -> list[Finding]:
        hung.wait(PATIENCE)
        return [ok("b", "well")]

    def breaks() -> list[Finding]:
        raise ValueError("no sense in it")

    checks = [("a", lambda: [ok("a", "well")]), ("b", hangs), ("c", breaks)]
    found = side_by_side(checks, 10)
    hung.set()  # only now: had `hangs` been waited for, its finding would be among the others
    assert [each.state for each in found] == [State.OK, State.MEND, State.MEND]
    assert "no answer" in found[1].text
    assert "no sense in it" in found[2].text


def test_a_bad_config_is_one_line_and_the_other_lines_are_there(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model: {wieghts: none}\n")
    place = place_here(tmp_path / "config.yaml", {}, {"SKIP_DOCKER": "1"})
    assert place.config.model == Config().model
    found = examine(place)
    (line,) = [each for each in found if each.name == settings.CONFIG]
    assert line.state is State.MEND
    assert "did you mean `weights`" in line.text
    assert len({each.name for each in found}) > 12


def test_a_command_that_is_missing_or_fails_says_nothing() -> None:
    assert words_of(["no-such-command-here"]) is None
    assert words_of(["false"]) is None
    assert words_of(["echo", "yes"]) == "yes"


def test_the_command_gives_lines_or_json_and_a_status(tmp_path: Path) -> None:
    from tests.test_cli import typed

    (tmp_path / "config.yaml").write_text("release: {push: false}\nmodel: {weights: none}\n")
    done = typed("doctor", "--json", "--config", tmp_path / "config.yaml")
    listed = [Finding.model_validate(each) for each in json.loads(done.stdout)]
    assert done.returncode == int(any(each.state is State.MEND for each in listed))
    assert done.stderr == ""
    bad = typed("doctor", "--config", tmp_path / "missing.yaml")
    assert bad.returncode == 1
    assert "MEND  config.yaml" in bad.stdout
    assert "looked at: " in bad.stdout.splitlines()[-1]
