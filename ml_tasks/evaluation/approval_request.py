"""What a person is shown who must decide whether a judged model ships, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from ml_tasks.evaluation.comparison import COMPARED, Comparison
from ml_tasks.evaluation.levels import Level
from ml_tasks.evaluation.metrics_file import Metrics
from ml_tasks.records import Decision, Record, Split, Verdict

_SHOWN = ("auc", "sensitivity", "specificity", "accuracy", "ece")
_NAMES = {"auc": "AUC", "ece": "calibration error"}
_ASKED = {
    Verdict.PASS: "It passed the gate; approval.ask wants a person all the same.",
    Verdict.INCONCLUSIVE: "The gate cannot tell: the test patients are too few, or it was told to "
    "ask about the first model.",
    Verdict.FAIL: "It failed the gate.",
}


class ApprovalRequest(Record):
    """A headline, the text below it (Markdown), and how long an answer is waited for.

    `decision` is the hash of the gate's record that it is about: an answer is to this one alone.
    """

    subject: str
    body: str
    timeout_hours: float
    decision: str = ""


def request_text(
    run_id: str, decision: Decision, metrics: Metrics, timeout_hours: float
) -> ApprovalRequest:
    """The request to decide about a run; the same run, judged alike, gives the same text."""
    lines = [
        f"**Verdict: {decision.verdict.value}.** {_ASKED[decision.verdict]}",
        "",
        *_figures(metrics),
        "",
        *_rules(decision),
        "",
        *_links(run_id),
        "",
        "**Approve** makes an image of the model, tests it and puts it into production. It needs a "
        "reason, and your name and the reason stay with the release. **Reject** ends the run, "
        f"green; production stays as it is. So does no answer within {timeout_hours:g} hours.",
    ]
    return ApprovalRequest(
        subject=f"{decision.verdict.value}: shall the model of {run_id} ship?",
        body="\n".join(lines),
        timeout_hours=timeout_hours,
    )


def _figures(metrics: Metrics) -> Iterator[str]:
    found = metrics.levels[Split.TEST][Level.PATIENT]
    compared = metrics.comparison
    yield (
        f"{found.patients} test patients, {found.positives} of them {metrics.positive}; in "
        "brackets the 95 % interval."
    )
    yield ""
    yield "| figure | this model |" + (" production | difference |" if compared else "")
    yield "|---|---|" + ("---|---|" if compared else "")
    for name in _SHOWN:
        if name in found.figures:
            row = f"| {_NAMES.get(name, name)} | {found.figures[name]} |"
            yield row + (_beside(compared, name) if compared else "")
    yield ""
    yield _against(compared)


def _beside(compared: Comparison, name: str) -> str:
    cells = [compared.champion.get(name), compared.difference.get(name)]
    if name not in COMPARED:
        cells[1] = None
    return "".join(f" {'–' if cell is None else cell} |" for cell in cells)


def _against(compared: Comparison | None) -> str:
    if compared is None:
        return "No model is in production, so it is compared with none."
    if compared.refused:
        return f"It cannot be compared with production {compared.version}: {compared.refused}"
    return f"In production is {compared.version}, judged on the same test patients."


def _rules(decision: Decision) -> Iterator[str]:
    """What cannot be told comes first; what passed is for the sake of completeness."""
    for verdict, title in (
        (Verdict.INCONCLUSIVE, "Cannot be told"),
        (Verdict.PASS, "Passed"),
    ):
        rules = [rule for rule in decision.rules if rule.verdict is verdict]
        if rules:
            yield f"**{title}**"
            yield ""
            yield from (f"- {rule.sentence}" for rule in rules)
            yield ""


def _links(run_id: str) -> Iterator[str]:
    """As the pages of the Airflow plugin are named."""
    page = f"/mammography/runs/{quote(run_id, safe='')}"
    yield f"[Report]({page}/files/evaluate/report.html) · [All of the run]({page})"
