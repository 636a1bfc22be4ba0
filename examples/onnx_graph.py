"""A small writer of ONNX graphs that names nodes and plumbs shapes as PyTorch's exporter does.

Nodes live in scopes: inside `with g.scope("self_attn"):` the second MatMul is called
`/model/layers.0/self_attn/MatMul_1` and its value `/model/layers.0/self_attn/MatMul_1_output_0`.
"""

from contextlib import contextmanager

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 10
LOWEST = np.float32(np.finfo(np.float32).min)


class Graph:
    """Nodes, weights, inputs and outputs of one model, in the order they were asked for."""

    def __init__(self):
        self.path = ""
        self.counts = {}
        self.nodes, self.weights, self.inputs, self.outputs = [], [], [], []
        self.values = {}

    @contextmanager
    def scope(self, name):
        """Nodes made inside carry `name` in their path."""
        outer = self.path
        self.path = f"{outer}/{name}"
        try:
            yield
        finally:
            self.path = outer

    def __call__(self, op, *inputs, output=None, **attributes):
        """Adds a node with one output and returns the name of its value."""
        key = (self.path, op)
        number = self.counts.get(key, 0)
        self.counts[key] = number + 1
        name = f"{self.path}/{op}" + (f"_{number}" if number else "")
        output = output or f"{name}_output_0"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=name, **attributes))
        return output

    def const(self, value, dtype=None):
        """A Constant node; integers become int64 and floats float32 unless `dtype` says otherwise."""
        value = np.asarray(value)
        if dtype is None:
            dtype = np.float32 if value.dtype.kind == "f" else np.int64
        return self("Constant", value=numpy_helper.from_array(np.asarray(value, dtype)))

    def dotted(self, name):
        """A parameter's name in this scope, as PyTorch spells it: `model.layers.0.mlp.up_proj.weight`."""
        return f"{self.path}/{name}".strip("/").replace("/", ".")

    def weight(self, name, array):
        """An initializer, read as float32: where it is stored as float16 a Cast follows (one for all users)."""
        if name not in self.values:
            self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
            self.values[name] = self("Cast", name, to=TensorProto.FLOAT) if array.dtype == np.float16 else name
        return self.values[name]

    def input(self, name, dtype, dims):
        """A model input; dims are numbers or symbols."""
        self.inputs.append(helper.make_tensor_value_info(name, dtype, dims))
        return name

    def output(self, name, dtype, dims):
        """Declares the value `name` as a model output."""
        self.outputs.append(helper.make_tensor_value_info(name, dtype, dims))

    def dim(self, value, axis):
        """One dimension of a value, as an int64 scalar."""
        return self("Gather", self("Shape", value), self.const(axis), axis=0)

    def shape(self, *dims):
        """A shape vector out of numbers and int64 scalars (value names)."""
        parts = [self("Unsqueeze", d, self.const([0])) if isinstance(d, str) else self.const([d]) for d in dims]
        return self("Concat", *parts, axis=0)

    def expand(self, value, rank, shape):
        """torch's `expand`: -1 in the shape keeps a dimension, which the exporter writes as a Where on the shape."""
        one = helper.make_tensor("value", TensorProto.INT64, [1], [1])
        ones = self("ConstantOfShape", self.const([rank]), value=one)
        keep = self("Equal", shape, self("Mul", ones, self.const(-1)))
        return self("Expand", value, self("Where", keep, ones, shape))

    def slice(self, value, axis, start, end):
        """value[start:end] along one axis; the bounds are numbers or one-element vectors (value names)."""
        bounds = [b if isinstance(b, str) else self.const([b]) for b in (start, end)]
        return self("Slice", value, *bounds, self.const([axis]), self.const([1]))

    def linear(self, value, name, weight, bias=None):
        """value × weight (+ bias) with the weight held as [inputs, outputs], as the exporter folds it."""
        with self.scope(name):
            value = self("MatMul", value, self.weight(self.dotted("weight"), weight))
            if bias is not None:
                value = self("Add", self.weight(self.dotted("bias"), bias), value)
            return value

    def model(self, name, metadata):
        """The finished ModelProto; metadata maps keys to text."""
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.weights)
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, producer_name="lpuc-examples", ir_version=IR_VERSION, opset_imports=[opset])
        helper.set_model_props(model, metadata)
        return model


def save(model, path, external=False):
    """Checks and writes a model; with `external` its large weights go to a file beside it, named `path` + `.data`."""
    if external:
        data = f"{path.name}.data"
        path.with_name(data).unlink(missing_ok=True)
        onnx.save(model, path, save_as_external_data=True, all_tensors_to_one_file=True, location=data, size_threshold=1024)
        path.with_name(data).chmod(path.stat().st_mode & 0o777)
        onnx.checker.check_model(str(path))
    else:
        onnx.checker.check_model(model)
        path.write_bytes(model.SerializeToString(deterministic=True))
