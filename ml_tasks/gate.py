"""Stage gate: PASS, FAIL or INCONCLUSIVE, a sentence a rule; a missing figure is an error."""

from __future__ import annotations

import logging

from ml_tasks.config import Config
from ml_tasks.evaluation.evaluated_run import decision_on
from ml_tasks.records import Decision, EvaluationRecord, PreprocessRecord, TrainRecord, Verdict
from ml_tasks.release.champion import champion_of
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import write_json

log = logging.getLogger(__name__)

_SHOWN = {Verdict.PASS: "ok", Verdict.INCONCLUSIVE: "?", Verdict.FAIL: "FAIL"}


def gate(run: RunPaths, config: Config) -> Decision:
    """Judges the run's metrics by config.gate and writes decision.json.

    Raises:
        MetricError: metrics.json was altered or lacks a figure, or the model was not compared with
            the one in production.
        StageOrderError: evaluate is not complete, or was made from another train or preprocess.
    """
    evaluation = run.load(EvaluationRecord)
    run.check_built_on(evaluation, TrainRecord)
    run.check_built_on(evaluation, PreprocessRecord)
    judged = decision_on(run, config.gate)
    decision = Decision(
        run_id=run.run_id,
        inputs=run.mark(EvaluationRecord),
        verdict=judged.verdict,
        rules=judged.rules,
        production=champion_of(run).digest,
    )
    with run.writing("gate") as work:
        write_json(work / "decision.json", decision.model_dump(mode="json"))
        run.seal(work, decision)
    for rule in decision.rules:
        log.info("%-4s  %s", _SHOWN[rule.verdict], rule.sentence)
    log.info(decision.summary())
    return decision
