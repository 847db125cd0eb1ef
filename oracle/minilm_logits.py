"""Logits of the bundled encoder on 32 real sentences and pairs: logits.json and head.safetensors.

python minilm_logits.py MINILM_FOLDER GLUE_FOLDER ../test/fixtures/minilm
"""

import sys
from pathlib import Path

import torch
from fixtures import bundled_encoder, encode, padded, real_texts, write_json, write_tensors

minilm, glue, out = map(Path, sys.argv[1:])
generator = torch.Generator().manual_seed(1)
head = {
    # Ten times the usual deviation, so that the logits differ well between texts.
    "classifier.weight": 0.2 * torch.randn(2, 384, generator=generator),
    "classifier.bias": torch.tensor([0.03, -0.05]),
}
model = bundled_encoder(minilm, head)
texts = real_texts(glue)
encoded = encode(minilm, texts)
rows = []
with torch.no_grad():
    for start in range(0, len(texts), 8):
        logits = model(**padded(encoded[start : start + 8])).logits
        rows += [row.tolist() for row in logits]
write_tensors(out / "head.safetensors", head)
write_json(
    out / "logits.json",
    {"examples": [{**text, **ids, "logits": row} for text, ids, row in zip(texts, encoded, rows)]},
)
