"""20 steps of AdamW with warm-up, linear decay and clipping on made-up gradients of very different sizes.

    python adamw.py ../test/fixtures/training

writes adamw.json: the groups with their peak learning rates, the parameters at the start, and for each step (from 0) the
gradients before clipping, their norm, the factor on the learning rates, and the parameters after the step.
`matrix` is frozen from step 12 on; `late` has no gradient before step 5.
"""

import sys
from pathlib import Path

import torch
from fixtures import write_json
from transformers import get_linear_schedule_with_warmup

STEPS = 20
WARMUP_STEPS = 2
MAX_NORM = 0.1


def values(tensors):
    return {name: tensor.detach().tolist() for name, tensor in tensors.items()}


def main(out):
    torch.manual_seed(0)
    groups = [
        {"names": ["matrix", "late"], "learningRate": 1e-2, "weightDecay": 0.1},
        {"names": ["head.weight"], "learningRate": 4e-2, "weightDecay": 0.1},
        {"names": ["head.bias"], "learningRate": 4e-2, "weightDecay": 0},
    ]
    parameters = {name: torch.nn.Parameter(torch.randn(4)) for group in groups for name in group["names"]}
    optimizer = torch.optim.AdamW(
        {
            "params": [parameters[name] for name in group["names"]],
            "lr": group["learningRate"],
            "weight_decay": group["weightDecay"],
        }
        for group in groups
    )
    scheduler = get_linear_schedule_with_warmup(optimizer, WARMUP_STEPS, STEPS)

    start, steps = values(parameters), []
    for step in range(STEPS):
        live = {name: p for name, p in parameters.items() if (name != "matrix" or step < 12) and (name != "late" or step >= 5)}
        optimizer.zero_grad()
        for p in live.values():
            p.grad = torch.randn(4) * torch.tensor([1, 1e-2, 1e-6, 0]) * 10 ** (step % 5 - 3)
        gradients = {name: p.grad.tolist() for name, p in live.items()}
        norm = torch.nn.utils.clip_grad_norm_(live.values(), MAX_NORM)
        factor = scheduler.get_last_lr()[0] / groups[0]["learningRate"]
        optimizer.step()
        scheduler.step()
        steps.append(
            {
                "gradients": gradients,
                "norm": norm.item(),
                "learningRateFactor": factor,
                "parameters": values(parameters),
            }
        )
    settings = {"totalSteps": STEPS, "warmupRatio": WARMUP_STEPS / STEPS, "maxGradNorm": MAX_NORM}
    write_json(Path(out) / "adamw.json", {**settings, "groups": groups, "start": start, "steps": steps})


if __name__ == "__main__":
    main(*sys.argv[1:])
