"""Adapter folders as peft writes them, on the small model `bert-1`, with the logits that peft computes from them.

    python peft_adapters.py ../test/fixtures/peft [NAME…]

One folder each: `lora` (all linear layers of the blocks), `lora-patterns` (layers by a regular expression, ranks and
alphas of their own, rank-stabilised scale), `pissa` (made a LoRA of twice the rank), `dora`, `vera` and `adalora` (some ranks pruned). Each has adapter_config.json,
adapter_model.safetensors and logits.json (the rows of bert-1's inputs.json).
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from adapters import TARGETS
from fixtures import padded, write_json
from peft import AdaLoraConfig, LoraConfig, PeftModel, TaskType, VeraConfig, get_peft_model
from training import BASE, base_model, disturb

COMMON = {"task_type": TaskType.SEQ_CLS, "target_modules": list(TARGETS)}
ADAPTERS = {
    "lora": LoraConfig(**COMMON, r=4, lora_alpha=8),
    "lora-patterns": LoraConfig(
        task_type=TaskType.SEQ_CLS,
        target_modules=r".*\.(query|value|intermediate\.dense)",
        r=4,
        lora_alpha=8,
        rank_pattern={"query": 2},
        alpha_pattern={"value": 16},
        use_rslora=True,
    ),
    # Without a head: what makes it a LoRA leaves out modules that are saved whole.
    "pissa": LoraConfig(target_modules=list(TARGETS), r=4, lora_alpha=8, init_lora_weights="pissa"),
    "dora": LoraConfig(**COMMON, r=4, lora_alpha=8, use_dora=True),
    "vera": VeraConfig(**COMMON, r=16, projection_prng_key=5, save_projection=True),
    "adalora": AdaLoraConfig(**COMMON, init_r=4, target_r=2, lora_alpha=8, tinit=1, tfinal=1, total_step=10),
}


def logits_of(model, rows):
    with torch.no_grad():
        return model.eval()(**padded(rows)).logits


def sort_targets(path):
    """peft writes a set in any order; sorted, the file is the same every time."""
    config = json.loads(path.read_text())
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True))


def write_adapter(name, folder):
    torch.manual_seed(51)
    model = get_peft_model(base_model(), ADAPTERS[name])
    config = model.peft_config["default"]
    config.base_model_name_or_path = "bert-1"
    initial = TemporaryDirectory()
    if name == "pissa":
        config.init_lora_weights = True
        model.save_pretrained(initial.name)
    trained = {key: parameter for key, parameter in model.named_parameters() if parameter.requires_grad}
    disturb(trained, 0.2, seed=52)
    if name == "adalora":
        # Every layer loses one direction, the first block's layers another one.
        config.rank_pattern = {}
        for key, parameter in trained.items():
            if ".lora_E." in key:
                kept = [True, False, True, ".layer.1." in key]
                parameter.data[~torch.tensor(kept)] = 0
                config.rank_pattern[key.removeprefix("base_model.model.")] = kept
    rows = json.loads((BASE / "inputs.json").read_text())["examples"]
    logits = logits_of(model, rows)
    if name == "pissa":
        model.save_pretrained(folder, path_initial_model_for_weight_conversion=initial.name)
    else:
        model.save_pretrained(folder)
    (folder / "README.md").unlink()
    (folder / "adapter_model.safetensors").chmod(0o644)
    sort_targets(folder / "adapter_config.json")
    assert torch.allclose(logits_of(PeftModel.from_pretrained(base_model(), folder), rows), logits, atol=1e-6), name
    examples = [
        {"inputIds": row["inputIds"], "tokenTypeIds": row["tokenTypeIds"], "logits": values}
        for row, values in zip(rows, logits.tolist())
    ]
    write_json(folder / "logits.json", {"examples": examples})


for name in sys.argv[2:] or ADAPTERS:
    write_adapter(name, Path(sys.argv[1]) / name)
