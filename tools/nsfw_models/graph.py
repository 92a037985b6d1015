"""Builds an ONNX graph node by node. Kernels stay bytes; what is added or multiplied is float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tools.nsfw_models.weights import Weight

SIDE = 224
OPSET = 17
IR_VERSION = 8
CLASSES = 5


class Graph:
    """A graph from `image`, uint8 pixels of shape (224, 224, 3), to `scores`, float32 of shape (1, 5)."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._names = 0

    def _name(self) -> str:
        self._names += 1
        return f"t{self._names}"

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """One node; the name of its output."""
        output = output or self._name()
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """A constant; its name."""
        name = self._name()
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def kernel(self, weight: Weight) -> str:
        """The kernel of a layer: bytes in the file if there is one that means 0, for onnxruntime to widen."""
        if weight.zero_point is None:
            return self.constant(weight.floats)
        stored = self.constant(weight.stored, np.uint8)
        scale, zero = self.constant(weight.scale), self.constant(weight.zero_point, np.uint8)
        return self.add("DequantizeLinear", stored, scale, zero)

    def normalized_image(self) -> str:
        """The input between 0 and 1, with its channels first, as a batch of one."""
        scaled = self.add("Div", self.add("Cast", "image", to=TensorProto.FLOAT), self.constant(255))
        return self.add(
            "Unsqueeze", self.add("Transpose", scaled, perm=[2, 0, 1]), self.constant([0], np.int64)
        )

    def serialized(self, name: str) -> bytes:
        """The checked model."""
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info("image", TensorProto.UINT8, [SIDE, SIDE, 3])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, CLASSES])],
            self._constants,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="tools.nsfw_models"
        )
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model)
        return model.SerializeToString(deterministic=True)


def padding(tensorflow_name: str) -> dict[str, str]:
    """TensorFlow's `same` adds the odd pixel at the end, which ONNX calls upper."""
    return {"auto_pad": "SAME_UPPER" if tensorflow_name.lower() == "same" else "VALID"}
