"""ONNX files of the small models of models.py, as both of PyTorch's exporters write them.

    python onnx_files.py ../test/fixtures/models ../test/fixtures/onnx

Each is a model of `test/fixtures/models`, with whose numbers it is compared.
"""

import sys
from pathlib import Path

import onnx
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()

# Model, exporter, ONNX's operator set, attention, inputs.
FILES = [
    ("bert-1", "torchscript", 14, "sdpa", ["input_ids", "attention_mask", "token_type_ids"]),
    ("modernbert-1", "dynamo", 20, "sdpa", ["input_ids", "attention_mask"]),
    ("deberta-v2-1", "dynamo", 20, "eager", ["input_ids", "attention_mask"]),
    # Attention is one node from this set on.
    ("distilbert-1", "dynamo", 23, "sdpa", ["input_ids", "attention_mask"]),
    ("llama-1", "torchscript", 17, "eager", ["input_ids", "attention_mask"]),
    ("gpt2-1", "dynamo", 20, "eager", ["input_ids", "attention_mask"]),
]
SCOPES = "pkg.torch.onnx.name_scopes"


def export(model, exporter, opset, names, path):
    ids = torch.randint(5, 100, (2, 7))
    values = dict(zip(names, [ids, torch.ones_like(ids), torch.zeros_like(ids)]))
    if exporter == "dynamo":
        batch, sequence = torch.export.Dim("batch_size"), torch.export.Dim("sequence_length")
        shapes = {name: {0: batch, 1: sequence} for name in names}
        torch.onnx.export(
            model, (), path, kwargs=values, dynamo=True, input_names=names, output_names=["logits"],
            dynamic_shapes=shapes, external_data=False, opset_version=opset,
        )  # fmt: skip
    else:
        forward = model.forward
        model.forward = lambda *given: tuple(forward(**dict(zip(names, given)), return_dict=False))
        axes = {name: {0: "batch_size", 1: "sequence_length"} for name in names}
        torch.onnx.export(
            model, tuple(values.values()), path, dynamo=False, input_names=names, output_names=["logits"],
            dynamic_axes=axes, opset_version=opset,
        )  # fmt: skip


def shrink(path):
    """Drops where in Python each node came from, which is most of the file."""
    model = onnx.load(path)
    for node in model.graph.node:
        kept = [entry for entry in node.metadata_props if entry.key == SCOPES]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
        node.doc_string = ""
    del model.graph.value_info[:]
    onnx.save(model, path)


def main(models, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, exporter, opset, attention, inputs in FILES:
        is_decoder = (models / name / "decoder.json").exists()
        auto = AutoModelForCausalLM if is_decoder else AutoModelForSequenceClassification
        model = auto.from_pretrained(models / name, attn_implementation=attention, dtype=torch.float32).eval()
        model.config.use_cache = False
        path = str(folder / f"{name}.onnx")
        torch.manual_seed(0)
        export(model, exporter, opset, inputs, path)
        shrink(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
