"""Trains the licence decoder with jax on the CPU and writes its weights to an .npz for export_decoder.py.

    python train_decoder.py WEIGHTS.npz [--steps N]

Everything is seeded: the same text, jax version, kind of processor and number of steps give the same weights.
The learning rate falls along a cosine to zero at the last step.
"""

import argparse
import os
import time

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import jax
import jax.numpy as jnp
import numpy as np

from export_decoder import CONFIG, initial_weights
from licence_text import PROMPT, decode, encode, licence_text

BATCH, LENGTH, PEAK_RATE, WARM_UP, DECAY, SEED = 24, 128, 4e-3, 0.03, 0.02, 1


def rms_norm(x, weight):
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + CONFIG.epsilon) * weight


def rotate(x, cos, sin):
    first, second = jnp.split(x, 2, -1)
    return x * cos + jnp.concatenate([-second, first], -1) * sin


def logits(weights, ids):
    """[batch, length] token ids to [batch, length, vocabulary]; the same arithmetic as llama_onnx.build."""
    batch, length = ids.shape
    inverse = CONFIG.rope_theta ** (-np.arange(0, CONFIG.head_dim, 2) / CONFIG.head_dim)
    angles = np.outer(np.arange(length), np.concatenate([inverse, inverse]))
    cos, sin = jnp.array(np.cos(angles), jnp.float32), jnp.array(np.sin(angles), jnp.float32)
    bias = jnp.where(np.tril(np.ones((length, length), bool)), 0.0, -1e30)
    x = weights["model.embed_tokens"][ids]
    for i in range(CONFIG.layers):
        w = {k.split(".")[-1]: v for k, v in weights.items() if k.startswith(f"model.layers.{i}.")}
        h = rms_norm(x, w["input_layernorm"])

        def heads(name, count, h=h, w=w):
            return (h @ w[name]).reshape(batch, length, count, CONFIG.head_dim).transpose(0, 2, 1, 3)

        q = rotate(heads("q_proj", CONFIG.heads), cos, sin)
        k, v = rotate(heads("k_proj", CONFIG.kv_heads), cos, sin), heads("v_proj", CONFIG.kv_heads)
        groups = CONFIG.heads // CONFIG.kv_heads
        k, v = jnp.repeat(k, groups, 1), jnp.repeat(v, groups, 1)
        scores = q @ k.transpose(0, 1, 3, 2) * CONFIG.head_dim**-0.5 + bias
        mixed = (jax.nn.softmax(scores, -1) @ v).transpose(0, 2, 1, 3).reshape(batch, length, -1)
        x = x + mixed @ w["o_proj"]
        h = rms_norm(x, w["post_attention_layernorm"])
        x = x + (jax.nn.silu(h @ w["gate_proj"]) * (h @ w["up_proj"])) @ w["down_proj"]
    return rms_norm(x, weights["model.norm"]) @ weights["model.embed_tokens"].T


def loss(weights, tokens):
    """Mean cross-entropy of the next character, in nats."""
    scores = jax.nn.log_softmax(logits(weights, tokens[:, :-1]))
    return -jnp.mean(jnp.take_along_axis(scores, tokens[:, 1:, None], -1))


@jax.jit
def update(weights, first, second, tokens, rate, number):
    """One AdamW step with the gradient clipped to norm 1."""
    value, gradient = jax.value_and_grad(loss)(weights, tokens)
    norm = jnp.sqrt(sum(jnp.sum(g * g) for g in gradient.values()))
    clip = jnp.minimum(1.0, 1.0 / norm)
    out, m, v = {}, {}, {}
    for name, g in gradient.items():
        g = g * clip
        m[name] = 0.9 * first[name] + 0.1 * g
        v[name] = 0.98 * second[name] + 0.02 * g * g
        move = m[name] / (1 - 0.9**number) / (jnp.sqrt(v[name] / (1 - 0.98**number)) + 1e-8)
        keep = 1 - rate * DECAY * (weights[name].ndim > 1)
        out[name] = weights[name] * keep - rate * move
    return out, m, v, value


def sample(weights, count=96):
    """Greedy continuation of the example prompt."""
    ids = encode(PROMPT)
    run = jax.jit(logits)
    for _ in range(min(count, LENGTH - len(ids))):
        padded = np.zeros((1, LENGTH), np.int32)
        padded[0, :len(ids)] = ids
        ids.append(int(np.argmax(run(weights, padded)[0, len(ids) - 1])))
    return decode(ids)


def train(steps):
    """Weights after `steps` steps."""
    data = np.array(encode(licence_text()), np.int32)
    rng = np.random.default_rng(SEED)
    weights = {k: jnp.array(v) for k, v in initial_weights(CONFIG, SEED).items()}
    first = {k: jnp.zeros_like(v) for k, v in weights.items()}
    second = dict(first)
    start, smooth = time.monotonic(), None
    print(f"{data.size} characters, {sum(w.size for w in weights.values())} weights", flush=True)
    for number in range(1, steps + 1):
        done = (number - 1) / steps
        rate = PEAK_RATE * min(done / WARM_UP, 0.5 + 0.5 * np.cos(np.pi * done))
        starts = rng.integers(0, data.size - LENGTH, BATCH)
        tokens = data[starts[:, None] + np.arange(LENGTH + 1)]
        weights, first, second, value = update(weights, first, second, tokens, rate, float(number))
        smooth = float(value) if smooth is None else 0.99 * smooth + 0.01 * float(value)
        if number % 250 == 0:
            print(f"step {number}  {time.monotonic() - start:.0f} s  loss {smooth:.3f}", flush=True)
    print(f"{steps} steps, loss {smooth:.3f}\n{sample(weights)}")
    return {k: np.array(v) for k, v in weights.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("--steps", type=int, default=1200)
    options = parser.parse_args()
    np.savez(options.weights, **train(options.steps))
