"""One epoch of a task in PyTorch, from the data's files to the metric, as it is usually done; prints seconds, metric and the
process's peak memory in bytes.

    python epoch_speed.py MODEL FOLDER cola|rte|sst2|agnews THREADS float32|bfloat16 eager|compiled longest|256

bench/peer-epochs.ts starts it. MODEL is a Hugging Face folder, FOLDER has train.tsv and dev.tsv, of AG News train.csv and test.csv. AFLoRA (r = 4) as it starts:
projections of attention layers frozen, those of feed-forward layers trained. Batches are shuffled and padded to the longest of
their texts, or all to 256 tokens; bfloat16 is autocast. What is imported is not timed.
"""

import csv
import resource
import sys
import time

import torch
from adapters import AFLoRALinear, adapt
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSequenceClassification, AutoTokenizer

MAX_LENGTH = 256
BATCH = 32

folder, data, task, threads, precision, mode, padding = sys.argv[1:8]
torch.set_num_threads(int(threads))
torch.manual_seed(1)
start = time.perf_counter()
tokenizer = AutoTokenizer.from_pretrained(folder)


def read(split):
    """Token ids and labels."""
    with open(f"{data}/{split}", encoding="utf-8", newline="") as file:
        quoting = {} if split.endswith(".csv") else {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
        rows = list(csv.reader(file, **quoting))
    if task == "cola":
        texts, labels = [(row[3],) for row in rows], [int(row[1]) for row in rows]
    elif task == "sst2":
        texts, labels = [(row[0],) for row in rows[1:]], [int(row[1]) for row in rows[1:]]
    elif task == "agnews":
        names = ["Business", "Sci/Tech", "Sports", "World"]
        texts, labels = [(row[0],) for row in rows[1:]], [names.index(row[1]) for row in rows[1:]]
    else:
        texts, labels = [(row[1], row[2]) for row in rows[1:]], [int(row[3] == "not_entailment") for row in rows[1:]]
    encoded = tokenizer(*map(list, zip(*texts)), truncation=True, max_length=MAX_LENGTH)
    return [{**{key: values[i] for key, values in encoded.items()}, "labels": label} for i, label in enumerate(labels)]


def collate(rows):
    how = {"padding": "max_length", "max_length": MAX_LENGTH} if padding == "256" else {"padding": "longest"}
    return tokenizer.pad(rows, return_tensors="pt", **how)


train, dev = map(read, ["train.csv", "test.csv"] if task == "agnews" else ["train.tsv", "dev.tsv"])
label_count = 1 + max(row["labels"] for row in train)
model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=label_count, dtype=torch.float32)
generator = torch.Generator().manual_seed(2)
for name, layer in adapt(model, lambda base: AFLoRALinear(base, 4, generator)).items():
    if ".attention." in name:
        layer.A.requires_grad_(False)
        layer.B.requires_grad_(False)
parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
optimizer = torch.optim.AdamW(parameters, lr=0.015, weight_decay=0)
batches = torch.utils.data.DataLoader(train, BATCH, shuffle=True, generator=generator, collate_fn=collate)
steps = len(batches)
warmup = max(1, round(0.06 * steps))
schedule = torch.optim.lr_scheduler.LambdaLR(
    optimizer, lambda step: min(step / warmup, max(0, steps - step) / max(1, steps - warmup))
)
run = torch.compile(model) if mode == "compiled" else model
autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")

model.train()
for batch in batches:
    labels = batch.pop("labels")
    with autocast:
        logits = run(**batch).logits
    cross_entropy(logits.float(), labels).backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1)
    optimizer.step()
    schedule.step()
    optimizer.zero_grad(set_to_none=True)

model.eval()
predicted, expected = [], []
with torch.no_grad(), autocast:
    for first in range(0, len(dev), BATCH):
        batch = collate(dev[first : first + BATCH])
        expected += batch.pop("labels").tolist()
        predicted += run(**batch).logits.argmax(-1).tolist()
pairs = list(zip(predicted, expected))
if task == "cola":
    tp, tn, fp, fn = (pairs.count(pair) for pair in [(1, 1), (0, 0), (1, 0), (0, 1)])
    root = ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5
    metric = (tp * tn - fp * fn) / root if root else 0.0
else:
    metric = sum(p == e for p, e in pairs) / len(pairs)
print(time.perf_counter() - start, metric, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
