"""What Transformers makes of 500 real and odd texts and pairs with the bundled tokenizer, whole and cut, and of lists of words.

    python tokenizer_bert.py ../assets/all-MiniLM-L6-v2 ../test/fixtures/tokenizers/texts.json ../test/fixtures/tokenizer-bert.json
"""

import json
import sys
from pathlib import Path

from fixtures import write_json
from transformers import AutoTokenizer

folder, texts, out = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
texts = json.loads(Path(texts).read_text(encoding="utf-8"))

# Pairs of very unequal and of equal length, and an empty second text, which a batch keeps as a pair.
singles = [text[0] for text in texts if len(text) == 1]
texts += [[a, b] for a, b in zip(singles[::7], singles[3::5])]
texts += [[text, text] for text in singles[5:60:9]] + [[singles[0], ""], ["", singles[0]], ["", ""]]


def encode(text, max_length):
    batch = [[part] for part in text]
    encoded = tokenizer(*batch, truncation="longest_first", max_length=max_length)
    # Token types are zeros, then ones.
    ids, types = encoded["input_ids"][0], encoded["token_type_ids"][0]
    assert types == sorted(types)
    return {"maxLength": max_length, "inputIds": ids, "ones": sum(types)}


def encode_words(words, max_length):
    encoded = tokenizer(words, is_split_into_words=True, truncation=True, max_length=max_length)
    return {
        "words": words,
        "maxLength": max_length,
        "inputIds": encoded["input_ids"],
        "wordIds": [-1 if word is None else word for word in encoded.word_ids()],
    }


CUTS = [3, 4, 5, 8, 9, 16, 17, 24, 31, 32, 40, 63]
examples = [
    {"texts": text, "encodings": [encode(text, 512), encode(text, CUTS[i % len(CUTS)])]} for i, text in enumerate(texts)
]
word_lists = [text.split(" ") for text in singles[::4]] + [["unbelievably", "\u200b", "", "New York", "[SEP]", "中文"]]
words = [encode_words(words, [512, 12, 7][i % 3]) for i, words in enumerate(word_lists)]
write_json(out, {"examples": examples, "words": words})
