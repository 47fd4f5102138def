"""The service's environment: defaults, and every bad value named."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_tasks.errors import ConfigError
from ml_tasks.serving.settings import Settings


def test_defaults_fit_the_image() -> None:
    assert Settings.from_environment({}) == Settings(Path("/release"), "0.0.0.0", 8001)
    assert Settings().api_key is None and Settings().cors_origins == ()


@pytest.mark.parametrize("value", ["", "eight", "0", "70000", "-1", "\u0663"])
def test_a_bad_port_is_named(value: str) -> None:
    with pytest.raises(ConfigError, match="MAMMO_PORT is"):
        Settings.from_environment({"MAMMO_PORT": value})
