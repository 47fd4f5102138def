"""Event files as training writes them, for TensorBoard."""

from __future__ import annotations

import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter


def write_curves(logs: Path, epochs: int = 12) -> None:
    """A loss that falls, of training and validation."""
    for folder, offset in (("train", 0.0), ("validation", 0.1)):
        writer = EventFileWriter(str(logs / folder))
        for epoch in range(epochs):
            value = Summary.Value(tag="epoch_loss", simple_value=offset + 0.7 / (1 + epoch))
            summary = Summary(value=[value])
            writer.add_event(Event(wall_time=time.time(), step=epoch, summary=summary))
        writer.close()
