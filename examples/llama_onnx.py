"""Writes a Llama-shaped decoder with an explicit KV cache as PyTorch's exporters write it, in plain operators.

Inputs   input_ids, attention_mask (over all slots: past, then new), position_ids, past_key_values.{i}.key/value
Outputs  logits, present.{i}.key/value

A slot of the cache takes part where attention_mask is 1; where it stands in the cache does not matter, since the
rotary angle comes from position_ids and was applied before the key was stored. Weights are held as [inputs, outputs].
"""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper

from onnx_graph import LOWEST, Graph

TOTAL = "past_sequence_length + sequence_length"


@dataclass(frozen=True)
class Config:
    """The shape of a decoder."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    feed_forward: int
    vocabulary: int
    rope_theta: float
    epsilon: float


def build(config, weights, metadata, name):
    """The decoder as a ModelProto. `weights` maps `model.layers.0.self_attn.q_proj` and the like to arrays in float16
    or float32; without an `lm_head` the embedding serves for both."""
    g = Graph()
    ids = g.input("input_ids", TensorProto.INT64, ["batch_size", "sequence_length"])
    mask = g.input("attention_mask", TensorProto.INT64, ["batch_size", TOTAL])
    positions = g.input("position_ids", TensorProto.INT64, ["batch_size", "sequence_length"])
    dims = ["batch_size", config.kv_heads, "past_sequence_length", config.head_dim]
    caches = [tuple(g.input(f"past_key_values.{i}.{kind}", TensorProto.FLOAT, dims) for kind in ("key", "value"))
              for i in range(config.layers)]
    with g.scope("model"):
        with g.scope("embed_tokens"):
            table = g.weight("model.embed_tokens.weight", weights["model.embed_tokens"])
            x = g("Gather", table, ids)
        bias = causal_mask(g, x, mask, caches[0][0])
        cos, sin = rotary(g, config, positions)
        for i, cache in enumerate(caches):
            with g.scope(f"layers.{i}"):
                x = layer(g, config, weights, i, x, bias, cos, sin, cache)
        x = rms_norm(g, config, x, "norm", weights["model.norm"])
    with g.scope("lm_head"):
        own = "lm_head" in weights
        head = g.weight("lm_head.weight", weights["lm_head"]) if own else g("Transpose", table, perm=[1, 0])
        g("MatMul", x, head, output="logits")
    g.output("logits", TensorProto.FLOAT, ["batch_size", "sequence_length", config.vocabulary])
    dims[2] = TOTAL
    for i in range(config.layers):
        for kind in ("key", "value"):
            g.output(f"present.{i}.{kind}", TensorProto.FLOAT, dims)
    return g.model(name, metadata)


def causal_mask(g, x, mask, past_key):
    """[batch, 1, new, past + new]: 0 where a query may look, the lowest float32 elsewhere."""
    past, new = g.dim(past_key, 2), g.dim(x, 1)
    total = g("Add", past, new)
    places = g("Range", past, total, g.const(1))
    lowest = helper.make_tensor("value", TensorProto.FLOAT, [1], [LOWEST])
    causal = g("ConstantOfShape", g.shape(new, total), value=lowest)
    causal = g("Trilu", causal, g.const(1), upper=1)
    later = g("Greater", g("Range", g.const(0), total, g.const(1)), g("Reshape", places, g.const([-1, 1])))
    causal = g("Mul", causal, g("Cast", later, to=TensorProto.FLOAT))
    causal = g("Unsqueeze", g("Unsqueeze", causal, g.const([0])), g.const([1]))
    causal = g.expand(causal, 4, g.shape(g.dim(x, 0), 1, -1, -1))
    padding = g("Unsqueeze", g("Unsqueeze", mask, g.const([1])), g.const([2]))
    padding = g("Add", causal, g("Cast", padding, to=TensorProto.FLOAT))
    absent = g("Equal", padding, g.const(0.0))
    return g("Where", absent, g.const(LOWEST), causal)


def rotary(g, config, positions):
    """cos and sin, each [batch, 1, new, head_dim]."""
    with g.scope("rotary_emb"):
        half = np.arange(0, config.head_dim, 2, dtype=np.float64) / config.head_dim
        inverse = g.const((1.0 / config.rope_theta**half).astype(np.float32).reshape(1, -1, 1))
        inverse = g.expand(inverse, 3, g.shape(g.dim(positions, 0), -1, 1))
        moved = g("Cast", g("Unsqueeze", positions, g.const([1])), to=TensorProto.FLOAT)
        angles = g("Transpose", g("MatMul", inverse, moved), perm=[0, 2, 1])
        angles = g("Concat", angles, angles, axis=-1)
        cos = g("Mul", g("Cos", angles), g.const(1.0))
        sin = g("Mul", g("Sin", angles), g.const(1.0))
    return g("Unsqueeze", cos, g.const([1])), g("Unsqueeze", sin, g.const([1]))


def rms_norm(g, config, x, name, weight):
    """x / sqrt(mean(x²) + epsilon) × weight."""
    with g.scope(name):
        mean = g("ReduceMean", g("Pow", x, g.const(2.0)), axes=[-1], keepdims=1)
        root = g("Sqrt", g("Add", mean, g.const(config.epsilon)))
        x = g("Mul", x, g("Div", g.const(1.0), root))
        return g("Mul", g.weight(g.dotted("weight"), weight), x)


def layer(g, config, weights, i, x, bias, cos, sin, cache):
    """One decoder layer: attention and the gated feed-forward, each with its residual."""
    own = {k.split(".")[-1]: v for k, v in weights.items() if k.startswith(f"model.layers.{i}.")}
    h = rms_norm(g, config, x, "input_layernorm", own["input_layernorm"])
    with g.scope("self_attn"):
        h = attention(g, config, own, i, h, bias, cos, sin, cache)
    x = g("Add", x, h)
    h = rms_norm(g, config, x, "post_attention_layernorm", own["post_attention_layernorm"])
    with g.scope("mlp"):
        gate = g.linear(h, "gate_proj", own["gate_proj"])
        with g.scope("act_fn"):
            gate = g("Mul", gate, g("Sigmoid", gate))
        h = g("Mul", gate, g.linear(h, "up_proj", own["up_proj"]))
        h = g.linear(h, "down_proj", own["down_proj"])
    return g("Add", x, h)


def attention(g, config, own, i, h, bias, cos, sin, cache):
    """Grouped-query attention of the new tokens over past and new slots."""
    batch, new = g.dim(h, 0), g.dim(h, 1)
    split = g.shape(batch, new, -1, config.head_dim)

    def heads(name):
        value = g("Reshape", g.linear(h, name, own[name]), split)
        return g("Transpose", value, perm=[0, 2, 1, 3])

    q, k, v = (heads(name) for name in ("q_proj", "k_proj", "v_proj"))
    q, k = rotate(g, q, cos, sin), rotate(g, k, cos, sin)
    k = g("Concat", cache[0], k, axis=2, output=f"present.{i}.key")
    v = g("Concat", cache[1], v, axis=2, output=f"present.{i}.value")
    k, v = repeat(g, config, k), repeat(g, config, v)
    scores = g("MatMul", q, g("Transpose", k, perm=[0, 1, 3, 2]))
    scores = g("Mul", scores, g.const(np.float32(config.head_dim**-0.5)))
    slots = g("Unsqueeze", g.dim(k, 2), g.const([0]))
    scores = g("Add", scores, g.slice(bias, 3, 0, slots))
    mixed = g("MatMul", g("Softmax", scores, axis=-1), v)
    mixed = g("Transpose", mixed, perm=[0, 2, 1, 3])
    mixed = g("Reshape", mixed, g.shape(batch, new, -1))
    return g.linear(mixed, "o_proj", own["o_proj"])


def rotate(g, x, cos, sin):
    """Rotary embedding in halves: x cos + [-x₂, x₁] sin."""
    half = g("Unsqueeze", g("Div", g.dim(x, 3), g.const(2)), g.const([0]))
    first = g.slice(x, 3, 0, half)
    second = g.slice(x, 3, half, np.iinfo(np.int64).max)
    turned = g("Concat", g("Neg", second), first, axis=-1)
    return g("Add", g("Mul", x, cos), g("Mul", turned, sin))


def repeat(g, config, x):
    """Each key/value head once per query head that shares it: [b, kv, t, d] to [b, kv × groups, t, d]."""
    groups = config.heads // config.kv_heads
    if groups == 1:
        return x
    dims = [g.dim(x, axis) for axis in range(4)]
    wide = g("Unsqueeze", x, g.const([2]))
    wide = g.expand(wide, 5, g.shape(dims[0], dims[1], groups, dims[2], dims[3]))
    heads = g("Mul", dims[1], g.const(groups))
    return g("Reshape", wide, g.shape(dims[0], heads, dims[2], dims[3]))


def parameter_shapes(config):
    """Name to shape of every weight of a decoder whose head is its embedding, in a fixed order."""
    h, f = config.hidden, config.feed_forward
    q, kv = config.heads * config.head_dim, config.kv_heads * config.head_dim
    shapes = {"model.embed_tokens": (config.vocabulary, h), "model.norm": (h,)}
    for i in range(config.layers):
        p = f"model.layers.{i}."
        shapes |= {
            p + "input_layernorm": (h,), p + "post_attention_layernorm": (h,),
            p + "self_attn.q_proj": (h, q), p + "self_attn.k_proj": (h, kv), p + "self_attn.v_proj": (h, kv),
            p + "self_attn.o_proj": (q, h),
            p + "mlp.gate_proj": (h, f), p + "mlp.up_proj": (h, f), p + "mlp.down_proj": (f, h),
        }
    return shapes
