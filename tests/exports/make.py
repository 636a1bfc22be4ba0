"""Exports tiny random decoders in the ways that people export large ones, and records two steps of each.

    python -m venv A; A/bin/pip install torch optimum optimum-onnx onnx onnxruntime
    python -m venv B; B/bin/pip install torch "transformers>=5" onnxruntime-genai onnxscript onnx onnxruntime
    A/bin/python tests/exports/make.py OUT_FOLDER optimum [MODEL ...]
    B/bin/python tests/exports/make.py OUT_FOLDER dynamo genai [MODEL ...]

Two environments, as one exporter wants an older library of models than the other. Nothing is fetched: weights are random, from a fixed seed.
For each export OUT_FOLDER/NAME/model.onnx, weights inside, and what ONNX Runtime makes of two steps: 1-inputs.npz and 1-outputs.npz of three tokens over
an empty cache (one token where the shapes are fixed, over a cache that is masked), and 2-inputs.npz and 2-outputs.npz of one more token over what the
first step returned.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
warnings.filterwarnings("ignore")

import numpy as np
import onnx
import onnxruntime
import torch
import transformers

TOKENS = [3, 17, 42, 8]
# Old tokens that an export of fixed shapes has room for.
ROOM = 7
HEADS = dict(num_attention_heads=4, num_key_value_heads=2, head_dim=16)
COMMON = dict(
    vocab_size=48, hidden_size=32, intermediate_size=32, num_hidden_layers=2, max_position_embeddings=64, rms_norm_eps=1e-5,
    bos_token_id=0, eos_token_id=1, pad_token_id=0, tie_word_embeddings=False, **HEADS,
)  # fmt: skip
WINDOWS = dict(sliding_window=16, layer_types=["sliding_attention", "full_attention"])
YARN = dict(rope_type="yarn", rope_theta=1e4, factor=8.0, beta_fast=32.0, beta_slow=1.0, truncate=False,
            original_max_position_embeddings=512)  # fmt: skip

# Class of the configuration, class of the model, shape.
MODELS = {
    "llama": ("Llama", {**COMMON}),
    "qwen3": ("Qwen3", {**COMMON}),
    "phi3": ("Phi3", {**COMMON, "original_max_position_embeddings": 64}),
    "gemma3": ("Gemma3", {**COMMON, **WINDOWS, "query_pre_attn_scalar": 16, "tie_word_embeddings": True}),
    "gpt2": ("GPT2", dict(vocab_size=48, n_embd=32, n_layer=2, n_head=2, n_positions=64, n_inner=64, bos_token_id=0, eos_token_id=1)),
    "mixtral": ("Mixtral", {**COMMON, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "gpt-oss": ("GptOss", {**COMMON, **WINDOWS, "num_local_experts": 4, "num_experts_per_tok": 2, "rope_scaling": YARN}),
}


def random_model(name):
    """The model with weights that are large enough for all parts to matter."""
    kind, shape = MODELS[name]
    transformers.set_seed(5)
    config = getattr(transformers, f"{kind}TextConfig" if kind == "Gemma3" else f"{kind}Config")(**shape)
    config._attn_implementation = "eager"
    suffix = "LMHeadModel" if kind == "GPT2" else "ForCausalLM"
    model = getattr(transformers, f"{kind}{suffix}")(config).eval().float()
    for parameter, value in model.named_parameters():
        with torch.no_grad():
            if value.dim() > 1:
                value.normal_(0.0, 0.5 if "embed" in parameter or "wte" in parameter else 1.2 * value.shape[-1] ** -0.5)
            elif "norm" not in parameter and "ln_" not in parameter:
                value.uniform_(-0.3, 0.3)
    return model


# What comes out of an exporter.


def clean(model):
    """Nothing that tells of the place where it was written, and no more types than inputs and outputs need."""
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        for named in [graph, *graph.node, *graph.input, *graph.output, *graph.initializer]:
            named.doc_string = ""
            del named.metadata_props[:]
        del graph.value_info[:]
        graphs += [a.g for node in graph.node for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    for function in model.functions:
        function.doc_string = ""
        del function.metadata_props[:], function.value_info[:]
        for node in function.node:
            node.doc_string = ""
            del node.metadata_props[:]
    del model.metadata_props[:]
    model.doc_string, model.producer_version = "", ""
    return model


def lengths(shape, past, new):
    """An input's shape for a step, from the names that exporters give to its dimensions."""

    def length(dim):
        if isinstance(dim, int):
            return dim
        name = dim.lower()
        if "batch" in name:
            return 1
        return past if "past" in name else new

    return [length(dim) for dim in shape]


