"""Small random decoders of every family with their logits, losses, gradients and greedy continuations.

    python decoders.py ../test/fixtures/models [NAME ...]

Each folder is a Hugging Face folder of `…ForCausalLM` (config.json, model.safetensors) with decoder.json (examples with
ids, the mean loss of every next token, greedy continuations; for the other heads labels and losses) and
decoder.safetensors: `logits` of every token of the examples, row after row; `gradients.<name>` of every parameter under
that loss; `long.logits`, the last of a long text; and of `…ForSequenceClassification` and `…ForTokenClassification` over
the same backbone `<head>.logits`, the head's own weights `<head>.<name>`, and gradients `<head>.gradients.<name>` of
these and of all vectors of the backbone.
"""

import sys
from pathlib import Path

import torch
from fixtures import padded, randomise, write_hub_keys, write_json, write_tensors
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
torch.set_num_threads(1)

LENGTHS = [19, 3, 26, 9]
LONG = 400
LONG_ROWS = 3
PROMPTS = [7, 1, 20]
NEW_TOKENS = 64
LABELS = 3

SMALL = {
    "vocab_size": 96,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 56,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "num_labels": LABELS,
}

GEMMA = {"head_dim": 10, "query_pre_attn_scalar": 14, "sliding_window": 6, "hidden_activation": "gelu_pytorch_tanh"}
GPT2 = {
    "vocab_size": 96,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "num_labels": LABELS,
}

# name: (model type, configuration, keys as older files on the hub write them)
MODELS = {
    # As SmolLM2.
    "llama-1": (
        "llama",
        {**SMALL, "tie_word_embeddings": True, "rope_theta": 100000.0},
        {"rope_parameters": None, "rope_theta": 100000.0, "rope_scaling": None, "head_dim": None},
    ),
    # As Llama 3: scaled positions, of which the examples go beyond those trained on; heads narrower than the hidden states.
    "llama-2": (
        "llama",
        {
            **SMALL,
            "num_attention_heads": 8,
            "head_dim": 6,
            "attention_bias": True,
            "mlp_bias": True,
            "rms_norm_eps": 1e-5,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            },
        },
        {},
    ),
    # As Llama 2 with positions scaled evenly; one key head for each query head.
    "llama-3": (
        "llama",
        {
            **SMALL,
            "num_key_value_heads": 4,
            "rope_theta": 10000.0,
            "rope_scaling": {"type": "linear", "factor": 2.5},
        },
        {"rope_parameters": None, "rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 2.5}},
    ),
    # A window shorter than the examples, and none as later versions are published.
    "mistral-1": (
        "mistral",
        {**SMALL, "head_dim": 10, "sliding_window": 6, "rope_theta": 10000.0},
        {"rope_parameters": None, "rope_theta": 10000.0},
    ),
    "mistral-2": (
        "mistral",
        {**SMALL, "sliding_window": None, "rope_theta": 1000000.0, "num_key_value_heads": 1, "tie_word_embeddings": True},
        {},
    ),
    "qwen2-1": (
        "qwen2",
        {**SMALL, "rope_theta": 1000000.0, "tie_word_embeddings": True},
        {"rope_parameters": None, "rope_theta": 1000000.0, "layer_types": None},
    ),
    # Windows in later blocks, and YaRN as Qwen writes it for long texts.
    "qwen2-2": (
        "qwen2",
        {
            **SMALL,
            "num_hidden_layers": 3,
            "use_sliding_window": True,
            "sliding_window": 7,
            "max_window_layers": 1,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 10000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 64,
            },
        },
        {},
    ),
    "qwen3-1": (
        "qwen3",
        {**SMALL, "head_dim": 12, "rope_theta": 1000000.0, "tie_word_embeddings": True},
        {"rope_parameters": None, "rope_theta": 1000000.0, "rope_scaling": None, "layer_types": None},
    ),
    "qwen3-2": (
        "qwen3",
        {
            **SMALL,
            "head_dim": 8,
            "attention_bias": True,
            "layer_types": ["sliding_attention", "full_attention"],
            "use_sliding_window": True,
            "sliding_window": 5,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 1000000.0,
                "factor": 2.0,
                "beta_fast": 16,
                "beta_slow": 2,
                "attention_factor": 0.9,
                "original_max_position_embeddings": 128,
            },
        },
        {},
    ),
    # As published: windows in every other block, bent scores and logits.
    "gemma2-1": (
        "gemma2",
        {**SMALL, **GEMMA, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
        {"rope_parameters": None, "rope_theta": 10000.0, "layer_types": None},
    ),
    "gemma2-2": (
        "gemma2",
        {
            **SMALL,
            **GEMMA,
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
            "attention_bias": True,
            "tie_word_embeddings": False,
            "layer_types": ["full_attention", "sliding_attention"],
            "hidden_activation": "gelu",
        },
        {},
    ),
    # As published: a pattern of windows with wavelengths of their own, heads that normalise queries and keys.
    "gemma3-1": (
        "gemma3_text",
        {**SMALL, **GEMMA, "num_hidden_layers": 4, "sliding_window_pattern": 3},
        {
            "rope_parameters": None,
            "layer_types": None,
            "sliding_window_pattern": 3,
            "rope_theta": 1000000.0,
            "rope_local_base_freq": 10000.0,
        },
    ),
    "gemma3-2": (
        "gemma3_text",
        {
            **SMALL,
            **GEMMA,
            "final_logit_softcapping": 3.0,
            "tie_word_embeddings": False,
            "layer_types": ["sliding_attention", "full_attention"],
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "rope_theta": 100000.0, "factor": 8.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 5000.0},
            },
        },
        {},
    ),
    "gpt2-1": ("gpt2", {**GPT2}, {}),
    "gpt2-2": (
        "gpt2",
        {
            **GPT2,
            "n_inner": 48,
            "activation_function": "relu",
            "scale_attn_by_inverse_layer_idx": True,
            "tie_word_embeddings": False,
        },
        {},
    ),
}


