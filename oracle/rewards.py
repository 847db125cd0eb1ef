"""TRL's GRPO loss on the small decoder `llama-1`: five AdamW steps of each variant, then the loss and its gradients.

    python rewards.py ../test/fixtures/rewards

writes steps.json (prompts, answers and rewards, and for each variant its settings, the advantages and the losses of six steps) and
gradients.safetensors (those of the sixth). The losses are GRPOTrainer's own; the advantages follow its `_generate_and_score_completions`.
The policy trains whole; the reference is the model before the first step. The answers stay the same, as if the policy had written them.
"""

import sys
import tempfile
from pathlib import Path

import torch
from datasets import Dataset
from fixtures import write_json, write_tensors
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import nanstd
from trl_steps import LEARNING_RATE, random_ids, recorded, tokenizer

MAX_NEW_TOKENS = 8
# An answer without a reward is one whose reward failed.
REWARDS = [[1.0, 0.0, 0.5], [0.2, None, 1.0]]

CASES = {
    "grpo": {"lossType": "grpo"},
    "dr-grpo": {"lossType": "dr-grpo", "scaleRewards": "none"},
    "dapo": {"lossType": "dapo", "scaleRewards": "batch"},
    "dapo-kl": {"lossType": "dapo", "beta": 0.3, "temperature": 0.7},
}


def random_rows(generator):
    """Prompts with three answers each, of different lengths."""
    ids = lambda low, high: random_ids(generator, low, high)
    return [{"prompt": ids(3, 9), "answers": [ids(2, 8) for _ in range(3)]} for _ in range(2)]


def advantages(scale):
    rewards = torch.tensor([[float("nan") if each is None else each for each in group] for group in REWARDS])
    centred = rewards - rewards.nanmean(dim=1, keepdim=True)
    if scale == "group":
        centred = centred / (nanstd(rewards, dim=1, keepdim=True) + 1e-4)
    if scale == "batch":
        centred = centred / (nanstd(rewards) + 1e-4)
    return centred.nan_to_num(0.0)


def padded(rows, left):
    length = max(map(len, rows))
    fill = lambda values, row: [0] * (length - len(row)) + values if left else values + [0] * (length - len(row))
    ids = torch.tensor([fill(row, row) for row in rows])
    return ids, torch.tensor([fill([1] * len(row), row) for row in rows])


def loss_of(settings, model, rows):
    """A function of the model that gives the loss of all answers."""
    arguments = GRPOConfig(
        output_dir=tempfile.mkdtemp(),
        use_cpu=True,
        report_to=[],
        bf16=False,
        gradient_checkpointing=False,
        per_device_train_batch_size=6,
        num_generations=3,
        max_completion_length=MAX_NEW_TOKENS,
        loss_type=settings["lossType"].replace("-", "_"),
        beta=settings.get("beta", 0.0),
        temperature=settings.get("temperature", 1.0),
    )
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": "w3"}] * 6),
        processing_class=tokenizer(),
    )
    answers = [answer for row in rows for answer in row["answers"]]
    prompt_ids, prompt_mask = padded([row["prompt"] for row in rows for _ in row["answers"]], left=True)
    completion_ids, completion_mask = padded(answers, left=False)
    inputs = {
        "prompt_ids": prompt_ids,
        "prompt_mask": prompt_mask,
        "completion_ids": completion_ids,
        "completion_mask": completion_mask,
        "advantages": advantages(settings.get("scaleRewards", "group")).flatten(),
        "num_items_in_batch": completion_mask.sum(),
    }
    if "beta" in settings:
        # The model itself, before the first step.
        with torch.no_grad():
            inputs["ref_per_token_logps"] = trainer._get_per_token_logps_and_entropies(
                trainer.model,
                torch.cat([prompt_ids, completion_ids], dim=1),
                torch.cat([prompt_mask, completion_mask], dim=1),
                completion_ids.size(1),
            )[0]
    # Evaluation has no accumulated gradients to count.
    trainer.model.eval()
    return lambda: trainer._compute_loss(trainer.model, inputs)


def main(out):
    generator = torch.Generator().manual_seed(11)
    rows = random_rows(generator)
    losses, gradients = recorded(CASES, lambda _, settings, model: loss_of(settings, model, rows))
    cases = {
        name: {
            "settings": settings,
            "advantages": advantages(settings.get("scaleRewards", "group")).tolist(),
            "losses": losses[name],
        }
        for name, settings in CASES.items()
    }
    facts = {"rewards": REWARDS, "maxNewTokens": MAX_NEW_TOKENS, "learningRate": LEARNING_RATE}
    write_json(Path(out) / "steps.json", {"rows": rows, **facts, "cases": cases})
    write_tensors(Path(out) / "gradients.safetensors", gradients)


main(sys.argv[1])
