"""Weights files: the right one is taken; damaged, foreign and malicious ones are refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ml_tasks.config import ModelConfig
from ml_tasks.errors import TrainingError
from ml_tasks.model.backend import keras
from ml_tasks.model.export import save_network
from ml_tasks.model.weights_file import check_weights_file, load_weights
from ml_tasks.storage import sha256_file
from tests.builders import toy_network
from tests.counts import cases

REMEDY = "take another file"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy network's model.h5, as training leaves it."""
    path = tmp_path_factory.mktemp("weights") / "model.h5"
    save_network(toy_network(ModelConfig(weights="none")), path)
    return path


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(saved, tmp_path / "weights.h5"))


def refused(path: Path, says: str, sha256: str | None = None) -> None:
    """Refused before Keras opens it, with the file, the reason and the remedy."""
    with pytest.raises(TrainingError, match=says) as refusal:
        check_weights_file(path, REMEDY, sha256)
    assert str(refusal.value).startswith(f"{path} is refused: ")
    assert str(refusal.value).endswith(f"; {REMEDY}")


@pytest.mark.parametrize("name", ["model.h5", "model.weights.h5"])
def test_the_right_file_is_taken_in_both_of_kerass_layouts(tmp_path: Path, name: str) -> None:
    network = toy_network(ModelConfig(weights="none"))
    path = tmp_path / name
    network.save_weights(path) if name.endswith(".weights.h5") else network.save(path)
    other = toy_network(ModelConfig(weights="none"))
    load_weights(other, path, REMEDY, sha256_file(path))
    for mine, theirs in zip(network.get_weights(), other.get_weights(), strict=True):
        assert np.array_equal(mine, theirs)


def test_another_hash_is_refused_with_both_hashes(copy: Path) -> None:
    wanted = "ab" * 32
    refused(
        copy, f"SHA-256 is {sha256_file(copy)}, and model.weights_sha256 wants {wanted}", wanted
    )


def test_a_missing_file_and_another_kind_of_file_are_told(tmp_path: Path) -> None:
    refused(tmp_path / "missing.h5", "there is no such file")
    (tmp_path / "weights.pkl").write_bytes(b"\x80\x04")
    refused(tmp_path / "weights.pkl", r"its name must end in \.h5 or \.hdf5")
    (tmp_path / "text.h5").write_text("no weights here")
    refused(tmp_path / "text.h5", "it is no HDF5 file")


def test_a_file_cut_off_anywhere_is_refused(copy: Path) -> None:
    data = copy.read_bytes()
    for share in np.linspace(0.02, 0.98, cases(12, 100)):
        copy.write_bytes(data[: int(len(data) * share)])
        refused(copy, "cut off|no HDF5")


def test_flipped_bytes_never_do_worse_than_a_clear_refusal(copy: Path) -> None:
    """HDF5 has no checksums of its own: only the hash finds a changed number."""
    data, random = copy.read_bytes(), np.random.default_rng(8)
    network, whole = toy_network(ModelConfig(weights="none")), sha256_file(copy)
    for _ in range(cases(30, 300)):
        altered = bytearray(data)
        for place in random.integers(0, len(data), 40):
            altered[place] ^= int(random.integers(1, 256))
        copy.write_bytes(bytes(altered))
        try:
            load_weights(network, copy, REMEDY)
        except TrainingError as error:
            assert str(copy) in str(error) and str(error).endswith(REMEDY)
        refused(copy, "SHA-256", whole)


def test_an_external_link_is_refused(copy: Path, tmp_path: Path) -> None:
    """It would read whatever file of this machine its author names."""
    with h5py.File(copy, "a") as file:
        group = file["model_weights/probability"]
        group["secret"] = h5py.ExternalLink("/etc/passwd", "/")
    refused(copy, r"/model_weights/probability/secret is an external link to /etc/passwd")


def test_a_soft_link_is_refused(copy: Path) -> None:
    with h5py.File(copy, "a") as file:
        file["elsewhere"] = h5py.SoftLink("/model_weights")
    refused(copy, r"/elsewhere is a soft link to /model_weights")


def test_numbers_kept_in_another_file_are_refused(copy: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(400))
    with h5py.File(copy, "a") as file:
        file.create_dataset("numbers", (100,), "f4", external=[(str(secret), 0, 400)])
    refused(copy, rf"/numbers keeps its numbers in another file, {secret}")


