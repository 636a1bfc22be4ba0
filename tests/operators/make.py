"""Writes small models of quantised operators, convolutions and recurrences, and what ONNX Runtime answers.

    python make.py

For each model NAME.onnx, NAME.inputs.npz and NAME.outputs.npz beside this file. Weights and inputs are drawn from fixed
seeds; inputs of quantised activations are multiples of powers of two, so that nothing is near enough to a half that
another order of sums would round it elsewhere.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent


class Model:
    """A model in the making: names are numbered, constants are initializers."""

    def __init__(self, seed, opset=21):
        self.rng = np.random.default_rng(seed)
        self.opset = opset
        self.nodes, self.constants, self.inputs, self.outputs, self.arrays = [], [], [], [], {}

    def input(self, name, array):
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        self.inputs.append(helper.make_tensor_value_info(name, kind, array.shape))
        self.arrays[name] = array
        return name

    def constant(self, array, kind=None):
        """An initializer; `kind` for the types that numpy does not have, of the numbers in `array`."""
        name = f"c{len(self.constants)}"
        array = np.asarray(array)
        if kind is None:
            self.constants.append(numpy_helper.from_array(array, name))
        else:
            self.constants.append(helper.make_tensor(name, kind, array.shape, array.flatten().tolist()))
        return name

    def real(self, *shape, spread=1.0):
        return self.constant((self.rng.standard_normal(shape) * spread).astype(np.float32))

    def whole(self, *shape, kind=np.int8, least=-128, most=127):
        return self.constant(self.rng.integers(least, most + 1, shape).astype(kind))

    def scalar(self, value, kind=np.float32):
        return self.constant(np.array(value, kind))

    def __call__(self, operator, *inputs, outputs=1, **attributes):
        names = [f"{operator}{len(self.nodes)}.{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, name=f"/{operator}{len(self.nodes)}", **attributes))
        return names[0] if outputs == 1 else names

    def output(self, name):
        self.outputs.append(name)

    def save(self, name):
        infos = [helper.make_empty_tensor_value_info(output) for output in self.outputs]
        graph = helper.make_graph(self.nodes, name, self.inputs, infos, self.constants)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        session = None
        # Without fusions: they have kernels of their own, with other roundings.
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        answers = dict(zip(self.outputs, session.run(self.outputs, self.arrays)))
        for info, output in zip(infos, self.outputs):
            kind = helper.np_dtype_to_tensor_dtype(answers[output].dtype)
            info.CopyFrom(helper.make_tensor_value_info(output, kind, answers[output].shape))
        del model.graph.output[:]
        model.graph.output.extend(infos)
        path = HERE / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        np.savez_compressed(HERE / f"{name}.inputs.npz", **self.arrays)
        np.savez_compressed(HERE / f"{name}.outputs.npz", **answers)
        print(f"{name}: {path.stat().st_size} bytes, {[(k, v.dtype.name, v.shape) for k, v in answers.items()]}")


def steps(rng, *shape, step=1 / 16, most=4.0):
    """Multiples of `step` within ±most."""
    count = int(most / step)
    return (rng.integers(-count, count + 1, shape) * step).astype(np.float32)


def quantisation():
    """To bytes and back in every way, and weights of eight and four bits."""
    m = Model(1)
    x = m.input("x", steps(m.rng, 3, 32))
    for scale, zero in [(0.125, np.int8(0)), (0.125, np.int8(-3)), (0.0625, np.uint8(100)), (0.125, np.uint8(128))]:
        y = m("QuantizeLinear", x, m.scalar(scale), m.constant(np.array(zero)))
        m.output(y)
        m.output(m("DequantizeLinear", y, m.scalar(scale), m.constant(np.array(zero))))
    columns = m.constant((2.0 ** m.rng.integers(-6, -2, 32)).astype(np.float32))
    zeros = m.whole(32, least=-9, most=9)
    y = m("QuantizeLinear", x, columns, zeros, axis=-1)
    m.output(y)
    y = m("Reshape", y, m.constant(np.array([3, 2, 16], np.int64)))
    y = m("Transpose", y, perm=[1, 0, 2])
    m.output(m("DequantizeLinear", y, m.scalar(0.5)))
    wide = m("QuantizeLinear", x, m.scalar(0.25), m.scalar(5, np.int16))
    m.output(wide)
    # Weights of eight bits by column, of four by blocks of 8 rows.
    w = m("DequantizeLinear", m.whole(32, 16), m.real(16), m.whole(16), axis=1)
    m.output(m("MatMul", x, w))
    four = m.constant(m.rng.integers(-8, 8, (32, 16)), TensorProto.INT4)
    zeros = m.constant(m.rng.integers(-8, 8, (4, 16)), TensorProto.INT4)
    w = m("DequantizeLinear", four, m.real(4, 16), zeros, axis=0, block_size=8)
    m.output(m("MatMul", x, w))
    four = m.constant(m.rng.integers(0, 16, (5, 3)), TensorProto.UINT4)
    m.output(m("DequantizeLinear", four, m.real(3), axis=1))
    m.save("quantisation")


def float8():
    """Weights and activations of float8."""
    m = Model(2)
    x = m.input("x", (m.rng.standard_normal((3, 32)) * 3).astype(np.float32))
    zero = m.constant(np.array(0), TensorProto.FLOAT8E4M3FN)
    y = m("QuantizeLinear", x, m.scalar(0.0078125), zero)
    y = m("DequantizeLinear", y, m.scalar(0.0078125))
    m.output(y)
    w = m.constant(m.rng.standard_normal((32, 16)) * 100, TensorProto.FLOAT8E4M3FN)
    m.output(m("MatMul", y, m("DequantizeLinear", w, m.scalar(0.01))))
    m.output(m("Cast", m("Cast", x, to=TensorProto.FLOAT8E4M3FN), to=TensorProto.FLOAT))
    m.save("float8")


def products():
    """Products of bytes, with and without zero points."""
    m = Model(3)
    a = m.input("a", m.rng.integers(0, 256, (2, 3, 24)).astype(np.uint8))
    s = m.input("s", m.rng.integers(-128, 128, (3, 24)).astype(np.int8))
    m.output(m("MatMulInteger", s, m.whole(24, 8)))
    m.output(m("MatMulInteger", a, m.whole(24, 8), m.scalar(77, np.uint8), m.scalar(-4, np.int8)))
    m.output(m("MatMulInteger", s, m.whole(24, 8), m.scalar(3, np.int8), m.whole(8)))
    x = m.input("x", steps(m.rng, 3, 24))
    y, scale, zero = m("DynamicQuantizeLinear", x, outputs=3)
    m.output(y)
    m.output(zero)
    product = m("MatMulInteger", y, m.whole(24, 8), zero)
    m.output(m("Mul", m("Cast", product, to=TensorProto.FLOAT), scale))
    bytes_b = m.whole(24, 8, kind=np.uint8, least=0, most=255)
    scales = [m.scalar(value) for value in (0.03, 0.02, 2.0)]
    zeros = [m.scalar(value, np.uint8) for value in (120, 130, 64)]
    m.output(m("QLinearMatMul", a, scales[0], zeros[0], bytes_b, scales[1], zeros[1], scales[2], zeros[2]))
    m.output(m("DynamicQuantizeMatMul", x, m.whole(24, 8), m.real(8), "", m.real(8), domain="com.microsoft"))
    zero = m.scalar(99, np.uint8)
    inputs = [a, m.whole(24, 8), m.scalar(0.01), m.real(8), zero, "", m.real(8)]
    m.output(m("MatMulIntegerToFloat", *inputs, domain="com.microsoft"))
    m.save("products")


def normalised(m, x, channels):
    spread = [np.abs(m.rng.standard_normal(channels)).astype(np.float32) + 0.1 for _ in range(2)]
    return m("BatchNormalization", x, m.constant(spread[0]), m.real(channels), m.real(channels), m.constant(spread[1]))


def convolution():
    """A small image classifier, and odd shapes."""
    m = Model(4)
    x = m.input("image", m.rng.standard_normal((1, 3, 13, 11)).astype(np.float32))
    y = m("Conv", x, m.real(8, 3, 3, 3, spread=0.3), strides=[2, 2], pads=[1, 1, 1, 1])
    y = m("Relu", normalised(m, y, 8))
    pooled = m("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    m.output(pooled)
    # Depthwise, then by points, as MobileNet does it, and around it.
    z = m("Conv", pooled, m.real(8, 1, 3, 3, spread=0.3), m.real(8), group=8, auto_pad="SAME_UPPER")
    z = m("Clip", normalised(m, z, 8), m.scalar(0), m.scalar(6))
    z = m("Conv", z, m.real(8, 8, 1, 1, spread=0.3), m.real(8))
    z = m("Add", normalised(m, z, 8), pooled)
    m.output(z)
    z = m("Dropout", m("Identity", z))
    flat = m("Flatten", m("GlobalAveragePool", z))
    m.output(m("Softmax", m("Gemm", flat, m.real(8, 5), m.real(5))))
    m.output(m("Conv", x, m.real(6, 1, 2, 3), dilations=[2, 3], pads=[0, 2, 3, 1], strides=[1, 2], group=3))
    m.output(m("Conv", x, m.real(2, 3, 4, 2), auto_pad="SAME_LOWER", strides=[2, 3]))
    for include in (0, 1):
        pads = {"pads": [1, 0, 1, 2], "kernel_shape": [3, 3], "strides": [2, 2], "count_include_pad": include}
        m.output(m("AveragePool", x, **pads))
        m.output(m("AveragePool", x, ceil_mode=1, **pads))
    m.output(m("MaxPool", x, kernel_shape=[2, 3], dilations=[3, 2], pads=[1, 1, 0, 1]))
    m.output(m("GlobalMaxPool", x))
    sound = m.input("sound", m.rng.standard_normal((2, 4, 30)).astype(np.float32))
    m.output(m("Conv", sound, m.real(6, 2, 5), m.real(6), group=2, strides=[3], pads=[4, 2]))
    m.output(m("Conv", sound, m.real(3, 4, 1), m.real(3)))
    m.save("convolution")


def byte_convolution():
    """Convolutions of bytes."""
    m = Model(5)
    x = m.input("bytes", m.rng.integers(0, 256, (1, 4, 7, 6)).astype(np.uint8))
    zero = m.scalar(100, np.uint8)
    pads = {"pads": [1, 1, 1, 1]}
    w = m.whole(6, 4, 3, 3, kind=np.uint8, least=0, most=255)
    m.output(m("ConvInteger", x, w, zero, m.scalar(120, np.uint8), **pads))
    m.output(m("ConvInteger", x, w, zero, strides=[2, 2]))
    scales = [m.scalar(value) for value in (0.02, 0.5)]
    weights, by_channel = m.whole(6, 4, 3, 3), m.constant(np.linspace(0.01, 0.03, 6).astype(np.float32))
    none, out = m.constant(np.zeros(6, np.int8)), m.scalar(128, np.uint8)
    bias = m.whole(6, kind=np.int32, least=-9999, most=9999)
    y = m("QLinearConv", x, scales[0], zero, weights, by_channel, none, scales[1], out, bias, **pads)
    m.output(y)
    m.output(m("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]))
    by_group = m.whole(4, 1, 3, 3)
    inputs = [x, scales[0], zero, by_group, scales[0], m.scalar(0, np.int8), scales[1], out]
    m.output(m("QLinearConv", *inputs, group=4, strides=[2, 1]))
    point = [x, scales[0], zero, m.whole(5, 4, 1, 1), scales[0], m.scalar(0, np.int8), scales[1], out]
    m.output(m("QLinearConv", *point))
    m.save("byte-convolution")


def recurrence():
    """LSTM over six steps of two sequences, with and without a first state."""
    m = Model(6)
    x = m.input("x", m.rng.standard_normal((6, 2, 5)).astype(np.float32))
    w, r, b = m.real(1, 16, 5, spread=0.5), m.real(1, 16, 4, spread=0.5), m.real(1, 32, spread=0.5)
    for output in m("LSTM", x, w, r, b, outputs=3, hidden_size=4):
        m.output(output)
    states = [m.input(name, m.rng.standard_normal((1, 2, 4)).astype(np.float32)) for name in ("h", "c")]
    for output in m("LSTM", x, w, r, "", "", *states, outputs=3, hidden_size=4):
        m.output(output)
    m.save("recurrence")


def recurrences():
    """RNN, GRU and LSTM with what they can be told: directions, lengths, peepholes, limits, activations."""
    m = Model(7)
    x = m.input("x", m.rng.standard_normal((4, 2, 3)).astype(np.float32))
    lengths = m.input("lengths", np.array([4, 2], np.int32))
    first = [m.input(name, m.rng.standard_normal((2, 2, 2)).astype(np.float32)) for name in ("h", "c")]

    def layer(operator, gates, optional=(), outputs=2, directions=2, **attributes):
        w, r = m.real(directions, gates * 2, 3), m.real(directions, gates * 2, 2)
        bias = m.real(directions, gates * 4)
        for output in m(operator, x, w, r, bias, *optional, outputs=outputs, hidden_size=2, **attributes):
            m.output(output)

    both = {"direction": "bidirectional"}
    layer("RNN", 1, [lengths, first[0]], **both, activations=["Affine", "ScaledTanh"],
          activation_alpha=[0.5, 1.5], activation_beta=[0.25, 0.75])
    layer("RNN", 1, [lengths], directions=1, direction="reverse", clip=0.5, activations=["LeakyRelu"],
          activation_alpha=[0.2])
    layer("GRU", 3, [lengths, first[0]], **both, linear_before_reset=1)
    layer("GRU", 3, [lengths, first[0]], **both, clip=0.6,
          activations=["HardSigmoid", "Softsign", "Sigmoid", "Elu"],
          activation_alpha=[0.3, 0.8], activation_beta=[0.4])
    layer("GRU", 3, directions=1, linear_before_reset=1)
    layer("LSTM", 4, [lengths, *first, m.real(2, 6)], outputs=3, **both)
    layer("LSTM", 4, ["", *first], outputs=3, **both, clip=0.4,
          activations=["Sigmoid", "Relu", "Softplus", "Sigmoid", "ThresholdedRelu", "Tanh"],
          activation_alpha=[0.1])
    m.save("recurrences")


def arithmetic():
    """Integers that wrap in their own width, quotients and remainders of numbers that the host gives, powers, inverse functions."""
    m = Model(8)
    narrow = {np.int8: 7, np.uint8: 8, np.int16: 15}
    for kind, bits in narrow.items():
        limits = np.iinfo(kind)
        a, b = (m.rng.integers(limits.min, limits.max + 1, 40).astype(kind) for _ in range(2))
        b[b == 0] = 3
        a, b = m.input(f"a{kind.__name__}", a), m.input(f"b{kind.__name__}", b)
        for operator in ("Add", "Sub", "Mul", "Div", "Mod"):
            m.output(m(operator, a, b))
        m.output(m("Mod", a, b, fmod=1))
        m.output(m("BitwiseNot", m("BitwiseXor", a, b)))
        m.output(m("Cast", m("Cast", a, to=TensorProto.INT32), to=TensorProto.UINT8))
    edges = [0, 1, -1, 7, -7, 2**24 + 1, -(2**24) - 3, 2**31 - 1, -(2**31), 1_000_003, -65_537, 46_341]
    a, b = (np.array(pairs, np.int32).reshape(12, 12) for pairs in np.meshgrid(edges, edges))
    b[b == 0] = 11
    a[(a == -(2**31)) & (b == -1)] = 5
    a, b = m.input("whole", a), m.input("divisor", b)
    for output in (m("Div", a, b), m("Mod", a, b), m("Mod", a, b, fmod=1), m("Div", a, m.scalar(-7, np.int32))):
        m.output(output)
    x = np.exp(m.rng.standard_normal(60) * 4).astype(np.float32)
    y = (m.rng.standard_normal(60) * 3).astype(np.float32)
    x[:8], y[:8] = [0, 0, 1, -2, -2, -1.5, 3, 1], [0, 2, -3.5, 3, -2, 4, 13, np.inf]
    x, y = m.input("base", x), m.input("exponent", y)
    m.output(m("Pow", x, y))
    m.output(m("Mod", x, y, fmod=1))
    whole = [m.input("b", np.array([2, -3, 5, -1, 0, 7, 1], np.int32)), m.input("n", np.array([10, 5, 0, 41, 3, 2, -4], np.int32))]
    m.output(m("Pow", *whole))
    unit = m.input("unit", np.concatenate([np.linspace(-1, 1, 41), [1e-4, -1e-3]]).astype(np.float32))
    for operator in ("Asin", "Acos", "Atanh", "Asinh", "Atan"):
        m.output(m(operator, unit))
    m.output(m("Atan", m("Mul", unit, m.scalar(30))))
    m.output(m("Acosh", m("Add", m("Abs", unit), m.scalar(1))))
    m.output(m("Mish", m("Mul", unit, m.scalar(40))))
    # Quotients that lie beside a half.
    scale = m.input("scale", np.array(0.019607844, np.float32))
    steps = m.input("steps", (np.arange(-30, 31) * 0.019607844 * np.float32(1) + 0.009803922).astype(np.float32))
    m.output(m("QuantizeLinear", steps, scale, m.scalar(40, np.uint8)))
    m.output(m("Round", m("Div", steps, scale)))
    m.output(m("Cast", m("Mul", steps, m.scalar(-10)), to=TensorProto.INT32))
    m.save("arithmetic")


OWN = {"domain": "com.microsoft"}


def fused():
    """What ONNX Runtime fuses: normalisations, activations, products, attention with many heads, rotary positions."""
    m = Model(20)
    batch, words, wide, heads = 2, 5, 32, 4
    shape = (batch, words, wide)
    x = m.input("x", m.rng.standard_normal(shape).astype(np.float32))
    z = m.input("z", m.rng.standard_normal(shape).astype(np.float32))
    scale, shift, bias = m.real(wide), m.real(wide), m.real(wide)
    y, _, _, total = m("SkipLayerNormalization", x, z, scale, shift, bias, outputs=4, epsilon=1e-5, **OWN)
    m.output(y)
    m.output(total)
    y, _, _, total = m("SkipSimplifiedLayerNormalization", x, z, scale, outputs=4, epsilon=1e-5, **OWN)
    m.output(y)
    m.output(total)
    m.output(m("SimplifiedLayerNormalization", x, scale, epsilon=1e-5))
    m.output(m("BiasGelu", x, bias, **OWN))
    m.output(m("FastGelu", x, bias, **OWN))
    m.output(m("QuickGelu", x, alpha=1.5, **OWN))
    m.output(m("FusedMatMul", x, z, transB=1, alpha=0.3, **OWN))
    m.output(m("FusedMatMul", x, z, transA=1, **OWN))
    mask = m.input("mask", np.array([[1] * words, [1, 1, 1, 0, 0]], np.int32))
    weights, biases = m.real(wide, 3 * wide, spread=0.2), m.real(3 * wide)
    m.output(m("Attention", x, weights, biases, num_heads=heads, unidirectional=1, **OWN))
    m.output(m("Attention", x, weights, biases, mask, num_heads=heads, **OWN))
    m.output(m("MultiHeadAttention", x, z, x, biases, mask, m.real(1, heads, words, words), num_heads=heads, **OWN))
    past = [m.input(f"old_{name}", m.rng.standard_normal((batch, heads, 3, 8)).astype(np.float32)) for name in "kv"]
    grown = m("MultiHeadAttention", x, z, x, "", "", "", *past, outputs=3, num_heads=heads, unidirectional=1, **OWN)
    for output in grown:
        m.output(output)
    positions = m.input("positions", np.array([[3, 4, 5, 6, 7], [0, 1, 2, 3, 4]]))
    cos, sin = m.real(16, 4), m.real(16, 4)
    for interleaved in (0, 1):
        m.output(m("RotaryEmbedding", x, positions, cos, sin, interleaved=interleaved, num_heads=heads, **OWN))
    m.save("fused")


def few_bits():
    """Weights of few bits in blocks, mixtures of experts, and the tables of words."""
    m = Model(21)
    k, n, block, rows, table = 64, 24, 32, 3, 16
    x = m.input("x", m.rng.standard_normal((rows, k)).astype(np.float32))
    at = m.input("at", m.rng.integers(0, table, (2, 3)))

    def packed(*shape):
        return m.constant(m.rng.integers(0, 256, shape).astype(np.uint8))

    def scales(*shape):
        return m.constant((np.abs(m.rng.standard_normal(shape)) * 0.02).astype(np.float32))

    for bits in (4, 8):
        blocks = k // block
        how = {"bits": bits, "block_size": block, **OWN}
        zeros = packed(n * ((blocks * bits + 7) // 8))
        operands = x, packed(n, blocks, block * bits // 8), scales(n * blocks)
        # Level 1: activations stay as they are.
        m.output(m("MatMulNBits", *operands, K=k, N=n, accuracy_level=1, **how))
        m.output(m("MatMulNBits", *operands, zeros, K=k, N=n, accuracy_level=1, **how))
        operands = packed(table, k * bits // 8), at, scales(table, blocks)
        zeros = packed(table, (blocks * bits + 7) // 8)
        m.output(m("GatherBlockQuantized", *operands, gather_axis=0, quantize_axis=1, **how))
        m.output(m("GatherBlockQuantized", *operands, zeros, gather_axis=0, quantize_axis=1, **how))
    experts, inner = 4, 32
    likely = m.input("likely", m.rng.standard_normal((rows, experts)).astype(np.float32))
    plain = m.real(experts, inner, k, spread=0.2), m.real(experts, inner)
    plain += m.real(experts, k, inner, spread=0.2), m.real(experts, k)
    for kind, normalized in [("relu", 0), ("silu", 1), ("identity", 1)]:
        how = {"k": 2, "activation_type": kind, "normalize_routing_weights": normalized, **OWN}
        m.output(m("MoE", x, likely, *plain, **how))
    gated = {"k": 2, "activation_type": "swiglu", "swiglu_fusion": 1, "normalize_routing_weights": 1, **OWN}
    gated |= {"activation_alpha": 1.702, "activation_beta": 1.0, "swiglu_limit": 7.0, "expert_weight_bits": 4}
    both = packed(experts, 2 * inner, k // 2), scales(experts, 2 * inner), m.real(experts, 2 * inner)
    down = packed(experts, k, inner // 2), scales(experts, k), m.real(experts, k)
    m.output(m("QMoE", x, likely, *both, *down, **gated))
    # Three tables, whose sum is normalised.
    batch, words, wide = 2, 5, 32
    ids = m.input("ids", m.rng.integers(0, 50, (batch, words)).astype(np.int32))
    kinds = m.input("kinds", m.rng.integers(0, 2, (batch, words)).astype(np.int32))
    tables = m.real(50, wide), m.real(10, wide), m.real(2, wide)
    operands = ids, kinds, *tables, m.real(wide), m.real(wide)
    m.output(m("EmbedLayerNormalization", *operands, outputs=2, **OWN)[0])
    m.save("few-bits")


if __name__ == "__main__":
    onnxruntime.set_default_logger_severity(3)
    models = quantisation, float8, products, convolution, byte_convolution, recurrence, recurrences, arithmetic
    for make in (*models, fused, few_bits):
        make()
