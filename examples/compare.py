"""Compares outputs computed elsewhere with ONNX Runtime's on the same inputs.

    python compare.py MODEL.onnx --inputs in.npz --ours out.npz [--tolerance 1e-4]

Prints, for each output, the greatest difference over the greatest magnitude of ONNX Runtime's values. Exit code 0 if all
are within the tolerance, 1 if not (or an output is missing or has another shape), 2 for unusable files.
"""

import argparse
import sys

import numpy as np

from ort_run import open_session, run


def relative_error(ours, theirs):
    """max |ours - theirs| / max |theirs|; infinite where shapes differ or a value is not a number."""
    if ours.shape != theirs.shape:
        return float("inf")
    error = float(np.max(np.abs(ours.astype(np.float64) - theirs), initial=0.0))
    return error / max(float(np.max(np.abs(theirs), initial=0.0)), 1e-30) if np.isfinite(error) else float("inf")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--inputs", required=True)
    parser.add_argument("--ours", required=True)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    options = parser.parse_args()
    try:
        session = open_session(options.model)
        inputs, ours = dict(np.load(options.inputs)), dict(np.load(options.ours))
        wanted = {i.name: i.type for i in session.get_inputs()}
        missing = sorted(wanted.keys() - inputs.keys())
        if missing:
            raise ValueError(f"{options.inputs} lacks the inputs {', '.join(missing)}")
        kinds = {"tensor(int64)": np.int64, "tensor(float)": np.float32}
        theirs = run(session, {n: inputs[n].astype(kinds[t]) for n, t in wanted.items()})
    except Exception as problem:  # noqa: BLE001 (whatever ONNX Runtime or numpy say about the files)
        print(f"compare: {problem}", file=sys.stderr)
        return 2
    worst = 0.0
    for name, value in theirs.items():
        if name not in ours:
            print(f"{name:30} missing from {options.ours}")
            worst = float("inf")
            continue
        error = relative_error(ours[name], value)
        worst = max(worst, error)
        note = "" if ours[name].shape == value.shape else f"  shape {ours[name].shape}, not {value.shape}"
        print(f"{name:30} {error:.3e} of {float(np.max(np.abs(value), initial=0.0)):.4g}{note}")
    print(f"worst {worst:.3e}, tolerance {options.tolerance:.0e}")
    return 0 if worst <= options.tolerance else 1


if __name__ == "__main__":
    sys.exit(main())
