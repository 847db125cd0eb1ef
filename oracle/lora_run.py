"""LoRA on a GLUE task by transformers and peft, as the studies paper-table.yaml and paper-table-mrpc.yaml run it, but of other code: an
independent check of their scores.

    python lora_run.py MODEL GLUE_FOLDER cola|mrpc RATE SEED [THREADS]

Prints one line of JSON: the score on the held-out fifth after each epoch, the best of them, and that epoch's score on the development set.
4,000 training examples drawn by seed 0 for six epochs (MRPC: 2,000 for three), a fifth of them held out by SEED; batches of 32, AdamW without
weight decay, warm-up over 6 % of the steps and a linear decay to 0, gradients clipped to the norm 1, the model's own dropout; training
computes products in bfloat16 (autocast), evaluation in float32.
"""

import copy
import csv
import json
import random
import sys

import torch
from peft import LoraConfig, get_peft_model
from sklearn.metrics import f1_score, matthews_corrcoef
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup

BATCH = 32
TASKS = {
    "cola": ("CoLA", lambda row: (int(row[1]), row[3:4]), 0, matthews_corrcoef, 4000, 6),
    "mrpc": ("MRPC", lambda row: (int(row[0]), row[3:5]), 1, f1_score, 2000, 3),
}

folder, glue, task, rate, seed = sys.argv[1:6]
torch.set_num_threads(int(sys.argv[6]) if len(sys.argv) > 6 else 1)
torch.manual_seed(int(seed))
name, parse, headings, score, EXAMPLES, EPOCHS = TASKS[task]
tokenizer = AutoTokenizer.from_pretrained(folder)


def read(split):
    """Token ids with labels."""
    with open(f"{glue}/{name}/{split}.tsv", encoding="utf-8-sig", newline="") as file:
        rows = [parse(row) for row in list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[headings:]]
    return [{**tokenizer(*texts, truncation=True, max_length=256), "labels": label} for label, texts in rows]


def collate(rows):
    return tokenizer.pad(rows, return_tensors="pt")


def evaluated(rows):
    model.eval()
    with torch.no_grad():
        found = [model(**collate(rows[i : i + 64])).logits.argmax(-1) for i in range(0, len(rows), 64)]
    return float(score([row["labels"] for row in rows], torch.cat(found).tolist()))


train, dev = read("train"), read("dev")
train = random.Random(0).sample(train, min(EXAMPLES, len(train)))
random.Random(int(seed)).shuffle(train)
held, train = train[: len(train) // 5], train[len(train) // 5 :]
model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2, dtype=torch.float32)
linear = r".*encoder\.layer\.\d+\.(attention\.attn\.[qkvo]|intermediate\.dense|output\.dense)"
model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, target_modules=linear))
model.print_trainable_parameters()
parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
optimizer = torch.optim.AdamW(parameters, lr=float(rate), weight_decay=0)
steps = EPOCHS * -(-len(train) // BATCH)
schedule = get_linear_schedule_with_warmup(optimizer, round(0.06 * steps), steps)
scores, best, kept = [], -1.0, None
for epoch in range(EPOCHS):
    model.train()
    random.shuffle(train)
    for start in range(0, len(train), BATCH):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(**collate(train[start : start + BATCH])).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    scores.append(evaluated(held))
    print(f"epoch {epoch + 1}: {scores[-1]:.4f}", file=sys.stderr, flush=True)
    if scores[-1] > best:
        best, kept = scores[-1], copy.deepcopy({key: value for key, value in model.state_dict().items() if "lora_" in key or "classifier" in key})
model.load_state_dict(kept, strict=False)
print(json.dumps({"task": task, "rate": float(rate), "seed": int(seed), "heldOut": scores, "best": best, "dev": evaluated(dev)}))
