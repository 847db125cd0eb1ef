"""Small random models of each architecture as GGUF files, kept as llama.cpp's convert_hf_to_gguf.py keeps them, and what
transformers computes of the model that each was made from.

    python gguf_models.py GLUE_FOLDER ../test/fixtures/tokenizers/texts.json ../test/fixtures/gguf
"""

import csv
import hashlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from fixtures import write_json
from gguf import GGMLQuantizationType, GGUFWriter, MODEL_ARCH, MODEL_ARCH_NAMES, get_tensor_name_map
from gguf.quants import dequantize, quantize
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

glue, texts, out = map(Path, sys.argv[1:])
out.mkdir(parents=True, exist_ok=True)
ROWS = [row[0] for row in json.loads(texts.read_text(encoding="utf-8"))]
ROWS = ROWS[:20] + ROWS[-80:-60] + ["a </s> b <|im_end|> c", "  two  spaces\n\n\nand lines 12345 6"]
with open(glue / "SST-2" / "dev.tsv", encoding="utf-8-sig", newline="") as file:
    CORPUS = [row["sentence"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def byte_pairs(pre):
    """A byte-level vocabulary that was made on texts cut as `pre` says."""
    tokenizer = Tokenizer(models.BPE())
    split = GGUF_PRE_TOKENIZER_SPLITS.get(pre)
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split is None)
    cut = [pre_tokenizers.Split(Regex(split), "isolated")] if split else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*cut, level])
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=360, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=specials, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = [token for token, _ in sorted(model["vocab"].items(), key=lambda item: item[1])]
    return {
        "model": "gpt2",
        "pre": pre,
        "tokens": tokens,
        "types": [CONTROL if token in specials else NORMAL for token in tokens],
        "merges": [" ".join(merge) for merge in model["merges"]],
        "bos": 1,
        "eos": 2,
        # As Llama 3's does, whether or not its file says so.
        "add_bos": pre == "llama-bpe",
    }


def sentence_pieces(gemma):
    """A SentencePiece vocabulary of the pairing kind, as its model file has it."""
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_writer=file,
        model_type="bpe",
        vocab_size=400,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        user_defined_symbols=["<start_of_turn>"] if gemma else [],
        minloglevel=2,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_proto=file.getvalue())
    kind = lambda id: (  # noqa: E731
        UNKNOWN
        if pieces.is_unknown(id)
        else CONTROL
        if pieces.is_control(id)
        else BYTE
        if pieces.is_byte(id)
        else NORMAL
    )
    size = pieces.get_piece_size()
    tokens = [pieces.id_to_piece(id) for id in range(size)]
    return {
        "model": "llama",
        "pre": "default",
        "tokens": tokens,
        "types": [USER_DEFINED if token == "<start_of_turn>" else kind(id) for id, token in enumerate(tokens)],
        "scores": [pieces.get_score(id) for id in range(size)],
        "bos": 1,
        "eos": 2,
        "unknown": 0,
        "add_space_prefix": not gemma,
        "add_bos": True,
    }


SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
GEMMA = {**SHAPE, "num_hidden_layers": 7, "query_pre_attn_scalar": 8, "sliding_window": 4, "tie_word_embeddings": True}
MODELS = {
    # name: model_type, GGUF's architecture, settings, tokenizer, how matrices are stored
    "llama": ("llama", "llama", {**SHAPE, "rope_theta": 10000.0}, sentence_pieces(False), "Q8_0"),
    "llama3": ("llama", "llama", {**SHAPE, "rope_parameters": LLAMA3}, byte_pairs("llama-bpe"), "F16"),
    "qwen2": ("qwen2", "qwen2", {**SHAPE, "rope_theta": 1000000.0}, byte_pairs("qwen2"), "Q4_1"),
    "qwen3": ("qwen3", "qwen3", {**SHAPE, "head_dim": 16, "tie_word_embeddings": True}, byte_pairs("qwen2"), "BF16"),
    "gemma2": ("gemma2", "gemma2", GEMMA, sentence_pieces(True), "Q8_0"),
    "gemma3": ("gemma3_text", "gemma3", GEMMA, sentence_pieces(True), "Q4_0"),
    "gpt2": (
        "gpt2",
        "gpt2",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "n_inner": 64},
        byte_pairs("gpt-2"),
        "F16",
    ),
}


