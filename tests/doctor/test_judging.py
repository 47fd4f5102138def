"""Each line of the doctor on made-up facts: how it is, and the mend that it names."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest

from ml_tasks.doctor import (
    clock,
    disk,
    engine,
    gpu,
    load,
    packages,
    pools,
    registry,
    secrets_check,
    settings,
    stack_ports,
)
from ml_tasks.doctor.airflow_settings import COMPOSE, HERE, LOCAL, AirflowFacts
from ml_tasks.doctor.findings import Finding, State, note, ok, table, to_mend

GOOD = {
    "AIRFLOW__CORE__FERNET_KEY": urlsafe_b64encode(bytes(range(32))).decode(),
    "AIRFLOW__API__SECRET_KEY": "5f2b8c1d9e7a4f60b3c2d1e0f9a8b7c6",
    "AIRFLOW__API_AUTH__JWT_SECRET": "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
}
SOCKET = "unix:///var/run/docker.sock"
ANSWERS = engine.EngineFacts(address=SOCKET, version="20.10.24+dfsg1", driver="overlay2")
MACHINE = load.MachineFacts(cores=4, memory_gb=16)


def airflow(name: str = LOCAL, **changed: object) -> AirflowFacts:
    """A well-kept Airflow, but for what is `changed`."""
    facts = {"name": name, "source": "settings.json", "settings": GOOD, "passwords": {}}
    return AirflowFacts.model_validate(facts | changed)


def with_setting(name: str, value: str) -> AirflowFacts:
    return airflow(settings={**GOOD, name: value})


def states(findings: list[Finding]) -> list[State]:
    return [finding.state for finding in findings]


def only_mend(findings: list[Finding]) -> Finding:
    """The one line to mend; it says what to do."""
    wrong = [finding for finding in findings if finding.state is State.MEND]
    assert len(wrong) == 1, findings
    assert wrong[0].mend
    return wrong[0]


def test_a_line_is_one_line_and_ends_with_the_mend() -> None:
    finding = to_mend("disk", "2 GB free\nat runs", "free some")
    assert finding.line() == "MEND  disk              2 GB free at runs; free some"


def test_the_last_line_counts() -> None:
    text = table([ok("a", "well"), note("b", "a word"), to_mend("c", "wrong", "do it")])
    assert text.splitlines()[-1] == "3 looked at: 1 to mend, 1 worth a word"
    assert table([ok("a", "well")]).endswith("nothing must be mended, 0 worth a word\n")


def test_an_engine_that_answers_is_well() -> None:
    assert states(engine.judge(ANSWERS)) == [State.OK, State.OK]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"refusal": "no", "socket_exists": False, "socket_usable": False},
            "apt-get install -y docker.io",
        ),
        ({"refusal": "no", "socket_usable": False, "socket_group": "docker"}, "usermod -aG docker"),
        ({"refusal": "connection refused"}, "systemctl start docker"),
        ({"version": "19.03.5"}, "update it"),
        ({"containerd_store": True}, "containerd-snapshotter"),
    ],
)
def test_an_engine_that_cannot_release_is_named_with_its_mend(
    changed: dict[str, object], said: str
) -> None:
    assert said in only_mend(engine.judge(ANSWERS.model_copy(update=changed))).mend


def test_a_newer_engine_and_skip_docker_are_worth_a_word() -> None:
    newer = engine.judge(ANSWERS.model_copy(update={"version": "29.1.0"}))
    assert states(newer) == [State.NOTE, State.OK]
    skipped = engine.judge(engine.EngineFacts(address=SOCKET, wanted=False, refusal="no"))
    assert states(skipped) == [State.NOTE]


@pytest.mark.parametrize(
    ("version", "state"),
    [("2.27.0", State.OK), ("1.29.2", State.OK), ("1.25.0", State.MEND), ("", State.NOTE)],
)
def test_compose_must_be_able_to_read_the_file(version: str, state: State) -> None:
    assert states(engine.judge_compose(engine.ComposeFacts(version=version))) == [state]


def test_no_gpu_is_no_fault() -> None:
    (finding,) = gpu.judge(gpu.GpuFacts())
    assert finding.state is State.OK
    assert "trains on the CPU" in finding.text


def test_a_gpu_is_well_where_libraries_and_runtime_are_there() -> None:
    facts = gpu.GpuFacts(gpus=("H200, 143771 MiB, 570.1",), cuda_packages=True, engine=True)
    assert states(gpu.judge(facts.model_copy(update={"runtimes": ("nvidia",)}))) == [State.OK] * 2
    assert "nvidia-ctk" in gpu.judge(facts)[1].mend
    assert "gpu.txt" in gpu.judge(facts.model_copy(update={"cuda_packages": False}))[0].mend


def test_a_driver_without_a_gpu_is_to_mend() -> None:
    assert "nvidia-smi" in only_mend(gpu.judge(gpu.GpuFacts(driver=True))).text


def test_own_secrets_are_well_and_none_is_no_fault() -> None:
    assert states(secrets_check.judge([airflow()])) == [State.OK]
    assert states(secrets_check.judge([])) == [State.OK]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (with_setting("AIRFLOW__CORE__FERNET_KEY", ""), "fernet_key is empty"),
        (with_setting("AIRFLOW__CORE__FERNET_KEY", "abc"), "fernet_key is no Fernet key"),
        (with_setting("AIRFLOW__API__SECRET_KEY", "temporary_key"), "[api] secret_key"),
        (with_setting("AIRFLOW__API_AUTH__JWT_SECRET", ""), "[api_auth] jwt_secret is not set"),
        (with_setting("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True"), "as admin"),
        (
            with_setting(
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://airflow:airflow@db/airflow"
            ),
            "sql_alchemy_conn",
        ),
        (airflow(passwords={"admin": "admin"}), "the password admin"),
        (airflow(COMPOSE, passwords={"POSTGRES_PASSWORD": ""}), "POSTGRES_PASSWORD"),
        (airflow(open_files=("/srv/secrets.json",)), "/srv/secrets.json"),
    ],
)
def test_a_secret_that_is_a_default_or_open_is_named(facts: AirflowFacts, said: str) -> None:
    assert said in only_mend(secrets_check.judge([facts])).text


def test_a_secret_that_a_command_gives_is_not_judged() -> None:
    kept = {key: value for key, value in GOOD.items() if "JWT" not in key}
    facts = airflow(settings={**kept, "AIRFLOW__API_AUTH__JWT_SECRET_CMD": "vault read jwt"})
    assert states(secrets_check.judge([facts])) == [State.OK]


def test_no_line_holds_a_secret() -> None:
    """The lines are pasted into mails: what they speak of must not stand in them."""
    secrets = {"AIRFLOW__CORE__FERNET_KEY": "f-e-r", "AIRFLOW__API__SECRET_KEY": "s-h-o-r-t"}
    facts = airflow(
        settings={**secrets, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "x://airflow:airflow@db/a"},
        passwords={"admin": "s-e-v-e"},
    )
    said = table(secrets_check.judge([facts]))
    assert said.count("MEND") == 5
    assert not any(secret in said for secret in (*secrets.values(), "s-e-v-e", "airflow:airflow"))
    assert not any(secret in repr(facts) for secret in (*secrets.values(), "s-e-v-e"))


def test_more_tasks_than_cores_and_memory_carry_are_to_mend() -> None:
    assert load.fitting(MACHINE) == 8
    assert states(load.judge([with_setting("AIRFLOW__CORE__PARALLELISM", "8")], MACHINE)) == [
        State.OK
    ]
    finding = only_mend(load.judge([airflow()], MACHINE))  # Airflow's default
    assert "32 tasks at once on 4 cores, 16 GB" in finding.text
    assert finding.mend == "set AIRFLOW__CORE__PARALLELISM=8"


def test_memory_bounds_the_tasks_where_there_are_many_cores() -> None:
    assert load.fitting(load.MachineFacts(cores=64, memory_gb=8)) == 5
    small = load.MachineFacts(cores=64, memory_gb=4)
    assert "add memory" in only_mend(load.judge([airflow()], small)).mend


def test_celerys_number_may_come_from_the_command_line() -> None:
    (finding,) = load.judge([with_setting("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")], MACHINE)
    assert (finding.state, "--concurrency 8" in finding.mend) == (State.NOTE, True)


@pytest.mark.parametrize(
    ("slots", "said"),
    [
        ({"production": 1}, "no pool gpu"),
        ({"gpu": 1}, "no pool production"),
        ({"gpu": 0, "production": 1}, "gpu has no slots"),
        ({"gpu": 1, "production": 2}, "2 releases may move"),
    ],
)
def test_pools_that_are_missing_or_wrong_come_with_the_command(
    slots: dict[str, int], said: str
) -> None:
    finding = only_mend(pools.judge(pools.PoolFacts(running=True, slots=slots)))
    assert said in finding.text
    assert finding.mend.startswith("airflow pools set ")


def test_the_right_pools_are_well_and_two_gpus_are_worth_a_word() -> None:
    right = pools.PoolFacts(running=True, slots={"gpu": 1, "production": 1, "default_pool": 128})
    assert states(pools.judge(right)) == [State.OK, State.OK]
    two = right.model_copy(update={"slots": {"gpu": 2, "production": 1}})
    assert states(pools.judge(two)) == [State.OK, State.NOTE]


def test_an_airflow_that_is_unwell_elsewhere_or_absent_is_told_apart() -> None:
    unwell = pools.PoolFacts(running=True, unhealthy=("triggerer",))
    assert "triggerer" in only_mend(pools.judge(unwell)).text
    assert states(pools.judge(pools.PoolFacts(elsewhere=True))) == [State.NOTE]
    assert states(pools.judge(pools.PoolFacts())) == [State.OK]


KNOWN = registry.RegistryFacts(address="localhost:5000", proof="no model was ever released")


def test_a_registry_that_answers_is_well() -> None:
    assert states(registry.judge(KNOWN)) == [State.OK, State.OK]


def test_a_registry_that_is_away_matters_only_to_who_pushes() -> None:
    away = KNOWN.model_copy(update={"unreachable": "connection refused"})
    assert states(registry.judge(away)) == [State.MEND, State.NOTE]
    kept = away.model_copy(update={"push": False})
    assert states(registry.judge(kept)) == [State.NOTE, State.OK]


def test_a_login_that_is_refused_and_an_unknown_production_are_to_mend() -> None:
    refused = KNOWN.model_copy(update={"refusal": "the image registry wants a login; run `docker"})
    assert "wants a login" in only_mend(registry.judge(refused)).text
    unknown = KNOWN.model_copy(update={"trouble": "the ledger does not know sha256:1"})
    assert "docs/gate.md" in only_mend(registry.judge(unknown)).mend


def test_too_little_room_is_named_with_what_a_run_needs() -> None:
    where = {"runs": "/a/runs", "releases": "/a/releases", "engine": "/var/lib/docker"}
    free = {"runs": 50.0, "releases": 50.0, "engine": 50.0}
    facts = disk.DiskFacts(free_gb=free, where=where, images=10_000)
    assert states(disk.judge_disk(facts)) == [State.OK]
    full = facts.model_copy(update={"free_gb": {**free, "engine": 0.4}})
    finding = only_mend(disk.judge_disk(full))
    assert finding.text == "0.4 GB free at /var/lib/docker, a run may need 3.0 GB"
    assert "docker image prune" in finding.mend
    more = facts.model_copy(update={"free_gb": {**free, "runs": 3.9}})
    assert "need 4.0 GB" in only_mend(disk.judge_disk(more)).text


def test_folders_that_cannot_be_used_are_named() -> None:
    facts = disk.FolderFacts(user="1000", statistics="/s")
    assert states(disk.judge_folders(facts)) == [State.OK, State.OK]
    closed = facts.model_copy(update={"unwritable": {"runs": "/runs"}})
    assert only_mend(disk.judge_folders(closed)).mend == "sudo chown -R 1000 /runs"
    unmade = facts.model_copy(update={"unwritable": {"runs": "/x/runs"}, "missing": ("runs",)})
    assert only_mend(disk.judge_folders(unmade)).mend == "sudo install -d -o 1000 /x/runs"
    theirs = facts.model_copy(update={"unwritable": {"raw": "/share/raw"}})
    assert "chown" not in only_mend(disk.judge_folders(theirs)).mend, "only to be read"
    file = facts.model_copy(update={"not_folders": {"cache": "/cache"}})
    assert "is a file" in only_mend(disk.judge_folders(file)).text
    shut = facts.model_copy(update={"statistics_exists": True})
    assert only_mend(disk.judge_folders(shut)).mend == "sudo chown 10001 /s"


def weights(**facts: object) -> list[Finding]:
    return settings.judge_weights(settings.WeightsFacts.model_validate(facts))


def test_weights_that_are_there_or_not_wanted_are_well() -> None:
    assert states(weights(weights="none")) == [State.OK]
    assert states(weights(weights="imagenet", file="w.h5", size=29_084_464)) == [State.OK]
    same = weights(weights="w.h5", file="w.h5", size=9, sha256="ab", wanted_sha256="ab")
    assert states(same) == [State.OK]


def test_weights_that_are_missing_cut_off_or_others_are_to_mend() -> None:
    assert "keras.applications" in only_mend(weights(weights="imagenet", file="w.h5")).mend
    assert "cut off" in only_mend(weights(weights="imagenet", file="w.h5", size=5)).text
    assert "cannot be read" in only_mend(weights(weights="w.h5", file="w.h5")).text
    other = weights(weights="w.h5", file="w.h5", size=9, sha256="ab", wanted_sha256="cd")
    assert "SHA-256 ab" in only_mend(other).text


def test_packages_that_differ_from_the_lock_are_named_three_at_a_time() -> None:
    facts = packages.PackageFacts(python="3.11.7", locked=300)
    assert states(packages.judge(facts)) == [State.OK, State.OK]
    other = dict.fromkeys(("a", "b", "c", "d"), "1 instead of 2")
    finding = only_mend(packages.judge(facts.model_copy(update={"other": other})))
    assert finding.text == "a 1 instead of 2; b 1 instead of 2; c 1 instead of 2, and 1 more"
    absent = facts.model_copy(update={"missing": ("keras",)})
    assert states(packages.judge(absent)) == [State.OK, State.OK]  # the image of one role
    whole = absent.model_copy(update={"whole": True})
    assert "keras is missing" in only_mend(packages.judge(whole)).text
    assert "3.14.1" in only_mend(packages.judge(facts.model_copy(update={"python": "3.14.1"}))).text


def test_a_lock_is_read_with_its_conditions() -> None:
    text = "a-b==1.2 \\\n    --hash=sha256:0==0\nC.d==3 ; python_version < '3'\nE_f==4\n# g==5\n"
    assert packages.locked_versions(text) == {"a-b": "1.2", "e-f": "4"}


NOW = 1_800_000_000.0


def test_a_clock_that_runs_behind_or_apart_is_to_mend() -> None:
    facts = clock.ClockFacts(now=NOW, newest_written=NOW - 5, engine=NOW + 1)
    assert states(clock.judge(facts)) == [State.OK]
    behind = facts.model_copy(update={"newest_written": NOW + 3600})
    assert "a file here was written at" in only_mend(clock.judge(behind)).text
    apart = facts.model_copy(update={"engine": NOW - 300})
    assert "300 s off" in only_mend(clock.judge(apart)).text
    unknown = facts.model_copy(update={"zone": "Mars/Base", "zone_known": False})
    assert states(clock.judge(unknown)) == [State.NOTE]


def test_ports_are_ours_free_or_named_with_their_holder() -> None:
    free = stack_ports.PortFacts(variable="AIRFLOW_PORT", port=8080)
    ours = stack_ports.PortFacts(variable="MLFLOW_PORT", port=5001, holder="pid 7", ours=True)
    (finding,) = stack_ports.judge(stack_ports.PortsFacts(ports=(free, ours)))
    assert (finding.state, finding.text) == (State.OK, "free: 8080; ours: 5001")
    taken = stack_ports.PortFacts(variable="SERVICE_PORT", port=8001, holder="pid 9 (nginx)")
    wrong = only_mend(stack_ports.judge(stack_ports.PortsFacts(ports=(free, taken))))
    assert wrong.text == "port 8001 is taken by pid 9 (nginx)"
    assert "SERVICE_PORT" in wrong.mend
    assert (
        "no number"
        in only_mend(stack_ports.judge(stack_ports.PortsFacts(refusal="no number"))).text
    )


def test_the_environments_airflow_is_named_by_where_its_settings_stand() -> None:
    facts = airflow(HERE, source="the environment and /etc/airflow.cfg")
    assert "/etc/airflow.cfg" in secrets_check.judge([facts])[0].text
