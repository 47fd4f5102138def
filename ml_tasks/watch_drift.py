"""Stage watch_drift: what the service saw lately against what its model was trained on."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path

from ml_tasks.config import Config
from ml_tasks.monitoring.reference import ReferenceRow, read_reference
from ml_tasks.monitoring.service_log import Seen, Window, read_statistics
from ml_tasks.monitoring.suggestion import Suggestion, suggest_retraining
from ml_tasks.monitoring.verdict import (
    REPORT,
    SUGGESTION,
    SUMMARY,
    VERDICT,
    DriftReport,
    DriftVerdict,
    day_of,
    read_report,
)
from ml_tasks.pages.drift_summary import drift_summary
from ml_tasks.release.champion import find_champion
from ml_tasks.storage import replaced_directory, write_bytes, write_json

log = logging.getLogger(__name__)


def watch_drift(config: Config, until: datetime, run_id: str, ask_registry: bool) -> DriftReport:
    """Writes `<paths.drift>/<day of until, UTC>/`: verdict.json, summary.html, report.html.

    Too few images, nothing in production, and a release of before the comparison are verdicts of
    their own, not errors. A re-run replaces its own day.

    Raises:
        ChampionError: what is in production cannot be told.
        RegistryUnavailable: the registry was to be asked and does not answer.
        DriftError: the release's reference is damaged, or the statistics cannot be read.
        StorageError: no space left, or not writable; the day's report of before is unchanged.
    """
    version = find_champion(config, ask_registry).version
    folder = day_of(config.paths.drift, until)
    with replaced_directory(folder, owned=lambda path: (path / VERDICT).exists()) as work:
        report = _report(config, version, until, run_id, work)
        write_json(work / VERDICT, report.model_dump(mode="json"))
        page = drift_summary(report, (work / REPORT).exists())
        write_bytes(work / SUMMARY, page.encode())
    log.info("%s", folder / SUMMARY)
    # A service that logs nothing looks like a quiet week.
    unseen = report.verdict is DriftVerdict.TOO_FEW and not report.counts.images
    log.log(logging.WARNING if unseen else logging.INFO, "%s", report.summary())
    return report


def suggest(config: Config, day: str) -> Suggestion:
    """What follows from a day's report; the reason is the last line, and stands beside the report.

    Raises:
        DriftError: there is no such report.
        AuditError: the audit log is damaged.
    """
    folder = config.paths.drift / day
    suggestion = suggest_retraining(config.paths.releases, read_report(folder), config.drift)
    write_json(folder / SUGGESTION, suggestion.model_dump(mode="json"))
    log.info("%s", suggestion.reason)
    return suggestion


def _report(
    config: Config, version: str | None, until: datetime, run_id: str, work: Path
) -> DriftReport:
    policy = config.drift
    since = until - timedelta(days=policy.window_days)
    report = DriftReport(
        day=f"{until:%Y-%m-%d}",
        run_id=run_id,
        version=version,
        verdict=DriftVerdict.UNKNOWN,
        reason="no model is in production; there is nothing to compare with",
        since=since.isoformat(timespec="seconds"),
        until=until.isoformat(timespec="seconds"),
        window_days=policy.window_days,
    )
    if version is None:
        return report
    reference = read_reference(config.paths.releases, version)
    if reference is None:
        return _said(
            report,
            DriftVerdict.UNKNOWN,
            f"{version} was released before releases kept what drift is told by; no drift can be "
            "told until the next release",
        )
    seen = read_statistics(config.paths.statistics, Window(version, since, until))
    return _held_against(config, report, reference, seen, work)


def _held_against(
    config: Config, report: DriftReport, reference: list[ReferenceRow], seen: Seen, work: Path
) -> DriftReport:
    report = report.model_copy(
        update={
            "counts": seen.line_counts(),
            "reference_images": len(reference),
            "quality": {code: count / seen.images for code, count in sorted(seen.quality.items())},
            "formats": dict(seen.formats.most_common()),
        }
    )
    if seen.images < config.drift.min_images:
        return _said(report, DriftVerdict.TOO_FEW, _too_few(config, report))
    from ml_tasks.monitoring.comparison import compare  # Evidently takes seconds to load

    compared = compare(reference, seen, config.drift, work / REPORT)
    past = [rule for rule in compared.rules if not rule.passed]
    reason = "; ".join(rule.sentence for rule in past or compared.rules)
    if compared.score is None:
        reason += (
            f"; the probabilities were not compared: the release keeps only {compared.scores} "
            "of its own"
        )
    found = {
        "rules": compared.rules,
        "figures": compared.figures,
        "score": compared.score,
        "reference_scores": compared.scores,
    }
    verdict = DriftVerdict.DRIFT if past else DriftVerdict.NO_DRIFT
    return _said(report.model_copy(update=found), verdict, reason)


def _said(report: DriftReport, verdict: DriftVerdict, reason: str) -> DriftReport:
    return report.model_copy(update={"verdict": verdict, "reason": reason})


def _too_few(config: Config, report: DriftReport) -> str:
    counts, folder = report.counts, config.paths.statistics
    text = (
        f"{counts.images} of {config.drift.min_images} images of {report.version} in "
        f"{config.drift.window_days:g} days"
    )
    if not counts.files:
        return (
            f"{text}: {folder} holds no statistics (*.jsonl); start the service with "
            "MAMMO_STATISTICS naming a file there (docs/drift.md)"
        )
    left = {
        "of other releases": counts.other_version,
        "the same picture again": counts.repeated,
        "older": counts.earlier,
        "later than this run (is a clock wrong?)": counts.later,
        "unusable": counts.unusable,
        "not the service's": counts.foreign,
    }
    told = ", ".join(f"{count} {what}" for what, count in left.items() if count)
    silent = (
        ""
        if counts.images
        else (f"; not one: does the service run, with this release, and still write to {folder}?")
    )
    return f"{text}{f'; left out: {told}' if told else ''}{silent}"
