"""Two training steps in PyTorch for each line on stdin; answers with the seconds of the second and the process's peak memory in bytes.

    python step_speed.py CONFIG_JSON ROWS LENGTH THREADS aflora|lora float32|bfloat16 eager|compiled

bench/peer.ts starts it, to time PyTorch's step and ours in turn. Random weights, dropout on; bfloat16 is autocast. LoRA (r = 8)
is Hugging Face PEFT's; AFLoRA (r = 4) is as it starts: projections of attention layers frozen, those of feed-forward layers
trained.
"""

import json
import resource
import sys
import time

import torch
from adapters import AFLoRALinear, adapt
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import AutoConfig, AutoModelForSequenceClassification

config, (rows, length, threads) = json.loads(sys.argv[1]), map(int, sys.argv[2:5])
method, precision, mode = sys.argv[5:8]
torch.set_num_threads(threads)
torch.manual_seed(1)
settings = AutoConfig.for_model(config.pop("model_type"), **config, num_labels=2)
model = AutoModelForSequenceClassification.from_config(settings)
generator = torch.Generator().manual_seed(2)
if method == "lora":
    layers = r".*encoder\.layer\..*\.(query|key|value|query_proj|key_proj|value_proj|dense)"
    model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, target_modules=layers))
else:
    for name, layer in adapt(model, lambda base: AFLoRALinear(base, 4, generator)).items():
        if ".attention." in name:
            layer.A.requires_grad_(False)
            layer.B.requires_grad_(False)
model.train()
run = torch.compile(model) if mode == "compiled" else model
ids = torch.randint(5, 20_000, (rows, length), generator=generator)
labels = torch.zeros(rows, dtype=torch.long)


def step():
    model.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        logits = run(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        loss = cross_entropy(logits.float(), labels)
    loss.backward()


for _ in sys.stdin:
    step()
    start = time.perf_counter()
    step()
    seconds = time.perf_counter() - start
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)
