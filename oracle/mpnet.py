"""Logits and gradients of all-mpnet-base-v2 with a head for sequences, dropout off, of eight texts with and without a pair.

    python mpnet.py MPNET_FOLDER ../test/fixtures/mpnet.json

Reads ../test/fixtures/minilm/logits.json for the texts. Weights of the head are `0.05 sin(i)` of their places i, so that no file need
hold them. Of each parameter's gradient its length is written, and the sum of its elements times `sin(i + 1)`.
"""

import json
import sys
from pathlib import Path

import torch
from fixtures import padded, write_json
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer, MPNetForSequenceClassification

EXAMPLES = [0, 16, 3, 25, 5, 19, 9, 30]
LABELS = [1, 0, 1, 1, 0, 1, 0, 0]

folder, out = sys.argv[1:]
model = MPNetForSequenceClassification.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
for name, parameter in model.classifier.named_parameters():
    places = torch.arange(parameter.numel(), dtype=torch.float64)
    parameter.data = (0.05 * torch.sin(places)).float().reshape(parameter.shape)
texts = json.loads((Path(__file__).parent / "../test/fixtures/minilm/logits.json").read_text())["examples"]
tokenizer = AutoTokenizer.from_pretrained(folder)
rows = []
for example, label in zip(EXAMPLES, LABELS):
    text = {key: texts[example][key] for key in ("text", "textPair") if key in texts[example]}
    ids = tokenizer(*text.values(), truncation=True, max_length=128)["input_ids"]
    rows.append({**text, "label": label, "inputIds": ids, "tokenTypeIds": [0] * len(ids)})
logits = model(**padded(rows, model.config.pad_token_id, False)).logits
loss = cross_entropy(logits, torch.tensor(LABELS))
loss.backward()
gradients = {}
for name, parameter in model.named_parameters():
    gradient = parameter.grad.double().flatten()
    waves = torch.sin(torch.arange(1, gradient.numel() + 1, dtype=torch.float64))
    gradients[name.removeprefix("mpnet.")] = [gradient.norm().item(), (gradient @ waves).item()]
examples = [{**row, "logits": values} for row, values in zip(rows, logits.tolist())]
write_json(out, {"examples": examples, "loss": loss.item(), "gradients": gradients})
