"""Writes licence-decoder.onnx from trained weights (train_decoder.py), or with random ones to try the structure.

    python export_decoder.py WEIGHTS.npz [OUT.onnx]
    python export_decoder.py --untrained OUT.onnx
"""

import json
import sys
from pathlib import Path

import numpy as np

from licence_text import PROMPT, VOCABULARY
from llama_onnx import Config, build, parameter_shapes
from onnx_graph import save

CONFIG = Config(layers=4, hidden=96, heads=4, kv_heads=2, head_dim=32, feed_forward=192, vocabulary=len(VOCABULARY),
                rope_theta=10000.0, epsilon=1e-5)


def initial_weights(config, seed):
    """Random float32 weights that keep activations near unit size."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in parameter_shapes(config).items():
        if len(shape) == 1:
            weights[name] = np.ones(shape, np.float32)
            continue
        scale = 0.05 if name == "model.embed_tokens" else shape[0] ** -0.5
        if name.endswith(("o_proj", "down_proj")):
            scale /= (2 * config.layers) ** 0.5
        weights[name] = (rng.standard_normal(shape) * scale).astype(np.float32)
    return weights


def export(weights, path):
    """Rounds the weights to float16 and writes the model."""
    metadata = {
        "tokenizer.model": "characters",
        "tokenizer.vocabulary": json.dumps(VOCABULARY),
        "lpuc.example_prompt": PROMPT,
    }
    half = {name: array.astype(np.float16) for name, array in weights.items()}
    save(build(CONFIG, half, metadata, "licence-decoder"), path)
    print(f"{path.name}: {path.stat().st_size} bytes, {sum(a.size for a in half.values())} weights")


if __name__ == "__main__":
    if len(sys.argv) < 2 or (sys.argv[1] == "--untrained" and len(sys.argv) < 3):
        sys.exit(__doc__)
    if sys.argv[1] == "--untrained":
        export(initial_weights(CONFIG, 1), Path(sys.argv[2]))
    else:
        target = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_name("licence-decoder.onnx")
        export(dict(np.load(sys.argv[1])), target)
