"""What a person reads in a task's log: what is wrong, which value, what to do, and no traceback."""

from __future__ import annotations

import logging
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ml_tasks import cli, sequences
from ml_tasks.config import Config, save_config
from ml_tasks.dataset.phantoms import write_sample
from ml_tasks.errors import DataError, StorageError
from ml_tasks.progress import folded, listed, log_to_terminal
from ml_tasks.records import StageRecord
from ml_tasks.storage import replaced_directory, storage_errors, write_bytes
from tests.builders import toy_config
from tests.free_ports import free_ports

log = logging.getLogger("ml_tasks.test_readable_logs")


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    """The command line's handler writes to the stderr of the test that made it."""
    logger = logging.getLogger("ml_tasks")
    before, propagate = list(logger.handlers), logger.propagate
    logger.handlers.clear()
    logger.propagate = True
    yield
    logger.handlers[:], logger.propagate = before, propagate


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 patients, two pictures each: enough for the validation."""
    folder = tmp_path_factory.mktemp("sample") / "raw"
    write_sample(folder, 24)
    return folder


@pytest.fixture
def config(tmp_path: Path, sample: Path) -> Config:
    """Settings over a copy of the sample, which a test may break."""
    shutil.copytree(sample, tmp_path / "raw")
    return toy_config(tmp_path)


def mammo(config: Config, *words: str, **changed: object) -> int:
    """The exit status of a command on these settings."""
    file = config.paths.raw.parent / "config.yaml"
    save_config(config, file)
    more = [word for key, value in changed.items() for word in ("--set", f"{key}={value}")]
    return cli.main([*words, "--config", str(file), *more])


def pictures(config: Config, name: str) -> list[Path]:
    return sorted((config.paths.raw / name).glob("*.png"))


def no_folder(raw: Path) -> None:
    shutil.rmtree(raw)


def no_class(raw: Path) -> None:
    shutil.rmtree(raw)
    raw.mkdir()


def empty_class(raw: Path) -> None:
    shutil.rmtree(raw / "Negative")
    (raw / "Negative").mkdir()


def one_class(raw: Path) -> None:
    shutil.rmtree(raw / "Negative")


def three_classes(raw: Path) -> None:
    shutil.copytree(raw / "Negative", raw / "Unsure")


def other_class(raw: Path) -> None:
    (raw / "Positive").rename(raw / "Cancer")


def other_columns(raw: Path) -> None:
    (raw / "metadata.csv").write_text("name,who\nPositive/a.png,P1\n")


def no_row(raw: Path) -> None:
    first = next((raw / "Positive").glob("*.png"))
    (raw / "Negative" / "twin.png").write_bytes(first.read_bytes())


def other_label(raw: Path) -> None:
    lines = (raw / "metadata.csv").read_text().splitlines()
    file = lines[1].split(",")[0]
    wrong = "Negative" if file.startswith("Positive") else "Positive"
    (raw / "metadata.csv").write_text(f"file,patient_id,label\n{file},P1,{wrong}\n")


def unreadable(raw: Path) -> None:
    for path in raw.glob("*/*.png"):
        path.write_bytes(b"no image")


@pytest.mark.parametrize(
    ("breaks", "thing", "remedy"),
    [
        (no_folder, "/raw does not exist", "put the images into"),
        (no_class, "holds no class folder", "put the images into"),
        (empty_class, "/Negative is empty", "put some there"),
        (one_class, "holds 1 class folder(s) (Positive)", "put the images of the other class into"),
        (three_classes, "(Negative, Positive, Unsure)", "move the others out of it"),
        (other_class, "data.positive is 'Positive'", "set data.positive to"),
        (other_columns, "metadata.csv lacks the column(s) file, patient_id", "first line"),
        (no_row, "Negative/twin.png has no row", "add one with its patient_id"),
        (other_label, "metadata.csv line 2", "move the file or mend the row"),
        (unreadable, "none of the 48 files", "export the images again"),
    ],
)
def test_a_bad_folder_is_named_with_what_to_do(
    config: Config,
    capsys: pytest.CaptureFixture[str],
    breaks: Callable[[Path], None],
    thing: str,
    remedy: str,
) -> None:
    breaks(config.paths.raw)
    assert mammo(config, "validate_data", "--run", "x") == 1
    said = capsys.readouterr().err
    last = said.rstrip().split("\n\n")[-1]
    assert last.startswith("DataError: ")
    assert thing in last
    assert remedy in last
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("setting", "value", "thing", "remedy"),
    [
        ("model.wieghts", "none", "model.wieghts is not a setting", "did you mean `weights`"),
        ("training.epochs", "lots", "training.epochs", "integer"),
        ("gate.min_auc", "1.5", "gate.min_auc", "less than or equal to 1"),
        ("model.weights", "no/such.h5", "'no/such.h5'", "`imagenet` and `none`"),
    ],
)
def test_a_bad_setting_is_named_with_what_is_allowed(
    config: Config,
    capsys: pytest.CaptureFixture[str],
    setting: str,
    value: str,
    thing: str,
    remedy: str,
) -> None:
    assert mammo(config, "validate_data", "--run", "x", **{setting: value}) == 2
    last = capsys.readouterr().err.strip()
    assert last.startswith("ConfigError: ")
    assert thing in last
    assert remedy in last


def test_a_registry_that_is_down_is_named_before_any_work(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"localhost:{free_ports(1)[0]}"
    settings = {"release.push": "true", "release.registry": address}
    assert mammo(config, "validate_data", "--run", "x", **settings) == 1
    last = capsys.readouterr().err.strip()
    assert last.startswith("RegistryUnavailable: ")
    assert address in last
    assert "start it" in last


def test_an_engine_that_is_down_is_named_with_what_to_do(
    config: Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_config(config, config.paths.runs / "x" / "config.yaml")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{config.paths.raw}/none.sock")
    assert mammo(config, "build_image", "--run", "x") == 1
    last = capsys.readouterr().err.rstrip().split("\n\n")[-1]
    assert last.startswith("EngineUnavailable: no Docker engine answers")
    assert "install and start one" in last


def test_a_stage_out_of_order_says_which_is_missing(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    save_config(config, config.paths.runs / "x" / "config.yaml")
    assert mammo(config, "gate", "--run", "x") == 1
    assert capsys.readouterr().err.rstrip().endswith("run evaluate first")


def test_a_file_where_the_runs_should_be_is_named(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    config.paths.runs.write_text("not a folder")
    assert mammo(config, "validate_data", "--run", "x") == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert f"move {config.paths.runs} away" in said


def test_a_copied_folder_that_does_not_fit_is_told_like_any_other_file(tmp_path: Path) -> None:
    reasons = [("a", "b", f"[Errno 28] {'No space left on device'}: 'b'")]
    with pytest.raises(StorageError, match="no space left while writing .*Free some space"):  # noqa: SIM117
        with storage_errors(tmp_path):
            raise shutil.Error(reasons)
    with pytest.raises(shutil.Error), replaced_directory(tmp_path / "new"):
        raise shutil.Error([("a", "b", "something else")])
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=f"move {tmp_path / 'file'} away"):
        write_bytes(tmp_path / "file" / "deep" / "record.json", b"{}")


def giant_header() -> bytes:
    """A PNG that claims 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    size = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", size), chunk(b"IDAT", zlib.compress(b"0")), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_files_set_aside_are_listed_with_reasons_and_the_failure_says_what_to_do(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    cut, empty, huge, named, *_ = pictures(config, "Negative")
    cut.write_bytes(cut.read_bytes()[:2000])
    empty.write_bytes(b"")
    huge.write_bytes(giant_header())
    named.rename(named.with_suffix(".docx"))
    with (config.paths.raw / "metadata.csv").open("a") as stream:
        stream.write("Positive/ghost.png,Positive,P999\n")
    with pytest.raises(DataError) as refusal:
        sequences.begin_run("x", _saved(config), {})
        sequences.run_stage("validate_data", "x", _saved(config))
    said = capsys.readouterr().err
    assert "4 of 48 files are set aside, each for its reason:" in said
    for name, reason in (
        (cut.name, "cut off after 2,000 bytes; copy or export it again"),
        (empty.name, "the file is empty"),
        (huge.name, "the header claims 60000x60000 pixels; at most"),
        (f"{named.stem}.docx", "not an image file by its name"),
    ):
        assert any(name in line and reason in line for line in said.splitlines()), reason
    missing = f"(Negative/{named.name}, Positive/ghost.png)"
    assert f"2 row(s) of metadata.csv name files that are not there {missing}" in said
    last = str(refusal.value)
    assert "at most 5% of the files are set aside" in last
    assert cut.name in last
    assert last.endswith("report.html, mend the files and run again")


