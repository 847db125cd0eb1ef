"""One AFLoRA training step in PyTorch for each line on stdin; answers with its seconds.

    python step_speed.py CONFIG_JSON ROWS LENGTH THREADS

bench/peer.ts starts it, to time PyTorch's step and ours in turn. Random weights, dropout on, eager mode, the adapters as
AFLoRA starts: projections of attention layers frozen, those of feed-forward layers trained.
"""

import json
import sys
import time

import torch
from adapters import AFLoRALinear, adapt
from torch.nn.functional import cross_entropy
from transformers import BertConfig, BertForSequenceClassification

config, (rows, length, threads) = json.loads(sys.argv[1]), map(int, sys.argv[2:5])
torch.set_num_threads(threads)
torch.manual_seed(1)
model = BertForSequenceClassification(BertConfig(**config, num_labels=2)).train()
generator = torch.Generator().manual_seed(2)
for name, layer in adapt(model, lambda base: AFLoRALinear(base, 4, generator)).items():
    if ".attention." in name:
        layer.A.requires_grad_(False)
        layer.B.requires_grad_(False)
ids = torch.randint(5, 20_000, (rows, length), generator=generator)
labels = torch.zeros(rows, dtype=torch.long)

for _ in sys.stdin:
    start = time.perf_counter()
    model.zero_grad(set_to_none=True)
    cross_entropy(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits, labels).backward()
    print(time.perf_counter() - start, flush=True)
