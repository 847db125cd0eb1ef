"""The 20 training steps that the scripts of the methods share, on the small model `bert-1` with dropout off.

    python training.py ../test/fixtures/methods

writes batches.json: four batches of four rows, taken in turn (step s, from 0, takes batch s mod 4).
"""

import json
import sys
from pathlib import Path

import torch
from fixtures import padded, write_json
from models import random_rows
from torch.nn.functional import cross_entropy
from transformers import BertForSequenceClassification

BASE = Path(__file__).parent / "../test/fixtures/models/bert-1"
STEPS = 20
LEARNING_RATE = 1e-2
WEIGHT_DECAY = 0.01


def base_model():
    return BertForSequenceClassification.from_pretrained(BASE, attn_implementation="eager").eval()


def read_batches(out):
    """[(model arguments, labels)] of batches.json."""
    batches = json.loads((Path(out) / "batches.json").read_text())
    return [(padded(rows), torch.tensor([row["label"] for row in rows])) for rows in batches]


def optimizer_groups(
    parameters,
    learning_rate=LEARNING_RATE,
    weight_decay=WEIGHT_DECAY,
    head_learning_rate=None,
    decays=lambda name: True,
):
    """AdamW groups: the head's bias and DoRA's lengths do not decay; the head may have a learning rate of its own."""
    head_learning_rate = head_learning_rate or learning_rate
    return [
        {
            "params": [parameter],
            "lr": head_learning_rate if name.startswith("classifier.") else learning_rate,
            "weight_decay": 0 if name == "classifier.bias" or name.endswith(".m") or not decays(name) else weight_decay,
        }
        for name, parameter in parameters.items()
    ]


def prefixed(prefix, tensors):
    return {f"{prefix}.{name}": tensor.detach().clone() for name, tensor in tensors.items()}


def cross_entropy_loss(model, batch):
    """(loss, logits) of the model on one of the batches."""
    arguments, labels = batch
    logits = model(**arguments).logits
    return cross_entropy(logits, labels), logits


def at_point(loss_of, batch, parameters):
    """Logits, loss and gradients on one batch with the parameters as they are; leaves no gradients behind."""
    loss, logits = loss_of(batch)
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in parameters.items()}
    for parameter in parameters.values():
        parameter.grad = None
    return {"logits": logits.tolist(), "loss": loss.item()}, gradients


def disturb(parameters, deviation, seed):
    """Moves every adapter parameter by a random amount, so that no gradient vanishes."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in parameters.items():
        if not name.startswith("classifier."):
            parameter.data += deviation * torch.randn(parameter.shape, generator=generator)


def restore(parameters, tensors, prefix):
    for name, parameter in parameters.items():
        parameter.data = tensors[f"{prefix}.{name}"].clone()


def modules_of(parameters):
    """Names of the adapted layers, in the model's order."""
    return list(dict.fromkeys(name.rpartition(".")[0] for name in parameters if not name.startswith("classifier.")))


if __name__ == "__main__":
    generator = torch.Generator().manual_seed(11)
    config = base_model().config
    batches = [random_rows(config, generator) for _ in range(4)]
    for rows in batches:
        for row in rows:
            row["label"] = int(torch.randint(0, config.num_labels, (), generator=generator))
    write_json(Path(sys.argv[1]) / "batches.json", batches)
