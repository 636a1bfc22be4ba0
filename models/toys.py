"""Writes small models of each family with random weights, as the reference implementation computes them.

    pip install numpy onnx onnxruntime onnxscript torch "transformers>=5.5"
    python models/toys.py [OUT_FOLDER]

    NAME.json             the shape, as published configurations spell it
    NAME.onnx             the reference implementation of that shape, for one text: its weights under the names that it gives them
    NAME-inputs.npz       a text
    NAME-outputs.npz      what ONNX Runtime makes of it: `embedded`, the vectors after the embedding; `layer`, those after the first layer;
                          and `logits`, or of an encoder `last`, the vectors after the last layer, and `pooled`

A whole text goes in at once, so that the reference's own masks say what each token sees. The script fails where ONNX Runtime and PyTorch
differ. The files stand in tests/families, where tests hold the graphs of the same shapes against them.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
import transformers

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))

from ort_run import open_session, run

TOKENS = 12
OPSET = 18
COMMON = {"vocab_size": 48, "hidden_size": 32, "num_hidden_layers": 2, "max_position_embeddings": 64, "tie_word_embeddings": False}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
PLAIN = {"hidden_act": "silu", "rms_norm_eps": 1e-5, "attention_bias": False}
ROPE = {"rope_type": "default", "rope_theta": 1e4}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "original_max_position_embeddings": 16, "beta_fast": 8.0, "beta_slow": 1.0}
LATENT = {
    **COMMON, **PLAIN, "intermediate_size": 48, "moe_intermediate_size": 16, "num_attention_heads": 4, "num_key_value_heads": 4,
    "n_routed_experts": 8, "num_experts_per_tok": 2, "n_shared_experts": 1, "first_k_dense_replace": 1, "moe_layer_freq": 1,
    "norm_topk_prob": True, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "topk_method": "noaux_tc", "q_lora_rank": 24,
    "kv_lora_rank": 16, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16,
}

# Of each: the class that computes it, and its shape.
MODELS = {
    "llama-3.1": ("Llama", {
        "model_type": "llama", **COMMON, **HEADS, **PLAIN, "intermediate_size": 48,
        "rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                            "original_max_position_embeddings": 64},
    }),
    "mixtral": ("Mixtral", {
        "model_type": "mixtral", **COMMON, **HEADS, **PLAIN, "intermediate_size": 24, "num_local_experts": 6, "num_experts_per_tok": 2,
        "sliding_window": None, "rope_parameters": ROPE,
    }),
    "qwen3-moe": ("Qwen3Moe", {
        "model_type": "qwen3_moe", **COMMON, **HEADS, **PLAIN, "intermediate_size": 48, "moe_intermediate_size": 16, "num_experts": 8,
        "num_experts_per_tok": 3, "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": [], "rope_parameters": ROPE,
    }),
    "gpt-oss": ("GptOss", {
        "model_type": "gpt_oss", **COMMON, **HEADS, **PLAIN, "attention_bias": True, "intermediate_size": 24, "num_local_experts": 6,
        "num_experts_per_tok": 3, "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"], "swiglu_limit": 7.0,
        "rope_parameters": {**YARN, "factor": 8.0, "truncate": False},
    }),
    "deepseek-v3": ("DeepseekV3", {
        "model_type": "deepseek_v3", **LATENT, "n_group": 4, "topk_group": 2,
        "rope_parameters": {**YARN, "factor": 40.0, "mscale": 1.0, "mscale_all_dim": 1.0},
    }),
    "kimi-k2": ("DeepseekV3", {
        "model_type": "kimi_k2", **LATENT, "n_group": 1, "topk_group": 1,
        "rope_parameters": {**YARN, "factor": 32.0, "beta_fast": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0},
    }),
    "gemma": ("Gemma", {
        "model_type": "gemma", **COMMON, **HEADS, **PLAIN, "hidden_act": "gelu_pytorch_tanh", "intermediate_size": 48,
        "tie_word_embeddings": True, "rope_parameters": ROPE,
    }),
    "gemma-4": ("Gemma4", {
        "model_type": "gemma4", "tie_word_embeddings": True, "text_config": {
            "model_type": "gemma4_text", **COMMON, **HEADS, "rms_norm_eps": 1e-6, "attention_bias": False, "attention_k_eq_v": True,
            "enable_moe_block": False, "final_logit_softcapping": 30.0, "num_global_key_value_heads": 1, "global_head_dim": 32,
            "hidden_activation": "gelu_pytorch_tanh", "hidden_size_per_layer_input": 0, "intermediate_size": 48,
            "layer_types": ["sliding_attention", "full_attention"], "num_kv_shared_layers": 0, "sliding_window": 4,
            "tie_word_embeddings": True,
            "rope_parameters": {"full_attention": {"rope_type": "proportional", "rope_theta": 1e4, "partial_rotary_factor": 0.25},
                                "sliding_attention": ROPE},
        },
    }),
    "bert": ("Bert", {
        "model_type": "bert", **COMMON, "num_attention_heads": 4, "intermediate_size": 48, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "type_vocab_size": 2, "max_position_embeddings": 16,
    }),
}


class Reference(torch.nn.Module):
    """A model whose outputs are those that are compared."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, token_type_ids=None):
        if token_type_ids is not None:
            out = self.model(input_ids=input_ids, token_type_ids=token_type_ids, output_hidden_states=True)
            return out.hidden_states[0], out.hidden_states[1], out.last_hidden_state, out.pooler_output
        out = self.model(input_ids=input_ids, use_cache=False, output_hidden_states=True)
        return out.hidden_states[0], out.hidden_states[1], out.logits


