"""One archive of all that cannot be made again, while the stack works."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import yaml

from ml_tasks.deployment.archive import BACKUP, open_archive
from ml_tasks.deployment.backup import back_up
from ml_tasks.errors import StackError
from ml_tasks.storage import locked
from tests.deployment.kept_stack import KeptStack
from tests.waiting import ended, until


def test_the_archive_is_private_and_says_what_was_in_production(kept_stack: KeptStack) -> None:
    assert kept_stack.kept.path.stat().st_mode & 0o777 == 0o600
    about = open_archive(kept_stack.kept.path, BACKUP).about
    last = kept_stack.releases[-1]
    assert about["production"] == {"version": last.version, "digest": last.digest}


def test_a_backup_waits_for_the_release_that_is_on_its_way(
    kept_stack: KeptStack, tmp_path: Path
) -> None:
    """Ledger, audit log and tag are copied while none of them moves."""
    said: list[str] = []
    running = kept_stack.running
    with locked(running.shared / "releases" / "production"):
        thread = threading.Thread(
            target=back_up, args=(running.project, tmp_path, said.append), daemon=True
        )
        thread.start()
        until(lambda: any("waiting until the release" in line for line in said), "it did not wait")
        assert not any("registry.tar" in line for line in said)
    ended(thread)
    (archive,) = tmp_path.glob("*.tar")
    assert open_archive(archive, BACKUP).about["production"]


def test_the_workers_lock_stays_theirs(kept_stack: KeptStack) -> None:
    """Made by root, the file of the lock would keep every push out from then on."""
    if os.geteuid() != 0:
        pytest.skip("only root makes files that others cannot write")
    lock = kept_stack.running.shared / "releases" / ".production.lock"
    assert lock.stat().st_uid == lock.parent.stat().st_uid


def test_what_config_places_elsewhere_is_no_silent_gap(
    kept_stack: KeptStack, tmp_path: Path
) -> None:
    """A backup without the ledger, or the key that signs, would be found out at the restore."""
    file = kept_stack.running.shared / "config.yaml"
    as_it_came = file.read_text()
    content = yaml.safe_load(as_it_came)
    content["paths"]["splits"] = "other/splits"
    content.setdefault("release", {})["signing_key"] = "unit.pem"
    file.write_text(yaml.safe_dump(content))
    try:
        with pytest.raises(StackError) as refused:
            back_up(kept_stack.running.project, tmp_path, lambda _: None)
        assert "paths.splits is /mammo/other/splits, and must be splits" in str(refused.value)
        assert "/mammo/unit.pem; move it to releases/unit.pem" in str(refused.value)
        file.write_text("paths: [\n")
        with pytest.raises(StackError, match="config.yaml is no valid YAML"):
            back_up(kept_stack.running.project, tmp_path, lambda _: None)
    finally:
        file.write_text(as_it_came)
    assert not list(tmp_path.iterdir())
