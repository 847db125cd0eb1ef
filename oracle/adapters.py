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

        def kaiming(rows, columns):
            bound = math.sqrt(6 / columns)
            return nn.Parameter((2 * torch.rand(rows, columns, generator=generator) - 1) * bound)

        self.A = kaiming(rank, base.in_features)
        self.B = kaiming(base.out_features, rank)
        self.d = nn.Parameter(torch.full((rank,), 0.1))
        self.b = nn.Parameter(torch.zeros(base.out_features))

    def forward(self, x):
        y = self.base(x)
        # Under autocast products are bfloat16, and float32 vectors would make all that follows float32.
        return y + (((x @ self.A.T) * self.d.to(y.dtype)) @ self.B.T) * self.b.to(y.dtype)


class SoRALinear(nn.Module):
    """y = W0 x + bias + (alpha / rank) B diag(g) A x."""

    def __init__(self, base, rank, alpha, generator):
        super().__init__()
        self.base = base
        self.scale = alpha / rank
        bound = 1 / math.sqrt(base.in_features)
        self.A = nn.Parameter((2 * torch.rand(rank, base.in_features, generator=generator) - 1) * bound)
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))
        self.g = nn.Parameter(torch.randn(rank, generator=generator))

    def forward(self, x):
        return self.base(x) + ((x @ self.A.T) * self.g) @ self.B.T * self.scale


def adapt(model, make):
    """Replaces every target layer of a BERT or DeBERTa classifier by make(layer) and freezes the rest of the backbone.

    Returns {module name without the family's prefix, as BERT calls it: new layer}.
    """
    adapted = {}
    for parameter in model.base_model.parameters():
        parameter.requires_grad_(False)
    for index, block in enumerate(model.base_model.encoder.layer):
        for target in TARGETS:
            parent_name, _, child = target.rpartition(".")
            parent = block.get_submodule(parent_name)
            # DeBERTa has query_proj where BERT has query.
            own = child if hasattr(parent, child) else f"{child}_proj"
            layer = make(getattr(parent, own))
            setattr(parent, own, layer)
            adapted[f"encoder.layer.{index}.{target}"] = layer
    return adapted