def random_weights(model):
    """Numbers large enough for all parts to matter: what a layer adds is about as large as what it is added to."""
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if "inv_freq" in name or name.endswith(("position_ids", "token_type_ids", "embed_scale")):
            continue
        with torch.no_grad():
            if value.dim() > 1:
                value.normal_(0.0, 1.0 if "embed" in name else 1.5 * value.shape[-1] ** -0.5)
            elif "norm" in name.lower() and name.endswith("weight"):
                value.uniform_(0.8, 1.2)
            elif name.endswith("layer_scalar"):
                value.fill_(0.75)
            else:
                value.uniform_(-0.5, 0.5)


def reference(kind, shape):
    transformers.set_seed(7)
    inner = {key: value for key, value in shape.get("text_config", shape).items() if key != "model_type"}
    config = getattr(transformers, f"{kind}TextConfig" if "text_config" in shape else f"{kind}Config")(**inner)
    # All experts in products of one shape, so that routing depends on data nowhere but in values.
    config._attn_implementation, config._experts_implementation = "eager", "batched_mm"
    model = getattr(transformers, "BertModel" if kind == "Bert" else f"{kind}ForCausalLM")(config).eval()
    random_weights(model)
    return Reference(model).eval()


def export(module, inputs, outputs, path):
    """The module as an ONNX file with the weights' own names, and nothing that tells of the place where it was written."""
    program = torch.onnx.export(module, tuple(inputs.values()), dynamo=True, optimize=False, opset_version=OPSET, verbose=False,
                                input_names=list(inputs), output_names=outputs)
    model = program.model_proto
    for named in [model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output]:
        named.doc_string = ""
        del named.metadata_props[:]
    del model.graph.value_info[:]
    del model.metadata_props[:]
    model.producer_version = ""
    renamed = {w.name: w.name.removeprefix("model.") for w in model.graph.initializer if w.name.startswith("model.")}
    for weight in model.graph.initializer:
        weight.name = renamed.get(weight.name, weight.name)
        weight.doc_string = ""
        del weight.metadata_props[:]
    for node in model.graph.node:
        for at, name in enumerate(node.input):
            node.input[at] = renamed.get(name, name)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "tests" / "families")
    folder.mkdir(parents=True, exist_ok=True)
    for name, (kind, shape) in MODELS.items():
        module = reference(kind, shape)
        inputs = {"input_ids": torch.randint(0, COMMON["vocab_size"], (1, TOKENS))}
        outputs = ["embedded", "layer", "logits"]
        if kind == "Bert":
            inputs["token_type_ids"] = torch.tensor([[0] * 7 + [1] * (TOKENS - 7)])
            outputs = ["embedded", "layer", "last", "pooled"]
        with torch.no_grad():
            expected = [value.numpy() for value in module(**inputs)]
            export(module, inputs, outputs, folder / f"{name}.onnx")
        arrays = {key: value.numpy() for key, value in inputs.items()}
        got = run(open_session(folder / f"{name}.onnx"), arrays)
        worst = max(float(np.abs(got[key] - value).max() / np.abs(value).max()) for key, value in zip(outputs, expected, strict=True))
        size = (folder / f"{name}.onnx").stat().st_size
        print(f"{name:12} {size:7} bytes, ONNX Runtime is off PyTorch by {worst:.1e}")
        if not worst < 1e-5:
            sys.exit(f"{name}: ONNX Runtime and PyTorch differ")
        (folder / f"{name}.json").write_text(json.dumps(shape, indent=2) + "\n")
        np.savez(folder / f"{name}-inputs.npz", **arrays)
        np.savez(folder / f"{name}-outputs.npz", **got)


if __name__ == "__main__":
    main()
