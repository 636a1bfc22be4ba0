"""Runs the example models in ONNX Runtime and writes recorded/*.npz, so that tests need no Python.

    licence-decoder-inputs.npz, -outputs.npz   one decode step: a cache of 31 slots of which 20 are in use, plus the new one
    licence-decoder-greedy.npz                 prompt_ids, generated_ids, and the logits that chose each generated token
    encoder-inputs.npz, -outputs.npz           one sequence of 16 tokens, the last five masked
"""

from pathlib import Path

import numpy as np

from licence_text import PROMPT, decode, encode
from ort_run import empty_cache, greedy, open_session, run, smallest_gap, step

HERE = Path(__file__).parent


def record_decoder(path, folder, context=32, used=20):
    """One step with a partly filled cache, and 64 tokens after the example prompt."""
    session = open_session(path)
    prompt = encode(PROMPT)
    _, cache = step(session, prompt[:used], empty_cache(session), 0)
    rng = np.random.default_rng(3)
    inputs = {"input_ids": np.array([[prompt[used]]], np.int64), "position_ids": np.array([[used]], np.int64)}
    inputs["attention_mask"] = np.array([[1] * used + [0] * (context - 1 - used) + [1]], np.int64)
    for name, value in cache.items():  # unused slots hold noise, which the mask must hide
        noise = rng.standard_normal((1, value.shape[1], context - 1 - used, value.shape[3])).astype(np.float32)
        inputs[name] = np.concatenate([value, noise], axis=2)
    np.savez(folder / "licence-decoder-inputs.npz", **inputs)
    np.savez(folder / "licence-decoder-outputs.npz", **run(session, inputs))
    generated, logits = greedy(session, prompt, 64)
    np.savez(folder / "licence-decoder-greedy.npz", prompt_ids=np.array(prompt, np.int64), generated_ids=generated, logits=logits)
    print(f"{PROMPT}|{decode(generated)}\nsmallest gap between best and second: {smallest_gap(logits):.4f}")


def record_encoder(path, folder, length=16, masked=5):
    """One sequence with a masked tail."""
    ids = np.frombuffer(b"a free encoder of text"[:length], np.uint8).astype(np.int64)[None]
    mask = np.ones((1, length), np.int64)
    mask[0, length - masked:] = 0
    types = (np.arange(length) >= 7).astype(np.int64)[None]
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    outputs = run(open_session(path), inputs)
    np.savez(folder / "encoder-inputs.npz", **inputs)
    np.savez(folder / "encoder-outputs.npz", **outputs)
    print({name: (value.shape, float(np.abs(value).max())) for name, value in outputs.items()})


if __name__ == "__main__":
    target = HERE / "recorded"
    target.mkdir(exist_ok=True)
    record_decoder(HERE / "licence-decoder.onnx", target)
    record_encoder(HERE / "encoder.onnx", target)
