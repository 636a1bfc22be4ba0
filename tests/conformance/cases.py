"""Writes the operator cases of the ONNX project, with what ONNX Runtime makes of them.

For each case a folder with model.onnx, inputs.npz and outputs.npz (what the case wants), and for all of them cases.json. Numbers of few bits, which
NumPy has no name for, are written as wider ones of the same values.

    python cases.py FOLDER
"""

import json
import os
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

NUMBERS = "biuf"

# Inputs that say what shape a result has, or which elements it takes, by their places: in models they are constants, and the cases give them at run
# time. Here they are initializers.
FIXED = {
    "AffineGrid": [1],
    "BlackmanWindow": [0],
    "CenterCropPad": [1],
    "Col2Im": [1, 2],
    "Compress": [1],
    "ConstantOfShape": [0],
    "CumProd": [1],
    "CumSum": [1],
    "DFT": [1, 2],
    "Expand": [1],
    "HammingWindow": [0],
    "HannWindow": [0],
    "MelWeightMatrix": [0, 1, 2, 3, 4],
    "OneHot": [1],
    "Pad": [1, 2, 3],
    "Range": [0, 1, 2],
    "Reshape": [1],
    "Resize": [1, 2, 3],
    "STFT": [1, 3],
    "Slice": [1, 2, 3, 4],
    "Split": [1],
    "Squeeze": [1],
    "Tile": [1],
    "TopK": [1],
    "Trilu": [1],
    "Unsqueeze": [1],
    "Upsample": [1],
}
REDUCTIONS = ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"]
FIXED.update({f"Reduce{name}": [1] for name in REDUCTIONS})


def plain(value):
    """An array that an npz file can hold; nothing where it is no tensor of numbers."""
    if not isinstance(value, (np.ndarray, np.generic)):
        return None
    value = np.asarray(value)
    if value.dtype.kind in "OSU" or value.dtype.kind == "c":
        return None
    if value.dtype.kind not in NUMBERS:
        name = value.dtype.name
        value = value.astype(np.int32 if name.startswith(("int", "uint")) else np.float32)
    return value.astype(np.float32) if value.dtype == np.float16 else value


def arrays(names, values):
    """Named arrays; nothing if one of them is no tensor of numbers."""
    named = {}
    for name, value in zip(names, values):
        if value is None:
            continue
        value = plain(value)
        if value is None:
            return None
        named[name] = np.ascontiguousarray(value).reshape(value.shape)
    return named


def close(ours, right, case):
    return all(
        a is not None and a.shape == b.shape and np.allclose(a, b, case.rtol, case.atol, equal_nan=True)
        for a, b in zip(ours, right)
    )


def runtime_agrees(case, inputs, outputs):
    """Whether ONNX Runtime runs the case, and gives what it wants."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            case.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        names = [given.name for given in session.get_inputs()]
        given = {name: value for name, value in zip(names, inputs) if value is not None}
        results = session.run(None, given)
    except Exception:
        return False
    right = [plain(value) for value in outputs]
    return len(results) == len(right) and close([plain(result) for result in results], right, case)


def fixed_inputs(model):
    """Names of the inputs that only say shapes."""
    fixed, free = set(), set()
    for node in model.graph.node:
        places = FIXED.get(node.op_type, [])
        for place, name in enumerate(node.input):
            (fixed if place in places else free).add(name)
    return fixed - free


def with_constants(model, inputs, fixed):
    """The model with inputs of some names as initializers, and the other inputs."""
    graph = model.graph
    rest = []
    for given, value in zip(list(graph.input), inputs):
        if given.name in fixed and isinstance(value, (np.ndarray, np.generic)):
            graph.initializer.append(numpy_helper.from_array(np.asarray(value), given.name))
            graph.input.remove(given)
        else:
            rest.append(value)
    return rest


def main(folder):
    warnings.simplefilter("ignore")
    listed = []
    cases = load_model_tests(kind="node")
    fixed = {case.name: fixed_inputs(case.model) for case in cases}
    for case in cases:
        inputs, outputs = case.data_sets[0]
        graph = case.model.graph
        runtime = runtime_agrees(case, inputs, outputs)
        # An operator written out as others has the same inputs.
        whole = fixed.get(case.name.removesuffix("_expanded"), set())
        inputs = with_constants(case.model, inputs, fixed[case.name] | whole)
        named = arrays([value.name for value in graph.input], inputs)
        wanted = arrays([value.name for value in graph.output], outputs)
        entry = {
            "name": case.name,
            "operators": sorted({node.op_type for node in graph.node}),
            "rtol": case.rtol,
            "atol": case.atol,
            "numbers": named is not None and wanted is not None,
            "runtime": runtime,
        }
        listed.append(entry)
        if not entry["numbers"]:
            continue
        own = os.path.join(folder, case.name)
        os.makedirs(own, exist_ok=True)
        onnx.save(case.model, os.path.join(own, "model.onnx"))
        for file, own_arrays in (("inputs.npz", named), ("outputs.npz", wanted)):
            np.savez(os.path.join(own, file), **own_arrays)
    with open(os.path.join(folder, "cases.json"), "w", encoding="utf-8") as file:
        versions = f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}"
        json.dump({"versions": versions, "cases": listed}, file, indent=0)


main(sys.argv[1])
