"""What the scripts that record TRL's trainers share: the small decoder `llama-1`, words for it, and AdamW steps."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

BASE = Path(__file__).parent / "../test/fixtures/models/llama-1"
LEARNING_RATE = 3e-4
STEPS = 5
KEPT = ["model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.down_proj.weight", "model.norm.weight"]


def small_llama():
    return LlamaForCausalLM.from_pretrained(BASE, attn_implementation="eager")


def random_ids(generator, low, high):
    length = int(torch.randint(low, high, (1,), generator=generator))
    return torch.randint(3, 96, (length,), generator=generator).tolist()


def tokenizer():
    words = WordLevel({**{f"w{i}": i for i in range(94)}, "<pad>": 94, "<eos>": 95}, unk_token="w0")
    built = Tokenizer(words)
    built.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=built, pad_token="<pad>", eos_token="<eos>", unk_token="w0")


def recorded(cases, loss_of):
    """By case, the losses of five AdamW steps and the one after them, and gradients of that one by the case's name and the model's.

    loss_of makes a function of a model that gives its loss, from a case's name and settings.
    """
    losses, gradients = {}, {}
    for name, settings in cases.items():
        model = small_llama()
        loss = loss_of(name, settings, model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
        losses[name] = []
        for step in range(STEPS + 1):
            optimizer.zero_grad()
            value = loss()
            value.backward()
            losses[name].append(value.item())
            if step < STEPS:
                optimizer.step()
        named = dict(model.named_parameters())
        gradients |= {f"{name}.{key}": named[key].grad for key in KEPT}
        print(name, losses[name])
    return losses, gradients