def _saved(config: Config) -> Path:
    file = config.paths.raw.parent / "config.yaml"
    save_config(config, file)
    log_to_terminal()
    return file


def test_a_good_stage_begins_with_its_name_and_ends_with_its_summary(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    file = config.paths.raw.parent / "config.yaml"
    save_config(config, file)
    sequences.begin_run("x", file, {})
    for stage in ("validate_data", "plan_cleaning", "clean_shard", "assemble_cleaned"):
        caplog.clear()
        with caplog.at_level(logging.INFO, "ml_tasks"):
            shard = 0 if stage == "clean_shard" else None
            record = sequences.run_stage(stage, "x", file, shard=shard)
        own = [each for each in caplog.records if each.name.startswith("ml_tasks")]
        assert own[0].getMessage() == f"{stage} of run x"
        assert own[-1].getMessage() == record.summary()
        assert not [each for each in own if each.levelno >= logging.WARNING], stage


def test_what_is_said_of_mlflow_is_never_the_last_line(
    config: Config, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Told(StageRecord):
        stage = "gate"

        def summary(self) -> str:
            return "PASSED the gate"

    def gate(run: object, config: Config) -> StageRecord:
        return Told(run_id="x")

    tracked = config.model_copy(
        update={"tracking": config.tracking.model_copy(update={"enabled": True})}
    )
    save_config(tracked, tracked.paths.runs / "x" / "config.yaml")
    monkeypatch.setattr("ml_tasks.gate.gate", gate)
    monkeypatch.setattr("ml_tasks.tracking.hook.settle", _refuses)
    with caplog.at_level(logging.INFO, "ml_tasks"):
        sequences.run_stage("gate", "x", _saved_quietly(tracked))
    messages = [each.getMessage() for each in caplog.records]
    assert messages[-2:] == ["gate is not noted for MLflow: the disk is full", "PASSED the gate"]


def _refuses(*_: object) -> None:
    raise StorageError("the disk is full")


def _saved_quietly(config: Config) -> Path:
    file = config.paths.raw.parent / "config.yaml"
    save_config(config, file)
    return file


def test_a_listing_folds_in_airflow_and_is_plain_at_a_terminal(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"file {number}" for number in range(60)]
    with caplog.at_level(logging.INFO, log.name):
        monkeypatch.delenv("AIRFLOW_CTX_DAG_ID", raising=False)
        listed(log, "60 files", lines, "manifest.csv")
        plain = [each.getMessage() for each in caplog.records]
        caplog.clear()
        monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "mammography_retraining")
        with pytest.raises(DataError), folded(log, "60 files"):
            raise DataError("in the middle")
        listed(log, "nothing", [], "manifest.csv")
        marks = [each.getMessage() for each in caplog.records]
    assert plain == ["60 files:", *lines[:50], "... and 10 more: see manifest.csv"]
    assert marks == ["::group::60 files", "::endgroup::"]
