"""Small models of sound as ONNX files, with what transformers and autograd say of two sounds.

    python sounds.py ../test/fixtures/sounds

Each folder has config.json, preprocessor_config.json, onnx/model.onnx, expected.json (what the feature extractor makes of the sounds, logits,
loss) and gradients.safetensors, of a classifier on the mean of the hidden states. The sounds are made by formulas.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx_files import shrink
from safetensors.torch import save_file
from transformers import HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model, WavLMConfig, WavLMModel
from transformers.utils import logging

logging.set_verbosity_error()

SIZE = dict(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, initializer_range=0.3,
    conv_dim=(8, 8, 8), conv_stride=(5, 4, 2), conv_kernel=(10, 4, 3), num_feat_extract_layers=3,
    num_conv_pos_embeddings=6, num_conv_pos_embedding_groups=2, vocab_size=32,
)  # fmt: skip
LARGE = dict(feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True)

# Model, exporter, ONNX's operator set, attention.
MODELS = {
    "wav2vec2": (lambda: Wav2Vec2Model(Wav2Vec2Config(**SIZE)), "torchscript", 17, "sdpa"),
    "wav2vec2-large": (lambda: Wav2Vec2Model(Wav2Vec2Config(**SIZE, **LARGE)), "dynamo", 20, "sdpa"),
    "hubert": (lambda: HubertModel(HubertConfig(**SIZE)), "dynamo", 20, "eager"),
    "wavlm": (lambda: WavLMModel(WavLMConfig(**SIZE)), "torchscript", 17, "eager"),
}
# Samples of a file, and what all are cut or padded to: what 29 vectors are made of.
SAMPLES, LENGTH = (900, 1500), 29 * 40 + 25


def sound(samples, seed):
    """The same as `madeSound` of the tests, 16 bits each."""
    at = np.arange(samples)
    return ((at * at * 7 + at * seed * 131) % 20011 - 9000).astype(np.int16)


def export(model, exporter, opset, path):
    values = torch.zeros(2, LENGTH)
    given = dict(input_names=["input_values"], output_names=["last_hidden_state"], opset_version=opset)
    if exporter == "dynamo":
        shapes = {"input_values": {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}}
        torch.onnx.export(
            model, (), path, kwargs={"input_values": values}, dynamo=True, dynamic_shapes=shapes, external_data=False, **given
        )  # fmt: skip
        return
    forward = model.forward
    model.forward = lambda each: forward(each, return_dict=False)[0]
    axes = {"input_values": {0: "batch_size", 1: "sequence_length"}, "last_hidden_state": {0: "batch_size", 1: "frames"}}
    torch.onnx.export(model, (values,), path, dynamo=False, dynamic_axes=axes, **given)
    model.forward = forward


def main(folder):
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False)
    for name, (make, exporter, opset, attention) in MODELS.items():
        torch.manual_seed(0)
        own = folder / name
        (own / "onnx").mkdir(parents=True, exist_ok=True)
        model = make().eval()
        model.set_attn_implementation(attention)
        for parameter in model.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
        classifier = torch.nn.Linear(16, 3)
        model.config.save_pretrained(own)
        extractor.save_pretrained(own)
        path = str(own / "onnx" / "model.onnx")
        export(model, exporter, opset, path)
        shrink(path)
        # Normalised one by one, then padded with zeros, as Hugging Face's guide to audio classification does.
        sounds = [sound(samples, seed).astype(np.float32) / 32768 for samples, seed in zip(SAMPLES, (3, 5))]
        features = extractor(sounds, sampling_rate=16000, truncation=True, max_length=LENGTH)
        values = extractor.pad(features, padding="max_length", max_length=LENGTH, return_tensors="pt")["input_values"]
        logits = classifier(model(values).last_hidden_state.mean(1))
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor([2, 0]))
        loss.backward()
        expected = {
            "values": [round(value, 7) for value in values.flatten().tolist()],
            "logits": logits.tolist(), "loss": loss.item(),
            "classifier": {"weight": classifier.weight.tolist(), "bias": classifier.bias.tolist()},
        }  # fmt: skip
        (own / "expected.json").write_text(json.dumps(expected))
        gradients = {key: value.grad for key, value in model.named_parameters() if value.grad is not None}
        save_file({key: value.contiguous() for key, value in gradients.items()}, own / "gradients.safetensors")
        graph = onnx.load(path).graph
        print(name, len(graph.node), sorted({node.op_type for node in graph.node}), [t.name for t in graph.initializer][:12])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
