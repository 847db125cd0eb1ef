"""What transformers' `generate` writes with a small random decoder.

    python generation.py ../test/fixtures/models/llama-1 ../test/fixtures/generation.json

For each set of options the answers to prompts of mixed length, end tokens included. Each prompt is alone: in a batch transformers
counts padding as something that was said and must not be repeated.
"""

import sys

import torch
from fixtures import write_json
from transformers import AutoModelForCausalLM
from transformers.utils import logging

logging.set_verbosity_error()

LENGTHS = [7, 1, 20, 12]
# The random model says these often enough for answers to end.
ENDS = [2, 10, 33, 41, 58, 64, 77, 90]
PAD = 0

# name in GenerationConfig: name in ours
NAMES = {
    "max_new_tokens": "maxNewTokens",
    "min_new_tokens": "minNewTokens",
    "repetition_penalty": "repetitionPenalty",
    "no_repeat_ngram_size": "noRepeatNgramSize",
    "num_beams": "numBeams",
    "length_penalty": "lengthPenalty",
    "early_stopping": "earlyStopping",
}

CASES = [
    {"max_new_tokens": 24},
    {"max_new_tokens": 24, "min_new_tokens": 20},
    {"max_new_tokens": 24, "repetition_penalty": 1.4},
    {"max_new_tokens": 24, "no_repeat_ngram_size": 2},
    *(
        {"max_new_tokens": 16, "num_beams": 4, "length_penalty": penalty, "early_stopping": early}
        for penalty in (1.0, 2.0, -1.0)
        for early in (False, True, "never")
    ),
    {"max_new_tokens": 16, "num_beams": 4, "no_repeat_ngram_size": 3, "repetition_penalty": 1.2, "min_new_tokens": 4},
    {"max_new_tokens": 5, "num_beams": 6},
]


def answer(model, prompt, options):
    ids = torch.tensor([prompt])
    found = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, eos_token_id=ENDS, pad_token_id=PAD, **options
    )
    return found[0, len(prompt) :].tolist()


if __name__ == "__main__":
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1], attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(12)
    prompts = [torch.randint(5, model.config.vocab_size, (length,), generator=generator).tolist() for length in LENGTHS]
    cases = [
        {
            "options": {NAMES[name]: value for name, value in options.items()},
            "answers": [answer(model, prompt, options) for prompt in prompts],
        }
        for options in CASES
    ]
    for case in cases:
        print(case["options"], [len(answer) for answer in case["answers"]])
    write_json(sys.argv[2], {"prompts": prompts, "eosTokenIds": ENDS, "cases": cases})
