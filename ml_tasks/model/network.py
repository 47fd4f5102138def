"""DenseNet-121 for 128x128 pictures: scaling inside, one probability out."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

from ml_tasks.config import ModelConfig
from ml_tasks.errors import TrainingError
from ml_tasks.model.backend import keras
from ml_tasks.model.weights_file import load_weights

log = logging.getLogger(__name__)

# Mean and standard deviation of ImageNet's channels as Keras states them for DenseNet
# (keras.applications.imagenet_utils, mode "torch"); they bring 0-255 to the network's own range.
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


def build_network(config: ModelConfig) -> keras.Model:
    """The network that ships: float32 (N,128,128,3) in 0-255 to (N,1), the probability.

    Raises:
        TrainingError: the pretrained weights cannot be downloaded, are unsafe or do not fit.
    """
    inputs = keras.Input(config.input_shape, dtype="float32", name="image")
    scaled = keras.layers.Rescaling(
        scale=[1 / (255 * deviation) for deviation in _DEVIATION],
        offset=[-mean / deviation for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)],
        dtype="float32",  # under a mixed policy too: bytes of 0-255 fill bfloat16's digits
        name="imagenet_scaling",
    )(inputs)
    base = _base(scaled, config)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(base.output)
    dropped = keras.layers.Dropout(config.dropout, name="dropout")(pooled)
    head = keras.layers.Dense(1, activation="sigmoid", dtype="float32", name="probability")
    outputs = head(dropped)
    return keras.Model(inputs, outputs, name="mammography_densenet121")


def pretrained(config: ModelConfig) -> bool:
    """Whether the base starts from weights that were trained elsewhere."""
    return config.weights != "none"


def set_trainable(network: keras.Model, blocks: Sequence[str] | None) -> int:
    """Lets the head and the named dense blocks learn (None: everything); gives the weights' number.

    In a pretrained base every batch norm stays frozen, so it keeps the statistics it came with.
    """
    learning = tuple(f"{block}_" for block in blocks or ())
    for layer in network.layers:
        head = layer.name == "probability"
        normalises = isinstance(layer, keras.layers.BatchNormalization)
        chosen = layer.name.startswith(learning) and not normalises if learning else False
        layer.trainable = True if blocks is None else head or chosen
    return sum(math.prod(weight.shape) for weight in network.trainable_weights)


def load_network(config: ModelConfig, model_file: Path) -> keras.Model:
    """The architecture built from code with the weights of model.h5; nothing is unpickled.

    Raises:
        TrainingError: the file is damaged, unsafe, or does not fit the architecture.
    """
    network = build_network(config.model_copy(update={"weights": "none"}))
    load_weights(network, model_file, "run train again")
    return network


def _base(scaled: keras.KerasTensor, config: ModelConfig) -> keras.Model:
    if config.weights == "imagenet":
        return _downloaded(scaled)
    base = keras.applications.DenseNet121(include_top=False, weights=None, input_tensor=scaled)
    if config.weights != "none":
        remedy = (
            "model.weights takes a file of DenseNet-121 without its top, or one of the words "
            "`imagenet` and `none`"
        )
        load_weights(base, Path(config.weights), remedy, config.weights_sha256)
    return base


def _downloaded(scaled: keras.KerasTensor) -> keras.Model:
    log.info("loading the ImageNet weights (29 MB, downloaded once by Keras)")
    try:
        return keras.applications.DenseNet121(
            include_top=False, weights="imagenet", input_tensor=scaled
        )
    except Exception as error:  # the download raises a bare Exception, a wrong file many kinds
        raise TrainingError(
            f"model.weights: the ImageNet weights could not be downloaded ({error}). "
            "Set model.weights to the path of a DenseNet-121 weights file without top "
            "(densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5), "
            "or to `none` to train from scratch, and start a new run"
        ) from error
