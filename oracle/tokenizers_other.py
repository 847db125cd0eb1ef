"""Ids of models that have no tokenizer.json: small vocabularies of the older kinds, and 500 texts and pairs encoded with them.

    python tokenizers_other.py MINILM_FOLDER GLUE_FOLDER ../test/fixtures/tokenizers
"""

import csv
import json
import random
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import sentencepiece
from fixtures import write_json
from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import DebertaV2Converter

minilm, glue, out = map(Path, sys.argv[1:])


def column(path, index, count, skip=0):
    with open(glue / path, encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row[index] for _, row in zip(range(count + skip), rows)][skip:]


ODD = """
\tTabs\tand\r\nlines \n
  leading and   inner    spaces
trailing spaces   
Ünïcödé, naïve café; ÅNGSTRÖM, Straße, ﬁne ﬂow…
İstanbul'da ISPARTA ığdır; ΟΔΥΣΣΕΥΣ ΣΟΦΟΣ Σ
中文字符 mixed with English 和标点。「引用」
日本語のテキスト カタカナ ﾊﾝｶｸ ＦＵＬＬ ｗｉｄｔｈ １２３
한국어 문장입니다. 한글 (분해)
\U00020000\U0002a6df\U0002b740 rare ideographs \U0002f800 豈
हिन्दी में लिखा हुआ, தமிழ், ไทย
العربية نص مع تشكيل: مُحَمَّد ، ١٢٣؟
עברית עם נִקּוּד
Русский текст, Ёлка, й и й
😀 👍🏽 👩‍👩‍👧‍👦 🇩🇪 ❤️ ©®™ ½ ¾ ² ³ № ℡ ㎏ Ⅷ
zero\u200bwidth\u200cjoin\u200ders\ufeff and\u00a0no\u202fbreak\u3000spaces\u2028line\u2029paragraph\u0085next
\ufeffbyte order mark first
control\u0001chars\u0007here\u001f and\u007f deleted, \ufffd replaced
soft\u00adhyphen non\u2011breaking – en — em ― bar ‐
“curly” ‘quotes’ «guillemets» ‚low‛ ′prime″
combining e\u0301 a\u0308\u0304 o\u0302\u0323 and precomposed é ǟ ộ
https://example.com/a?b=c&d=%20#e and user.name+tag@mail.example.org
$1,234.56 + 7×8 ÷ 9 ≈ -3.5e-10 % ‰ ± √2 ∑ ∞ ≠
don't can't they'll I'm we've he'd 'S 'T it''s rock'n'roll
a [CLS] b [SEP] c [MASK] d [UNK] e [PAD]
x <s> y </s> z <mask> w <unk> v <pad>
[mask] <MASK> [ CLS ] < s > [CLS][SEP]<mask></s>
▁already▁escaped ▁ ▁▁ spaces
C++ #hashtag @mention `code` {json: "value"} <html>&amp;</html> \\backslash\\
ALLCAPS CamelCase snake_case kebab-case dot.case 3rd 42nd 1990s
!!! ??? ... ;;; --- *** ~~~ ^^^ ||| /// ((( )))
a
.
\u00a0
0
Ǆ ǅ ǆ ĳ ŉ ſ K Å Ω ẞ
ｶﾞ ㌀ ﷺ ﷽ ﬀ ﬃ ﬆ ⑳ ㊿ ㋿
x\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308\u0309 zalgo
\u0e01\u0e33 \u0ead\u0eb3 \u1100\u1161\u11a8 \u0915\u094d\u0937
"""
odd = ODD.strip("\n").split("\n")
odd += ["two\nlines", "\tTabs\tand\r\nlines \n", "", " ", "averyveryverylongword" * 12, "supercalifragilistic " * 30]

draw = random.Random(5)
ALPHABETS = ["abcdefghij klmnop ", "ABC xyz 019 .,!? ", "áéíóúüñç ÀÖß ", "αβγδ ΣΩς ", "中文字 ", "  \t\n\u00a0", "😀👍🏽\u200d❤️", "\u0301\u0308\u200b\u00ad", "ﬁﬂ…½ＡＢ①", "[]<>/_#@'\"-"]
while len(odd) < 100:
    odd.append("".join(draw.choice(draw.choice(ALPHABETS)) for _ in range(draw.randint(3, 60))))

sentences = column("SST-2/train.tsv", 0, 130, skip=1) + column("CoLA/train.tsv", 3, 120)
mrpc = list(zip(column("MRPC/dev.tsv", 3, 100, skip=1), column("MRPC/dev.tsv", 4, 100, skip=1)))
rte = list(zip(column("RTE/dev.tsv", 1, 20, skip=1), column("RTE/dev.tsv", 2, 20, skip=1)))
odd_pairs = [(draw.choice([text for text in odd if text]), draw.choice([text for text in odd if text])) for _ in range(30)]
texts = [[text] for text in sentences + odd] + [list(pair) for pair in mrpc + rte + odd_pairs]
assert len(texts) == 500

