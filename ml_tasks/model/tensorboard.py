"""The curves of a training for TensorBoard, also where it goes on after an interruption."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.event_file_writer import EventFileWriter


def begin_curves(logs: Path, epoch: int) -> None:
    """Makes ready for a training that goes on after `epoch` epochs; 0: older curves are removed.

    What was drawn after that epoch is told to be void: TensorBoard drops it.
    """
    if not epoch:
        shutil.rmtree(logs, ignore_errors=True)
        return
    restarted = SessionLog(status=SessionLog.START)
    for folder in (path for path in logs.glob("*") if path.is_dir()):
        writer = EventFileWriter(str(folder))
        writer.add_event(Event(wall_time=time.time(), step=epoch, session_log=restarted))
        writer.close()
