import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { folderFiles } from "../../src/checkpoints/file-source-node.ts";
import { UserError } from "../../src/errors.ts";
import { loadTokenizer } from "../../src/inputs/load-tokenizer.ts";
import type { Tokenizer } from "../../src/inputs/tokenizer.ts";
import { createTokenizer } from "../../src/inputs/tokenizer-json.ts";
import { collectGarbage } from "../support/memory-in-use.ts";

const bundled = fileURLToPath(new URL("../../assets/all-MiniLM-L6-v2", import.meta.url));
const fixture: {
  examples: { texts: [string, string?]; encodings: { maxLength: number; inputIds: number[]; ones: number }[] }[];
  words: { words: string[]; maxLength: number; inputIds: number[]; wordIds: number[] }[];
} = JSON.parse(readFileSync(new URL("../fixtures/tokenizer-bert.json", import.meta.url), "utf8"));

describe("the bundled tokenizer equals Transformers'", () => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    tokenizer = await loadTokenizer(folderFiles(bundled));
  });

  test("on real and odd texts and pairs, whole and truncated", () => {
    expect(fixture.examples.length).toBeGreaterThanOrEqual(500);
    for (const { texts, encodings } of fixture.examples) {
      for (const { maxLength, inputIds, ones } of encodings) {
        const found = tokenizer.encode(texts[0], texts[1], maxLength);
        const where = `${JSON.stringify(texts)} cut to ${maxLength}`;
        expect([...found.inputIds], where).toEqual(inputIds);
        const zeros = inputIds.length - ones;
        expect([...found.tokenTypeIds], where).toEqual([...Array(zeros).fill(0), ...Array(ones).fill(1)]);
      }
    }
  });

  test("on lists of words", () => {
    for (const { words, maxLength, inputIds, wordIds } of fixture.words) {
      const found = tokenizer.encodeWords(words, maxLength);
      expect([...found.inputIds], JSON.stringify(words)).toEqual(inputIds);
      expect([...found.wordIds], JSON.stringify(words)).toEqual(wordIds);
      expect([...found.tokenTypeIds]).toEqual(inputIds.map(() => 0));
    }
  });

  test("and pads with its own token", () => expect(tokenizer.padTokenId).toBe(0));

  test("rejects a maximum length below the special tokens", () => {
    expect(() => tokenizer.encode("a", undefined, 1)).toThrow(UserError);
    expect(() => tokenizer.encode("a", "b", 2)).toThrow(
      /length of 2 tokens is too short: the special tokens .* take 3/,
    );
    expect([...tokenizer.encode("a", "b", 3).inputIds]).toEqual([101, 102, 102]);
  });
});

/** A tokenizer of lower-case letters: byte-level BPE without merges, `Ġ` for a space. */
function letters(changes: object = {}, settings: object = {}): Tokenizer {
  const vocab = Object.fromEntries(["<s>", "<pad>", "</s>", "Ġ", ..."abcdefgh"].map((token, id) => [token, id]));
  const added = ["<s>", "<pad>", "</s>"].map((content, id) => ({ content, id, special: true }));
  return createTokenizer(
    {
      added_tokens: added,
      normalizer: null,
      pre_tokenizer: { type: "ByteLevel", add_prefix_space: false },
      model: { type: "BPE", vocab, merges: [] },
      post_processor: { type: "RobertaProcessing", cls: ["<s>", 0], sep: ["</s>", 2], add_prefix_space: false },
      decoder: { type: "ByteLevel" },
      ...changes,
    },
    settings,
    "letters",
  );
}
const [A, B, C, D] = [4, 5, 6, 7];

