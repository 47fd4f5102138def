"""SIGTERM while training: ends at once, or between batches, never within a checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pytest

from ml_tasks.config import ModelConfig
from ml_tasks.errors import TrainingStopped
from ml_tasks.model.batch_norm import RefreshBatchNorm
from ml_tasks.model.callbacks import BetweenBatches
from ml_tasks.model.stopping import StopRequest, stopping_at_sigterm
from ml_tasks.model.training_network import Batches
from tests.builders import toy_network
from tests.waiting import until


def kept() -> str:
    return "the checkpoint of epoch 3 is kept"


def lost(stop: StopRequest) -> None:
    """A request whose exception went nowhere, as in a destructor that the garbage collector ran."""
    with pytest.raises(BaseException, match=r"^$"):
        stop.ask()


def batches() -> Batches:
    return Batches(np.zeros((4, 128, 128), np.uint8), np.zeros(4, np.float32), np.arange(4), 2)


def test_sigterm_ends_the_block_at_once_and_says_how_to_go_on() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with (
        pytest.raises(TrainingStopped, match=r"end; the checkpoint of epoch 3 is kept\. Run train"),
        stopping_at_sigterm(kept),
    ):
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("it went on")
    assert signal.getsignal(signal.SIGTERM) == before
    assert TrainingStopped.exit_status == 143


def test_no_except_clause_for_errors_holds_it_up() -> None:
    """TensorFlow wraps every Exception that passes through its tracing."""
    with pytest.raises(TrainingStopped), stopping_at_sigterm(kept):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Exception:  # noqa: BLE001 - that is the point
            pytest.fail("it was held up")


def test_a_checkpoint_that_is_being_written_is_finished_first() -> None:
    written = []
    with pytest.raises(TrainingStopped), stopping_at_sigterm(kept) as stop:
        with stop.held():
            os.kill(os.getpid(), signal.SIGTERM)
            written.append("whole")
        written.append("more")
    assert written == ["whole"]


def test_a_request_whose_exception_was_lost_is_met_between_batches() -> None:
    with pytest.raises(TrainingStopped), stopping_at_sigterm(kept) as stop:
        lost(stop)
        BetweenBatches(batches(), stop).on_train_batch_begin(7)
    with pytest.raises(TrainingStopped), stopping_at_sigterm(kept) as stop:
        lost(stop)
        BetweenBatches(batches(), stop).on_test_batch_begin(7)


def test_measuring_batch_norms_ends_between_batches() -> None:
    """Over a large training set it takes as long as half an epoch."""
    network = toy_network(ModelConfig(weights="none"))
    with pytest.raises(TrainingStopped), stopping_at_sigterm(kept) as stop:
        lost(stop)
        RefreshBatchNorm(network, batches(), stop).on_test_begin()
    assert network.get_layer("conv5_bn").momentum == 0.99


LONG = """
import hashlib, logging, sys
from ml_tasks.model import stopping
logging.basicConfig()
stopping.PATIENCE = 0.5
with stopping.stopping_at_sigterm(lambda: "the checkpoint of epoch 3 is kept"):
    print("begun", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # like a batch: one call, not in Python
"""


def processor_seconds(pid: int) -> float:
    """How long a process has calculated so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_batch_that_takes_too_long_ends_with_its_process_and_it_says_so() -> None:
    """No handler runs before the call returns, in minutes; SIGKILL would leave no word."""
    words = [sys.executable, "-c", LONG]
    with subprocess.Popen(words, stdout=PIPE, stderr=PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        # Before the call has begun the handler would run; no work but the call's takes that long.
        before = processor_seconds(process.pid)
        until(lambda: processor_seconds(process.pid) > before + 0.2, "the call has not begun")
        process.terminate()
        _, said = process.communicate()
    assert process.returncode == 143
    assert "the checkpoint of epoch 3 is kept. Run train again" in said
    assert "in the middle of a batch" in said


def test_outside_of_the_main_thread_no_handler_is_asked_for() -> None:
    """Python would raise ValueError."""
    ended = []

    def train() -> None:
        with stopping_at_sigterm(kept):
            ended.append("well")

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert ended == ["well"]


def test_a_forked_child_does_not_take_the_signal_for_its_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its handler is inherited, and the parent's training is none of its business."""
    monkeypatch.setattr("ml_tasks.model.stopping.PATIENCE", 0.0)  # the watcher would end this test
    with stopping_at_sigterm(kept):
        child = os.fork()
        if not child:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        time.sleep(0.2)
