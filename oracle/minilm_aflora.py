"""Loss and gradients of AFLoRA on the bundled encoder at a point with b ≠ 0, dropout off, every matrix trained.

    python minilm_aflora.py MINILM_FOLDER ../test/fixtures/minilm

Reads logits.json and head.safetensors there; writes aflora.json, aflora.safetensors (adapter parameters) and
aflora-gradients.safetensors (gradients of the adapter, the pooler and the classifier, under the parameters' names).
"""

import json
import sys
from pathlib import Path

import torch
from adapters import AFLoRALinear, adapt
from fixtures import bundled_encoder, padded, write_json, write_tensors
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

RANK = 4
EXAMPLES = [0, 16, 3, 25, 5, 19, 9, 30]
LABELS = [1, 0, 1, 1, 0, 1, 0, 0]

minilm, out = Path(sys.argv[1]), Path(sys.argv[2])
model = bundled_encoder(minilm, load_file(str(out / "head.safetensors")))
generator = torch.Generator().manual_seed(2)
layers = adapt(model, lambda base: AFLoRALinear(base, RANK, generator))
for layer in layers.values():
    layer.d.data += 0.05 * torch.randn(layer.d.shape, generator=generator)
    layer.b.data = 0.2 * torch.randn(layer.b.shape, generator=generator)
model.bert.pooler.requires_grad_(True)
examples = json.loads((out / "logits.json").read_text(encoding="utf-8"))["examples"]
logits = model(**padded([examples[index] for index in EXAMPLES])).logits
loss = cross_entropy(logits, torch.tensor(LABELS))
loss.backward()

parameters = {f"{name}.{kind}": getattr(layer, kind) for name, layer in layers.items() for kind in "ABdb"}
head = {
    "pooler.dense.weight": model.bert.pooler.dense.weight,
    "pooler.dense.bias": model.bert.pooler.dense.bias,
    "classifier.weight": model.classifier.weight,
    "classifier.bias": model.classifier.bias,
}
write_tensors(out / "aflora.safetensors", parameters)
gradients = {name: parameter.grad for name, parameter in {**parameters, **head}.items()}
write_tensors(out / "aflora-gradients.safetensors", gradients)
write_json(
    out / "aflora.json",
    {
        "rank": RANK,
        "modules": list(layers),
        "examples": EXAMPLES,
        "labels": LABELS,
        "logits": logits.tolist(),
        "loss": loss.item(),
    },
)
