import fc from "fast-check";
import { float32, type Grammar, named, size, uint32, uint64, word } from "./parts.ts";

/** A value of metadata with its type; lists within lists among them. */
const { ggufValue } = fc.letrec<{ ggufValue: [type: number, bytes: Buffer] }>((tie) => ({
  ggufValue: fc.oneof(
    { maxDepth: 3 },
    size.map((value): [number, Buffer] => [4, uint32(value)]),
    size.map((value): [number, Buffer] => [10, uint64(value)]),
    fc.double().map((value): [number, Buffer] => [6, float32(value)]),
    fc.oneof(word, fc.string()).map((value): [number, Buffer] => [8, named(value)]),
    fc.boolean().map((value): [number, Buffer] => [7, Buffer.of(Number(value))]),
    fc
      .array(fc.oneof(word, fc.string({ maxLength: 4 })), { maxLength: 60 })
      .map((items): [number, Buffer] => [9, Buffer.concat([uint32(8), uint64(items.length), ...items.map(named)])]),
    fc
      .tuple(tie("ggufValue"), size)
      .map(([[type, bytes], count]): [number, Buffer] => [9, Buffer.concat([uint32(type), uint64(count), bytes])]),
  ),
}));
const ggufKey = fc.constantFrom(
  ...["general.alignment", "llama.block_count", "llama.embedding_length", "llama.context_length"],
  ...["llama.attention.head_count", "llama.attention.head_count_kv", "llama.feed_forward_length", "llama.vocab_size"],
  ...["llama.rope.dimension_count", "llama.rope.freq_base", "llama.attention.layer_norm_rms_epsilon", "split.count"],
  ...["tokenizer.ggml.tokens", "tokenizer.ggml.scores", "tokenizer.ggml.token_type", "tokenizer.ggml.merges"],
  ...["tokenizer.ggml.pre", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.bos_token_id", "tokenizer.chat_template"],
);
const tensorName = fc.constantFrom(
  ...["token_embd.weight", "output_norm.weight", "output.weight", "rope_freqs.weight", "other"],
  ...["attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_gate", "ffn_down", "attn_norm", "ffn_norm"].map(
    (part) => `blk.0.${part}.weight`,
  ),
);
const ggufEntry = fc.tuple(ggufKey, ggufValue);
/** What a small Llama's file says, which others of the same names take the place of. */
const WORDS = [..."abcdefghijklmnopqrstuvwxyz", "<s>", "</s>", "th", "the", "e ", "Ġ"];
const SOUND: [key: string, value: [type: number, bytes: Buffer]][] = [
  ...Object.entries({
    ...{ "llama.block_count": 1, "llama.embedding_length": 8, "llama.context_length": 64 },
    ...{ "llama.attention.head_count": 2, "llama.attention.head_count_kv": 2, "llama.feed_forward_length": 16 },
    ...{ "llama.rope.dimension_count": 4, "tokenizer.ggml.bos_token_id": 26, "tokenizer.ggml.eos_token_id": 27 },
  }).map(([key, value]): [string, [number, Buffer]] => [key, [4, uint32(value)]]),
  ["llama.attention.layer_norm_rms_epsilon", [6, float32(1e-5)]],
  ["tokenizer.ggml.tokens", [9, Buffer.concat([uint32(8), uint64(WORDS.length), ...WORDS.map(named)])]],
  ["tokenizer.ggml.scores", [9, Buffer.concat([uint32(6), uint64(WORDS.length), ...WORDS.map((_, i) => float32(-i))])]],
  ["tokenizer.ggml.merges", [9, Buffer.concat([uint32(8), uint64(1), named("t h")])]],
];
const SOUND_TENSORS: Record<string, number[]> = {
  ...{ "token_embd.weight": [8, WORDS.length], "output_norm.weight": [8] },
  ...Object.fromEntries(["attn_q", "attn_k", "attn_v", "attn_output"].map((part) => [`blk.0.${part}.weight`, [8, 8]])),
  ...{ "blk.0.ffn_up.weight": [8, 16], "blk.0.ffn_gate.weight": [8, 16], "blk.0.ffn_down.weight": [16, 8] },
  ...{ "blk.0.attn_norm.weight": [8], "blk.0.ffn_norm.weight": [8] },
};
const ggufTensor = fc.tuple(tensorName, fc.array(size, { maxLength: 5 }), fc.nat(40), size);

export const gguf: Grammar = fc
  .record({
    version: fc.constantFrom(3, 3, 3, 3, 3, 3, 2, 2, 3, 3, 3, 3, 1, 4, 2 ** 24),
    architecture: fc.constantFrom("llama", "llama", "llama", "qwen2", "gemma3", "gpt2", "other"),
    vocabulary: fc.constantFrom("gpt2", "llama", "llama", "other"),
    entries: fc.oneof(fc.constant([]), fc.array(ggufEntry, { maxLength: 3 })),
    tensors: fc.oneof(fc.constant([]), fc.array(ggufTensor, { maxLength: 2 })),
    more: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: size }),
    missing: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(4096) }),
  })
  .map(({ version, architecture, vocabulary: kind, entries, tensors, more, missing }) => {
    const metadata = [
      ...new Map([
        ["general.architecture", [8, named(architecture)]] as const,
        ["tokenizer.ggml.model", [8, named(kind)]] as const,
        ...SOUND,
        ...entries,
      ]),
    ].map(([key, [type, bytes]]) => Buffer.concat([named(key), uint32(type), bytes]));
    let end = 0;
    const sound = Object.entries(SOUND_TENSORS).map(([name, shape]) => {
      const begin = end;
      end += Math.ceil((4 * shape.reduce((product, each) => product * each, 1)) / 32) * 32;
      return [name, shape, 0, begin] as const;
    });
    const all = [...new Map([...sound, ...tensors].map((each) => [each[0], each])).values()];
    const described = all.map(([name, shape, type, begin]) =>
      Buffer.concat([named(name), uint32(shape.length), ...shape.map(uint64), uint32(type), uint64(begin)]),
    );
    const counts = [uint64(all.length + more), uint64(metadata.length)];
    const header = Buffer.concat([Buffer.from("GGUF"), uint32(version), ...counts, ...metadata, ...described]);
    return Buffer.concat([header, Buffer.alloc(Math.max(0, 32 - (header.length % 32) + end - missing))]);
  });
