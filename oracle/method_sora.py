"""SoRA written out: one point with gradients, then 20 steps with the soft threshold of the released code.

    python method_sora.py ../test/fixtures/methods

Writes sora.json and sora.safetensors; reads batches.json there.
"""

import sys
from pathlib import Path

import torch
from adapters import SoRALinear, adapt
from fixtures import write_json, write_tensors
from training import (
    LEARNING_RATE,
    STEPS,
    WEIGHT_DECAY,
    at_point,
    base_model,
    cross_entropy_loss,
    disturb,
    optimizer_groups,
    prefixed,
    read_batches,
    restore,
)

RANK, ALPHA = 6, 12
# λ2 is much larger than the published 3e-4, so that 20 steps suffice to close gates.
PENALTY_WEIGHT, THRESHOLD = 10, 0.02

out = Path(sys.argv[1])
generator = torch.Generator().manual_seed(31)
model = base_model()
layers = adapt(model, lambda base: SoRALinear(base, RANK, ALPHA, generator))
parameters = {f"{name}.{kind}": getattr(layer, kind) for name, layer in layers.items() for kind in "ABg"}
parameters |= {f"classifier.{name}": parameter for name, parameter in model.classifier.named_parameters()}
gates = {name: parameter for name, parameter in parameters.items() if name.endswith(".g")}
others = {name: parameter for name, parameter in parameters.items() if name not in gates}
batches = read_batches(out)


def loss_of(batch):
    loss, logits = cross_entropy_loss(model, batch)
    penalty = sum(gate.abs().sum() for gate in gates.values()) / sum(gate.numel() for gate in gates.values())
    return loss + PENALTY_WEIGHT * penalty, logits


def soft_threshold(gate):
    """As released: shrink first, test after, so that every |g| < 2 λ2 becomes 0."""
    gate[gate > THRESHOLD] -= THRESHOLD
    gate[gate < -THRESHOLD] += THRESHOLD
    gate[gate.abs() < THRESHOLD] = 0


tensors = prefixed("initial", parameters)
disturb(parameters, 0.2, seed=32)
tensors |= prefixed("point", parameters)
point, gradients = at_point(loss_of, batches[0], parameters)
tensors |= prefixed("gradients", gradients)
restore(parameters, tensors, "initial")

optimizer = torch.optim.AdamW(optimizer_groups(others) + optimizer_groups(gates, weight_decay=0))
steps = []
for step in range(STEPS):
    loss, logits = loss_of(batches[step % len(batches)])
    loss.backward()
    optimizer.step()
    for gate in gates.values():
        soft_threshold(gate.data)
    optimizer.zero_grad()
    steps.append({"loss": loss.item(), "zeroGates": [int((gate == 0).sum()) for gate in gates.values()]})
tensors |= prefixed("final", parameters)
write_tensors(out / "sora.safetensors", tensors)
write_json(
    out / "sora.json",
    {
        "rank": RANK,
        "alpha": ALPHA,
        "penaltyWeight": PENALTY_WEIGHT,
        "threshold": THRESHOLD,
        "modules": list(layers),
        "learningRate": LEARNING_RATE,
        "weightDecay": WEIGHT_DECAY,
        "gateWeightDecay": 0,
        "point": point,
        "steps": steps,
    },
)
