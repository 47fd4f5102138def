"""A runtime in a process of its own that answers a command a line, so that none disturbs others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.table import PROJECT

Handler = Callable[..., Any]


class Worker:
    """The parent's end: `ask` sends a command and gives the answer."""

    def __init__(self, python: Path, module: str, arguments: Sequence[str] = ()) -> None:
        self._name = " ".join((module, *arguments[:1]))
        self._process = subprocess.Popen(
            [str(python), "-m", module, *arguments],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT), "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, command: str, *values: Any) -> Any:
        """The answer to a command.

        Raises:
            RuntimeError: the process has ended; it said why on stderr.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([command, *values]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended with {self._process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


def answer_commands(handlers: Mapping[str, Handler]) -> None:
    """The child's end: answers until the parent closes the pipe.

    Whatever else prints goes to stderr, so that it cannot be taken for an answer.
    """
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        command, *values = json.loads(line)
        print(json.dumps(handlers[command](*values)), file=out, flush=True)
