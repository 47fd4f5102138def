"""What the stack's own service answers with, at the address that the team uses."""

from __future__ import annotations

import time

import httpx

from ml_tasks.release.ledger import read_moves
from tests.stack.running_stack import RUN_SECONDS, RunningStack


def wait_until_served(stack: RunningStack) -> str:
    """Returns the version that the service answers with, once it is the one in production."""
    moves = read_moves(stack.config.paths.releases)
    assert moves, "nothing was ever released"
    deadline = time.monotonic() + RUN_SECONDS
    while (found := _model(stack)).get("model_version") != moves[-1].version:
        assert time.monotonic() < deadline, f"not {moves[-1].version} answers, but {found}"
        time.sleep(0.5)
    return moves[-1].version


def _model(stack: RunningStack) -> dict[str, str]:
    """What the service says of its model; a refusal says why."""
    try:
        url = f"{stack.url('SERVICE_PORT')}/v1/model"
        return dict(httpx.get(url, timeout=30, trust_env=False).json())
    except httpx.HTTPError as error:
        return {"error": str(error)}
