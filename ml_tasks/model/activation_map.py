"""Class activation maps: the network with a second output that says where its answer comes from.

Zhou and others (Learning deep features for discriminative localization, CVPR 2016): the last
convolutional features, weighted as the last layer weighs their means. Since that layer stands
directly on the means, nothing is estimated: the mean of the map and the layer's bias make the log
odds of the answer.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ml_tasks.errors import TrainingError
from ml_tasks.model.backend import keras
from ml_tasks.model.export import export_onnx

OUTPUTS = ("probability", "activation")


def export_explained(network: keras.Model, path: Path) -> None:
    """Writes `network` with its activation map as one ONNX file, its outputs named as OUTPUTS.

    Raises:
        TrainingError: no exact map can be made, or the exported graph has a fixed batch size.
    """
    import onnx

    export_onnx(explained(network), path)
    model = onnx.load(str(path))
    # The exporter calls them Identity:0 and Identity_1:0, which tells a reader nothing.
    outputs = model.graph.output
    new = {output.name: name for output, name in zip(outputs, OUTPUTS, strict=True)}
    for output in outputs:
        output.name = new[output.name]
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [new.get(name, name) for name in names]
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def explained(network: keras.Model) -> keras.Model:
    """`network` with two outputs: its probability (N,1) and the activation map (N,h,w), float32.

    Above 0 a place speaks for the positive class, below 0 against it. The weights are copied as
    they stand: build it anew after training further.

    Raises:
        TrainingError: the last layer does not stand on means of features, so no map is exact.
    """
    pooled, answer = network.get_layer("pool"), network.get_layer("probability")
    if not isinstance(pooled, keras.layers.GlobalAveragePooling2D):
        raise TrainingError(
            f"the network pools by {type(pooled).__name__}; a class activation map needs "
            "GlobalAveragePooling2D under its last layer"
        )
    weights, _ = answer.get_weights()
    height, width, channels = pooled.input.shape[1:]
    weigh = keras.layers.Conv2D(1, 1, use_bias=False, name="weighed_features")
    weighed = weigh(pooled.input)
    weigh.set_weights([np.reshape(weights, (1, 1, channels, 1))])
    activation = keras.layers.Reshape((height, width), name="activation")(weighed)
    made = keras.Model(network.input, [network.output, activation], name=network.name)
    made(keras.ops.zeros((1, *network.input_shape[1:])))  # Keras exports no model never called
    return made
