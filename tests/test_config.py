"""config.yaml: one truth with the code, and refusals that say what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_tasks.config import Config, load_config, parse_settings, save_config
from ml_tasks.errors import ConfigError

SHIPPED = Path(__file__).resolve().parents[1] / "config.yaml"


def write(folder: Path, text: str = "") -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def test_the_shipped_file_states_the_defaults_of_the_code() -> None:
    """A default changed in one place only would make runs without config.yaml differ."""
    stated = yaml.safe_load(SHIPPED.read_text())
    defaults = Config().model_dump(mode="json")
    assert stated["data"].pop("class_meaning").keys() == {"Positive", "Negative"}
    assert defaults["data"].pop("class_meaning") == {}
    assert stated == defaults


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    config = load_config(write(tmp_path))
    assert config.training == Config().training
    assert config.paths.raw == tmp_path / "data" / "raw"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("trainig: {}", r"trainig is not a setting; did you mean `training`\? Allowed here: paths"),
        ("training: {epoch: 3}", r"training\.epoch is not a setting; did you mean `epochs`"),
        (
            "training: {augmentation: {flip: true}}",
            r"training\.augmentation\.flip is not a setting; Allowed here: rotation_degrees",
        ),
        (
            "training: {unfreezing: [{share: 1, learning_rat: 0.1, learning_rate: 0.1}]}",
            r"unfreezing\.0\.learning_rat is not a setting; did you mean `learning_rate`",
        ),
    ],
)
def test_an_unknown_key_is_named_with_the_closest_one(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config(write(tmp_path, text))


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("training.epochs", 0, "greater than or equal to 1"),
        ("training.epochs", "many", "valid integer"),
        ("training.epochs", 2.5, "valid integer"),
        ("training.batch_size", 1, "greater than or equal to 2"),
        ("training.reduce_lr_factor", 1, "less than 1"),
        ("training.unfreezing", [], "at least 1 item"),
        ("training.unfreezing", [{"blocks": ["conv9"], "share": 1, "learning_rate": 1}], "conv5"),
        ("training.augmentation.rotation_degrees", 400, "less than or equal to 180"),
        ("training.augmentation.shift", 0.6, "less than or equal to 0.5"),
        ("training.augmentation.contrast", True, "takes a number, not yes or no"),
        ("training.precision", "float16", "'auto', 'float32' or 'mixed'"),
        ("training.xla", "yes please", "'auto', 'on' or 'off'"),
        ("model.weights_sha256", "AB" * 32, "should match pattern"),
        ("model.dropout", 1, "less than 1"),
        ("model.input_shape", [224, 224, 3], "should be 128"),
        ("model.weights", "", "at least 1 character"),
        ("split.balance", "smote", "'undersample', 'class_weights' or 'none'"),
        ("split.test", 0, "greater than 0"),
        ("gate.min_auc", 80, "less than or equal to 1"),
        ("gate.min_accuracy", ".nan", "valid number"),
        ("gate.min_accuracy", float("nan"), "finite number"),
        ("data.min_patients_per_class", 2, "greater than or equal to 3"),
        ("data.max_quarantine_share", 1, "less than 1"),
        ("data.patient_pattern", "(", "is no regular expression"),
        ("data.patient_pattern", "P1", "must have exactly one group.*it has 0"),
        ("data.positive", "", "at least 1 character"),
        ("release.image", "Upper Case", "match pattern"),
        ("release.registry", "http://x", "match pattern"),
        ("release.push", "perhaps", "valid boolean"),
        ("release.push_attempts", 0, "greater than or equal to 1"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(
    tmp_path: Path, key: str, value: Any, says: str
) -> None:
    pattern = rf"(?s)config\.yaml: {key.replace('.', '[.]')}.*{says}"
    with pytest.raises(ConfigError, match=pattern):
        load_config(write(tmp_path), {key: value})


def test_shares_that_leave_too_little_for_training_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"split: validation \+ test must leave at least 0\.2"):
        load_config(write(tmp_path), {"split.validation": 0.5, "split.test": 0.4})


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"(?s)epochs.*\n.*dropout|dropout.*\n.*epochs"):
        load_config(write(tmp_path), {"training.epochs": 0, "model.dropout": 2})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1", "is no valid YAML"),
        ("- 1", "must hold sections such as `model:`"),
        ("model: 3", r"config\.yaml: model: .*valid dictionary"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config(write(tmp_path, text))


def test_a_file_in_another_encoding_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes("data: {positive: Krebs\xe4}".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"config\.yaml is not UTF-8 text"):
        load_config(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml does not exist; name your configuration"):
        load_config(tmp_path / "none.yaml")


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder; name the configuration file in it"):
        load_config(tmp_path)


def test_settings_of_the_command_line_are_read_as_yaml() -> None:
    assert parse_settings(
        ["model.weights=none", "training.epochs=3", "split.key=a=b", "data.patient_pattern=null"]
    ) == {
        "model.weights": "none",
        "training.epochs": 3,
        "split.key": "a=b",
        "data.patient_pattern": None,
    }


@pytest.mark.parametrize("word", ["model.weights", "=3", ""])
def test_a_setting_without_key_or_value_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match=r"write it as section\.key=value"):
        parse_settings([word])


def test_a_setting_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(ConfigError, match="the value is no valid YAML"):
        parse_settings(["split.key=[1"])


@pytest.mark.parametrize("key", ["training.epochs.x", "training.epochs.x.y"])
def test_a_setting_below_a_value_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match="epochs holds a value, not settings of its own"):
        load_config(write(tmp_path, "training: {epochs: 3}"), {key: 1})


def test_a_setting_wins_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "training: {epochs: 3, batch_size: 8}")
    training = load_config(path, {"training.epochs": 5}).training
    assert (training.epochs, training.batch_size) == (5, 8)


def test_paths_start_at_the_files_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a cron job the working directory is another one: the data must still be found."""
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path, "paths: {raw: films, runs: /srv/runs, releases: ~/releases}")
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.chdir(tmp_path / "elsewhere")
    paths = load_config(Path("..") / "config.yaml").paths
    assert paths.raw.resolve() == tmp_path / "films"
    assert paths.raw.is_absolute()
    assert paths.runs == Path("/srv/runs")
    assert paths.releases == Path("/home/someone/releases")


