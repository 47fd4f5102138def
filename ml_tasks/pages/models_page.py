"""The page Models: every release and every candidate that was not released, the newest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_tasks.pages.answer import Answer
from ml_tasks.pages.audit_page import ENTRIES, audit_shown
from ml_tasks.pages.frame import framed
from ml_tasks.pages.reading import (
    DAMAGED,
    approval,
    began_at,
    decided_in_words,
    figure,
    found,
    is_there,
    json_of,
    one_line,
    release_line,
    run_in,
    shown_time,
    was_refused,
    written_at,
)
from ml_tasks.pages.serving_now import Serving, serving_now
from ml_tasks.pages.site import Site
from ml_tasks.records import Decision, PreprocessRecord, ReleaseRecord, ValidationRecord, Verdict
from ml_tasks.release.releases import Shipped
from ml_tasks.run_paths import RECORD, RunPaths
from ml_tasks.tracking.notes import facts_of

SHOWN = 60  # candidates; what is older is named by its number. Every release can be gone back to
FIGURES = (("AUC", "auc"), ("sensitivity", "sensitivity"), ("specificity", "specificity"))
_LIVE, _GOOD, _WARN, _BAD, _QUIET = "SERVES", "good", "warn", "bad", "quiet"


@dataclass(frozen=True)
class Row:
    """One release or candidate, as the page shows it."""

    name: str
    moment: str  # UTC, ISO
    state: str
    kind: str  # good | warn | bad | quiet
    line: str  # what happened, in one line
    run_id: str = ""
    href: str = ""
    figures: tuple[tuple[str, str, str], ...] = ()  # name, of this model, less production
    against: str = ""
    certificate: str = ""
    certificate_href: str = ""
    digest: str = ""
    roll_back: str = ""
    links: tuple[tuple[str, str], ...] = field(default=())

    @property
    def when(self) -> str:
        return shown_time(self.moment)


_MAIN = """<h1>Models</h1>
{% if serving.version %}<p class="lead"><strong>{{ serving.version }}</strong> serves.</p>
{% elif serving.unknown %}<p class="lead bad">What serves is no release as the
ledger last noted it: <code>{{ serving.unknown }}</code>.</p>
{% elif serving.known and serving.shipped %}<p class="lead bad">No model serves:
{{ serving.repository }} holds no <code>production</code>.</p>
{% elif serving.known %}<p class="lead">No model serves: nothing was released to
{{ serving.repository }} yet.</p>
{% else %}<p class="lead warn">What serves is not known just now.</p>{% endif %}
{% for problem in serving.problems %}<p class="warn told" role="status">{{ problem }}</p>
{% endfor %}
<p>Every release and every candidate that was not released, the newest first. Figures are of test
patients, with 95 % intervals.</p>
{% if newest %}<p class="told">The newest run, <a href="{{ newest.href }}">{{ newest.name }}</a>
({{ newest.when }}): {{ newest.line }}</p>{% endif %}
{% for row in rows %}<article aria-label="{{ row.name }}">
<h2>{% if row.href %}<a href="{{ row.href }}">{{ row.name }}</a>{% else %}{{ row.name }}{% endif %}
 <span class="state {{ row.kind }}">{{ row.state }}</span></h2>
