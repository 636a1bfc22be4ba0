"""Writes parts of published models without their weights, for questions of time: what one block takes on one chip.

    pip install numpy onnx
    python models/blocks.py [OUT_FOLDER]

    swiglu-N.onnx, attention-N.onnx, layer-N.onnx    SmolLM2-135M's feed-forward, attention (causal, rotary, nine heads on three)
                                                     and whole decoder layer, for N = 1 and 128 new tokens and nothing cached
    lstm-512.onnx                                    one step of an LSTM of 512 units

Weights are said to lie in a file that is not there. The files stand in tests/blocks, where tests time them.
"""

import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))

from llama_onnx import Config, parameter_shapes, rms_norm, rotary, rotate
from onnx_graph import LOWEST, Graph

SMOLLM2 = Config(layers=1, hidden=576, heads=9, kv_heads=3, head_dim=64, feed_forward=1536, vocabulary=0,
                 rope_theta=1e5, epsilon=1e-5)


class Block(Graph):
    """A graph whose weights are given by their shapes."""

    def weight(self, name, shape):
        if name not in self.values:
            tensor = TensorProto(name=name, dims=shape, data_type=TensorProto.FLOAT16, data_location=TensorProto.EXTERNAL)
            place = [("location", "absent.data"), ("offset", 0), ("length", 2 * int(np.prod(shape)))]
            for key, value in place:
                tensor.external_data.add(key=key, value=str(value))
            self.weights.append(tensor)
            self.values[name] = self("Cast", name, to=TensorProto.FLOAT)
        return self.values[name]


def feed_forward(g, own, x):
    with g.scope("mlp"):
        gate = g.linear(x, "gate_proj", own["gate_proj"])
        with g.scope("act_fn"):
            gate = g("Mul", gate, g("Sigmoid", gate))
        inner = g("Mul", gate, g.linear(x, "up_proj", own["up_proj"]))
        return g.linear(inner, "down_proj", own["down_proj"])


def attention(g, own, x, rows):
    c = SMOLLM2
    positions = g.const(np.arange(rows).reshape(1, rows))
    cos, sin = rotary(g, c, positions)
    later = g("Greater", g.const(np.arange(rows)), g.const(np.arange(rows).reshape(rows, 1)))
    bias = g("Where", later, g.const(LOWEST), g.const(0.0))
    with g.scope("self_attn"):
        def heads(name, count):
            split = g("Reshape", g.linear(x, name, own[name]), g.const([1, rows, count, c.head_dim]))
            return g("Transpose", split, perm=[0, 2, 1, 3])

        def shared(value):
            each = c.heads // c.kv_heads
            wide = g("Expand", g("Unsqueeze", value, g.const([2])), g.const([1, c.kv_heads, each, rows, c.head_dim]))
            return g("Reshape", wide, g.const([1, c.heads, rows, c.head_dim]))

        q, k, v = heads("q_proj", c.heads), heads("k_proj", c.kv_heads), heads("v_proj", c.kv_heads)
        q, k, v = rotate(g, q, cos, sin), shared(rotate(g, k, cos, sin)), shared(v)
        scores = g("Mul", g("MatMul", q, g("Transpose", k, perm=[0, 1, 3, 2])), g.const(np.float32(c.head_dim**-0.5)))
        mixed = g("MatMul", g("Softmax", g("Add", scores, bias), axis=-1), v)
        joined = g("Reshape", g("Transpose", mixed, perm=[0, 2, 1, 3]), g.const([1, rows, c.heads * c.head_dim]))
        return g.linear(joined, "o_proj", own["o_proj"])


def layer(g, own, x, rows):
    x = g("Add", x, attention(g, own, rms_norm(g, SMOLLM2, x, "input_layernorm", own["input_layernorm"]), rows))
    h = rms_norm(g, SMOLLM2, x, "post_attention_layernorm", own["post_attention_layernorm"])
    return g("Add", x, feed_forward(g, own, h))


def smollm2(name, rows):
    own = {key.split(".")[-1]: shape for key, shape in parameter_shapes(SMOLLM2).items() if ".layers.0." in key}
    g = Block()
    shape = [1, rows, SMOLLM2.hidden]
    x = g.input("x", TensorProto.FLOAT, shape)
    parts = {"swiglu": lambda: feed_forward(g, own, x), "attention": lambda: attention(g, own, x, rows),
             "layer": lambda: layer(g, own, x, rows)}
    g.output(parts[name](), TensorProto.FLOAT, shape)
    return g.model(name, {})


def lstm(units):
    g = Block()
    x = g.input("x", TensorProto.FLOAT, [1, 1, units])
    state = [g.input(name, TensorProto.FLOAT, [1, 1, units]) for name in ("h", "c")]
    weights = [g.weight(name, shape) for name, shape in
               (("w", [1, 4 * units, units]), ("r", [1, 4 * units, units]), ("b", [1, 8 * units]))]
    g.nodes.append(helper.make_node("LSTM", [x, *weights, "", *state], ["", "h_next", "c_next"], name="/LSTM", hidden_size=units))
    for name in ("h_next", "c_next"):
        g.output(name, TensorProto.FLOAT, [1, 1, units])
    return g.model("lstm", {})


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "tests" / "blocks")
    folder.mkdir(parents=True, exist_ok=True)
    models = {f"{name}-{rows}": smollm2(name, rows) for name in ("swiglu", "attention", "layer") for rows in (1, 128)}
    models["lstm-512"] = lstm(512)
    for name, model in models.items():
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