describe("other kinds of tokenizer.json", () => {
  const encode = (tokenizer: Tokenizer, text: string, pair?: string, maxLength = 100) => {
    const { inputIds, tokenTypeIds } = tokenizer.encode(text, pair, maxLength);
    return { ids: [...inputIds], types: [...tokenTypeIds] };
  };

  test("RoBERTa has two separators between the texts and one token type", () => {
    expect(encode(letters(), "ab", "c")).toEqual({ ids: [0, A, B, 2, 2, C, 2], types: [0, 0, 0, 0, 0, 0, 0] });
    expect(encode(letters(), "ab")).toEqual({ ids: [0, A, B, 2], types: [0, 0, 0, 0] });
    expect(letters().padTokenId).toBe(1);
  });

  test("says whether a text was cut: not if it fits to the last token", () => {
    const cuts = (text: string, pair: string | undefined, maxLength: number) =>
      letters().encode(text, pair, maxLength).cut;
    expect([cuts("abc", undefined, 5), cuts("abc", undefined, 4)]).toEqual([false, true]);
    expect([cuts("ab", "c", 7), cuts("ab", "c", 6)]).toEqual([false, true]);
    const words = (maxLength: number) => letters().encodeWords(["a", "b"], maxLength);
    expect([words(6).cut, words(5).cut]).toEqual([false, true]);
  });

  test("BERT's own processor sets token types", () => {
    const tokenizer = letters({ post_processor: { type: "BertProcessing", cls: ["<s>", 0], sep: ["</s>", 2] } });
    expect(encode(tokenizer, "ab", "c")).toEqual({ ids: [0, A, B, 2, C, 2], types: [0, 0, 0, 0, 1, 1] });
  });

  test("supports no processor, a byte-level one, and one in a sequence", () => {
    const bare = { ids: [A, B, C], types: [0, 0, 1] };
    expect(encode(letters({ post_processor: null }), "ab", "c")).toEqual(bare);
    expect(encode(letters({ post_processor: { type: "ByteLevel" } }), "ab", "c")).toEqual(bare);
    const template = {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [{ Sequence: { id: "B", type_id: 0 } }, { Sequence: { id: "A", type_id: 1 } }],
    };
    const sequence = letters({ post_processor: { type: "Sequence", processors: [{ type: "ByteLevel" }, template] } });
    expect(encode(sequence, "ab")).toEqual({ ids: [0, A, B], types: [0, 0, 0] });
    expect(encode(sequence, "ab", "c")).toEqual({ ids: [C, A, B], types: [0, 1, 1] });
  });

  test("rejects a text that untrusted normalizers grow without limit", () => {
    const replace = (pattern: object, content: string) => ({ type: "Replace", pattern, content });
    const doubles = Array.from({ length: 18 }, () => replace({ String: "e" }, "ee"));
    const growing = letters({ normalizer: { type: "Sequence", normalizers: doubles } });
    expect(() => growing.encode("e".repeat(2000), undefined, 100)).toThrow(/turns a text of 2000 characters into \d+/);
    const everywhere = letters({ normalizer: replace({ Regex: "x*" }, "y".repeat(100_000)) });
    expect(() => everywhere.encode("e".repeat(2000), undefined, 100)).toThrow(
      /turns a text of 2000 characters into \d+/,
    );
    expect(() => letters({ normalizer: replace({ String: "" }, "a") })).toThrow(/replaces an empty text/);
    expect(encode(letters({ normalizer: replace({ String: "a" }, "$&b") }), "a").ids).not.toContain(A);
  });

  test("rejects an expression without linear-time matching, but not a slow one", () => {
    const split = (Regex: string) => ({ type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false });
    expect(() => letters({ pre_tokenizer: split("(a)\\1") })).toThrow(
      /^letters: tokenizer.json: the regular expression/,
    );
    const pre_tokenizer = {
      type: "Sequence",
      pretokenizers: [split(`${".?".repeat(40)}\\x01`), { type: "ByteLevel" }],
    };
    expect(encode(letters({ pre_tokenizer }), "abc".repeat(700), undefined, 5).ids).toHaveLength(5);
    const decoder = { type: "Sequence", decoders: [{ type: "Replace", pattern: { Regex: "(?=a)" }, content: "" }] };
    expect(() => letters({ decoder })).toThrow(/is refused/);
  });

  test("pre-tokenizers and decoders cannot grow texts without limit", () => {
    const spaces = { type: "Metaspace", replacement: "x".repeat(5000), prepend_scheme: "never" };
    expect(() => letters({ pre_tokenizer: spaces })).toThrow(/pre_tokenizer.replacement: expected one character/);
    const replace = { type: "Replace", pattern: { String: "a" }, content: "aa" };
    expect(() => letters({ pre_tokenizer: replace })).toThrow(/no pre-tokenizer replaces text/);
    const many = (each: object) => Array.from({ length: 40 }, () => each);
    const pre_tokenizer = { type: "Sequence", pretokenizers: many({ type: "ByteLevel", add_prefix_space: false }) };
    expect(() => letters({ pre_tokenizer }).encode("é", undefined, 9)).toThrow(
      /turns a text of 1 characters into \d+;/,
    );
    const decoder = { type: "Sequence", decoders: many(replace) };
    expect(() => letters({ decoder }).decode([A])).toThrow(/turns a text of 1 characters into \d+;/);
    const once = letters({ decoder: { type: "Sequence", decoders: [replace, { type: "Fuse" }] } });
    expect(once.decode([A, B])).toBe("aab");
  });

  test("added tokens are not normalised by untrusted expressions", () => {
    const slow = { type: "Replace", pattern: { Regex: `(?:${"a*".repeat(40)})*?`.repeat(7) }, content: "b" };
    const json = { normalizer: slow, added_tokens: [{ id: 30, content: "c" }] };
    // It would take far too long by backtracking.
    expect(() => letters({ ...json, model: { type: "BPE", vocab: { "<pad>": 1 }, merges: [] } })).not.toThrow();
    const long = { type: "Prepend", prepend: "x".repeat(5000) };
    expect(() => letters({ ...json, normalizer: long })).toThrow(/an added token has 5001 characters/);
    const endless = { type: "Replace", pattern: { Regex: "\\b{0,9}".repeat(9999) }, content: "" };
    expect(() => letters({ ...json, normalizer: endless })).toThrow(/its regular expressions have 69993 characters/);
    const many = { type: "Sequence", normalizers: Array.from({ length: 9 }, () => slow) };
    expect(() => letters({ ...json, normalizer: many })).toThrow(/is refused: it is too large/);
  });

  test("finds an added token in the raw or in the normalised text", () => {
    const added = (token: object) =>
      letters({
        normalizer: { type: "Lowercase" },
        added_tokens: [
          { id: 1, content: "<pad>", special: true },
          { id: 30, content: "AB", ...token },
        ],
        post_processor: null,
      });
    expect(encode(added({}), "caBd").ids).toEqual([C, 30, D]);
    expect(encode(added({ normalized: false }), "caBd").ids).toEqual([C, A, B, D]);
    expect(encode(added({ normalized: false }), "cABd").ids).toEqual([C, 30, D]);
    expect(encode(added({ special: true }), "caBd").ids).toEqual([C, A, B, D]);
    expect(added({ special: true }).decode([C, 30, D], { skipSpecialTokens: true })).toBe("cd");
  });

  test("keeps vocabulary and merges only as tables", async () => {
    const made = () => {
      const model = { type: "BPE", vocab: { a: 0, b: 1, ab: 2, "[PAD]": 3 }, merges: [["a", "b"]] };
      const tokenizer = createTokenizer({ model }, { pad_token: "[PAD]" }, "here");
      return { tokenizer, sources: [new WeakRef(model.vocab), new WeakRef(model.merges)] };
    };
    const { tokenizer, sources } = made();
    await new Promise(setImmediate);
    collectGarbage();
    expect(sources.map((source) => source.deref())).toEqual([undefined, undefined]);
    expect(tokenizer.idsOf("abb")).toEqual([2, 1]);
  });

  test("a single text does not use the template for pairs", () => {
    const both = [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }];
    const post_processor = { type: "TemplateProcessing", single: both, pair: both };
    expect(encode(letters({ post_processor }), "ab")).toEqual({ ids: [A, B], types: [0, 0] });
  });

  test("words begin with a space if that separates words", () => {
    const { inputIds, wordIds } = letters().encodeWords(["ab", "", " c"], 100);
    expect([...inputIds]).toEqual([0, 3, A, B, 3, C, 2]);
    expect([...wordIds]).toEqual([-1, 0, 0, 0, 2, 2, -1]);
  });

  test("settings can truncate at the left", () => {
    const tokenizer = letters({}, { truncation_side: "left" });
    expect(encode(tokenizer, "abcd", undefined, 4).ids).toEqual([0, C, D, 2]);
    expect(encode(tokenizer, "abcd", "a", 7).ids).toEqual([0, C, D, 2, 2, A, 2]);
    const { wordIds } = tokenizer.encodeWords(["a", "b"], 4);
    expect([...wordIds]).toEqual([-1, 1, 1, -1]);
    expect(encode(letters({ truncation: { direction: "Left" } }), "abcd", undefined, 4).ids).toEqual([0, C, D, 2]);
  });

  test("tokenizer_config.json decides how BERT's normalizer treats case and accents", () => {
    const json = JSON.parse(readFileSync(join(bundled, "tokenizer.json"), "utf8"));
    const first = (settings: object) =>
      createTokenizer(json, settings, "here").encode("Hello é", undefined, 9).inputIds;
    const [hello, e, unknown] = [7592, 1041, 100];
    expect([...first({})]).toEqual([101, hello, e, 102]);
    // The vocabulary has neither "Hello" nor an "é".
    expect([...first({ do_lower_case: false })]).toEqual([101, unknown, unknown, 102]);
    expect([...first({ strip_accents: false })]).toEqual([101, hello, unknown, 102]);
  });

  test("rejects malformed or unknown ones", () => {
    const refuses = (changes: object, message: RegExp) => {
      expect(() => letters(changes)).toThrow(UserError);
      expect(() => letters(changes)).toThrow(message);
    };
    refuses({ model: undefined }, /^letters: tokenizer\.json is malformed or not supported: model/);
    refuses({ model: { type: "Strange" } }, /^letters: this kind of tokenizer is not supported: .*Strange/);
    refuses({ normalizer: { type: "Strange" } }, /not supported: .*Strange/);
    refuses({ post_processor: { type: "Strange" } }, /post_processor/);
    const unknown = [{ SpecialToken: { id: "<x>", type_id: 0 } }];
    refuses(
      { post_processor: { type: "TemplateProcessing", single: unknown, pair: unknown } },
      /"<x>" is not in the vocab/,
    );
    refuses({ added_tokens: [], model: { type: "BPE", vocab: { a: 0 }, merges: [] } }, /no padding token/);
  });
});

test("rejects a folder without a tokenizer, or with a damaged one", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tokenizer-"));
  try {
    await expect(loadTokenizer(folderFiles(folder))).rejects.toThrow(
      /has no tokenizer: expected tokenizer\.json or one of .*vocab\.txt/,
    );
    writeFileSync(join(folder, "vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhi\n");
    expect([...(await loadTokenizer(folderFiles(folder))).encode("HI", undefined, 9).inputIds]).toEqual([2, 5, 3]);
    writeFileSync(join(folder, "tokenizer.json"), "{");
    await expect(loadTokenizer(folderFiles(folder))).rejects.toThrow(/tokenizer\.json is not valid JSON/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
