"""Small random encoder-decoders with their logits, losses, gradients and generated texts.

    python encoder_decoders.py ../test/fixtures/models [NAME ...]

Each folder is a Hugging Face folder of `…ForConditionalGeneration` (config.json, generation_config.json, model.safetensors)
with seq2seq.json (examples with ids of both texts, the mean loss of every target token, 20 inputs of mixed length with what
`generate` writes of them in one right-padded batch, greedily and with the configuration's beams) and seq2seq.safetensors:
`logits` of every target token of the examples, row after row, and `gradients.<name>` of every parameter under that loss.
"""

import json
import sys
from pathlib import Path

import torch
from decoders import gradients_of, random_ids
from fixtures import padded, randomise, write_hub_keys, write_json, write_tensors
from torch import nn
from transformers import CONFIG_MAPPING, AutoModelForSeq2SeqLM, GenerationConfig
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
torch.set_num_threads(1)

# Tokens of the encoder's text and of the target: neither is always the longer one.
LENGTHS = [(19, 7), (3, 11), (26, 1), (9, 9)]
INPUTS = 20

BART = {
    "vocab_size": 96,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 56,
    "decoder_ffn_dim": 56,
    "max_position_embeddings": 128,
}
T5 = {
    "vocab_size": 96,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 56,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
}

# name: (model type, configuration, keys as the hub has them, how it writes)
MODELS = {
    # As BART is published.
    "bart-1": (
        "bart",
        {**BART, "forced_bos_token_id": 0},
        {},
        {
            "num_beams": 4,
            "length_penalty": 2.0,
            "early_stopping": True,
            "no_repeat_ngram_size": 3,
            "min_length": 8,
            "max_length": 24,
            "forced_bos_token_id": 0,
            "forced_eos_token_id": 2,
        },
    ),
    # Stacks of their own, as DistilBART's, scaled embeddings.
    "bart-2": (
        "bart",
        {
            **BART,
            "encoder_layers": 3,
            "decoder_layers": 1,
            "decoder_attention_heads": 2,
            "decoder_ffn_dim": 40,
            "activation_function": "relu",
            "scale_embedding": True,
        },
        {},
        {"num_beams": 4, "length_penalty": 0.6, "max_length": 16, "min_length": 3, "forced_eos_token_id": 2},
    ),
    # As mBART: normalisation before each part.
    "mbart-1": (
        "mbart",
        {**BART, "scale_embedding": True, "decoder_start_token_id": 90, "forced_eos_token_id": 2},
        {},
        {"num_beams": 4, "length_penalty": 1.0, "max_length": 20, "no_repeat_ngram_size": 2, "forced_eos_token_id": 2},
    ),
    # As T5 1.0.
    "t5-1": (
        "t5",
        {**T5},
        {},
        {"num_beams": 4, "length_penalty": 2.0, "max_length": 24, "min_length": 6, "no_repeat_ngram_size": 3},
    ),
    # As T5 1.1 and Flan-T5: a gated activation, an output layer of its own; other buckets, heads wider than the hidden states.
    "t5-2": (
        "t5",
        {
            **T5,
            "num_layers": 3,
            "num_decoder_layers": 2,
            "d_kv": 12,
            "feed_forward_proj": "gated-gelu",
            "relative_attention_num_buckets": 12,
            "relative_attention_max_distance": 20,
        },
        {"tie_word_embeddings": False, "scale_decoder_outputs": None},
        {"num_beams": 4, "length_penalty": -0.5, "early_stopping": "never", "max_new_tokens": 18, "repetition_penalty": 1.3},
    ),
    # A deeper decoder than the encoder, heads of another number in each, a plain activation, embeddings as they are.
    "mbart-2": (
        "mbart",
        {
            **BART,
            "encoder_layers": 1,
            "decoder_layers": 3,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 40,
            "activation_function": "relu",
            "decoder_start_token_id": 7,
        },
        {},
        {"num_beams": 4, "length_penalty": 2.0, "early_stopping": True, "max_length": 18, "min_length": 5, "forced_eos_token_id": 2},
    ),
}


def shifted(labels, start):
    return [start, *labels[:-1]]


def random_examples(config, generator):
    start = config.decoder_start_token_id
    examples = []
    for source, target in LENGTHS:
        ids = [*random_ids(config, source - 1, generator), config.eos_token_id]
        labels = [*random_ids(config, target - 1, generator), config.eos_token_id]
        examples.append({"inputIds": ids, "decoderInputIds": shifted(labels, start), "labels": labels})
    return examples


