"""Writes detector.onnx: boxes and scores of a small detector, and the choice among them, whose shape depends on data.

    python make.py
"""

import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

generator = np.random.default_rng(1)
FEATURES, BOXES = 32, 16

weights = {
    "w_boxes": generator.standard_normal((FEATURES, 4 * BOXES)).astype(np.float32),
    "w_scores": generator.standard_normal((FEATURES, BOXES)).astype(np.float32),
    "at_most": np.array([3], np.int64),
}
nodes = [
    helper.make_node("MatMul", ["x", "w_boxes"], ["corners"], "boxes"),
    helper.make_node("Constant", [], ["boxes_shape"], "boxes_shape", value_ints=[1, BOXES, 4]),
    helper.make_node("Reshape", ["corners", "boxes_shape"], ["boxes"], "boxes_apart"),
    helper.make_node("MatMul", ["x", "w_scores"], ["raw"], "scores"),
    helper.make_node("Sigmoid", ["raw"], ["likely"], "likely"),
    helper.make_node("Constant", [], ["scores_shape"], "scores_shape", value_ints=[1, 1, BOXES]),
    helper.make_node("Reshape", ["likely", "scores_shape"], ["scores"], "scores_apart"),
    helper.make_node("NonMaxSuppression", ["boxes", "scores", "at_most"], ["chosen"], "choice"),
    helper.make_node("Cast", ["chosen"], ["places"], "places", to=TensorProto.FLOAT),
    helper.make_node("ReduceMax", ["likely"], ["best"], "best", keepdims=0),
]
graph = helper.make_graph(
    nodes,
    "detector",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, FEATURES])],
    [
        helper.make_tensor_value_info("places", TensorProto.FLOAT, ["n", 3]),
        helper.make_tensor_value_info("best", TensorProto.FLOAT, []),
    ],
    [numpy_helper.from_array(value, name) for name, value in weights.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
onnx.save(model, os.path.join(os.path.dirname(os.path.abspath(__file__)), "detector.onnx"))
