"""`mobilenet_v2_mid` of nsfwjs is a frozen TensorFlow graph: nodes whose weights are `Const` nodes."""

from __future__ import annotations

import base64
from typing import Any

from tools.nsfw_models.graph import Graph, padding
from tools.nsfw_models.weights import Weight

Node = dict[str, Any]


def add_nodes(topology: dict[str, Any], weights: dict[str, Weight], graph: Graph) -> None:
    """Add all nodes of a frozen graph to ours.

    Raises:
        ValueError: a node does what these models do not do.
    """
    values: dict[str, str] = {}
    for node in topology["node"]:
        name, inputs = node["name"], node.get("input", [])
        match node["op"]:
            case "Const":
                continue
            case "Placeholder":
                values[name] = graph.normalized_image()
            case "_FusedConv2D" | "FusedDepthwiseConv2dNative":
                values[name] = _convolution(graph, values[inputs[0]], node, weights)
            case "_FusedMatMul":
                kernel, bias = weights[inputs[1]], weights[inputs[2]]
                values[name] = graph.add(
                    "Gemm", values[inputs[0]], graph.kernel(kernel), graph.constant(bias.floats)
                )
            case "Mul" | "Sub" | "AddV2" as operator:
                operands = [values.get(each) or graph.constant(weights[each].floats) for each in inputs]
                values[name] = graph.add(operator.removesuffix("V2"), *operands)
            case kind:
                values[name] = _without_weights(graph, kind, values[inputs[0]])


def _convolution(graph: Graph, image: str, node: Node, weights: dict[str, Weight]) -> str:
    attributes = node["attr"]
    kernel, bias = weights[node["input"][1]], weights[node["input"][2]]
    strides = [int(each) for each in attributes["strides"]["list"]["i"][1:3]]
    is_depthwise = node["op"] == "FusedDepthwiseConv2dNative"
    output = graph.add(
        "Conv",
        image,
        graph.kernel(kernel.transposed(*((2, 3, 0, 1) if is_depthwise else (3, 2, 0, 1)))),
        graph.constant(bias.floats),
        strides=strides,
        group=kernel.stored.shape[2] if is_depthwise else 1,
        **padding(_text(attributes["padding"]["s"])),
    )
    match [_text(each) for each in attributes["fused_ops"]["list"]["s"]]:
        case ["BiasAdd"]:
            return output
        case ["BiasAdd", "Relu6"]:
            return graph.add("Clip", output, graph.constant(0), graph.constant(6))
        case fused:
            raise ValueError(f"a convolution fused with {fused}")


def _without_weights(graph: Graph, kind: str, value: str) -> str:
    match kind:
        case "AvgPool":
            return graph.add("AveragePool", value, kernel_shape=[7, 7], strides=[1, 1])
        case "Squeeze":
            return graph.add("Flatten", value)
        case "Softmax":
            return graph.add("Softmax", value, output="scores", axis=-1)
        case "Identity":
            return value
        case _:
            raise ValueError(f"a node of the kind {kind}")


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()
