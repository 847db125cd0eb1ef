"""What transformers makes of SmolLM2-135M-Instruct's GGUF file: its weights, ids of texts, and logits.

    python gguf_smollm2.py SMOLLM2.gguf ../test/fixtures/tokenizers/texts.json ../test/fixtures/gguf
"""

import hashlib
import json
import sys
from pathlib import Path

import torch
from fixtures import write_json
from gguf import GGUFReader
from gguf.quants import dequantize
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

file, texts, out = map(Path, sys.argv[1:])
PROMPTS = [
    "The capital of France is",
    "Once upon a time there was a little robot who",
    "<|im_start|>user\nHow many legs do three cats have?<|im_end|>\n<|im_start|>assistant\n",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
]

# The package's numbers, tensor by tensor in the file's names and order.
numbers = hashlib.sha256()
for tensor in sorted(GGUFReader(str(file)).tensors, key=lambda tensor: tensor.name):
    numbers.update(dequantize(tensor.data, tensor.tensor_type).tobytes())

tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
# The file says "smollm": as in the model's own tokenizer.json, digits come apart first. transformers overlooks that.
tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
    [pre_tokenizers.Digits(individual_digits=True), tokenizer.backend_tokenizer.pre_tokenizer]
)
model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()
weights = hashlib.sha256()
names = sorted(name for name in model.state_dict() if name != "lm_head.weight")
for name in names:
    weights.update(model.state_dict()[name].contiguous().numpy().tobytes())

rows = [row[0] for row in json.loads(texts.read_text(encoding="utf-8"))]
rows = rows[:40] + rows[-60:] + PROMPTS

logits = []
for prompt in PROMPTS:
    ids = tokenizer(prompt)["input_ids"]
    with torch.no_grad():
        values = model(torch.tensor([ids])).logits[0]
    last = values[-1]
    logits.append(
        {
            "prompt": prompt,
            "ids": ids,
            "likeliest": values.argmax(-1).tolist(),
            "every512th": [round(value, 6) for value in last[::512].tolist()],
        }
    )
write_json(
    out / "smollm2.json",
    {
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "numbers": numbers.hexdigest(),
        "weights": weights.hexdigest(),
        "tensors": len(names),
        "texts": [{"text": text, "ids": tokenizer(text)["input_ids"]} for text in rows],
        "chat": tokenizer.apply_chat_template(
            [{"role": "user", "content": "Hi!"}], tokenize=False, add_generation_prompt=True
        ),
        "logits": logits,
    },
)
