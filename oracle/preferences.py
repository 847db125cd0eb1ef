"""TRL's losses of preferences on the small decoder `llama-1`: five AdamW steps of each, then the loss and its gradients.

    python preferences.py ../test/fixtures/preferences

writes steps.json (the rows, and for each loss its settings and the losses of six batches) and gradients.safetensors (those of the
sixth). DPO's and KTO's are their trainers' own; ORPO's odds ratio, SimPO and label smoothing come from the functions of their trainers.
The policy trains whole; the reference is the model before the first step.
"""

import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import torch
from datasets import Dataset
from fixtures import write_json, write_tensors
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer
from trl_steps import LEARNING_RATE, random_ids, recorded, small_llama, tokenizer

GOOD = [1, 0, 1, 1]

LOSSES = {
    "dpo": {"beta": 0.3},
    "dpo-smoothed": {"beta": 0.3, "labelSmoothing": 0.2},
    "hinge": {"beta": 0.05},
    "ipo": {"beta": 0.3},
    "simpo": {"beta": 2.0, "gamma": 1.0},
    "orpo": {"beta": 0.2},
    "kto": {"beta": 0.3},
}


def random_rows(generator):
    """Prompts with two answers each, of different lengths."""
    ids = lambda low, high: random_ids(generator, low, high)
    return [{"prompt": ids(3, 9), "chosen": ids(2, 8), "rejected": ids(2, 8)} for _ in range(4)]


def padded(rows):
    """Input ids, attention mask and completion mask of (prompt, answer) rows."""
    length = max(len(prompt) + len(answer) for prompt, answer in rows)
    fill = lambda values: values + [0] * (length - len(values))
    return {
        "input_ids": torch.tensor([fill(prompt + answer) for prompt, answer in rows]),
        "attention_mask": torch.tensor([fill([1] * len(prompt + answer)) for prompt, answer in rows]),
        "completion_mask": torch.tensor([fill([0] * len(prompt) + [1] * len(answer)) for prompt, answer in rows]),
    }


def pairs(rows):
    return [(row["prompt"], row[name]) for name in ("chosen", "rejected") for row in rows]


def log_probabilities(model, rows, average):
    """Of the chosen and of the rejected answers: sums over their tokens, or means."""
    batch = padded(pairs(rows))
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1].log_softmax(-1)
    each = logits.gather(2, batch["input_ids"][:, 1:, None])[..., 0]
    mask = batch["completion_mask"][:, 1:]
    sums = (each * mask).sum(1)
    return (sums / mask.sum(1) if average else sums).chunk(2)


def loss_of(name, settings, model, rows):
    """A function of the model that gives the loss of all rows."""
    common = {"output_dir": tempfile.mkdtemp(), "use_cpu": True, "report_to": [], "per_device_train_batch_size": 4}
    common |= {"beta": settings["beta"], "disable_dropout": True, "bf16": False, "gradient_checkpointing": False}
    reference = small_llama()
    if name == "kto":
        data = Dataset.from_list([{"prompt": "w3", "completion": " w4", "label": bool(i % 2)} for i in range(4)])
        arguments = KTOConfig(**common, train_sampling_strategy="sequential")
        trainer = KTOTrainer(
            model=model, ref_model=reference, args=arguments, train_dataset=data, processing_class=tokenizer()
        )
        answers = [row["chosen"] for row in rows]
        others = answers[-1:] + answers[:-1]
        own = padded([(row["prompt"], answer) for row, answer in zip(rows, answers)])
        other = padded([(row["prompt"], answer) for row, answer in zip(rows, others)])
        inputs = own | {f"KL_{key}": value for key, value in other.items()} | {"label": torch.tensor(GOOD).bool()}
        return lambda: trainer._compute_loss(trainer.model, inputs, False)
    if name in ("simpo", "orpo", "dpo-smoothed"):
        own = SimpleNamespace(
            beta=settings["beta"],
            alpha=0.0,
            loss_type="simpo" if name == "simpo" else "sigmoid",
            simpo_gamma=settings.get("gamma"),
            label_smoothing=settings.get("labelSmoothing", 0.0),
            accelerator=SimpleNamespace(device="cpu"),
        )

        def loss():
            chosen, rejected = log_probabilities(model, rows, average=name != "dpo-smoothed")
            if name == "dpo-smoothed":
                with torch.no_grad():
                    before = log_probabilities(reference, rows, average=False)
                return CPOTrainer.cpo_loss(own, chosen - before[0], rejected - before[1])[0].mean()
            if name == "simpo":
                return CPOTrainer.cpo_loss(own, chosen, rejected)[0].mean()
            return (-chosen - ORPOTrainer.odds_ratio_loss(own, chosen, rejected)[0]).mean()

        return loss
    data = Dataset.from_list([{"prompt": "w3", "chosen": " w4", "rejected": " w5"} for _ in range(4)])
    arguments = DPOConfig(**common, loss_type=["sigmoid" if name == "dpo" else name])
    trainer = DPOTrainer(
        model=model, ref_model=reference, args=arguments, train_dataset=data, processing_class=tokenizer()
    )
    inputs = padded(pairs(rows))
    return lambda: trainer._compute_loss(trainer.model, inputs, False)


def main(out):
    generator = torch.Generator().manual_seed(7)
    rows = random_rows(generator)
    losses, gradients = recorded(LOSSES, lambda name, settings, model: loss_of(name, settings, model, rows))
    cases = {name: {"settings": settings, "losses": losses[name]} for name, settings in LOSSES.items()}
    write_json(Path(out) / "steps.json", {"rows": rows, "good": GOOD, "learningRate": LEARNING_RATE, "cases": cases})
    write_tensors(Path(out) / "gradients.safetensors", gradients)


main(sys.argv[1])
