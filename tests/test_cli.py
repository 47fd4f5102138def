"""The commands as a user types them, each in a process of its own."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ml_tasks import cli
from ml_tasks.config import Config, save_config
from ml_tasks.config_gate import GatePolicy
from ml_tasks.dataset.manifest import IndexRow, read_rows
from ml_tasks.sequences import begin_run
from tests.builders import encoded, film, quick_training, toy_config, use_toy_network, write_csv
from tests.test_sequences import ANYTHING, PERFECT, cleaned_for_training

PROJECT = Path(__file__).resolve().parents[1]


def typed(
    *words: str | Path, module: str = "ml_tasks.cli", cwd: Path = PROJECT
) -> subprocess.CompletedProcess[str]:
    """Runs `python -m <module> <words>` as a shell would."""
    command = [sys.executable, "-m", module, *map(str, words)]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=240
    )


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    save_config(toy_config(tmp_path), tmp_path / "config.yaml")
    return tmp_path / "config.yaml"


def test_sample_writes_phantoms_where_the_settings_say(tmp_path: Path, config_file: Path) -> None:
    done = typed("sample", "--patients", "2", "--config", config_file)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'raw'}: 4 phantoms\n")
    assert len(list((tmp_path / "raw").rglob("*.png"))) == 4
    again = typed("sample", "--patients", "2", "--config", config_file)
    assert again.returncode == 1
    assert "StorageError" in again.stderr and "name another output folder" in again.stderr
    assert "Traceback" not in again.stderr


def test_import_brings_labelled_images_into_the_layout(tmp_path: Path, config_file: Path) -> None:
    (tmp_path / "images").mkdir()
    rows = []
    for number in range(4):
        (tmp_path / "images" / f"{number}.png").write_bytes(encoded(film(number)))
        label = ("benign", "malignant")[number % 2]
        rows.append({"file": f"{number}.png", "label": label, "patient_id": f"P{number}"})
    labels = write_csv(tmp_path / "labels.csv", rows)
    words = ("--images", tmp_path / "images", "--labels", labels, "--config", config_file)
    done = typed("import", *words)
    assert (done.returncode, done.stderr.count("imported 4 of 4")) == (0, 1)
    assert done.stdout == f"{tmp_path / 'raw'}: 2 benign, 2 malignant of 4 patients\n"
    with (tmp_path / "raw" / "metadata.csv").open(newline="") as stream:
        assert next(csv.DictReader(stream))["file"] == "benign/0.png"
    other = typed("import", *words, "--output", tmp_path / "images")
    assert other.returncode == 1 and len(list((tmp_path / "images").iterdir())) == 4


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--set", "model.wieghts=none"], "did you mean `weights`"),
        (["--set", "training.epochs=0"], "training.epochs: Input should be greater than or equal"),
        (["--set", "nonsense"], "write it as section.key=value"),
        (["--config", "none.yaml"], "none.yaml does not exist; name your configuration file"),
    ],
)
def test_bad_settings_end_with_status_2_and_one_message(
    tmp_path: Path, config_file: Path, words: list[str], says: str
) -> None:
    done = typed("validate_data", "--run", "r", "--config", config_file, *words)
    assert done.returncode == 2
    assert done.stderr.startswith("\nConfigError: ") and says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_stage_out_of_order_says_what_to_run_first(config_file: Path) -> None:
    unknown = typed("gate", "--run", "r", "--config", config_file)
    assert unknown.returncode == 1
    assert "there is no run 'r' in" in unknown.stderr
    begin_run("r", config_file, {})
    done = typed("gate", "--run", "r", "--config", config_file)
    assert done.returncode == 1
    assert "StageOrderError: evaluate is not complete for run 'r'" in done.stderr


def test_a_missing_data_folder_is_named(config_file: Path) -> None:
    done = typed("validate_data", "--run", "r", "--config", config_file)
    assert done.returncode == 1
    assert "DataError: the data folder" in done.stderr and "does not exist" in done.stderr


def test_help_names_every_stage() -> None:
    done = typed("--help")
    assert done.returncode == 0
    for stage in ("validate_data", "preprocess", "train", "evaluate", "gate", "push_model"):
        assert stage in done.stdout


def test_the_guides_clean_command_cleans_for_real(tmp_path: Path, config_file: Path) -> None:
    """From another folder, with relative paths, as the guide writes it."""
    typed("sample", "--patients", "20", "--output", tmp_path / "films", "--config", config_file)
    words = ("clean", "--input", "films", "--output", "cleaned films", "--config", "config.yaml")
    done = typed(*words, module="ml_tasks.preprocessing", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    index = read_rows(tmp_path / "cleaned films" / "index.csv", IndexRow)
    assert len(index) == 40
    assert all((tmp_path / "cleaned films" / row.file).is_file() for row in index)
    assert "shard 1 of 1: 40 films cleaned" in done.stderr
    assert "data valid: 40 images" in done.stderr
    assert "\b" not in done.stderr and "\r" not in done.stderr


@pytest.mark.parametrize(("policy", "status"), [(ANYTHING, 0), (PERFECT, 3)])
def test_the_guides_training_command_ends_with_the_gates_status(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    policy: GatePolicy,
    status: int,
) -> None:
    """In this process, for the toy network's sake; films without lesions cannot be told apart."""
    use_toy_network(monkeypatch)
    monkeypatch.setattr("ml_tasks.cli.log_to_terminal", lambda: None)
    config = toy_config(tmp_path, training=quick_training(epochs=1), gate=policy)
    save_config(config, tmp_path / "config.yaml")
    cleaned_for_training(config, lesions=False)
    assert cli.train_main(["--config", str(tmp_path / "config.yaml")]) == status
    assert (config.paths.model / "model.h5").exists() is (status == 0)
    assert ("GateRefused: FAILED the gate" in capsys.readouterr().err) is (status == 3)


@pytest.mark.parametrize("command", [["release"], ["verify", "production"]])
def test_what_ships_and_what_is_verified_are_at_the_registry_of_this_place(
    config_file: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """As the tasks of the DAG: by hand, a release would else go to another registry than theirs."""
    asked: list[Config] = []

    def keep(*arguments: object) -> list[object]:
        asked.extend(each for each in arguments if isinstance(each, Config))
        return []

    monkeypatch.setenv("MAMMO_REGISTRY", "localhost:5999")
    monkeypatch.setenv("MAMMO_REGISTRY_URL", "http://registry:5000")
    monkeypatch.setattr("ml_tasks.sequences.release_current", keep)
    monkeypatch.setattr("ml_tasks.release.verification.verify_image", keep)
    monkeypatch.setattr("ml_tasks.release.engine.connect", lambda: SimpleNamespace(close=bool))
    monkeypatch.setattr("ml_tasks.cli.log_to_terminal", lambda: None)
    assert cli.main([*command, "--config", str(config_file)]) == 0
    (config,) = asked
    assert config.release.registry == "localhost:5999"
    assert config.release.registry_url == "http://registry:5000"
