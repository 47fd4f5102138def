"""`mammo approve`: tells what a person must decide about a run, and takes the answer."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ml_tasks import sequences
from ml_tasks.config import load_config
from ml_tasks.errors import ApprovalPending, ConfigError, GateRefused
from ml_tasks.release.approval import Answer, ApprovalRecord
from ml_tasks.release.audit import person_here

_ANSWERS = {"approve": Answer.APPROVED, "reject": Answer.REJECTED}


def add_answer(command: argparse.ArgumentParser) -> None:
    """Adds the answer and its reason to the stage's command."""
    command.add_argument("--answer", choices=_ANSWERS, help="if not given: says what is asked")
    command.add_argument("--reason", default="", metavar="TEXT", help="why; kept in the audit log")


def answer_or_ask(chosen: argparse.Namespace, settings: dict[str, Any]) -> int:
    """Takes the answer, if there is one; else tells what is asked, or that nobody need be.

    Raises:
        ApprovalPending: a person must decide first.
        MammoError: whatever approve refuses.
    """
    if chosen.answer is None:
        if chosen.reason:
            raise ConfigError("--reason without --answer; say --answer approve or --answer reject")
        record = _asked(chosen, settings)
    else:
        from ml_tasks.approve import answer

        run, config = sequences.reopened(chosen.run, chosen.config)
        config = load_config(run.config, settings, chosen.config.absolute().parent)
        record = answer(run, config, _ANSWERS[chosen.answer], person_here(), chosen.reason)
        sys.stdout.write(f"{record.summary()}\n")
        if record.passed:
            sys.stdout.write(f"it ships with: mammo release --run '{chosen.run}'\n")
    return 0 if record.passed else GateRefused.exit_status


def _asked(chosen: argparse.Namespace, settings: dict[str, Any]) -> ApprovalRecord:
    from ml_tasks.approve import request

    try:
        record = sequences.run_stage(ApprovalRecord.stage, chosen.run, chosen.config, settings)
    except ApprovalPending:
        asked = request(*sequences.reopened(chosen.run, chosen.config))
        sys.stdout.write(f"{asked.subject}\n\n{asked.body}\n")
        sys.stdout.flush()
        raise
    assert isinstance(record, ApprovalRecord)
    return record