corpus = column("SST-2/train.tsv", 0, 6000, skip=200) + column("CoLA/train.tsv", 3, 4000, skip=200)
corpus += [text for text in odd if len(text) > 1]


def folder(name, **files):
    path = out / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    for file, value in files.items():
        write_json(path / f"{file}.json", value)
    return path


def sentence_piece(path, file, **options):
    prefix = path / "trained"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus), model_prefix=str(prefix), vocab_size=1000, minloglevel=2, **options
    )
    prefix.with_suffix(".vocab").unlink()
    prefix.with_suffix(".model").rename(path / file)


def word_piece(path, lowercase, special_tokens):
    trainer = BertWordPieceTokenizer(lowercase=lowercase)
    trainer.train_from_iterator(corpus, vocab_size=1200, special_tokens=special_tokens, show_progress=False)
    trainer.save_model(str(path))


def write_ids(name, tokenizer):
    rows = []
    for text in texts:
        encoded = tokenizer(*text)
        row = {"inputIds": encoded["input_ids"]}
        if any(encoded.get("token_type_ids", [])):
            row["tokenTypeIds"] = encoded["token_type_ids"]
        rows.append(row)
    write_json(out / name / "ids.json", rows)
    return rows


def differing(ids, others):
    pairs = [(text, a != b) for text, a, b in zip(texts, ids, others)]
    odd_texts = {*odd}
    real = sum(differs for text, differs in pairs if not odd_texts.intersection(text))
    return f"{real} real, {sum(differs for _, differs in pairs) - real} odd"


bert = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
path = folder("bert-uncased", config={"model_type": "bert"})
shutil.copy(minilm / "vocab.txt", path)
write_ids("bert-uncased", AutoTokenizer.from_pretrained(path))

path = folder("bert-cased", config={"model_type": "bert"}, tokenizer_config={"do_lower_case": False})
word_piece(path, False, bert)
write_ids("bert-cased", AutoTokenizer.from_pretrained(path))

path = folder("mpnet", config={"model_type": "mpnet"})
word_piece(path, True, ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"])
write_ids("mpnet", AutoTokenizer.from_pretrained(path))

path = folder("roberta", config={"model_type": "roberta"})
trainer = ByteLevelBPETokenizer()
trainer.train_from_iterator(corpus, vocab_size=1500, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], show_progress=False)
trainer.save_model(str(path))
write_ids("roberta", AutoTokenizer.from_pretrained(path))

path = folder("xlm-roberta", config={"model_type": "xlm-roberta"})
sentence_piece(path, "sentencepiece.bpe.model")
write_ids("xlm-roberta", AutoTokenizer.from_pretrained(path))

# The same model file as XLM-RoBERTa's, with other ids.
path = folder("camembert", config={"model_type": "camembert"})
shutil.copy(out / "xlm-roberta" / "sentencepiece.bpe.model", path)
write_ids("camembert", AutoTokenizer.from_pretrained(path))
(path / "sentencepiece.bpe.model").unlink()

path = folder("deberta-v2", config={"model_type": "deberta-v2"}, tokenizer_config={"do_lower_case": False, "vocab_type": "spm"})
sentence_piece(
    path, "spm.model", pad_id=0, bos_id=1, eos_id=2, unk_id=3,
    pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]",
)  # fmt: skip
# Transformers 5's DebertaV2Tokenizer leaves out the model's normalisation; its converter, and Transformers 4, keep it.
model = sentencepiece.SentencePieceProcessor(str(path / "spm.model"))
slow = SimpleNamespace(
    vocab_file=str(path / "spm.model"), do_lower_case=False, split_by_punct=False, add_prefix_space=True,
    legacy=True, convert_tokens_to_ids=model.piece_to_id,
)  # fmt: skip
specials = dict(bos_token="[CLS]", eos_token="[SEP]", unk_token="[UNK]", sep_token="[SEP]", pad_token="[PAD]", cls_token="[CLS]", mask_token="[MASK]")
converted = write_ids("deberta-v2", PreTrainedTokenizerFast(tokenizer_object=DebertaV2Converter(slow).converted(), **specials))
version5 = AutoTokenizer.from_pretrained(path)
version5 = [version5(*text)["input_ids"] for text in texts]
pieces = [[1, *(id for part in text for id in [*model.encode(part), 2])] for text in texts]
ids = [row["inputIds"] for row in converted]
print("deberta-v2: texts that DebertaV2Tokenizer of Transformers 5 encodes otherwise:", differing(ids, version5))
print("deberta-v2: texts that SentencePiece itself encodes otherwise:", differing(ids, pieces))

write_json(out / "texts.json", texts)