def batch_of(examples, config):
    pad = config.pad_token_id
    encoder = padded(examples, pad, token_types=False)
    own = padded([{"inputIds": each["decoderInputIds"]} for each in examples], pad, token_types=False)
    labels = padded([{"inputIds": each["labels"]} for each in examples], -100, token_types=False)
    return {
        **encoder,
        "decoder_input_ids": own["input_ids"],
        "decoder_attention_mask": own["attention_mask"],
        "labels": labels["input_ids"],
    }


def answers(model, inputs, settings, **more):
    """What is written of each input, the start left out, the end token included."""
    config = model.config
    batch = padded([{"inputIds": ids} for ids in inputs], config.pad_token_id, token_types=False)
    found = model.generate(**batch, generation_config=GenerationConfig.from_dict({**settings, **more}))[:, 1:]
    ends = [(row == config.eos_token_id).nonzero() for row in found]
    return [row[: int(end[0]) + 1 if len(end) else len(row)].tolist() for row, end in zip(found, ends)]


def generated(model, settings, generator):
    """Inputs of mixed length, of which each is written alike by itself and in the batch."""
    lengths = [1 + (7 * i) % 23 for i in range(INPUTS)]
    kept = []
    for length in lengths:
        while True:
            ids = [*random_ids(model.config, length, generator), model.config.eos_token_id]
            with torch.no_grad():
                alone = [answers(model, [ids], settings, num_beams=beams) for beams in (1, settings["num_beams"])]
                # A shift of the weights that is far above rounding changes nothing.
                model.get_input_embeddings().weight.data *= 1 + 1e-5
                again = [answers(model, [ids], settings, num_beams=beams) for beams in (1, settings["num_beams"])]
                model.get_input_embeddings().weight.data /= 1 + 1e-5
            if alone == again:
                kept.append(ids)
                break
    greedy = answers(model, kept, settings, num_beams=1)
    beams = answers(model, kept, settings)
    assert greedy == [answers(model, [ids], settings, num_beams=1)[0] for ids in kept], "a batch changes greedy answers"
    assert beams == [answers(model, [ids], settings)[0] for ids in kept], "a batch changes beams"
    return {"inputs": kept, "greedy": greedy, "beams": beams}


def write_model(out, name):
    model_type, options, hub_keys, writing = MODELS[name]
    generator = torch.Generator().manual_seed(list(MODELS).index(name) + 500)
    config = CONFIG_MAPPING[model_type](**options)
    model = AutoModelForSeq2SeqLM.from_config(config, attn_implementation="eager").eval()
    if hub_keys.get("tie_word_embeddings") is False:
        model.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        config.tie_word_embeddings = False
        config.scale_decoder_outputs = False
    randomise(model, generator)
    model.tie_weights()
    examples = random_examples(config, generator)
    batch = batch_of(examples, config)
    result = model(**batch)
    result.loss.backward()

    folder = out / name
    model.save_pretrained(folder)
    write_hub_keys(folder, hub_keys)
    settings = {
        "decoder_start_token_id": config.decoder_start_token_id,
        "eos_token_id": config.eos_token_id,
        "pad_token_id": config.pad_token_id,
        **writing,
    }
    (folder / "generation_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    (folder / "model.safetensors").chmod(0o644)
    reloaded = AutoModelForSeq2SeqLM.from_pretrained(folder, attn_implementation="eager").eval()
    assert torch.equal(reloaded(**batch).logits, result.logits), f"{name} does not reload to the same logits"

    real = batch["labels"] != -100
    write_tensors(folder / "seq2seq.safetensors", {"logits": result.logits[real], **gradients_of(model)})
    texts = generated(model, settings, generator)
    write_json(folder / "seq2seq.json", {"examples": examples, "loss": result.loss.item(), **texts})
    norms = [parameter.grad.norm().item() for parameter in model.parameters() if parameter.grad is not None]
    print(f"{name}: loss {result.loss.item():.4f}, gradient norms {min(norms):.2g} to {max(norms):.2g}")
    print(f"  greedy {[len(each) for each in texts['greedy']]}, beams {[len(each) for each in texts['beams']]}")


if __name__ == "__main__":
    for name in sys.argv[2:] or MODELS:
        write_model(Path(sys.argv[1]), name)
