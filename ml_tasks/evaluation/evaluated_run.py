"""What an evaluated run has left for the gate's rules, and what they say of it."""

from __future__ import annotations

from pydantic import ValidationError

from ml_tasks.config_gate import GatePolicy
from ml_tasks.dataset.shortcuts import CONTROLS, OUTLINE, ControlResult, read_outline
from ml_tasks.errors import MetricError, StageOrderError
from ml_tasks.evaluation.comparison import Comparison, NoChampion
from ml_tasks.evaluation.gate_rules import decide
from ml_tasks.evaluation.metrics_file import Metrics
from ml_tasks.records import EvaluationRecord, GateDecision, PreprocessRecord
from ml_tasks.release.champion import champion_of
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file


def decision_on(run: RunPaths, policy: GatePolicy) -> GateDecision:
    """What the rules say of an evaluated run under a policy; nothing is written.

    Raises:
        MetricError: metrics.json was altered or lacks a figure, or the model was compared with
            another one than was in production as the run began.
        StageOrderError: evaluate is not complete, or the run has noted no champion.
    """
    metrics = _metrics(run)
    return decide(metrics, _champion(run, metrics), policy, _outline(run))


def _metrics(run: RunPaths) -> Metrics:
    path = run.stage("evaluate") / "metrics.json"
    evaluation = run.load(EvaluationRecord)
    if not path.exists() or sha256_file(path) != evaluation.metrics_sha256:
        raise MetricError(f"{path} is missing or was altered after evaluate; run evaluate again")
    try:
        return Metrics.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise MetricError(
            f"{path}: {place or 'the file'} cannot be used ({problem['msg']}), so nothing can be "
            "decided and nothing is shipped. Look into evaluate's log and run it again"
        ) from error


def _champion(run: RunPaths, metrics: Metrics) -> Comparison | NoChampion:
    """What the model is held against: exactly what was in production as the run began."""
    champion, found = champion_of(run), metrics.comparison
    if found is None and champion.digest is None:
        return NoChampion(proof=champion.proof)
    if found is not None and (found.digest, found.version) == (champion.digest, champion.version):
        return found
    raise MetricError(
        f"evaluate compared the model with {'nothing' if found is None else found.version}, but "
        f"this run noted: {champion.proof}; run evaluate again"
    )


def _outline(run: RunPaths) -> ControlResult | None:
    """What the breast's outline alone tells; None where the cleaned set was made without it."""
    try:
        cleaned = run.load(PreprocessRecord)
        run.check_built_on(run.load(EvaluationRecord), PreprocessRecord)
        if not cleaned.controls_sha256:
            return None
        return read_outline(run.unaltered(cleaned, CONTROLS, cleaned.controls_sha256))
    except StageOrderError:  # a set cleaned by hand makes room for the next one
        return ControlResult(name=OUTLINE, images=0, why="the cleaned set is not there any more")
