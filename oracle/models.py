"""Small random models of every family with their logits, loss and gradients.

    python models.py ../test/fixtures/models [NAME ...]

Each folder is a Hugging Face folder of `…ForSequenceClassification` (config.json, model.safetensors) with inputs.json
(examples with ids, label and logits, and the mean loss) and gradients.safetensors (every parameter's). The first
configuration of a family also has token-classification.json and token-classification.safetensors: the same backbone
under `…ForTokenClassification`, the weights that only this model has, and their gradients as `gradients.<name>`.
"""

import inspect
import sys
from pathlib import Path

import torch
from fixtures import padded, randomise, write_hub_keys, write_json, write_tensors
from transformers import CONFIG_MAPPING, AutoModelForSequenceClassification, AutoModelForTokenClassification
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()

# Longer than DeBERTa's 8 buckets and ModernBERT's window of 8; the second and third rows are pairs.
LENGTHS = [(19, 0), (11, 8), (5, 17), (9, 0)]
TOKEN_LABELS = 5

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
LARGER = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 80}
ROBERTA = {
    "vocab_size": 120,
    "max_position_embeddings": 40,
    "pad_token_id": 1,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
}
DEBERTA = {
    "vocab_size": 120,
    "max_position_embeddings": 32,
    "type_vocab_size": 0,
    "relative_attention": True,
    "max_relative_positions": -1,
    "position_buckets": 8,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
    "position_biased_input": False,
}
MODERNBERT = {"vocab_size": 120, "pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "local_attention": 8}

REGRESSION = {"num_labels": 1, "problem_type": "regression"}
MULTI_LABEL = {"num_labels": 3, "problem_type": "multi_label_classification"}
THREE = {"num_labels": 3, "problem_type": "single_label_classification"}
TWO = {"num_labels": 2, "problem_type": "single_label_classification"}

# name: (model type, configuration, keys as older files on the hub write them)
MODELS = {
    "bert-1": ("bert", {**SMALL, **THREE, "vocab_size": 120, "max_position_embeddings": 40}, {}),
    "bert-2": (
        "bert",
        {
            **LARGER,
            **REGRESSION,
            "vocab_size": 90,
            "max_position_embeddings": 32,
            "hidden_act": "relu",
            "layer_norm_eps": 1e-5,
        },
        {},
    ),
    "roberta-1": ("roberta", {**SMALL, **THREE, **ROBERTA}, {}),
    "roberta-2": ("roberta", {**LARGER, **TWO, **ROBERTA, "type_vocab_size": 2, "layer_norm_eps": 1e-12}, {}),
    "xlm-roberta-1": ("xlm-roberta", {**SMALL, **THREE, **ROBERTA}, {}),
    "xlm-roberta-2": ("xlm-roberta", {**LARGER, **MULTI_LABEL, **ROBERTA}, {}),
    "camembert-1": ("camembert", {**SMALL, **THREE, **ROBERTA}, {}),
    "camembert-2": ("camembert", {**LARGER, **REGRESSION, **ROBERTA}, {}),
    "distilbert-1": (
        "distilbert",
        {
            **THREE,
            "vocab_size": 120,
            "max_position_embeddings": 40,
            "dim": 32,
            "n_layers": 2,
            "n_heads": 2,
            "hidden_dim": 64,
        },
        {},
    ),
    "distilbert-2": (
        "distilbert",
        {
            **TWO,
            "vocab_size": 100,
            "max_position_embeddings": 32,
            "dim": 48,
            "n_layers": 3,
            "n_heads": 4,
            "hidden_dim": 80,
            "activation": "relu",
            "sinusoidal_pos_embds": True,
        },
        {},
    ),
    "electra-1": (
        "electra",
        {**SMALL, **THREE, "vocab_size": 120, "max_position_embeddings": 40, "embedding_size": 24},
        {},
    ),
    "electra-2": (
        "electra",
        {**LARGER, **MULTI_LABEL, "vocab_size": 100, "max_position_embeddings": 32, "embedding_size": 48},
        {},
    ),
    "mpnet-1": (
        "mpnet",
        {**SMALL, **THREE, "vocab_size": 120, "max_position_embeddings": 40, "layer_norm_eps": 1e-5},
        {},
    ),
    "mpnet-2": ("mpnet", {**LARGER, **TWO, "vocab_size": 100, "max_position_embeddings": 32}, {}),
    "modernbert-1": (
        "modernbert",
        {**SMALL, **THREE, **MODERNBERT, "num_hidden_layers": 3, "intermediate_size": 40, "classifier_pooling": "mean"},
        {
            "layer_types": None,
            "rope_parameters": None,
            "global_attn_every_n_layers": 3,
            "global_rope_theta": 160000.0,
            "local_rope_theta": 10000.0,
        },
    ),
    "modernbert-2": (
        "modernbert",
        {
            **LARGER,
            **TWO,
            **MODERNBERT,
            "num_hidden_layers": 4,
            "intermediate_size": 56,
            "global_attn_every_n_layers": 2,
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 80000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1000.0},
            },
            "attention_bias": True,
            "mlp_bias": True,
            "norm_bias": True,
            "classifier_bias": True,
            "classifier_pooling": "cls",
            "norm_eps": 1e-6,
        },
        {},
    ),
    # As DeBERTaV3 is published.
    "deberta-v2-1": ("deberta-v2", {**SMALL, **THREE, **DEBERTA}, {"pos_att_type": "p2c|c2p"}),
    # As DeBERTa-v2-xlarge: a convolution beside the first block.
    "deberta-v2-2": (
        "deberta-v2",
        {**LARGER, **TWO, **DEBERTA, "conv_kernel_size": 3, "conv_act": "gelu", "attention_head_size": 12},
        {},
    ),
    # Position projections of their own, no buckets, absolute positions, token types and a narrower embedding.
    "deberta-v2-3": (
        "deberta-v2",
        {
            **SMALL,
            **REGRESSION,
            **DEBERTA,
            "position_buckets": -1,
            "max_relative_positions": 8,
            "norm_rel_ebd": "none",
            "share_att_key": False,
            "position_biased_input": True,
            "type_vocab_size": 2,
            "embedding_size": 24,
        },
        {},
    ),
}


