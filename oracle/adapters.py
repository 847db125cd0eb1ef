"""The adapted linear layers of the methods that peft does not have, written out as in the method's formula."""

import math

import torch
from torch import nn

TARGETS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)


class AFLoRALinear(nn.Module):
    """y = W0 x + bias + diag(b) B diag(d) A x."""

    def __init__(self, base, rank, generator):
        super().__init__()
        self.base = base
        for parameter in base.parameters():
            parameter.requires_grad_(False)

        def kaiming(rows, columns):
            bound = math.sqrt(6 / columns)
            return nn.Parameter((2 * torch.rand(rows, columns, generator=generator) - 1) * bound)

        self.A = kaiming(rank, base.in_features)
        self.B = kaiming(base.out_features, rank)
        self.d = nn.Parameter(torch.full((rank,), 0.1))
        self.b = nn.Parameter(torch.zeros(base.out_features))

    def forward(self, x):
        return self.base(x) + (((x @ self.A.T) * self.d) @ self.B.T) * self.b


def adapt(model, make):
    """Replaces every target layer of a BERT classifier by make(layer); returns {module name without `bert.`: layer}."""
    adapted = {}
    for index, block in enumerate(model.bert.encoder.layer):
        for target in TARGETS:
            parent_name, _, child = target.rpartition(".")
            parent = block.get_submodule(parent_name)
            layer = make(getattr(parent, child))
            setattr(parent, child, layer)
            adapted[f"encoder.layer.{index}.{target}"] = layer
    return adapted