def permuted(rows, heads):
    """convert_hf_to_gguf.py's LlamaModel.permute."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def write(name):
    model_type, architecture, settings, vocabulary, stored_as = MODELS[name]
    torch.manual_seed(3)
    config = AutoConfig.for_model(model_type, vocab_size=len(vocabulary["tokens"]), **settings)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    kind = GGMLQuantizationType[stored_as]
    arch = next(key for key, value in MODEL_ARCH_NAMES.items() if value == architecture)
    names = get_tensor_name_map(arch, config.num_hidden_layers)
    writer = GGUFWriter(str(out / f"{name}.gguf"), architecture)
    heads, pairs = config.num_attention_heads, getattr(config, "num_key_value_heads", config.num_attention_heads)
    state = {}
    for weight, tensor in model.state_dict().items():
        if weight == "lm_head.weight" and config.tie_word_embeddings or weight.endswith(".attn.bias"):
            continue
        # Numbers that survive adding 1.
        values = (torch.round(torch.randn_like(tensor) * 0.3 * 1024) / 1024).numpy()
        if values.ndim == 1 and weight.endswith("norm.weight") or ".ln_" in weight and weight.endswith("weight"):
            values = values + (0 if architecture.startswith("gemma") else 1)
        if architecture == "gpt2" and values.ndim == 2 and ".h." in weight:
            values = values.T
        turned = values
        if architecture == "llama" and ".q_proj." in weight:
            turned = permuted(values, heads)
        if architecture == "llama" and ".k_proj." in weight:
            turned = permuted(values, pairs)
        if architecture.startswith("gemma") and weight.endswith("norm.weight"):
            turned = values + 1
        own = names.get_name(weight, try_suffixes=(".weight", ".bias"))
        if values.ndim == 1:
            writer.add_tensor(own, turned.astype(np.float32))
        else:
            writer.add_tensor(own, quantize(np.ascontiguousarray(turned), kind).view(np.uint8), raw_dtype=kind)
            # Rows are stored one by one, so that their order makes no difference.
            values = dequantize(quantize(values, kind), kind).reshape(values.shape)
        if architecture == "gpt2" and values.ndim == 2 and ".h." in weight:
            values = values.T
        state[weight] = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
    if name == "llama3":
        inverse = 1.0 / (500000.0 ** (torch.arange(0, 8, 2).float() / 8))
        factors = (inverse / model.model.rotary_emb.inv_freq).numpy()
        writer.add_tensor("rope_freqs.weight", factors.astype(np.float32))
    model.load_state_dict(state, strict=False)

    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_head_count(heads)
    if architecture == "gpt2":
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        writer.add_head_count_kv(pairs)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        full = config.rope_parameters.get("full_attention", config.rope_parameters)
        writer.add_rope_freq_base(full["rope_theta"])
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    if architecture == "llama":
        writer.add_rope_dimension_count(config.head_dim)
        writer.add_vocab_size(config.vocab_size)
    if architecture.startswith("gemma"):
        writer.add_sliding_window(config.sliding_window)
    if architecture == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    writer.add_tokenizer_model(vocabulary["model"])
    writer.add_tokenizer_pre(vocabulary["pre"])
    writer.add_token_list(vocabulary["tokens"])
    writer.add_token_types(vocabulary["types"])
    if "merges" in vocabulary:
        writer.add_token_merges(vocabulary["merges"])
    if "scores" in vocabulary:
        writer.add_token_scores(vocabulary["scores"])
        writer.add_add_space_prefix(vocabulary["add_space_prefix"])
        writer.add_unk_token_id(vocabulary["unknown"])
    if "add_bos" in vocabulary:
        writer.add_add_bos_token(vocabulary["add_bos"])
    writer.add_bos_token_id(vocabulary["bos"])
    writer.add_eos_token_id(vocabulary["eos"])
    writer.add_chat_template("{% for message in messages %}{{ message.content }}{{ eos_token }}{% endfor %}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    # What transformers itself reads of the file is the model that it was made from.
    load = {"config": config, "gguf_file": f"{name}.gguf", "dtype": torch.float32}
    loaded = AutoModelForCausalLM.from_pretrained(out, **load).state_dict()
    for weight, tensor in state.items():
        assert torch.equal(loaded[weight], tensor), (name, weight)

    digest = hashlib.sha256()
    for weight in sorted(state):
        digest.update(state[weight].numpy().tobytes())
    tokenizer = AutoTokenizer.from_pretrained(out, gguf_file=f"{name}.gguf")
    ids = [[5, 17, 42, 99, 7, 300, 12, 64, 3, 250], [9]]
    with torch.no_grad():
        logits = [model(torch.tensor([row])).logits[0, -1].tolist() for row in ids]
    write_json(
        out / f"{name}.json",
        {
            "weights": digest.hexdigest(),
            "names": sorted(state),
            "texts": [{"text": text, "ids": tokenizer(text)["input_ids"]} for text in ROWS],
            "ids": ids,
            "logits": [[round(value, 7) for value in row] for row in logits],
        },
    )


for name in MODELS:
    write(name)
