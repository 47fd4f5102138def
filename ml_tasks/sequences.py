"""Stages in order: one stage of a run, a whole run, and the training guide's own commands."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_tasks.config import Config, load_config, save_config
from ml_tasks.config_release import REGISTRY_URL, registry_url_of_this_place
from ml_tasks.errors import ConfigError, GateRefused, ReleaseError, StageSkipped
from ml_tasks.records import (
    STAGES,
    ChangesRecord,
    Decision,
    PreprocessRecord,
    ReleaseRecord,
    StageRecord,
    TrainRecord,
)
from ml_tasks.release.approval import ApprovalRecord, goes_on
from ml_tasks.release.champion import find_champion, note_champion
from ml_tasks.release.current_model import publish, published_run
from ml_tasks.run_paths import RunPaths
from ml_tasks.tracking.backlog import judged_runs, settle
from ml_tasks.tracking.hook import noted
from ml_tasks.tracking.outcome import Outcome

if TYPE_CHECKING:
    from ml_tasks.monitoring.verdict import DriftReport

log = logging.getLogger(__name__)

IMAGE_STAGES = STAGES[-3:]  # those that need a Docker engine


def begin_run(run_id: str, config_path: Path, settings: Mapping[str, Any]) -> Config:
    """Freezes the configuration of a run and what is in production: its later stages read these
    copies, whatever changes.

    Raises:
        ConfigError: an unknown key or a bad value.
        ChampionError: what is in production cannot be told.
        RegistryUnavailable: the run means to push, and the registry does not answer.
    """
    config = load_config(config_path, settings)
    _begin(RunPaths(config.paths.runs, run_id), config, ask_registry=_why_no_push(config) is None)
    return config


def run_stage(
    stage: str,
    run_id: str,
    config_path: Path,
    settings: Mapping[str, Any] | None = None,
    shard: int | None = None,
    force: bool = False,
) -> StageRecord:
    """Runs one stage of a run that `begin_run` has begun; gives its record.

    `settings` are added to those that the run began with; `shard` names the part of a stage that
    works in shards; `force` lets a run go on whose data, settings and code are not new.

    Raises:
        MammoError: whatever the stage refuses.
    """
    run = RunPaths.reopen(load_config(config_path, settings).paths.runs, run_id)
    if settings:
        save_config(load_config(run.config, settings, config_path.absolute().parent), run.config)
    part: tuple[int, ...] = () if shard is None else (shard,)
    if stage == ChangesRecord.stage:
        part = (force,)
    return _stage(stage)(run, _settings_of(run, settings or {}), *part)


def run_all(run_id: str, config_path: Path, settings: Mapping[str, Any]) -> Decision:
    """Every stage in order; what does not pass the gate, or a person, is no image.

    A person asked for this run: it goes on even if nothing has changed.

    Raises:
        ApprovalPending: a person must decide first; this does not wait, and says how it goes on.
    """
    config = begin_run(run_id, config_path, settings)
    run = RunPaths(config.paths.runs, run_id)
    for stage in STAGES:
        part = (True,) if stage == ChangesRecord.stage else ()
        try:
            record = _stage(stage)(run, config, *part)
        except StageSkipped as skipped:
            log.info("%s and what follows is skipped: %s", stage, skipped)
            break
        if isinstance(record, Decision) and not goes_on(record.verdict, config.approval.ask):
            break
        if isinstance(record, ApprovalRecord) and not record.passed:
            break
    return run.load(Decision)


def reopened(run_id: str, config_path: Path) -> tuple[RunPaths, Config]:
    """A run that has begun, and the settings that it began with."""
    run = RunPaths.reopen(load_config(config_path).paths.runs, run_id)
    return run, _settings_of(run, {})


def _settings_of(run: RunPaths, chosen: Mapping[str, Any]) -> Config:
    """What the run began with; but each worker reaches the registry in its own way.

    The worker that begins a run may be one that only reads there, and another one pushes.
    """
    here = {} if REGISTRY_URL in chosen else registry_url_of_this_place(os.environ)
    return load_config(run.config, here)


def gate_opens(run_id: str, config_path: Path) -> bool:
    """Whether anything follows the gate of a run: it passed, or a person is to decide."""
    run, config = reopened(run_id, config_path)
    return goes_on(run.load(Decision).verdict, config.approval.ask)


def clean(config: Config) -> PreprocessRecord:
    """`python -m ml_tasks.preprocessing clean`: paths.raw, validated, to paths.cleaned."""
    from ml_tasks.preprocessing import preprocess
    from ml_tasks.validation import validate_data

    run = RunPaths(config.paths.runs, new_run_id("clean"), cleaned=config.paths.cleaned)
    _begin(run, config, ask_registry=False)
    run.note_elsewhere()
    validate_data(run, config)
    return preprocess(run, config)


def train_and_judge(config: Config) -> Decision:
    """`python -m ml_tasks.train`: trains on paths.cleaned, judges, on PASS fills paths.model.

    Goes on with the last such run if that did not come to its verdict and the settings of model and
    training, the data and the code are the same.

    Raises:
        GateRefused: the gate's verdict is not PASS; paths.model keeps what it held.
        ChampionError: what is in production cannot be told.
    """
    from ml_tasks.evaluate import evaluate
    from ml_tasks.gate import gate
    from ml_tasks.model.unfinished import note_unfinished, unfinished_run
    from ml_tasks.train import train, training_key

    paths = config.paths
    opened = partial(RunPaths, paths.runs, cleaned=paths.cleaned, log_root=paths.logs)
    run = opened(new_run_id("train"))
    made_for = training_key(run.load(PreprocessRecord), config)
    run = unfinished_run(paths.runs, made_for, opened) or run
    _begin(run, config, ask_registry=False)  # push_model.sh compares with the registry later
    run.note_elsewhere()
    note = note_unfinished(run, made_for)
    if not run.has(TrainRecord) or run.load(TrainRecord).inputs != run.mark(PreprocessRecord):
        with noted("train", run, config):
            train(run, config)
    with noted("evaluate", run, config):
        evaluate(run, config)
    with noted("gate", run, config):
        decision = gate(run, config)
    if decision.passed:
        publish(run, config)
    note.unlink()
    if not decision.passed:
        raise GateRefused(
            f"{decision.summary()}. {config.paths.model} is unchanged; the report is "
            f"{run.stage('evaluate') / 'report.html'}"
        )
    log.info("report: %s", run.stage("evaluate") / "report.html")
    return decision


def release_current(config: Config, run_id: str | None) -> ReleaseRecord:
    """`./push_model.sh`: image, smoke test and push of `run_id`, else of the model in paths.model.

    Raises:
        ReleaseError: nothing has passed the gate yet, or a stage would be left out: who pushes by
            hand must not take a skip for a release.
        GateRefused: neither the gate nor a person lets it ship.
        ApprovalPending: a person must decide first; says by which command.
    """
    run = RunPaths.reopen(config.paths.runs, run_id or published_run(config))
    # The run's own settings, but where to ship to is decided now.
    config = load_config(run.config).model_copy(update={"release": config.release})
    try:
        _check_wanted(ReleaseRecord.stage, config)
        for stage in (ApprovalRecord.stage, *IMAGE_STAGES):
            record = _stage(stage)(run, config)
            if isinstance(record, ApprovalRecord) and not record.passed:
                raise GateRefused(f"nothing is pushed: {record.summary()}")
    except StageSkipped as skipped:
        raise ReleaseError(f"nothing was pushed: {skipped}") from None
    return run.load(ReleaseRecord)


def track(config: Config, run_id: str | None, everything: bool) -> Outcome:
    """`mammo track`: takes to MLflow what it missed, one run, or every run that was ever judged.

    Raises:
        ConfigError: tracking is switched off.
        StageOrderError: there is no run of this name.
    """
    if not config.tracking.enabled:
        raise ConfigError("tracking.enabled is false in config.yaml; set it to true first")
    named = [] if run_id is None else [RunPaths.reopen(config.paths.runs, run_id).run_id]
    return settle(config, judged_runs(config) if everything else named, seconds=None)


def watch_drift(
    config_path: Path, settings: Mapping[str, Any], until: datetime, run_id: str
) -> DriftReport:
    """`mammo watch_drift`: the service's images up to `until` against what was trained on.

    Raises:
        MammoError: whatever the stage refuses.
    """
    from ml_tasks.watch_drift import watch_drift as stage

    config = load_config(config_path, settings)
    return stage(config, until, run_id, ask_registry=_why_no_push(config) is None)


def new_run_id(kind: str) -> str:
    """A run id that sorts by time: kind and the UTC time to the microsecond."""
    return f"{kind}-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"


# Where a stage is found that is not named like its module.
_MODULES = {
    "validate_data": "validation",
    "preprocess": "preprocessing",
    "plan_cleaning": "preprocessing",
    "clean_shard": "preprocessing",
    "assemble_cleaned": "preprocessing",
}


def _stage(stage: str) -> Callable[..., StageRecord]:
    """The stage, told of in the log and in MLflow."""

    def tracked(run: RunPaths, config: Config, *part: int) -> StageRecord:
        log.info("%s of run %s", stage, run.run_id)
        function = _function(stage)
        with noted(stage, run, config) as said:
            record: StageRecord = function(run, config, *part)
        if said:  # what happened comes last, whatever was said of MLflow
            log.info("%s", record.summary())
        return record

    return tracked


def _function(stage: str) -> Callable[..., StageRecord]:
    """The stage's function; its room is imported only now, so that a worker needs only its own."""
    from importlib import import_module

    module = _MODULES.get(stage, stage)
    function: Callable[..., StageRecord] = getattr(import_module(f"ml_tasks.{module}"), stage)
    return _with_engine(stage, function) if stage in IMAGE_STAGES else function


def _with_engine(stage: str, function: Callable[..., StageRecord]) -> Callable[..., StageRecord]:
    def with_engine(run: RunPaths, config: Config) -> StageRecord:
        try:
            _check_wanted(stage, config)
        except StageSkipped as skipped:
            run.note_skipped(stage, str(skipped))
            raise
        run.note_wanted()
        from ml_tasks.release.engine import connect

        with closing(connect()) as client:
            return function(run, config, client)

    return with_engine


def _begin(run: RunPaths, config: Config, ask_registry: bool) -> None:
    champion = find_champion(config, ask_registry)
    save_config(config, run.config)
    note_champion(run, champion)


def _check_wanted(stage: str, config: Config) -> None:
    reason = _why_no_image() or (_why_no_push(config) if stage == "push_model" else None)
    if reason:
        raise StageSkipped(reason)


def _why_no_image() -> str | None:
    if os.environ.get("SKIP_DOCKER", "") in ("", "0"):
        return None
    return os.environ.get("SKIP_DOCKER_REASON") or "SKIP_DOCKER is set, so no image is built"


def _why_no_push(config: Config) -> str | None:
    if not config.release.push:
        return "release.push is false: the image stays on this machine"
    return _why_no_image()
