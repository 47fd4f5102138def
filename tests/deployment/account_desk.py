"""`python -m tests.deployment.account_desk`: runs `access.users` as often as asked, loading once.

One request a line on standard input, as JSON; one answer a line on standard output.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ml_tasks.errors import StackError
from tests.conftest import PROJECT
from tests.waiting import PATIENCE

MARK = "ANSWER "


class Desk:
    """The accounts of one database; runs commands as the stack's compose program does."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "tests.deployment.account_desk"]
        self._process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=PROJECT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def exec(self, service: str, command: Sequence[str], data: bytes | None = None) -> str:
        assert service == "api-server" and command[:3] == ["python3", "-m", "access.users"]
        request = {"words": list(command[3:]), "data": (data or b"").decode()}
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith(MARK):
                told = json.loads(line.removeprefix(MARK))
                if told["status"]:
                    raise StackError(told["error"])
                return str(told["output"])
        raise AssertionError(f"the desk ended with {self._process.wait(PATIENCE)}")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)


def main() -> None:
    """Answers until its input ends."""
    from access import users

    answers = sys.stdout
    for line in sys.stdin:
        request = json.loads(line)
        print(MARK + json.dumps(_answer(users, request)), file=answers, flush=True)


def _answer(users: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    output, error, before = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.StringIO(request["data"])
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(error):
            status = users.main(request["words"])
    finally:
        sys.stdin = before
    return {"status": status, "output": output.getvalue(), "error": error.getvalue()}


if __name__ == "__main__":
    main()
