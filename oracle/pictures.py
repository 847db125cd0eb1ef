"""Small models of pictures as ONNX files, with what transformers and autograd say of two pictures.

    python pictures.py ../test/fixtures/pictures

Each folder has config.json, preprocessor_config.json, onnx/model.onnx, expected.json (the processor's pixels, logits, loss)
and gradients.safetensors, of a classifier on the mean of the hidden states. The pictures are made by formulas.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx_files import shrink
from PIL import Image
from safetensors.torch import save_file
from transformers import (
    BitImageProcessorPil,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
)
from transformers.utils import logging

logging.set_verbosity_error()
SIZE = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, initializer_range=0.3)
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]

# Model, processor, exporter, ONNX's operator set, attention.
MODELS = {
    "vit": (
        lambda: ViTModel(ViTConfig(**SIZE, intermediate_size=24, image_size=16, patch_size=4), add_pooling_layer=False),
        ViTImageProcessorPil(size={"height": 16, "width": 16}, resample=2),
        "torchscript", 14, "sdpa",
    ),
    # Its table of positions is of 24 × 24 pixels, and is resized.
    "dinov2": (
        lambda: Dinov2Model(Dinov2Config(**SIZE, mlp_ratio=2, image_size=24, patch_size=4)),
        BitImageProcessorPil(
            size={"shortest_edge": 20}, crop_size={"height": 16, "width": 16}, resample=3, image_mean=MEAN, image_std=STD
        ),
        "torchscript", 17, "eager",
    ),
    "clip": (
        lambda: CLIPVisionModel(CLIPVisionConfig(**SIZE, intermediate_size=24, image_size=16, patch_size=4)),
        CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}, resample=3),
        "dynamo", 20, "sdpa",
    ),
}  # fmt: skip


def picture(width, height, seed):
    """The same as `madePicture` of the tests."""
    x, y, channel = np.meshgrid(np.arange(width), np.arange(height), np.arange(3), indexing="xy")
    return Image.fromarray(((x * x * 7 + y * 13 * (channel + 1) + x * y * seed + channel * 50) % 256).astype(np.uint8))


def export(model, exporter, opset, path):
    pixels = torch.zeros(2, 3, 16, 16)
    given = dict(input_names=["pixel_values"], output_names=["last_hidden_state"], opset_version=opset)
    if exporter == "dynamo":
        shapes = {"pixel_values": {0: torch.export.Dim("batch_size")}}
        torch.onnx.export(
            model, (), path, kwargs={"pixel_values": pixels}, dynamo=True, dynamic_shapes=shapes, external_data=False, **given
        )  # fmt: skip
        return
    forward = model.forward
    model.forward = lambda each: forward(each, return_dict=False)[0]
    axes = {"pixel_values": {0: "batch_size", 2: "height", 3: "width"}}
    torch.onnx.export(model, (pixels,), path, dynamo=False, dynamic_axes=axes, **given)
    model.forward = forward


def main(folder):
    for name, (make, processor, exporter, opset, attention) in MODELS.items():
        torch.manual_seed(0)
        own = folder / name
        (own / "onnx").mkdir(parents=True, exist_ok=True)
        model = make().eval()
        model.set_attn_implementation(attention)
        for parameter in model.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
        classifier = torch.nn.Linear(16, 3)
        model.config.save_pretrained(own)
        processor.save_pretrained(own)
        path = str(own / "onnx" / "model.onnx")
        export(model, exporter, opset, path)
        shrink(path)
        pixels = processor([picture(31, 22, 3), picture(12, 40, 5)], return_tensors="pt")["pixel_values"]
        logits = classifier(model(pixels).last_hidden_state.mean(1))
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor([2, 0]))
        loss.backward()
        expected = {
            "pixels": [round(value, 5) for value in pixels.flatten().tolist()],
            "logits": logits.tolist(), "loss": loss.item(),
            "classifier": {"weight": classifier.weight.tolist(), "bias": classifier.bias.tolist()},
        }  # fmt: skip
        (own / "expected.json").write_text(json.dumps(expected))
        gradients = {key: value.grad for key, value in model.named_parameters() if value.grad is not None}
        save_file({key: value.contiguous() for key, value in gradients.items()}, own / "gradients.safetensors")
        print(name, len(onnx.load(path).graph.node), {node.op_type for node in onnx.load(path).graph.node})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
