"""What the oracle's scripts share: writing fixtures, real texts, padded batches, and the bundled encoder."""

import csv
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn
from transformers import BertConfig, BertForSequenceClassification


def write_json(path, value):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def write_tensors(path, tensors):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, str(path))
    path.chmod(0o644)


def write_hub_keys(folder, hub_keys):
    """Puts into a folder's config.json what the hub's have there beside what is saved; keys of None are taken out."""
    path = Path(folder) / "config.json"
    written = json.loads(path.read_text())
    written.update(hub_keys)
    written = {key: value for key, value in written.items() if key not in hub_keys or value is not None}
    path.write_text(json.dumps(written, indent=2) + "\n")


def real_texts(glue):
    """32 rows of GLUE dev sets: 16 SST-2 sentences, 8 MRPC pairs, 8 RTE pairs, as {"text", "textPair"?}."""

    def rows(task, count):
        with open(Path(glue) / task / "dev.tsv", encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            return [row for row, _ in zip(reader, range(count))]

    sentences = [{"text": row["sentence"]} for row in rows("SST-2", 16)]
    paraphrases = [{"text": row["#1 String"], "textPair": row["#2 String"]} for row in rows("MRPC", 8)]
    entailments = [{"text": row["sentence1"], "textPair": row["sentence2"]} for row in rows("RTE", 8)]
    return sentences + paraphrases + entailments


def encode(folder, texts):
    """inputIds and tokenTypeIds of each text by the folder's tokenizer.json, neither padded nor cut."""
    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    encodings = [tokenizer.encode(text["text"], text.get("textPair")) for text in texts]
    return [{"inputIds": encoding.ids, "tokenTypeIds": encoding.type_ids} for encoding in encodings]


def randomise(module, generator):
    """Weights of deviation 0.2 and lively biases and norms, so that logits and gradients are well away from zero."""
    for part in module.modules():
        kind = part.__class__.__name__
        # Gemma's norms are stored as differences from 1.
        from_one = isinstance(part, nn.LayerNorm) or (kind.endswith("RMSNorm") and "Gemma" not in kind)
        for name, parameter in part.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            noise = 0.2 * torch.randn(parameter.shape, generator=generator)
            parameter.data = noise + (1.0 if from_one and name == "weight" else 0.0)


def padded(rows, pad_token_id=0, token_types=True):
    """The rows as one right-padded batch of model arguments."""
    longest = max(len(row["inputIds"]) for row in rows)

    def fill(values, filler):
        return torch.tensor([value + [filler] * (longest - len(value)) for value in values])

    batch = {
        "input_ids": fill([row["inputIds"] for row in rows], pad_token_id),
        "attention_mask": fill([[1] * len(row["inputIds"]) for row in rows], 0),
    }
    if token_types:
        batch["token_type_ids"] = fill([row["tokenTypeIds"] for row in rows], 0)
    return batch


def bundled_encoder(folder, head):
    """all-MiniLM-L6-v2 with its weights rounded to F16 as bundled, computing in float32, with the stored classifier."""
    folder = Path(folder)
    model = BertForSequenceClassification(BertConfig.from_json_file(folder / "config.json"))
    weights = load_file(str(folder / "model.safetensors"))
    state = {f"bert.{name}": w.half().float() for name, w in weights.items() if not name.endswith("position_ids")}
    missing, unexpected = model.load_state_dict({**state, **head}, strict=False)
    assert not unexpected and all(name.endswith("_ids") for name in missing), (missing, unexpected)
    return model.eval()
