"""The service's environment: defaults, and every bad value named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ml_tasks.errors import ConfigError
from ml_tasks.serving.settings import Settings
from tests.waiting import PATIENCE

NUMBERS = (
    "PORT",
    "MAX_BODY",
    "MAX_BODIES",
    "MAX_FILES",
    "AT_ONCE",
    "QUEUE",
    "RECEIVE_SECONDS",
    "ANSWER_SECONDS",
    "STATISTICS_BYTES",
    "STATISTICS_FILES",
)


def test_defaults_fit_the_image() -> None:
    assert Settings.from_environment({}) == Settings(Path("/release"), "0.0.0.0", 8001)
    assert Settings().api_key is None and Settings().cors_origins == ()


@pytest.mark.parametrize("value", ["", "eight", "0", "99999999999999", "-1", "1.5", "\u0663"])
def test_a_bad_number_is_named(value: str) -> None:
    for name in NUMBERS:
        with pytest.raises(ConfigError, match=f"MAMMO_{name} is"):
            Settings.from_environment({f"MAMMO_{name}": value})


def test_the_largest_request_fits_among_all_of_them() -> None:
    """Else it would be told for ever that the service is busy."""
    with pytest.raises(
        ConfigError, match="MAMMO_MAX_BODIES is 268435456, less than MAMMO_MAX_BODY"
    ):
        Settings.from_environment({"MAMMO_MAX_BODY": "300000000"})
    both = {"MAMMO_MAX_BODY": "300000000", "MAMMO_MAX_BODIES": "300000000"}
    assert Settings.from_environment(both).max_bodies == 300_000_000


def test_a_key_is_never_quoted() -> None:
    for key in ("", "two words", "ümlaut", "x" * 513):
        with pytest.raises(ConfigError, match="MAMMO_API_KEY holds no usable key") as refusal:
            Settings.from_environment({"MAMMO_API_KEY": key})
        assert not key or key not in str(refusal.value)
    assert "secret" not in repr(Settings.from_environment({"MAMMO_API_KEY": "secret"}))


def test_a_key_comes_from_one_place(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("of-the-file\n")
    named = {"MAMMO_API_KEY_FILE": str(tmp_path / "key")}
    assert Settings.from_environment(named).api_key == "of-the-file"
    with pytest.raises(ConfigError, match="are both set; keep one"):
        Settings.from_environment({**named, "MAMMO_API_KEY": "other"})
    with pytest.raises(ConfigError, match="MAMMO_API_KEY_FILE names .* cannot be read"):
        Settings.from_environment({"MAMMO_API_KEY_FILE": str(tmp_path / "none")})


def test_origins_are_a_list_without_paths() -> None:
    found = Settings.from_environment({"MAMMO_CORS_ORIGINS": "https://a.example, http://b:80,"})
    assert found.cors_origins == ("https://a.example", "http://b:80")
    for wrong in ("a.example", "https://a.example/x", "ftp://a"):
        with pytest.raises(ConfigError, match="MAMMO_CORS_ORIGINS holds"):
            Settings.from_environment({"MAMMO_CORS_ORIGINS": wrong})


def test_statistics_go_where_a_file_can_be(tmp_path: Path) -> None:
    for right in ("off", "stdout", str(tmp_path / "figures.jsonl")):
        assert Settings.from_environment({"MAMMO_STATISTICS": right}).statistics == right
    for wrong in ("", "on", "figures.jsonl", str(tmp_path / "no" / "such" / "folder")):
        with pytest.raises(ConfigError, match="MAMMO_STATISTICS is"):
            Settings.from_environment({"MAMMO_STATISTICS": wrong})


@pytest.mark.parametrize("name", ["MAMMO_QUEUE", "MAMMO_STATISTICS"])
def test_the_service_ends_with_status_2_and_names_it(name: str, tmp_path: Path) -> None:
    """A folder in the place of the statistics' file is seen only when it is opened."""
    done = subprocess.run(
        [sys.executable, "-m", "ml_tasks.serving"],
        env={"PYTHONPATH": ":".join(sys.path), name: str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 2
    assert f"{name} is '{tmp_path}'" in done.stderr and "Traceback" not in done.stderr
