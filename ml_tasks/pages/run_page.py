"""The pages of one run: what happened, what each stage left, why the model was (not) shipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ml_tasks.pages.answer import Answer
from ml_tasks.pages.frame import framed, told
from ml_tasks.pages.reading import (
    APPROVE,
    approval,
    began_at,
    decided_in_words,
    failure,
    found,
    is_there,
    one_line,
    run_in,
    sentence,
    shown_time,
)
from ml_tasks.pages.site import RETRAINING, Site
from ml_tasks.records import (
    ChangesRecord,
    Decision,
    EvaluationRecord,
    ImageRecord,
    PlanRecord,
    PreprocessRecord,
    ReleaseRecord,
    SmokeRecord,
    StageRecord,
    TrainRecord,
    ValidationRecord,
    Verdict,
)
from ml_tasks.run_paths import RunPaths
from ml_tasks.tracking.notes import facts_of

# Stage, what it is called here, its record, and the files that it leaves for people.
_STAGES: tuple[tuple[str, str, type[StageRecord] | None, tuple[tuple[str, str], ...]], ...] = (
    (
        "validate_data",
        "Data",
        ValidationRecord,
        (
            ("Report", "report.html"),
            ("Data Docs", "data_docs/index.html"),
            ("Manifest", "manifest.csv"),
        ),
    ),
    ("check_changes", "Changes", ChangesRecord, ()),
    ("plan_cleaning", "Split", PlanRecord, (("Leakage certificate", "leakage.html"),)),
    (
        "preprocess",
        "Cleaning",
        PreprocessRecord,
        (
            ("Report with contact sheets", "report.html"),
            ("Contact sheet", "contact_sheet.png"),
            ("Films that lost most", "most_removed.png"),
            ("Leakage certificate", "leakage.html"),
        ),
    ),
    ("train", "Training", TrainRecord, (("History", "history.json"),)),
    (
        "evaluate",
        "Evaluation",
        EvaluationRecord,
        (
            ("Report", "report.html"),
            ("Figures", "metrics.json"),
            ("Predictions", "predictions.csv"),
        ),
    ),
    ("gate", "Gate", Decision, (("Decision", "decision.json"),)),
    (APPROVE, "Approval", None, ()),
    ("build_image", "Image", ImageRecord, ()),
    ("smoke_test", "Smoke test", SmokeRecord, (("Trials", "smoke.json"),)),
    ("push_model", "Release", ReleaseRecord, ()),
)

_RUN = """<h1>Run {{ run.run_id }}</h1>
<p class="lead told">{{ line }}</p>
<p class="quiet">Began {{ began }}.</p>
<ul class="links"><li><a href="{{ site.to('runs', run.run_id, 'why') }}">Why (not) shipped</a></li>
<li><a href="{{ site.to('runs', run.run_id, 'curves') }}">Live curves</a></li>
{% if version %}<li><a href="{{ site.to('releases', version) }}">Release {{ version }}</a></li>
{% endif %}<li>{{ out(in_airflow, "Tasks and logs in Airflow") }}</li>
{% if site.mlflow %}<li>{{ out(site.mlflow, "MLflow", "_blank") }}</li>{% endif %}</ul>
<table><tr><th scope="col">Stage</th><th scope="col">What it did, and what it left</th></tr>
{% for stage in stages %}<tr><th scope="row">{{ stage.title }}</th>
<td><span class="{{ stage.kind }} told">{{ stage.line }}</span>
{% if stage.links %}<ul class="links">{% for text, href in stage.links %}
<li><a href="{{ href }}">{{ text }}</a></li>{% endfor %}</ul>{% endif %}</td></tr>{% endfor %}
</table>
"""

_WHY = """<h1>{{ heading }}</h1>
<p class="lead told">{{ line }}</p>
{% if decided %}<h2>A person decided</h2><p class="told">{{ decided }}{% if when %}, {{ when }}
{% endif %}</p>{% endif %}
{% if decision %}<h2>The rules</h2>
<p>A rule passes if its whole interval lies on the right side of the bound.</p>
<div class="scroll" role="region" aria-label="Table" tabindex="0">
<table><tr><th scope="col">Verdict</th><th scope="col">Rule</th>
<th scope="col" class="number">Value</th><th scope="col" class="number">95 % interval</th>
<th scope="col" class="number">Bound</th></tr>
{% for rule in decision.rules %}<tr><td><span class="state {{ shown[rule.verdict.value] }}">
{{ rule.verdict.value }}</span></td><td>{{ rule.sentence }}<br>
<span class="quiet">{{ rule.rule }}</span></td>
<td class="number">{{ number(rule.value) }}</td>
<td class="number">{{ number(rule.low) }} to {{ number(rule.high) }}</td>
<td class="number">{{ number(rule.bound) }}</td></tr>{% endfor %}</table></div>
<p class="quiet">{% if decision.production %}Compared with what was in production then:
<code>{{ decision.production }}</code>.{% else %}No model was in production then.{% endif %}</p>
{% else %}<p class="warn told">{{ problem or "The gate has not judged this run (yet)." }}</p>
{% endif %}
<ul class="links"><li><a href="{{ site.to('runs', run.run_id) }}">The whole run</a></li>
<li><a href="{{ site.to('runs', run.run_id, 'files', 'evaluate', 'report.html') }}">Report</a></li>
<li>{{ out(in_airflow, "Tasks and logs in Airflow") }}</li></ul>
"""
_SHOWN = {Verdict.PASS: "good", Verdict.INCONCLUSIVE: "warn", Verdict.FAIL: "bad"}


@dataclass(frozen=True)
class Stage:
    """One stage of a run as the page shows it."""

    title: str
    line: str
    kind: str
    links: tuple[tuple[str, str], ...]


def run(site: Site, run_id: str) -> Answer:
    """What happened in a run and what it left."""
    paths = run_in(site.config.paths.runs, run_id)
    if not is_there(paths):
        return _no_such_run(site, run_id)
    shipped = found(paths, ReleaseRecord).record
    values = {
        "run": paths,
        "line": one_line(paths),
        "began": shown_time(began_at(paths)),
        "version": shipped.version if shipped else "",
        "stages": [*_stages(site, paths)],
        "in_airflow": _in_airflow(site, paths),
    }
    return framed(site, f"Run {run_id}", _RUN, values)


def why(site: Site, run_id: str) -> Answer:
    """Why a model was shipped, or was not: each rule with its figure, and who decided."""
    paths = run_in(site.config.paths.runs, run_id)
    if not is_there(paths):
        return _no_such_run(site, run_id)
    gate, decided = found(paths, Decision), approval(paths)
    shipped = found(paths, ReleaseRecord).record is not None
    values = {
        "run": paths,
        "line": one_line(paths),
        "decision": gate.record,
        "problem": gate.problem or failure(paths),
        "decided": sentence(decided_in_words(decided)),
        "when": shown_time(decided.get("when", "")),
        "shown": {verdict.value: kind for verdict, kind in _SHOWN.items()},
        "number": lambda value: "" if value is None else f"{value:.3f}",
        "in_airflow": _in_airflow(site, paths),
    }
    return framed(site, "Why shipped" if shipped else "Why not shipped", _WHY, values)


def contact_sheets(site: Site, run_id: str) -> Answer:
    """The cleaning report, which holds the contact sheets."""
    return Answer(location=site.to("runs", run_id, "files", "preprocess", "report.html"))


def _stages(site: Site, paths: RunPaths) -> Iterator[Stage]:
    for stage, title, kind, files in _STAGES:
        folder = paths.stage(stage)
        links = tuple(
            (text, site.to("runs", paths.run_id, "files", stage, *name.split("/")))
            for text, name in files
            if (folder / name).is_file()
        )
        line, colour = _line(paths, stage, kind)
        yield Stage(title, line, colour, links)


def _line(paths: RunPaths, stage: str, kind: type[StageRecord] | None) -> tuple[str, str]:
    if kind is None:
        decided = approval(paths)
        words = sentence(decided_in_words(decided))
        return words or ("nobody was asked" if decided else "not reached"), ""
    told_of = found(paths, kind)
    if told_of.problem:
        return told_of.problem, "warn"
    if told_of.record is None:
        return "not complete", "quiet"
    return told_of.record.summary(), ""


def _in_airflow(site: Site, paths: RunPaths) -> str:
    """The run in Airflow's page, by the ids that it noted there."""
    try:
        facts = facts_of(paths)
        dag_id, run_id = facts.dag_id or RETRAINING, facts.airflow_run_id or paths.run_id
    except (OSError, ValueError):
        dag_id, run_id = RETRAINING, paths.run_id
    return site.to_dag_run(dag_id, run_id)


def _no_such_run(site: Site, run_id: str) -> Answer:
    return told(
        site,
        "No such run",
        f"{site.config.paths.runs} holds no run {run_id!r}: it has not begun its first stage yet, "
        "it failed before that (its log says why), or its folder was removed.",
    )
