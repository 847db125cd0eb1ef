"""What transformers' logits processors make of random scores.

    python logits_processors.py ../test/fixtures/logits-processors.json

A list of cases: ids so far and how many of them were written, the rules, scores, and the scores after them (null where they
are -inf).
"""

import math
import sys

import torch
from fixtures import write_json
from transformers import LogitsProcessorList
from transformers.generation import logits_process as process

VOCABULARY = 12
END = 3


def processors(rules, prompt):
    """In the order in which `generate` applies them."""
    if "repetitionPenalty" in rules:
        yield process.RepetitionPenaltyLogitsProcessor(rules["repetitionPenalty"])
    if "noRepeatNgramSize" in rules:
        yield process.NoRepeatNGramLogitsProcessor(rules["noRepeatNgramSize"])
    if "minNewTokens" in rules:
        yield process.MinNewTokensLengthLogitsProcessor(prompt, rules["minNewTokens"], END, device="cpu")
    if "forcedBosTokenId" in rules:
        yield process.ForcedBOSTokenLogitsProcessor(rules["forcedBosTokenId"])
    if "forcedEosTokenId" in rules:
        yield process.ForcedEOSTokenLogitsProcessor(prompt + rules["maxNewTokens"], rules["forcedEosTokenId"], device="cpu")


def case(seed, ids, written, rules):
    torch.manual_seed(seed)
    scores = torch.randn(1, VOCABULARY) * 3
    given = scores.clone()
    out = LogitsProcessorList(processors(rules, len(ids) - written))(torch.tensor([ids]), scores)
    finite = lambda row: [None if math.isinf(value) else value for value in row.tolist()]
    return {"ids": ids, "written": written, "rules": rules, "scores": given[0].tolist(), "expected": finite(out[0])}


CASES = [
    ([4, 5, 6, 5], 2, {"repetitionPenalty": 1.3}),
    ([4, 5, 6, 5], 2, {"repetitionPenalty": 0.7}),
    ([1, 2, 4, 1, 2, 5, 1, 2], 4, {"noRepeatNgramSize": 3}),
    ([1, 2, 1], 1, {"noRepeatNgramSize": 2}),
    ([1, 2, 2, 7], 1, {"noRepeatNgramSize": 1}),
    ([1, 2], 1, {"noRepeatNgramSize": 4}),
    ([4, 5, 6], 1, {"minNewTokens": 2}),
    ([4, 5, 6], 2, {"minNewTokens": 2}),
    ([2], 0, {"forcedBosTokenId": 7}),
    ([2, 7], 1, {"forcedBosTokenId": 7}),
    ([4, 5, 6], 2, {"forcedEosTokenId": 3, "maxNewTokens": 3}),
    ([4, 5, 6], 1, {"forcedEosTokenId": 3, "maxNewTokens": 3}),
    ([1, 3, 1], 1, {"repetitionPenalty": 1.5, "noRepeatNgramSize": 2, "minNewTokens": 4}),
]

if __name__ == "__main__":
    write_json(sys.argv[1], [case(seed, *each) for seed, each in enumerate(CASES)])
