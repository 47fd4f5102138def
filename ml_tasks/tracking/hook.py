"""After a stage: MLflow hears of it where that is worth its time, and the stage never waits for it.

Registering takes about 8 s, nearly all of it MLflow's own start. So a run is noted once its gate
has judged it, with everything up to there, and once more when its release is pushed; else only when
a stage from train on fails. While training runs, TensorBoard shows it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ml_tasks.config import Config
from ml_tasks.errors import (
    ApprovalPending,
    ConfigError,
    MammoError,
    RunBusy,
    StageOrderError,
    StageSkipped,
    TrainingStopped,
)
from ml_tasks.records import STAGES, Decision, ReleaseRecord, TrainRecord
from ml_tasks.release.lineage import code_sha256
from ml_tasks.run_paths import RunPaths
from ml_tasks.tracking.backlog import settle
from ml_tasks.tracking.notes import facts_of, keep_facts, keep_pending

log = logging.getLogger(__name__)

_STAGES = STAGES[STAGES.index(TrainRecord.stage) :]
_TOLD_AFTER = (Decision.stage, ReleaseRecord.stage)
# Nothing was tried that MLflow should know of; and who is told to stop has 5 s to do so.
_NO_FAILURE = (
    ApprovalPending,
    StageSkipped,
    StageOrderError,
    ConfigError,
    RunBusy,
    TrainingStopped,
)
_SECONDS = 120.0  # for a slow network; a server that is down ends it within 20


@contextmanager
def noted(stage: str, run: RunPaths, config: Config) -> Iterator[list[str]]:
    """Around a stage: what it ends with stands in the run's directory, and soon in MLflow.

    Yields a list that holds, once the block has ended, what was said of MLflow in the log.

    Raises:
        Exception: what the stage raises, and nothing else.
    """
    if stage not in _STAGES or not config.tracking.enabled:
        yield []
        return
    said: list[str] = []
    try:
        yield said
    except _NO_FAILURE:
        raise
    except Exception as error:
        # The text may name a patient's file: it stays in the log.
        _note(stage, run, config, f"{type(error).__name__}; the log of {stage} says why")
        raise
    said += _note(stage, run, config, "")


def _note(stage: str, run: RunPaths, config: Config, failure: str) -> list[str]:
    try:
        _keep(stage, run, failure)
        if failure or stage in _TOLD_AFTER:
            keep_pending(run, "not registered yet")
            outcome = settle(config, [run.run_id], _SECONDS)
            if run.run_id not in outcome.done:
                return _warned(outcome.advice(run.run_id))
    except (MammoError, OSError, ValueError) as error:
        return _warned(f"{stage} is not noted for MLflow: {error}")
    return []


def _warned(text: str) -> list[str]:
    log.warning("%s", text)
    return [text]


def _keep(stage: str, run: RunPaths, failure: str) -> None:
    before = facts_of(run)
    facts = before.model_copy(
        update={
            "code_sha256": before.code_sha256 | {stage: code_sha256()},
            "dag_id": os.environ.get("AIRFLOW_CTX_DAG_ID", before.dag_id),
            "airflow_run_id": os.environ.get("AIRFLOW_CTX_DAG_RUN_ID", before.airflow_run_id),
            "failed_stage": stage if failure else "",
            "failure": failure,
        }
    )
    keep_facts(run, facts)