def kind(value):
    return {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(float16)": np.float16, "tensor(bool)": np.bool_}.get(
        value.type, np.float32)  # fmt: skip


def step(session, fixed, tokens, past, caches):
    """Inputs of a step with `tokens` after `past` others."""
    inputs, width = {}, HEADS["head_dim"]
    for value in session.get_inputs():
        shape = lengths(value.shape, past, len(tokens))
        if value.name == "input_ids":
            array = np.array([tokens])
        elif "position" in value.name:
            array = np.arange(past, past + len(tokens)).reshape(shape)
        elif "mask" in value.name:
            array = np.ones([1, (ROOM if fixed else past) + len(tokens)])
            if fixed:
                array[..., past:-1] = 0
        elif caches is None:
            # Some exporters leave even the width of a head free.
            array = np.zeros([1, shape[1], ROOM if fixed else past, value.shape[3] if isinstance(value.shape[3], int) else width])
        else:
            array = caches[value.name]
        inputs[value.name] = array.astype(kind(value))
    return inputs


def continued(session, fixed, inputs, outputs):
    """What the next step's caches are."""
    presents = {name: array for name, array in outputs.items() if array.ndim == 4}
    caches = {}
    for value in session.get_inputs():
        if inputs[value.name].ndim != 4:
            continue
        present = presents[value.name.replace("past_key_values", "present").replace("past_", "present_")]
        if fixed:
            # The new token came last; the next step finds it in the first slot.
            present = np.concatenate([present[:, :, -1:], np.zeros_like(present[:, :, 1:-1])], axis=2)
        caches[value.name] = present
    return caches


def record(model, out, name, fixed):
    """Writes a model and two steps of it."""
    folder = out / name
    folder.mkdir(exist_ok=True)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "accuracy_level":
                # Weights of few bits, but activations as they are.
                attribute.i = 1
    onnx.save(clean(model), folder / "model.onnx")
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    count = 1 if fixed else 3
    caches = None
    for number, (past, tokens) in enumerate([(0, TOKENS[:count]), (count, TOKENS[count:count + 1])], 1):
        inputs = step(session, fixed, tokens, past, caches)
        outputs = dict(zip(names, session.run(names, inputs)))
        caches = continued(session, fixed, inputs, outputs)
        np.savez_compressed(folder / f"{number}-inputs.npz", **inputs)
        np.savez_compressed(folder / f"{number}-outputs.npz", **outputs)
    size = (folder / "model.onnx").stat().st_size
    print(f"{name}: {len(model.graph.node)} nodes, {size} bytes", flush=True)


# The exporters.