def test_a_weights_file_is_looked_for_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "dense.h5").write_bytes(b"weights")
    config = load_config(write(tmp_path, "model: {weights: dense.h5}"))
    assert config.model.weights == str(tmp_path / "dense.h5")


def test_a_weights_file_that_is_missing_is_named_with_the_other_choices(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'imagnet' is neither a file .* `imagenet` and `none`"):
        load_config(write(tmp_path, "model: {weights: imagnet}"))


def test_yamls_null_means_no_weights(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "model: {weights: null}")).model.weights == "none"


@pytest.mark.parametrize(("written", "meant"), [("on", "on"), ("off", "off"), ("auto", "auto")])
def test_yamls_switch_is_the_word_for_compiling(tmp_path: Path, written: str, meant: str) -> None:
    config = load_config(write(tmp_path, f"training: {{xla: {written}}}"))
    assert config.training.xla == meant
    save_config(config, tmp_path / "again.yaml")
    assert load_config(tmp_path / "again.yaml") == config


@pytest.mark.parametrize("weights", ["imagenet", "none"])
def test_the_hash_of_no_weights_file_is_a_contradiction(tmp_path: Path, weights: str) -> None:
    text = f"model: {{weights: {weights}, weights_sha256: {'ab' * 32}}}"
    with pytest.raises(ConfigError, match=rf"and weights is `{weights}`: name the file there"):
        load_config(write(tmp_path, text))


def test_a_saved_configuration_reads_back_the_same(tmp_path: Path) -> None:
    config = load_config(SHIPPED, {"model.weights": "none", "training.epochs": 7})
    save_config(config, tmp_path / "run" / "config.yaml")
    assert load_config(tmp_path / "run" / "config.yaml") == config


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ("slices: {min_patients: 10}", r"gate\.slices: asks for nothing: give min_auc or min_sens"),
        ("slices: {min_patients: 1, min_auc: 0.5}", r"gate\.slices\.min_patients: .* equal to 2"),
        ("slices: {min_accuracy: 0.5}", "did you mean `min_.*Allowed here: min_auc, min_sensiti"),
        ("non_inferiority: {margin: 0}", r"gate\.non_inferiority\.margin: .* greater than 0"),
        ("non_inferiority: {margin: 0.5}", r"gate\.non_inferiority\.margin: .* less than 0\.5"),
        ("non_inferiority: {metric: f1}", r"gate\.non_inferiority\.metric: .* \(it is 'f1'\)"),
        ("sensitivity_at_specificity: {specificity: 0.7, min: 0.5}", r"one of 0\.8, 0\.9, 0\.95"),
        ("sensitivity_at_specificity: {specificity: 0.8}", r"specificity\.min: Field required"),
        ("max_control_auc: 0.4", r"gate\.max_control_auc: .* equal to 0\.5"),
        ("max_ece: 0", r"gate\.max_ece: .* greater than 0"),
        ("max_ece: no", r"gate\.max_ece: takes a number, not yes or no"),
        ("first_model: yes", r"gate\.first_model: Input should be 'minima' or 'ask'"),
    ],
)
def test_a_gate_that_contradicts_itself_is_refused(tmp_path: Path, gate: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config(write(tmp_path, f"gate: {{{gate}}}"))


def test_a_threshold_that_the_gate_can_never_pass_is_refused(tmp_path: Path) -> None:
    settings = "evaluation: {threshold_rule: sensitivity, threshold_value: 0.6}"
    with pytest.raises(
        ConfigError, match=r"threshold_value 0\.6 contradicts gate\.min_sensitivity 0\.75.*lower"
    ):
        load_config(write(tmp_path, settings))
    path = write(tmp_path, f"{settings}\ngate: {{min_sensitivity: 0.5}}")
    assert load_config(path).evaluation.threshold_value == 0.6


@pytest.mark.parametrize(
    "url", ["registry:5000", "ftp://registry", "http://me:secret@registry:5000", "http://r/v2/"]
)
def test_a_registry_url_is_a_bare_address(tmp_path: Path, url: str) -> None:
    """A password in it would be kept with every run."""
    with pytest.raises(ConfigError, match=r"release\.registry_url"):
        load_config(write(tmp_path, "{}"), {"release.registry_url": url})


@pytest.mark.parametrize("key", ["gate.min_accuracy", "training.epochs", "split.test"])
@pytest.mark.parametrize("switch", [False, True])
def test_a_switch_is_no_number(tmp_path: Path, key: str, switch: bool) -> None:
    """`min_accuracy: no` is false in YAML; taken as 0 it would open the gate without a word."""
    path = tmp_path / "config.yaml"
    path.write_text("{}")
    with pytest.raises(ConfigError, match=f"{key}: takes a number, not yes or no"):
        load_config(path, {key: switch})
