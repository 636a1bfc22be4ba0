"""Running a decoder with an explicit KV cache in ONNX Runtime, step by step."""

import numpy as np
import onnxruntime


def open_session(path):
    """ONNX Runtime on one thread, so that sums are always taken in one order."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(session, inputs):
    """Outputs by name."""
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def empty_cache(session):
    """Zero slots for every cache input, batch 1."""
    return {i.name: np.zeros((1, i.shape[1], 0, i.shape[3]), np.float32)
            for i in session.get_inputs() if i.name.startswith("past_key_values.")}


def step(session, ids, cache, position):
    """Feeds ids, the first at `position`, after the cache; returns (logits of the last id, grown cache)."""
    slots = next(iter(cache.values())).shape[2] + len(ids)
    positions = np.arange(position, position + len(ids), dtype=np.int64)
    out = run(session, {"input_ids": np.array([ids], np.int64), "attention_mask": np.ones((1, slots), np.int64),
                        "position_ids": positions[None], **cache})
    cache = {n.replace("present.", "past_key_values."): v for n, v in out.items() if n.startswith("present.")}
    return out["logits"][0, -1], cache


def greedy(session, prompt, count):
    """Greedy decoding, the prompt too one token a step: (generated ids, logits that chose each)."""
    cache, logits = empty_cache(session), None
    for position, token in enumerate(prompt):
        logits, cache = step(session, [token], cache, position)
    generated, chosen = [], []
    for position in range(len(prompt), len(prompt) + count):
        generated.append(int(np.argmax(logits)))
        chosen.append(logits)
        logits, cache = step(session, [generated[-1]], cache, position)
    return np.array(generated, np.int64), np.stack(chosen)


def smallest_gap(logits):
    """The least distance between the best and the second-best logit of any step."""
    ordered = np.sort(logits, axis=1)
    return float(np.min(ordered[:, -1] - ordered[:, -2]))
