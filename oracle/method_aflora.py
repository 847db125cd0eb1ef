"""AFLoRA written out: one point with gradients, then three runs of 20 steps from the same start.

    python method_aflora.py ../test/fixtures/methods

- `unfrozen`: nothing freezes, constant learning rate, no clipping.
- `frozen`: two matrices freeze at step 8: they still get step 8's update.
- `recipe`: as `frozen`, with two warm-up steps, linear decay and the gradient clipped to a global norm of 0.1.

Writes aflora.json and aflora.safetensors; reads batches.json there. Attention matrices are frozen from the start.
"""

import sys
from pathlib import Path

import torch
from adapters import AFLoRALinear, adapt
from fixtures import write_json, write_tensors
from training import (
    STEPS,
    at_point,
    base_model,
    cross_entropy_loss,
    disturb,
    optimizer_groups,
    prefixed,
    read_batches,
    restore,
)
from transformers import get_linear_schedule_with_warmup

RANK = 4
LEARNING_RATE, HEAD_LEARNING_RATE, WEIGHT_DECAY = 1e-2, 4e-2, 0.1
FREEZE_STEP = 8
FREEZES = ["encoder.layer.0.intermediate.dense.A", "encoder.layer.1.output.dense.B"]
WARMUP_STEPS, MAX_GRADIENT_NORM = 2, 0.1

out = Path(sys.argv[1])
generator = torch.Generator().manual_seed(41)
model = base_model()
layers = adapt(model, lambda base: AFLoRALinear(base, RANK, generator))
adapter = {f"{name}.{kind}": getattr(layer, kind) for name, layer in layers.items() for kind in "ABdb"}
head = {f"classifier.{name}": parameter for name, parameter in model.classifier.named_parameters()}
untrained = {name: adapter[name] for name in adapter if ".attention." in name and name[-1] in "AB"}
for parameter in untrained.values():
    parameter.requires_grad_(False)
parameters = {**{name: adapter[name] for name in adapter if name not in untrained}, **head}
batches = read_batches(out)


def loss_of(batch):
    return cross_entropy_loss(model, batch)


def train(freezes, recipe):
    """Returns a record per step; leaves the trained parameters in place."""
    groups = optimizer_groups(parameters, LEARNING_RATE, WEIGHT_DECAY, HEAD_LEARNING_RATE)
    optimizer = torch.optim.AdamW(groups)
    schedule = get_linear_schedule_with_warmup(optimizer, WARMUP_STEPS, STEPS) if recipe else None
    steps = []
    for step in range(STEPS):
        loss, _ = loss_of(batches[step % len(batches)])
        loss.backward()
        limit = MAX_GRADIENT_NORM if recipe else float("inf")
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), limit)
        optimizer.step()
        if schedule:
            schedule.step()
        optimizer.zero_grad()
        if step == FREEZE_STEP:
            for name in freezes:
                parameters[name].requires_grad_(False)
        steps.append({"loss": loss.item(), "gradientNorm": norm.item()})
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    return steps


tensors = prefixed("initial", {**parameters, **untrained})
disturb(parameters, 0.2, seed=42)
tensors |= prefixed("point", parameters)
point, gradients = at_point(loss_of, batches[0], parameters)
tensors |= prefixed("gradients", gradients)
runs = {}
for run, freezes, recipe in [("unfrozen", [], False), ("frozen", FREEZES, False), ("recipe", FREEZES, True)]:
    restore(parameters, tensors, "initial")
    runs[run] = train(freezes, recipe)
    tensors |= prefixed(f"final.{run}", parameters)
write_tensors(out / "aflora.safetensors", tensors)
write_json(
    out / "aflora.json",
    {
        "rank": RANK,
        "modules": list(layers),
        "learningRate": LEARNING_RATE,
        "headLearningRate": HEAD_LEARNING_RATE,
        "weightDecay": WEIGHT_DECAY,
        "freezeStep": FREEZE_STEP,
        "freezes": FREEZES,
        "warmupSteps": WARMUP_STEPS,
        "maxGradNorm": MAX_GRADIENT_NORM,
        "point": point,
        "runs": runs,
    },
)