def random_rows(config, generator):
    """Rows [cls] a [sep] or [cls] a [sep] b [sep] of random ids; every part has about the length LENGTHS says."""
    pad = config.pad_token_id
    cls, sep = (0, 2) if pad == 1 else (2, 3)
    rows = []
    for first, second in LENGTHS:
        ids = torch.randint(5, config.vocab_size, (first + second,), generator=generator).tolist()
        row = [cls, *ids[:first], sep]
        types = [0] * len(row)
        if second:
            row += [*ids[first:], sep]
            # RoBERTa's, MPNet's and DistilBERT's tokenizers keep every type at 0.
            has_types = config.model_type in ("bert", "electra", "deberta-v2")
            types += [int(has_types)] * (second + 1)
        rows.append({"inputIds": row, "tokenTypeIds": types})
    return rows


def random_labels(config, generator):
    count = len(LENGTHS)
    if config.problem_type == "regression":
        return torch.randn(count, generator=generator)
    if config.problem_type == "multi_label_classification":
        return torch.randint(0, 2, (count, config.num_labels), generator=generator).float()
    return torch.randint(0, config.num_labels, (count,), generator=generator)


def arguments(model, rows):
    takes_types = "token_type_ids" in inspect.signature(model.forward).parameters
    return padded(rows, model.config.pad_token_id, takes_types)


def write_model(out, name):
    model_type, options, hub_keys = MODELS[name]
    generator = torch.Generator().manual_seed(list(MODELS).index(name) + 100)
    config = CONFIG_MAPPING[model_type](**options)
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").eval()
    randomise(model, generator)
    rows = random_rows(config, generator)
    labels = random_labels(config, generator)
    result = model(**arguments(model, rows), labels=labels)
    result.loss.backward()

    folder = out / name
    model.save_pretrained(folder)
    write_hub_keys(folder, hub_keys)
    (folder / "model.safetensors").chmod(0o644)
    reloaded = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    assert torch.equal(reloaded(**arguments(model, rows)).logits, result.logits), (
        f"{name} does not reload to the same logits"
    )

    examples = [
        {**row, "label": label, "logits": logits}
        for row, label, logits in zip(rows, labels.tolist(), result.logits.tolist())
    ]
    write_json(folder / "inputs.json", {"examples": examples, "loss": result.loss.item()})
    gradients = {key: parameter.grad for key, parameter in model.named_parameters() if parameter.grad is not None}
    write_tensors(folder / "gradients.safetensors", gradients)
    if name.endswith("-1"):
        write_token_model(folder, rows, generator)
    norms = [gradient.norm().item() for gradient in gradients.values()]
    print(f"{name}: loss {result.loss.item():.4f}, gradient norms {min(norms):.2g} to {max(norms):.2g}")


def write_token_model(folder, rows, generator):
    model = AutoModelForTokenClassification.from_pretrained(
        folder, num_labels=TOKEN_LABELS, ignore_mismatched_sizes=True, attn_implementation="eager"
    ).eval()
    prefix = model.base_model_prefix
    head = {key: parameter for key, parameter in model.named_parameters() if not key.startswith(f"{prefix}.")}
    for name, child in model.named_children():
        if name != prefix:
            randomise(child, generator)
    batch = arguments(model, rows)
    # -100 on the special tokens and the padding: such tokens do not count.
    labels = torch.full_like(batch["input_ids"], -100)
    ordinary = batch["input_ids"] >= 5
    labels[ordinary] = torch.randint(0, TOKEN_LABELS, (int(ordinary.sum()),), generator=generator)
    result = model(**batch, labels=labels)
    result.loss.backward()
    examples = [
        {"labels": row_labels[: len(row["inputIds"])], "logits": logits[: len(row["inputIds"])]}
        for row, row_labels, logits in zip(rows, labels.tolist(), result.logits.tolist())
    ]
    write_json(folder / "token-classification.json", {"examples": examples, "loss": result.loss.item()})
    gradients = {f"gradients.{key}": parameter.grad for key, parameter in head.items()}
    write_tensors(folder / "token-classification.safetensors", {**head, **gradients})


if __name__ == "__main__":
    for name in sys.argv[2:] or MODELS:
        write_model(Path(sys.argv[1]), name)