<p class="quiet">{{ row.when }}{% if row.run_id and row.run_id != row.name %}, run
{{ row.run_id }}{% endif %}</p>
<p class="told">{{ row.line }}</p>
{% if row.figures %}<div class="scroll" role="region" tabindex="0"
aria-label="Figures of {{ row.name }}">
<table><tr><th scope="col">Test patients</th>
<th scope="col" class="number">This model</th>
<th scope="col" class="number">Against production</th></tr>
{% for name, own, less in row.figures %}<tr><th scope="row">{{ name }}</th>
<td class="number">{{ own }}</td><td class="number">{{ less or "-" }}</td></tr>{% endfor %}
</table></div><p class="quiet">{{ row.against }}</p>{% endif %}
{% if row.certificate %}<p>Data: {% if row.certificate_href %}
<a href="{{ row.certificate_href }}">{{ row.certificate }}</a>{% else %}{{ row.certificate }}
{% endif %}</p>{% endif %}
{% if row.digest %}<p class="quiet">Image <code>{{ row.digest }}</code></p>{% endif %}
<ul class="links">{% for text, href in row.links %}<li><a href="{{ href }}">{{ text }}</a></li>
{% endfor %}{% if mlflow and row.run_id %}<li>{{ out(mlflow, "MLflow", "_blank") }}</li>{% endif %}
{% if row.roll_back %}<li>
<a class="button" data-leaves="_self" href="{{ row.roll_back }}"
aria-label="Roll back to {{ row.name }}">Roll back to this</a></li>{% endif %}</ul>
</article>{% else %}<p>Nothing was trained yet: start the retraining with its Trigger.</p>
{% endfor %}
{% if older %}<p class="quiet">And {{ older }} older candidates, in {{ runs }}.</p>
{% endif %}
{% if not mlflow %}<p class="quiet">MLflow: no address is known here (docs/tracking.md).</p>
{% endif %}
<h2>Who did what</h2>
{% if audit.problem %}<p class="bad told" role="alert">{{ audit.problem }}</p>{% endif %}
<ul>{% for entry in audit.entries %}<li>{{ entry }}</li>{% else %}<li>Nothing yet.</li>
{% endfor %}</ul>
<p><a href="{{ site.to('audit') }}">The whole audit log</a></p>
"""


def models(site: Site) -> Answer:
    """The page; whatever cannot be read or reached is said in its place."""
    serving = serving_now(site.config)
    rows = [*_releases(site, serving)]
    others = [*_candidates(site, {row.run_id for row in rows}, {row.name for row in rows})]
    others.sort(key=_by_time, reverse=True)
    rows += others[:SHOWN]
    rows.sort(key=_by_time, reverse=True)
    values = {
        "serving": serving,
        "rows": rows,
        "older": len(others[SHOWN:]),
        "newest": _newest(site, {row.run_id for row in (*rows, *others)}),
        "runs": site.config.paths.runs,
        "mlflow": site.mlflow,
        "audit": audit_shown(site.config.paths.releases, ENTRIES),
    }
    return framed(site, "Models", _MAIN, values)


def _newest(site: Site, shown: set[str]) -> Row | None:
    """The newest run, if it is none of those shown: it goes on, failed, or found nothing new."""
    folders = [path.parent for path in site.config.paths.runs.glob("*/config.yaml")]
    folder = max(folders, key=written_at, default=None)
    if folder is None:
        return None
    run = run_in(site.config.paths.runs, folder.name)
    began = found(run, ValidationRecord).record
    run_id = began.run_id if began is not None else _noted_id(run) or folder.name
    if {run_id, folder.name} & shown:
        return None
    href = site.to("runs", folder.name)
    return Row(run_id, began_at(run), "", _QUIET, one_line(run), href=href)


def _noted_id(run: RunPaths) -> str:
    try:
        return facts_of(run).run_id
    except DAMAGED:
        return ""


def _by_time(row: Row) -> str:
    return row.moment[:19]


def _releases(site: Site, serving: Serving) -> Iterator[Row]:
    folder = site.config.paths.releases
    sealed = {path.parent.name for path in folder.glob("*Z-*/bundle") if path.is_dir()}
    for version in sorted(sealed | set(serving.shipped), reverse=True):
        shipped = serving.shipped.get(version)
        try:
            yield _release(site, serving, version, shipped)
        except DAMAGED as error:
            state, kind = _state(serving, shipped)
            yield _unreadable(version, state, kind, site.to("releases", version), error)


def _release(site: Site, serving: Serving, version: str, shipped: Shipped | None) -> Row:
    bundle = site.config.paths.releases / version / "bundle"
    run_id = str(json_of(bundle / "lineage.json").get("run_id") or "")
    run = run_in(site.config.paths.runs, run_id) if run_id else None
    state, kind = _state(serving, shipped)
    can = shipped is not None and state != _LIVE and not shipped.pruned
    there = run is not None and is_there(run)
    return Row(
        name=version,
        moment=shipped.shipped_at if shipped else written_at(bundle),
        state=state,
        kind=kind,
        line=release_line(bundle),
        run_id=run_id,
        href=site.to("releases", version),
        digest=shipped.digest if shipped else "",
        roll_back=site.to("releases", version, "rollback") if can else "",
        certificate=_certificate(run) if run else "",
        certificate_href=_certificate_page(site, run) if run else "",
        links=_links(site, run if there else None, version),
        **_figures(bundle / "metrics.json"),
    )


def _state(serving: Serving, shipped: Shipped | None) -> tuple[str, str]:
    if shipped is None:
        return ("built, never in production" if serving.listed else "not known"), _QUIET
    if shipped.serves:
        return _LIVE, _GOOD
    if shipped.pruned and not shipped.in_registry:
        return "image removed", _QUIET
    if shipped.previous:
        return "stood before", _QUIET
    return ("was in production" if serving.known else "in production or was"), _QUIET


def _unreadable(name: str, state: str, kind: str, href: str, error: BaseException) -> Row:
    """One that cannot be read must not take the others away; above all not what serves."""
    line = f"its files cannot be read ({type(error).__name__}: {str(error)[:200]})"
    return Row(name, "", state, kind, line, href=href)


def _candidates(site: Site, released: set[str], versions: set[str]) -> Iterator[Row]:
    """Every run that came to the gate and made no release."""
    for path in site.config.paths.runs.glob(f"*/gate/{RECORD}"):
        folder = path.parent.parent.name
        try:
            yield from _candidate_of(site, path, released, versions)
        except DAMAGED as error:
            yield _unreadable(folder, "not readable", _WARN, site.to("runs", folder), error)


def _candidate_of(site: Site, path: Path, released: set[str], versions: set[str]) -> Iterator[Row]:
    """The run whose gate has left this record, unless its release is shown already."""
    folder = path.parent.parent
    run_id = str(json_of(path).get("run_id") or folder.name)
    run = run_in(site.config.paths.runs, run_id)
    if run.root != folder:  # the record is damaged: its folder's name is all that is known
        run = RunPaths(site.config.paths.runs, folder.name)
    shipped = found(run, ReleaseRecord).record  # where its release no longer names the run
    if run_id not in released and (shipped is None or shipped.version not in versions):
        yield _candidate(site, run)


def _candidate(site: Site, run: RunPaths) -> Row:
    state, kind = _outcome(run)
    return Row(
        name=run.run_id,
        moment=began_at(run),
        state=state,
        kind=kind,
        line=one_line(run),
        run_id=run.run_id,
        href=site.to("runs", run.run_id),
        certificate=_certificate(run),
        certificate_href=_certificate_page(site, run),
        links=_links(site, run, None),
        **_figures(run.stage("evaluate") / "metrics.json"),
    )


def _outcome(run: RunPaths) -> tuple[str, str]:
    decision, decided = found(run, Decision).record, approval(run)
    if decision is None:
        return "not readable", _WARN
    if was_refused(decided):
        return decided_in_words(decided).partition(":")[0], _BAD
    if decision.verdict is Verdict.FAIL:
        return "failed the gate", _BAD
    if decision.verdict is Verdict.INCONCLUSIVE:
        return "inconclusive", _WARN
    return "passed, not released (yet)", _QUIET


def _certificate(run: RunPaths) -> str:
    cleaned = found(run, PreprocessRecord)
    return cleaned.problem or (cleaned.record.certificate if cleaned.record else "")


def _certificate_page(site: Site, run: RunPaths) -> str:
    there = (run.stage("preprocess") / "leakage.html").is_file()
    return site.to("runs", run.run_id, "files", "preprocess", "leakage.html") if there else ""


def _figures(metrics: Path) -> dict[str, Any]:
    """The patients' figures of a metrics.json and its comparison, as far as they are there."""
    content = json_of(metrics)
    try:
        own = content["levels"]["test"]["patient"]["figures"]
        compared = content.get("comparison") or {}
        less = compared.get("difference") or {}
        rows = [(name, figure(own.get(key)), figure(less.get(key), "+")) for name, key in FIGURES]
    except DAMAGED:
        return {"against": "", "figures": ()}
    return {"figures": tuple(rows), "against": _against(compared)}


def _against(compared: dict[str, Any]) -> str:
    if not compared:
        return "It was compared with no other model: none was in production then."
    version, refused = compared.get("version", "?"), compared.get("refused")
    if refused:
        return f"It could not be compared with {version}, in production then: {refused}"
    return f"Production then was {version}; the same test patients."


def _links(site: Site, run: RunPaths | None, version: str | None) -> tuple[tuple[str, str], ...]:
    links: list[tuple[str, str]] = []
    if version is not None:
        links += [("Release", site.to("releases", version))]
        links += [("Model card", site.to("releases", version) + "#card")]
    if run is None:
        return tuple(links)
    of = ("runs", run.run_id)
    places = (
        ("Report", ("evaluate", "report.html")),
        ("Data report", ("validate_data", "report.html")),
        ("Data Docs", ("validate_data", "data_docs", "index.html")),
        ("Contact sheets", ("preprocess", "report.html")),
    )
    links.append(("Why (not) shipped", site.to(*of, "why")))
    links += [
        (text, site.to(*of, "files", *steps))
        for text, steps in places
        if run.stage(steps[0]).joinpath(*steps[1:]).is_file()
    ]
    links += [("Curves", site.to(*of, "curves")), ("Run", site.to(*of))]
    return tuple(links)
