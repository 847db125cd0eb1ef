"""PyTorch's side of bench/language-model.ts: for each line on stdin a training step, or tokens written after a prompt.

    python language_model_speed.py step CONFIG_JSON ROWS LENGTH THREADS float32|bfloat16
    python language_model_speed.py generate CONFIG_JSON PROMPT_TOKENS NEW_TOKENS THREADS float32|bfloat16

Answers with the seconds and the process's peak memory in bytes. Random weights; LoRA (r = 8) on every linear layer of the blocks is
Hugging Face PEFT's. The second half of each text is labelled. Of a step, bfloat16 is autocast; tokens are written by a model in
that type, greedily, with transformers' cache.
"""

import json
import resource
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

logging.set_verbosity_error()
mode, config = sys.argv[1], json.loads(sys.argv[2])
first, second, threads = map(int, sys.argv[3:6])
precision = sys.argv[6]
torch.set_num_threads(threads)
torch.manual_seed(1)
settings = AutoConfig.for_model(config.pop("model_type"), **config)
model = AutoModelForCausalLM.from_config(settings, dtype=torch.float32)
model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules="all-linear"))
generator = torch.Generator().manual_seed(2)


def step(ids, labels):
    model.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss
    loss.backward()


if mode == "step":
    model.train()
    ids = torch.randint(5, 20_000, (first, second), generator=generator)
    labels = ids.clone()
    labels[:, : second // 2] = -100

    def work():
        step(ids, labels)
else:
    model.eval()
    if precision == "bfloat16":
        model.to(torch.bfloat16)
    ids = torch.randint(5, 20_000, (1, first), generator=generator)

    def work():
        with torch.inference_mode():
            model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                min_new_tokens=second,
                max_new_tokens=second,
                pad_token_id=0,
            )


for _ in sys.stdin:
    # Training runs its steps one after the other.
    if mode == "step":
        work()
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)
