"""transformers' side of bench/answers.ts: answers to documents, once for each line on stdin. Answers with the seconds and the process's
peak memory in bytes.

    python answers_speed.py MODE MODEL.gguf DOCUMENTS.jsonl PROMPT_TOKENS NEW_TOKENS THREADS

MODE is first, write or eight, as in bench/writing-modes.ts. The file's numbers are scaled back to float32.
"""

import json
import os
import resource
import sys
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

mode, path, documents, *numbers = sys.argv[1:]
prompt_tokens, new_tokens, threads = map(int, numbers)
torch.set_num_threads(threads)
folder, file = os.path.split(path)
tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
with open(documents) as lines:
    prompts = [tokenizer(json.loads(line)["dialogue"])["input_ids"][:prompt_tokens] for line in lines]
prompts = [prompt for prompt in prompts if len(prompt) == prompt_tokens]
count = 8 if mode == "eight" else 1
following = 0

for _ in sys.stdin:
    asked = [prompts[(following + i) % len(prompts)] for i in range(count)]
    following += count
    start = time.perf_counter()
    with torch.inference_mode():
        output = model(input_ids=torch.tensor(asked), use_cache=True, logits_to_keep=1)
        tokens = output.logits[:, -1].argmax(-1, keepdim=True)
        if mode != "first":
            start = time.perf_counter()
            for _token in range(new_tokens):
                output = model(input_ids=tokens, past_key_values=output.past_key_values, use_cache=True)
                tokens = output.logits[:, -1].argmax(-1, keepdim=True)
    print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)