def test_a_virtual_dataset_is_refused(copy: Path, tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((10,), "f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "numbers", (10,))
    with h5py.File(copy, "a") as file:
        file.create_virtual_dataset("numbers", layout)
    refused(copy, r"/numbers is a virtual dataset over .*other\.h5")


def test_objects_in_place_of_numbers_are_refused(copy: Path) -> None:
    with h5py.File(copy, "a") as file:
        file.create_dataset("texts", data=["a", "b"], dtype=h5py.string_dtype())
    refused(copy, r"/texts holds object objects, not numbers")


def test_a_pickle_in_an_attribute_is_refused(copy: Path) -> None:
    with h5py.File(copy, "a") as file:
        file.attrs.create("thing", np.void(b"\x80\x04cos\nsystem\n"))
    refused(copy, r"the attribute thing of / holds .* objects, not text or numbers")


def test_a_file_that_claims_more_than_any_network_is_refused(copy: Path) -> None:
    with h5py.File(copy, "a") as file:
        file.create_dataset("bomb", (1 << 40,), "f4", chunks=(1 << 20,), compression="gzip")
    refused(copy, "claims more than")


def test_a_loop_of_links_ends(copy: Path) -> None:
    with h5py.File(copy, "a") as file:
        file["model_weights/round"] = file["/"]
    check_weights_file(copy, REMEDY)


def test_numbers_that_are_not_finite_are_refused(copy: Path) -> None:
    with h5py.File(copy, "a") as file:
        head = file["model_weights/probability"]
        head[head.attrs["weight_names"][0]][0, 0] = np.nan
    refused(copy, "kernel holds numbers that are not finite")


def stored(layers: list[Any]) -> str:
    return json.dumps({"class_name": "Functional", "config": {"name": "m", "layers": layers}})


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        ({"class_name": "Lambda", "config": {"function": ["4wEAAAA=", None, None]}}, "Lambda"),
        ({"class_name": "EvilLayer", "config": {}}, "the layer EvilLayer"),
        ({"module": "evil.layers", "class_name": "Dense", "config": {}}, "names Dense"),
        ({"module": "evil", "class_name": "EvilLayer", "registered_name": "p>EvilLayer"}, "Evil"),
        ({"class_name": "TFSMLayer", "config": {"filepath": "/srv/model"}}, "TFSMLayer"),
        ({"class_name": "Dense", "config": {"activation": {"class_name": "__lambda__"}}}, "lambda"),
        (
            {
                "class_name": "Sequential",
                "config": {"layers": [{"class_name": "Lambda", "config": {}}]},
            },
            "Lambda",
        ),
        ("no layer", "the layer no layer"),
    ],
)
def test_layers_that_run_code_are_refused_though_only_weights_are_read(
    copy: Path, layer: Any, says: str
) -> None:
    with h5py.File(copy, "a") as file:
        file.attrs["model_config"] = stored([{"class_name": "InputLayer", "config": {}}, layer])
    refused(copy, says)


def test_kerass_own_file_with_a_lambda_layer_is_refused(tmp_path: Path) -> None:
    """Made by Keras itself: what a stranger would hand over as a harmless weights file."""
    inputs = keras.Input((4,))
    doubled = keras.layers.Lambda(lambda x: x * 2, output_shape=(4,))(inputs)
    keras.Model(inputs, keras.layers.Dense(1)(doubled)).save(tmp_path / "lambda.h5")
    refused(tmp_path / "lambda.h5", "names (the layer )?Lambda")


def test_settings_that_are_no_json_or_endlessly_nested_are_refused(copy: Path) -> None:
    with h5py.File(copy, "a") as file:
        file.attrs["model_config"] = "{no json"
    refused(copy, "damaged or cut off")
    with h5py.File(copy, "a") as file:
        file.attrs["model_config"] = "[" * 50_000
    refused(copy, "damaged or cut off")


def test_another_architecture_is_told_by_its_first_differing_layer(tmp_path: Path) -> None:
    inputs = keras.Input((128, 128, 3))
    features = keras.layers.Conv2D(6, 3, name="other_conv")(inputs)
    pooled = keras.layers.GlobalMaxPooling2D()(features)
    keras.Model(inputs, keras.layers.Dense(1)(pooled)).save(tmp_path / "other.h5")
    network = toy_network(ModelConfig(weights="none"))
    before = network.get_weights()
    says = (
        r"other\.h5 holds the weights of another network: layer 1 \(conv5_conv\) takes 8x8x3x6, "
        r"6, and the file holds 3x3x3x6, 6 \(other_conv\); take another file"
    )
    with pytest.raises(TrainingError, match=says):
        load_weights(network, tmp_path / "other.h5", REMEDY)
    assert all(map(np.array_equal, before, network.get_weights()))
    keras.Model(inputs, keras.layers.Dense(1)(pooled)).save_weights(tmp_path / "new.weights.h5")
    with pytest.raises(
        TrainingError, match=r"does not hold the weights of this network .*conv5_co"
    ):
        load_weights(network, tmp_path / "new.weights.h5", REMEDY)


def test_too_few_layers_are_counted(tmp_path: Path) -> None:
    network = toy_network(ModelConfig(weights="none"))
    part = keras.Model(network.inputs, network.get_layer("conv5_conv").output)
    part.save(tmp_path / "part.h5")
    with pytest.raises(TrainingError, match="it has 1 layers with weights, and this network 3"):
        load_weights(network, tmp_path / "part.h5", REMEDY)


def test_nothing_of_a_refused_file_is_carried_out(tmp_path: Path, copy: Path) -> None:
    """A Lambda whose code would leave a trace."""
    trace = tmp_path / "trace"
    with h5py.File(copy, "a") as file:
        file.attrs["model_config"] = stored(
            [{"class_name": "Lambda", "config": {"function": f"__import__('os').mknod('{trace}')"}}]
        )
    with pytest.raises(TrainingError):
        load_weights(toy_network(ModelConfig(weights="none")), copy, REMEDY)
    assert os.listdir(tmp_path) == ["weights.h5"]
