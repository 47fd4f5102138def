"""What the service is made of: its locks and sources alone must be enough to import it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from ml_tasks.release.serving_base import checkout_file, serving_sources

ALLOWED = ("errors", "records", "storage", "imaging", "inference", "release.bundle", "serving")


def test_the_sources_import_nothing_of_this_package_that_is_not_shipped() -> None:
    for name, path in serving_sources().items():
        for module in re.findall(r"(?:from|import) ml_tasks\.([\w.]+)", path.read_text()):
            assert module.startswith(ALLOWED), f"{name} imports ml_tasks.{module}"


def test_the_lock_names_no_index_and_every_hash() -> None:
    text = checkout_file("requirements/serving.txt").read_text()
    assert "://" not in text and "index" not in text
    pins = re.findall(r"^\S+==\S+", text, re.MULTILINE)
    assert len(pins) >= 10
    assert len(re.findall(r"^\S+==\S+ \\\n    --hash=sha256:", text, re.MULTILINE)) == len(pins)


@pytest.mark.parametrize("name", ["numpy", "onnxruntime", "opencv-python-headless", "pillow"])
def test_every_lock_pins_what_makes_pixels_and_probabilities_alike(name: str) -> None:
    """Another version in training than in the service could give another answer."""
    (served,) = versions(checkout_file("requirements/serving.txt"), name)
    for lock in checkout_file("requirements").glob("*.txt"):
        found = versions(lock, name)
        assert not found or served in found, f"{lock.name} pins {name} {found}, serving {served}"


def versions(lock: Path, name: str) -> list[str]:
    return re.findall(rf"^{name}==([\w.+]+)", lock.read_text(), re.MULTILINE)


def test_the_lock_alone_imports_the_service(tmp_path: Path) -> None:
    """A dependency that only the development environment has would break the image."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
    lock = checkout_file("requirements/serving.txt")
    subprocess.run([*install, "--requirement", str(lock)], check=True)
    for name, path in serving_sources().items():
        target = tmp_path / "app" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    code = "import sys, ml_tasks.serving.app as app; print(app.__file__); print(*sys.modules)"
    done = subprocess.run(
        [str(python), "-c", code],
        cwd=tmp_path / "app",
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout
    assert not {"tensorflow", "keras", "pandas", "docker"} & set(done.stdout.split())


def test_this_interpreter_can_download_wheels() -> None:
    """The serving base is built with this interpreter's pip; uv's environments have none."""
    done = subprocess.run([sys.executable, "-m", "pip", "--version"], check=False)
    assert done.returncode == 0