def random_ids(config, length, generator):
    return torch.randint(5, config.vocab_size, (length,), generator=generator).tolist()


def gradients_of(model, keep=lambda name, parameter: True):
    return {
        f"gradients.{name}": parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and keep(name, parameter)
    }


def head_fixture(auto, folder, backbone, rows, labels, generator):
    """Logits, weights and gradients of another head over the same backbone."""
    model = auto.from_pretrained(folder, num_labels=LABELS, attn_implementation="eager").eval()
    prefix = model.base_model_prefix
    getattr(model, prefix).load_state_dict(backbone.state_dict())
    heads = {name for name, _ in model.named_parameters() if not name.startswith(f"{prefix}.")}
    for name, child in model.named_children():
        if name != prefix:
            randomise(child, generator)
    result = model(**padded(rows, model.config.pad_token_id, token_types=False), labels=labels)
    result.loss.backward()
    weights = {name: parameter for name, parameter in model.named_parameters() if name in heads}
    gradients = gradients_of(model, lambda name, parameter: name in heads or parameter.dim() == 1)
    return result, {**weights, **gradients}


def greedy(model, config, length, generator):
    """A prompt of so many tokens with its greedy continuation, in which rounding decides no word."""
    while True:
        prompt = random_ids(config, length, generator)
        ids = torch.tensor([prompt])
        found = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )[0]
        with torch.no_grad():
            best = model(found[None, :-1]).logits[0, length - 1 :].topk(2).values
        if (best[:, 0] - best[:, 1]).min() > 2e-4:
            return {"prompt": prompt, "continuation": found[length:].tolist()}


def write_model(out, name):
    model_type, options, hub_keys = MODELS[name]
    generator = torch.Generator().manual_seed(list(MODELS).index(name) + 300)
    config = CONFIG_MAPPING[model_type](**options)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    randomise(model, generator)
    model.tie_weights()
    rows = [{"inputIds": random_ids(config, length, generator)} for length in LENGTHS]
    batch = padded(rows, config.pad_token_id, token_types=False)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    result = model(**batch, labels=labels)
    result.loss.backward()

    folder = out / name
    model.save_pretrained(folder)
    write_hub_keys(folder, hub_keys)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)
    reloaded = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    assert torch.equal(reloaded(**batch).logits, result.logits), f"{name} does not reload to the same logits"

    real = batch["attention_mask"].bool()
    tensors = {"logits": result.logits[real], **gradients_of(model)}
    numbers = {"examples": rows, "loss": result.loss.item()}

    long = random_ids(config, LONG, generator)
    with torch.no_grad():
        tensors["long.logits"] = model(torch.tensor([long])).logits[0, -LONG_ROWS:]
    numbers["long"] = {"inputIds": long, "rows": LONG_ROWS}

    numbers["greedy"] = [greedy(model, config, length, generator) for length in PROMPTS]

    prefix = model.base_model_prefix
    backbone = getattr(model, prefix)
    class_labels = torch.randint(0, LABELS, (len(rows),), generator=generator)
    token_labels = torch.randint(0, LABELS, real.shape, generator=generator).masked_fill(~real, -100)
    heads = {
        "sequence": (AutoModelForSequenceClassification, class_labels, lambda logits: logits),
        "token": (AutoModelForTokenClassification, token_labels, lambda logits: logits[real]),
    }
    for head, (auto, its_labels, rows_of) in heads.items():
        if type(config) not in auto._model_mapping:
            continue
        result, its_tensors = head_fixture(auto, folder, backbone, rows, its_labels, generator)
        tensors.update({f"{head}.{key}": value for key, value in its_tensors.items()})
        tensors[f"{head}.logits"] = rows_of(result.logits)
        flat = its_labels if head == "sequence" else its_labels[real]
        numbers[head] = {"labels": flat.tolist(), "loss": result.loss.item()}

    write_json(folder / "decoder.json", numbers)
    write_tensors(folder / "decoder.safetensors", tensors)
    norms = [value.norm().item() for key, value in tensors.items() if key.startswith("gradients.")]
    print(f"{name}: loss {numbers['loss']:.4f}, gradient norms {min(norms):.2g} to {max(norms):.2g}")


if __name__ == "__main__":
    for name in sys.argv[2:] or MODELS:
        write_model(Path(sys.argv[1]), name)
