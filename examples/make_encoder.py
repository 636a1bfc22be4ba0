"""Writes encoder.onnx: a two-layer BERT-shaped encoder over bytes, as PyTorch's exporter writes it.

Its weights are drawn from a fixed seed and trained on nothing: it exists for its operators (decomposed LayerNorm, GELU
through Erf, learned positions, token types, additive mask, pooler), with activations of realistic size.
"""

import math
from pathlib import Path

import numpy as np
from onnx import TensorProto

from onnx_graph import LOWEST, Graph, save

LAYERS, HIDDEN, HEADS, FEED_FORWARD, VOCABULARY, POSITIONS = 2, 64, 2, 256, 256, 128
HEAD_DIM = HIDDEN // HEADS


class Weights:
    """Seeded random parameters, in the order they are asked for."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def matrix(self, rows, columns, spread):
        return (self.rng.standard_normal((rows, columns)) * spread).astype(np.float32)

    def linear(self, inputs, outputs, gain=1.0):
        """Weight and bias of a layer that keeps unit-size inputs at about `gain`."""
        return self.matrix(inputs, outputs, gain / math.sqrt(inputs)), self.vector(outputs)

    def vector(self, size, centre=0.0, spread=0.05):
        return (centre + spread * self.rng.standard_normal(size)).astype(np.float32)


def layer_norm(g, w, x):
    """(x - mean) / sqrt(variance + epsilon) × weight + bias, spelt out."""
    with g.scope("LayerNorm"):
        mean = g("ReduceMean", x, axes=[-1], keepdims=1)
        centred = g("Sub", x, mean)
        variance = g("ReduceMean", g("Pow", centred, g.const(2.0)), axes=[-1], keepdims=1)
        root = g("Sqrt", g("Add", variance, g.const(1e-12)))
        x = g("Div", centred, root)
        x = g("Mul", x, g.weight(g.dotted("weight"), w.vector(HIDDEN, 1.0, 0.1)))
        return g("Add", x, g.weight(g.dotted("bias"), w.vector(HIDDEN)))


def embeddings(g, w, ids, types):
    """Words, token types and learned positions, summed and normalised."""
    with g.scope("embeddings"):
        with g.scope("word_embeddings"):
            x = g("Gather", g.weight(g.dotted("weight"), w.matrix(VOCABULARY, HIDDEN, 1.0)), ids)
        with g.scope("token_type_embeddings"):
            kind = g("Gather", g.weight(g.dotted("weight"), w.matrix(2, HIDDEN, 0.3)), types)
        x = g("Add", x, kind)
        length = g("Unsqueeze", g.dim(ids, 1), g.const([0]))
        places = g.slice(g.const(np.arange(POSITIONS).reshape(1, -1)), 1, 0, length)
        with g.scope("position_embeddings"):
            place = g("Gather", g.weight(g.dotted("weight"), w.matrix(POSITIONS, HIDDEN, 0.5)), places)
        return layer_norm(g, w, g("Add", x, place))


def attention(g, w, x, bias):
    """Self-attention and its output layer, residual and norm."""
    with g.scope("self"):
        def heads(name, perm):
            value = g.linear(x, name, *w.linear(HIDDEN, HIDDEN, 1.5))
            split = g.shape(g.dim(value, 0), g.dim(value, 1), HEADS, HEAD_DIM)
            return g("Transpose", g("Reshape", value, split), perm=perm)

        query = heads("query", [0, 2, 1, 3])
        key = heads("key", [0, 2, 3, 1])
        value = heads("value", [0, 2, 1, 3])
        scores = g("Div", g("MatMul", query, key), g.const(math.sqrt(HEAD_DIM)))
        weights = g("Softmax", g("Add", scores, bias), axis=-1)
        mixed = g("Transpose", g("MatMul", weights, value), perm=[0, 2, 1, 3])
        mixed = g("Reshape", mixed, g.shape(g.dim(mixed, 0), g.dim(mixed, 1), HIDDEN))
    with g.scope("output"):
        out = g.linear(mixed, "dense", *w.linear(HIDDEN, HIDDEN))
        return layer_norm(g, w, g("Add", out, x))


def gelu(g, x):
    """x (1 + erf(x / √2)) / 2."""
    erf = g("Erf", g("Div", x, g.const(math.sqrt(2.0))))
    return g("Mul", g("Mul", x, g("Add", erf, g.const(1.0))), g.const(0.5))


def encoder_layer(g, w, x, bias):
    """Attention, then the feed-forward with its residual and norm."""
    with g.scope("attention"):
        x = attention(g, w, x, bias)
    with g.scope("intermediate"):
        h = g.linear(x, "dense", *w.linear(HIDDEN, FEED_FORWARD))
        with g.scope("intermediate_act_fn"):
            h = gelu(g, h)
    with g.scope("output"):
        h = g.linear(h, "dense", *w.linear(FEED_FORWARD, HIDDEN))
        return layer_norm(g, w, g("Add", h, x))


def build(seed=2):
    """The encoder as a ModelProto."""
    g, w = Graph(), Weights(seed)
    dims = ["batch_size", "sequence_length"]
    ids, mask, types = (g.input(n, TensorProto.INT64, dims) for n in ("input_ids", "attention_mask", "token_type_ids"))
    bias = g("Cast", g("Unsqueeze", g("Unsqueeze", mask, g.const([1])), g.const([2])), to=TensorProto.FLOAT)
    bias = g("Mul", g("Sub", g.const(1.0), bias), g.const(LOWEST))
    x = embeddings(g, w, ids, types)
    for i in range(LAYERS):
        with g.scope("encoder"), g.scope(f"layer.{i}"):
            x = encoder_layer(g, w, x, bias)
    x = g.nodes[-1].output[0] = "last_hidden_state"
    with g.scope("pooler"):
        first = g("Gather", x, g.const(0), axis=1)
        with g.scope("dense"):
            matrix, vector = w.linear(HIDDEN, HIDDEN)
            first = g("Gemm", first, g.weight(g.dotted("weight"), matrix), g.weight(g.dotted("bias"), vector),
                      alpha=1.0, beta=1.0, transB=1)
        with g.scope("activation"):
            g("Tanh", first, output="pooler_output")
    g.output("last_hidden_state", TensorProto.FLOAT, [*dims, HIDDEN])
    g.output("pooler_output", TensorProto.FLOAT, ["batch_size", HIDDEN])
    return g.model("encoder", {})


if __name__ == "__main__":
    path = Path(__file__).with_name("encoder.onnx")
    save(build(), path)
    print(f"{path.name}: {path.stat().st_size} bytes")
