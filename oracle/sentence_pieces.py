"""Ids and texts of Transformers' slow LlamaTokenizer, with small SentencePiece models trained here.

    pip install transformers==4.57.6 sentencepiece==0.2.3 protobuf==7.36.2    # an environment of its own: Transformers 5 has no slow one
    python sentence_pieces.py ../test/fixtures/tokenizers/texts.json ../test/fixtures/tokenizers/pieces
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from transformers import LlamaTokenizer

texts_file, out = map(Path, sys.argv[1:])
known = json.loads(texts_file.read_text())
corpus = [text for row in known for text in row if text.strip()]
HARD = [
    "", " ", "   ", "\n", "\n\n\n", "\t", " a", "  a", "a ", "a  b", "Hello world", " Hello world", "  Hello\n\n  world  ",
    "line\nline\r\nline", "<s>", "</s>", "<unk>", "<s>Hello", "<s> Hello</s>", "a<s>b", "a <s> b </s> c", "<s><s></s>",
    "<0x41>", "<0xE4> bytes written out", "😀", "👩‍👩‍👧‍👦 x", "日本", "a日b本c", "ツ\u200dツ", "\ufeffmark", "▁", "▁▁x ▁y", "<pad>",
    "[PAD] a [PAD]", "tool <tool>  call</tool>x", "<mark>a<mark> b", "12345.678", "\u0000 zero", "ﬁ ½ Å ａｂ", "e\u0301 é",
    "The quick brown fox" * 20,
]  # fmt: skip
# Odd texts, real ones and pairs, of the older tokenizers' fixture.
rows = [[text] for text in HARD] + known[250:350] + known[:10] + known[350:360]

LLAMA = dict(
    model_type="bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
    split_digits=True, allow_whitespace_only_pieces=True, character_coverage=0.99, vocab_size=800,
)  # fmt: skip
RULES = "FB01\t66 69\nBD\t31 2F 32\nC5\t41 30A\n9\t20\nA\t20\n65 301\tE9\n"
added = {"content": "<tool>", "lstrip": False, "rstrip": True, "single_word": False, "normalized": True, "special": False}
# Models, and settings of folders that share each.
MODELS = {
    "llama": (LLAMA, {
        "llama": None,
        "llama-2": {"legacy": False, "add_eos_token": True, "pad_token": "[PAD]", "additional_special_tokens": ["<mark>"], "added_tokens_decoder": {"800": added}},
        "llama-bare": {"legacy": False, "add_bos_token": False, "add_prefix_space": False},
    }),
    "unigram": ({**LLAMA, "model_type": "unigram", "allow_whitespace_only_pieces": False}, {"unigram": None}),
    "plain": (dict(model_type="bpe", vocab_size=500, normalization_rule_tsv="rules.tsv"), {"plain": None}),
    "symbols": ({**LLAMA, "add_dummy_prefix": False, "user_defined_symbols": ["<tool>", "</tool>", "▁▁"], "bos_piece": "<bos>", "eos_piece": "<eos>", "pad_id": 3}, {
        "symbols": {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"},
    }),
}  # fmt: skip

shutil.rmtree(out, ignore_errors=True)
out.mkdir(parents=True)
results = {}
with tempfile.TemporaryDirectory() as work:
    for name, (options, folders) in MODELS.items():
        if "normalization_rule_tsv" in options:
            options = {**options, "normalization_rule_tsv": f"{work}/rules.tsv"}
            Path(work, "rules.tsv").write_text(RULES)
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(corpus), model_prefix=f"{work}/{name}", minloglevel=2, num_threads=1, **options
        )
        # The model's file names no path of this machine.
        model = sentencepiece_model_pb2.ModelProto.FromString(Path(work, f"{name}.model").read_bytes())
        model.trainer_spec.model_prefix = name
        model.normalizer_spec.normalization_rule_tsv = ""
        file = out / f"{name}.model"
        file.write_bytes(model.SerializeToString())
        for folder, settings in folders.items():
            path = Path(work, "folder")
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
            shutil.copy(file, path / "tokenizer.model")
            if settings is not None:
                (path / "tokenizer_config.json").write_text(json.dumps(settings))
            slow = LlamaTokenizer.from_pretrained(path)
            ids = [slow(*row)["input_ids"] for row in rows]
            decoded = [slow.decode(slow(row[0], add_special_tokens=False)["input_ids"]) for row in rows]
            results[folder] = {"model": name, "settings": settings, "ids": ids, "decoded": decoded}
content = json.dumps({"texts": rows, "folders": results}, ensure_ascii=False, separators=(",", ":"))
(out / "slow.json").write_text(content + "\n", encoding="utf-8")
