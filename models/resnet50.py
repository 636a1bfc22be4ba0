"""Writes ResNet-50 (v1.5, batch 1) as an ONNX model of bytes: what its convolutions and its classifier multiply is int8.

    pip install numpy onnx
    python models/resnet50.py OUT_FILE [--stem plain|blocks] [--size 224]

Weights are drawn from a fixed seed and trained on nothing: the model exists for its time. Batch normalisations are folded
away, as every deployment does it: what is left of them is a factor and an offset for each channel. Each convolution takes bytes
(QuantizeLinear, ConvInteger) and its sums become reals again, which residual additions use unrounded. The image comes
channels last and in bytes.

With `--stem blocks` the image comes as blocks of 2 x 2 pixels of 3 channels, [1, 112, 112, 12], and the first convolution is 4 x 4 with
stride 1 instead of 7 x 7 with stride 2, which is the same function: lanes of the machine that three channels leave empty.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))

from onnx_graph import Graph, save

STAGES = [(3, 64), (4, 128), (6, 256), (3, 512)]
CLASSES = 1000
# One scale of activations for all: with random weights there is nothing to calibrate.
ACTIVATIONS = np.float32(1 / 32)


class Resnet:
    """The model in the making."""

    def __init__(self):
        self.g = Graph()
        self.rng = np.random.default_rng(50)

    def bytes(self, x):
        """Reals to int8."""
        return self.g("QuantizeLinear", x, self.g.const(ACTIVATIONS), self.g.const(np.int8(0), np.int8))

    def reals(self, sums, channels, taps, axes):
        """Sums of products of bytes to reals, with a factor and an offset for each channel."""
        factor = (self.rng.random(channels, np.float32) + 0.5) * ACTIVATIONS / 64 / np.float32(np.sqrt(taps))
        offset = self.rng.standard_normal(channels).astype(np.float32) / 8
        shape = (channels,) + (1,) * axes
        y = self.g("Cast", sums, to=TensorProto.FLOAT)
        y = self.g("Mul", y, self.g.weight(self.g.dotted("factor"), factor.reshape(shape)))
        return self.g("Add", y, self.g.weight(self.g.dotted("offset"), offset.reshape(shape)))

    def weights(self, *shape):
        weights = self.rng.integers(-127, 128, shape).astype(np.int8)
        return self.g.weight(self.g.dotted("weight"), weights)

    def conv(self, name, x, inputs, outputs, kernel, stride=1, pads=None):
        """A convolution of bytes, to reals."""
        with self.g.scope(name):
            pads = [kernel // 2] * 4 if pads is None else pads
            weights = self.weights(outputs, inputs, kernel, kernel)
            sums = self.g("ConvInteger", x, weights, strides=[stride] * 2, pads=pads, kernel_shape=[kernel] * 2)
            return self.reals(sums, outputs, inputs * kernel * kernel, 2)

    def bottleneck(self, name, x, inputs, width, stride):
        """x and the result are reals."""
        with self.g.scope(name):
            small = self.bytes(x)
            y = self.bytes(self.g("Relu", self.conv("conv1", small, inputs, width, 1)))
            y = self.bytes(self.g("Relu", self.conv("conv2", y, width, width, 3, stride)))
            y = self.conv("conv3", y, width, 4 * width, 1)
            if inputs != 4 * width:
                x = self.conv("downsample", small, inputs, 4 * width, 1, stride)
            return self.g("Relu", self.g("Add", y, x))

    def build(self, stem, size):
        shape = [1, size, size, 3] if stem == "plain" else [1, size // 2, size // 2, 12]
        x = self.g.input("image", TensorProto.INT8, shape)
        x = self.g("Transpose", x, perm=[0, 3, 1, 2])
        if stem == "plain":
            x = self.conv("stem", x, 3, 64, 7, 2)
        else:
            x = self.conv("stem", x, 12, 64, 4, 1, [2, 2, 1, 1])
        x = self.g("MaxPool", self.g("Relu", x), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        inputs = 64
        for stage, (blocks, width) in enumerate(STAGES):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                x = self.bottleneck(f"layer{stage + 1}.{block}", x, inputs, width, stride)
                inputs = 4 * width
        x = self.g("Flatten", self.g("GlobalAveragePool", x))
        with self.g.scope("fc"):
            sums = self.g("MatMulInteger", self.bytes(x), self.weights(inputs, CLASSES))
            y = self.reals(sums, CLASSES, inputs, 0)
            self.g("Identity", y, output="scores")
        self.g.output("scores", TensorProto.FLOAT, [1, CLASSES])
        return self.g.model("resnet50", {})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--stem", choices=["plain", "blocks"], default="plain")
    parser.add_argument("--size", type=int, default=224, help="height and width of the image")
    arguments = parser.parse_args()
    save(Resnet().build(arguments.stem, arguments.size), arguments.out)


if __name__ == "__main__":
    main()
