"""LoRA, its variants, PSOFT, VeRA and AdaLoRA as peft trains them: one point with gradients, then 20 steps of AdamW.

    python method_peft.py ../test/fixtures/methods [METHOD…]

Writes lora, lora-rs, lora-fa, lora-plus, dora, pissa, psoft, vera and adalora, each .json and .safetensors; reads batches.json there. AdaLoRA follows peft's
documentation: backward, optimizer.step(), update_and_allocate(step) with steps from 0, zero_grad().
"""

import re
import sys
from pathlib import Path

import torch
from adapters import TARGETS
from fixtures import write_json, write_tensors
from peft import AdaLoraConfig, LoraConfig, PsoftConfig, TaskType, VeraConfig, get_peft_model
from torch.nn.functional import cross_entropy
from training import (
    LEARNING_RATE,
    STEPS,
    WEIGHT_DECAY,
    at_point,
    base_model,
    disturb,
    modules_of,
    optimizer_groups,
    prefixed,
    read_batches,
    restore,
)

COMMON = {"task_type": TaskType.SEQ_CLS, "target_modules": list(TARGETS)}
LORA = {**COMMON, "r": 4, "lora_alpha": 8, "lora_dropout": 0.0}
CONFIGS = {
    "lora": LoraConfig(**LORA),
    "lora-rs": LoraConfig(**LORA, use_rslora=True),
    "lora-fa": LoraConfig(**LORA),
    "lora-plus": LoraConfig(**LORA),
    "dora": LoraConfig(**LORA, use_dora=True),
    "pissa": LoraConfig(**LORA, init_lora_weights="pissa"),
    "psoft": PsoftConfig(**COMMON, r=6, psoft_alpha=6, use_cayley_neumann=True),
    "vera": VeraConfig(**COMMON, r=16, d_initial=0.1, vera_dropout=0.0, projection_prng_key=5, save_projection=True),
    "adalora": AdaLoraConfig(
        **COMMON,
        init_r=6,
        target_r=3,
        tinit=2,
        tfinal=4,
        deltaT=2,
        beta1=0.85,
        beta2=0.85,
        orth_reg_weight=0.5,
        lora_alpha=12,
        total_step=STEPS,
    ),
}
FACTS = {
    "lora": {"rank": 4, "alpha": 8},
    "lora-rs": {"rank": 4, "alpha": 8},
    "lora-fa": {"rank": 4, "alpha": 8},
    "lora-plus": {"rank": 4, "alpha": 8, "ratio": 16},
    "dora": {"rank": 4, "alpha": 8},
    "pissa": {"rank": 4, "alpha": 8},
    "psoft": {"rank": 6},
    "vera": {"rank": 16},
    "adalora": {
        "initialRank": 6,
        "targetRank": 3,
        "initialSteps": 2,
        "finalSteps": 4,
        "interval": 2,
        "beta1": 0.85,
        "beta2": 0.85,
        "orthogonalWeight": 0.5,
        "alpha": 12,
        "totalSteps": STEPS,
    },
}


def short(name):
    """peft's name of a parameter → `<module>.A`, `.B`, `.E`, `.d`, `.b`, `classifier.weight`, `classifier.bias`."""
    name = name.removeprefix("base_model.model.").removeprefix("bert.")
    name = name.replace("modules_to_save.default.", "")
    name = name.replace(".psoft_R.default.weight", ".Q").replace(".psoft_R.default.vector_", ".")
    name = re.sub(r"\.default(\.weight)?$", "", name).replace(".lora_magnitude_vector", ".m")
    return name.replace(".lora_", ".").replace(".vera_lambda_", ".")


def write_method(method, out):
    torch.manual_seed(21)
    config = CONFIGS[method]
    model = get_peft_model(base_model(), config).eval()
    frozen = {}
    if method == "lora-fa":
        frozen = {short(name): p for name, p in model.named_parameters() if ".lora_A." in name}
        for p in frozen.values():
            p.requires_grad_(False)
    parameters = {short(name): p for name, p in model.named_parameters() if p.requires_grad}
    batches = read_batches(out)

    def loss_of(batch):
        arguments, labels = batch
        # The forward pass of peft's AdaLoRA adds its penalty to this loss.
        result = model(**arguments, labels=labels)
        return result.loss, result.logits

    tensors = prefixed("initial", parameters)
    if method == "vera":
        tensors |= {"A": model.base_model.vera_A["default"], "B": model.base_model.vera_B["default"]}
    if method == "pissa":
        # peft takes what A and B start as from the base; here it stands beside them.
        frozen = {f"{name}0": p.detach().clone() for name, p in parameters.items() if name.endswith((".A", ".B"))}
    if method == "psoft":
        layers = {short(name): layer for name, layer in model.named_modules() if hasattr(layer, "_psoft_A_cache")}
        frozen = {f"{name}.{part}": getattr(layer, f"_psoft_{part}_cache")["default"] for name, layer in layers.items() for part in "AB"}
    tensors |= prefixed("initial", frozen)
    disturb(parameters, 0.2, seed=22)
    tensors |= prefixed("point", parameters) | prefixed("point", frozen)
    point, gradients = at_point(loss_of, batches[0], parameters)
    tensors |= prefixed("gradients", gradients)
    restore(parameters, tensors, "initial")

    undecayed = {"pissa": (".A", ".B"), "psoft": (".a", ".b")}.get(method, ())
    groups = optimizer_groups(parameters, decays=lambda name: not name.endswith(undecayed))
    # As peft's create_loraplus_optimizer, which gives B's rate to the head's bias, too: here it has the head's.
    for name, group in zip(parameters, groups):
        group["lr"] *= FACTS[method].get("ratio", 1) if name.endswith(".B") else 1
    optimizer = torch.optim.AdamW(groups)
    steps = []
    for step in range(STEPS):
        batch = batches[step % len(batches)]
        loss, logits = loss_of(batch)
        loss.backward()
        optimizer.step()
        record = {"loss": loss.item()}
        if method == "adalora":
            model.base_model.update_and_allocate(step)
            record["crossEntropy"] = cross_entropy(logits, batch[1]).item()
            record["ranks"] = [int((p != 0).sum()) for name, p in parameters.items() if name.endswith(".E")]
        optimizer.zero_grad()
        steps.append(record)
    tensors |= prefixed("final", parameters)
    facts = {
        **FACTS[method],
        "modules": modules_of(parameters),
        "learningRate": LEARNING_RATE,
        "weightDecay": WEIGHT_DECAY,
        "point": point,
        "steps": steps,
    }
    if method == "adalora":
        pattern = model.peft_config["default"].rank_pattern
        facts["rankPattern"] = {short(name).removesuffix(".E"): kept for name, kept in pattern.items()}
    write_json(out / f"{method}.json", facts)
    write_tensors(out / f"{method}.safetensors", tensors)


for method in sys.argv[2:] or CONFIGS:
    write_method(method, Path(sys.argv[1]))
