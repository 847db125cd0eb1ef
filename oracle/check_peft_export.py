"""Logits that transformers and peft compute from a folder exported by aflora, as JSON on the standard output.

    python check_peft_export.py BASE_FOLDER INPUTS.json [ADAPTER_FOLDER]

INPUTS.json has `examples` with inputIds and tokenTypeIds, as test/fixtures/minilm/logits.json; the answer has the same
rows with `logits` (of every real token where the task is token classification), or of a language model with
`logProbabilities` of every token after the first. Without ADAPTER_FOLDER the base is a merged model with its head.
Fails when the adapter's file has a tensor that peft does not read, or lacks one that peft needs.
"""

import inspect
import json
import sys
from pathlib import Path

import torch
from fixtures import padded
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from safetensors import safe_open
from torch.nn.functional import log_softmax
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()

base, inputs = sys.argv[1:3]
adapter = sys.argv[3] if len(sys.argv) > 3 else None


def stored_shapes(folder):
    with safe_open(Path(folder) / "adapter_model.safetensors", "pt") as file:
        return {name: file.get_slice(name).get_shape() for name in file.keys()}


CLASSES = {
    "SEQ_CLS": AutoModelForSequenceClassification,
    "TOKEN_CLS": AutoModelForTokenClassification,
    "CAUSAL_LM": AutoModelForCausalLM,
}
if adapter:
    shapes = stored_shapes(adapter)
    task = PeftConfig.from_pretrained(adapter).task_type
    # The number of labels is the number of rows of the head's last matrix.
    heads = [shape for name, shape in shapes.items() if name.endswith(("classifier.weight", "out_proj.weight"))]
    labels = {"num_labels": heads[0][0]} if heads else {}
else:
    tokens = AutoConfig.from_pretrained(base).architectures[0].endswith("ForTokenClassification")
    task = "TOKEN_CLS" if tokens else "SEQ_CLS"
    labels = {}
model = CLASSES[task].from_pretrained(
    base, dtype=torch.float32, attn_implementation="eager", ignore_mismatched_sizes=bool(adapter), **labels
)
# GPT-2 takes types too, and adds the embeddings of tokens that have their numbers.
takes_types = task != "CAUSAL_LM" and "token_type_ids" in inspect.signature(model.forward).parameters
pad_token_id = model.config.pad_token_id
if adapter:
    model = PeftModel.from_pretrained(model, adapter)
    read = set(get_peft_model_state_dict(model))
    if read != set(shapes):
        sys.exit(f"not read by peft: {sorted(set(shapes) - read)}; missing: {sorted(read - set(shapes))}")

rows = json.loads(Path(inputs).read_text(encoding="utf-8"))["examples"]
answers = []
with torch.no_grad():
    for start in range(0, len(rows), 8):
        part = rows[start : start + 8]
        logits = model.eval()(**padded(part, pad_token_id, takes_types)).logits
        for row, values in zip(part, logits):
            length = len(row["inputIds"])
            if task == "CAUSAL_LM":
                following = torch.tensor(row["inputIds"][1:])[:, None]
                found = log_softmax(values[: length - 1], -1).gather(1, following)
                answer = {"logProbabilities": found.flatten().tolist()}
            else:
                answer = {"logits": (values[:length] if task == "TOKEN_CLS" else values).tolist()}
            answers.append({"inputIds": row["inputIds"], "tokenTypeIds": row["tokenTypeIds"], **answer})
print(json.dumps({"examples": answers}, separators=(",", ":")))
