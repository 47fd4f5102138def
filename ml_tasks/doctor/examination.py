"""All checks side by side, each within its time: what is slow or broken keeps nobody waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_tasks.config import Config, load_config
from ml_tasks.doctor import (
    airflow_settings,
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
from ml_tasks.doctor.findings import Finding, to_mend
from ml_tasks.doctor.place import SECONDS, Place
from ml_tasks.errors import ConfigError
from ml_tasks.local_stack.demo import PROJECT

Check = tuple[str, Callable[[], list[Finding]]]


def place_here(
    config_file: Path, overrides: Mapping[str, Any], environment: Mapping[str, str]
) -> Place:
    """Where to look; a config.yaml that is refused is a finding, and the defaults stand in."""
    refusal = ""
    config_file = config_file.absolute()
    try:
        config = load_config(config_file, overrides)
    except ConfigError as error:
        refusal = str(error)
        config = _defaults(config_file.parent)
    return Place(config_file, config, refusal, PROJECT, PROJECT / ".local", environment)


def examine(place: Place, seconds: float = SECONDS) -> list[Finding]:
    """Every finding, in the order of the page docs/doctor.md.

    A check that fails by itself or takes longer than `seconds` is a finding, too.
    """
    begin = time.monotonic()
    # Others are held against what the engine tells: its folder, its clock, its runtimes.
    asked: list[engine.EngineFacts] = []
    silent = engine.EngineFacts(address="", refusal="it did not answer in time")

    def judge_engine() -> list[Finding]:
        asked.append(engine.look(place))
        return engine.judge(asked[0])

    first = side_by_side([(engine.NAME, judge_engine)], seconds / 2)
    facts = asked[0] if asked else silent
    left = seconds - (time.monotonic() - begin)
    return first + side_by_side(_checks(place, facts), left)


def _checks(place: Place, engine_facts: engine.EngineFacts) -> list[Check]:
    answers = not engine_facts.refusal
    address = engine_facts.address if answers else ""
    return [
        (engine.COMPOSE, lambda: engine.judge_compose(engine.look_at_compose(place))),
        (gpu.NAME, lambda: gpu.judge(_gpu(place, engine_facts))),
        (secrets_check.NAME, lambda: secrets_check.judge(airflow_settings.look(place))),
        (load.NAME, lambda: load.judge(airflow_settings.look(place), load.look())),
        (pools.NAME, lambda: pools.judge(pools.look(place))),
        (registry.NAME, lambda: registry.judge(registry.look(place))),
        (settings.CONFIG, lambda: settings.judge_config(place)),
        (settings.WEIGHTS, lambda: settings.judge_weights(settings.look_at_weights(place))),
        (disk.DISK, lambda: disk.judge_disk(disk.look_at_disk(place, engine_facts.root))),
        (disk.FOLDERS, lambda: disk.judge_folders(disk.look_at_folders(place))),
        (packages.PACKAGES, lambda: packages.judge(packages.look(place))),
        (clock.NAME, lambda: clock.judge(clock.look(place, engine_facts.time))),
        (stack_ports.NAME, lambda: stack_ports.judge(stack_ports.look(place, address))),
    ]


def side_by_side(checks: Sequence[Check], seconds: float) -> list[Finding]:
    """Runs the checks at once; gives what they found, in their order."""
    found: dict[str, list[Finding]] = {}

    def run(name: str, check: Callable[[], list[Finding]]) -> None:
        try:
            found[name] = check()
        except Exception as error:  # noqa: BLE001 - one broken check must not hide the others
            what = f"could not be looked at ({type(error).__name__}: {error})"
            found[name] = [to_mend(name, what, "mend that, then `mammo doctor` again")]

    deadline = time.monotonic() + seconds
    # Daemons: one that hangs in a system call does not keep the process from ending.
    threads = [threading.Thread(target=run, args=check, daemon=True) for check in checks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [finding for name, _ in checks for finding in found.get(name) or [_late(name, seconds)]]


def _late(name: str, seconds: float) -> Finding:
    return to_mend(
        name,
        f"no answer in {seconds:.0f} s",
        "see whether it hangs or this machine is overloaded, then `mammo doctor` again",
    )


def _gpu(place: Place, facts: engine.EngineFacts) -> gpu.GpuFacts:
    seen = gpu.look(place)
    return seen.model_copy(update={"engine": not facts.refusal, "runtimes": facts.runtimes})


def _defaults(folder: Path) -> Config:
    config = Config()
    paths = {name: folder / value for name, value in config.paths}
    return config.model_copy(update={"paths": config.paths.model_copy(update=paths)})