class Step(torch.nn.Module):
    """A decoder whose caches are inputs and outputs one by one."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, position_ids, *past):
        cache = transformers.DynamicCache()
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        out = self.model(input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, past_key_values=cache, use_cache=True)
        return (out.logits, *(part for layer in cache.layers for part in (layer.keys, layer.values)))


def dynamo(out, name):
    """torch.onnx.export, at an old and at a new operator set, with and without free lengths."""
    for opset in (18, 23):
        for fixed in (True, False):
            model = random_model(name)
            model.config._experts_implementation = "batched_mm"
            # The new operator set has an operator for attention.
            model.config._attn_implementation = "eager" if opset == 18 else "sdpa"
            layers = range(model.config.num_hidden_layers)
            heads = getattr(model.config, "num_key_value_heads", 2)
            past, new = (ROOM, 1) if fixed else (5, 3)
            arguments = [torch.ones(1, new, dtype=torch.int64), torch.ones(1, past + new, dtype=torch.int64),
                         torch.arange(past, past + new)[None]]  # fmt: skip
            arguments += [torch.zeros(1, heads, past, HEADS["head_dim"]) for _ in layers for _ in "kv"]
            caches = [f"{{}}.{layer}.{part}" for layer in layers for part in ("key", "value")]
            shapes = None
            if not fixed:
                old, step_ = torch.export.Dim("past", min=0, max=60), torch.export.Dim("sequence", min=1, max=60)
                auto = torch.export.Dim.AUTO
                shapes = ({1: step_}, {1: auto}, {1: step_}, tuple({2: old} for _ in caches))
            program = torch.onnx.export(
                Step(model).eval(), tuple(arguments), dynamo=True, opset_version=opset, dynamic_shapes=shapes, verbose=False,
                input_names=["input_ids", "attention_mask", "position_ids", *(c.format("past_key_values") for c in caches)],
                output_names=["logits", *(c.format("present") for c in caches)],
            )  # fmt: skip
            record(program.model_proto, out, f"{name}-dynamo-{opset}-{'static' if fixed else 'dynamic'}", fixed)


def optimum(out, name):
    """optimum, which traces."""
    from optimum.exporters.onnx import main_export

    with tempfile.TemporaryDirectory() as folder:
        random_model(name).save_pretrained(f"{folder}/model")
        main_export(f"{folder}/model", f"{folder}/out", task="text-generation-with-past", library_name="transformers")
        record(onnx.load(f"{folder}/out/model.onnx"), out, f"{name}-optimum", False)


def few_bits(folder):
    """Adds the experts' weights in blocks of four bits, from which the builder makes its own few bits."""
    from safetensors.torch import load_file, save_file

    weights = load_file(f"{folder}/model.safetensors")
    for key in [key for key in weights if key.endswith(("gate_up_proj", "down_proj"))]:
        experts, inner, columns = weights[key].shape
        weights[f"{key}_blocks"] = torch.randint(0, 256, (experts, columns, inner // 32, 16), dtype=torch.uint8)
        weights[f"{key}_scales"] = torch.randint(123, 126, (experts, columns, inner // 32), dtype=torch.uint8)
    save_file(weights, f"{folder}/model.safetensors", metadata={"format": "pt"})


def genai(out, name):
    """The builder of onnxruntime-genai, at four precisions."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    for precision in ("fp32", "fp16", "int8", "int4"):
        with tempfile.TemporaryDirectory() as folder:
            random_model(name).save_pretrained(f"{folder}/model")
            if name == "gpt-oss" and precision.startswith("int"):
                few_bits(f"{folder}/model")
            # The builder copies a tokenizer, whatever it is.
            words = Tokenizer(WordLevel({"word": 0}, unk_token="word"))
            transformers.PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(f"{folder}/model")
            command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", f"{folder}/model", "-o", f"{folder}/out", "-p", precision]
            command += ["-e", "cpu", "-c", f"{folder}/cache", "--extra_options", "hf_token=false", "windowed_kv_cache=false"]
            made = subprocess.run(command, capture_output=True, text=True)
            if made.returncode:
                raise RuntimeError(f"{precision}: {made.stderr[-2000:]}")
            record(onnx.load(f"{folder}/out/model.onnx"), out, f"{name}-genai-{precision}", False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("what", nargs="+", help="exporters, and models if not all")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    exporters = {"dynamo": dynamo, "optimum": optimum, "genai": genai}
    names = [name for name in arguments.what if name in MODELS] or list(MODELS)
    for exporter in arguments.what:
        for name in names if exporter in exporters else []:
            try:
                exporters[exporter](arguments.out, name)
            except Exception as error:  # An exporter that does not know a model is no reason to stop.
                print(f"{name}-{exporter}: {type(error).__name__}: {str(error)[-300:]}", flush=True)
                if os.environ.get("TRACE"):
                    traceback.print_exc()


if __name__ == "__main__":
    main()
