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
    PretrainedConfig,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
)
from transformers.utils import logging

logging.set_verbosity_error()
class Convolutional(torch.nn.Module):
    """Maps of features [batch, 16, 12, 12], and a head of its own, which aflora leaves out. No batch norm follows a convolution, which would take it in."""

    config = type("TinyNetConfig", (PretrainedConfig,), {"model_type": "tiny-net"})(architectures=["TinyNet"])

    def __init__(self):
        super().__init__()
        nn = torch.nn
        self.stem = nn.Sequential(
            nn.ReflectionPad2d((1, 2, 0, 1)), nn.Conv2d(3, 8, 3), nn.MaxPool2d(3, 2, padding=1, ceil_mode=True),
            nn.BatchNorm2d(8), nn.Hardswish(), nn.Conv2d(8, 16, 1), nn.ReLU6(), nn.BatchNorm2d(16),
        )  # fmt: skip
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.ReLU(), nn.Conv2d(4, 16, 1), nn.Hardsigmoid())
        self.apart = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.smaller = nn.AvgPool2d(3, 2, padding=1, ceil_mode=True, count_include_pad=False)
        self.larger = nn.ModuleList(
            [nn.Upsample(size=(12, 12), mode="nearest"), nn.Upsample(size=(12, 12), mode="bilinear", align_corners=False)]
        )
        self.head = nn.Linear(16, 5)

    def forward(self, pixel_values, maps=False):
        x = self.stem(pixel_values)
        y = self.smaller(self.apart(x * self.squeeze(x)))
        nearest, linear = [each(y) for each in self.larger]
        z = torch.relu(torch.nn.functional.pad(nearest - 0.5 * linear, (1, 0, 0, 0), mode="replicate")[..., 1:] - 0.1)
        return z if maps else self.head(z.mean((2, 3)))


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
    "convolutional": (Convolutional, ViTImageProcessorPil(size={"height": 16, "width": 16}, resample=2), "torchscript", 17, None),
    "convolutional-2": (Convolutional, ViTImageProcessorPil(size={"height": 16, "width": 16}, resample=2), "dynamo", 20, None),
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
    if not isinstance(model, Convolutional):
        model.forward = lambda each: forward(each, return_dict=False)[0]
    axes = {"pixel_values": {0: "batch_size"} if isinstance(model, Convolutional) else {0: "batch_size", 2: "height", 3: "width"}}
    torch.onnx.export(model, (pixels,), path, dynamo=False, dynamic_axes=axes, **given)
    model.forward = forward


def vectors(model, pixels):
    """What the classifier reads: the mean over hidden states, or over maps of features."""
    if isinstance(model, Convolutional):
        return model(pixels, maps=True).mean((2, 3))
    return model(pixels).last_hidden_state.mean(1)


def main(folder):
    for name, (make, processor, exporter, opset, attention) in MODELS.items():
        torch.manual_seed(0)
        own = folder / name
        (own / "onnx").mkdir(parents=True, exist_ok=True)
        model = make().eval()
        if attention:
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
        logits = classifier(vectors(model, pixels))
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
