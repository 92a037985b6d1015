"""`mobilenet_v2` of nsfwjs is a Keras model: a list of layers with their configuration."""

from __future__ import annotations

from typing import Any

from tools.nsfw_models.graph import Graph, padding
from tools.nsfw_models.weights import Weight


def add_layers(topology: dict[str, Any], weights: dict[str, Weight], graph: Graph) -> None:
    """Add all layers of a Keras model to a graph.

    Raises:
        ValueError: a layer is of a kind, or configured in a way, that these models do not have.
    """
    values: dict[str, str] = {}
    for layer in topology["model_config"]["config"]["layers"]:
        inputs = [values[source[0]] for node in layer["inbound_nodes"][:1] for source in node]
        name, config = layer["name"], layer["config"]
        own = {
            key.removeprefix(f"{name}/"): each for key, each in weights.items() if key.startswith(f"{name}/")
        }
        match layer["class_name"]:
            case "InputLayer":
                values[name] = graph.normalized_image()
            case "Conv2D" | "DepthwiseConv2D":
                values[name] = _convolution(graph, inputs[0], config, own)
            case "BatchNormalization":
                values[name] = _normalization(graph, inputs[0], config, own)
            case "Dense":
                values[name] = _dense(graph, inputs[0], config, own)
            case "Add":
                values[name] = graph.add("Add", *inputs)
            case "Dropout":
                values[name] = inputs[0]  # only while training
            case kind:
                values[name] = _without_weights(graph, kind, inputs[0], config)


def _convolution(graph: Graph, image: str, config: dict[str, Any], own: dict[str, Weight]) -> str:
    if config["use_bias"] or config["activation"] != "linear":
        raise ValueError(f"a convolution with a bias or an activation: {config}")
    options = {"strides": config["strides"], **padding(config["padding"])}
    if (depthwise := own.get("depthwise_kernel")) is not None:
        kernel, groups = depthwise.transposed(2, 3, 0, 1), depthwise.stored.shape[2]
        return graph.add("Conv", image, graph.kernel(kernel), group=groups, **options)
    return graph.add("Conv", image, graph.kernel(own["kernel"].transposed(3, 2, 0, 1)), **options)


def _normalization(graph: Graph, image: str, config: dict[str, Any], own: dict[str, Weight]) -> str:
    parts = [graph.constant(own[part].floats) for part in ("gamma", "beta", "moving_mean", "moving_variance")]
    return graph.add("BatchNormalization", image, *parts, epsilon=config["epsilon"])


def _dense(graph: Graph, features: str, config: dict[str, Any], own: dict[str, Weight]) -> str:
    product = graph.add("Gemm", features, graph.kernel(own["kernel"]), graph.constant(own["bias"].floats))
    match config["activation"]:
        case "relu":
            return graph.add("Relu", product)
        case "softmax":
            return graph.add("Softmax", product, output="scores", axis=-1)
        case activation:
            raise ValueError(f"a dense layer with the activation {activation}")


def _without_weights(graph: Graph, kind: str, image: str, config: dict[str, Any]) -> str:
    match kind:
        case "ZeroPadding2D":
            (top, bottom), (left, right) = config["padding"]
            return graph.add("Pad", image, graph.constant([0, 0, top, left, 0, 0, bottom, right], "int64"))
        case "ReLU" if config["max_value"]:
            return graph.add("Clip", image, graph.constant(0), graph.constant(config["max_value"]))
        case "ReLU":
            return graph.add("Relu", image)
        case "AveragePooling2D":
            shape = {"kernel_shape": config["pool_size"], "strides": config["strides"]}
            return graph.add("AveragePool", image, count_include_pad=0, **shape, **padding(config["padding"]))
        case "Flatten":  # Keras has the channels last
            return graph.add("Flatten", graph.add("Transpose", image, perm=[0, 2, 3, 1]))
        case _:
            raise ValueError(f"a layer of the kind {kind}")
