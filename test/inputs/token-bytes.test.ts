import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { folderFiles } from "../../src/checkpoints/file-source-node.ts";
import { modelFiles } from "../../src/checkpoints/model-folder-node.ts";
import { UserError } from "../../src/errors.ts";
import { loadTokenizer } from "../../src/inputs/load-tokenizer.ts";
import { bytesOfTokens } from "../../src/inputs/token-bytes.ts";

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
const textOf = (bytes: readonly (Uint8Array | undefined)[]): string =>
  new TextDecoder().decode(Uint8Array.from(bytes.flatMap((each) => [...(each ?? [])])));

test("bytes of a byte-level tokenizer's tokens equal the text's", async () => {
  const tokenizer = await loadTokenizer(folderFiles(fixture("chat/tokenizer")));
  const bytes = tokenizer.tokenBytes();
  const text = 'Größe: "5", 東京 😀\n\t{}';
  expect(textOf(tokenizer.idsOf(text).map((id) => bytes[id]))).toBe(text);
  expect(new Set(bytes.filter((each) => each?.length === 1).map((each) => each![0])).size).toBe(256);
  const { eos } = tokenizer.specialTokens;
  expect(bytes[eos!.id]).toBeUndefined();
});

test.each(["gemma3", "llama", "llama3", "gpt2"])(
  "bytes of %s in GGUF equal the text's, except for a leading space",
  async (name) => {
    const tokenizer = await loadTokenizer(await modelFiles(fixture(`gguf/${name}.gguf`)));
    const bytes = tokenizer.tokenBytes();
    const text = 'Größe: "5", 東京 😀\n\t{}';
    expect(textOf(tokenizer.idsOf(text).map((id) => bytes[id])).trimStart()).toBe(text);
  },
);

describe("SentencePiece tokens", () => {
  const added = { id: 4, content: "<tool>", special: false };
  const library = {
    model: { tokens_to_ids: new Map(), vocab: ["<s>", "▁a▁b", "<0xE2>", "é", "<tool>"] },
    added_tokens: [added],
    special_tokens: ["<s>"],
  };
  const steps = [
    { type: "Replace", pattern: { String: "▁" }, content: " " },
    { type: "ByteFallback" },
    { type: "Fuse" },
    { type: "Strip", content: " ", start: 1, stop: 0 },
  ];

  test("write spaces, bytes, and added tokens", () => {
    const found = bytesOfTokens(library, { type: "Sequence", decoders: steps }, "here");
    expect(found[0]).toBeUndefined();
    expect(found[2]).toEqual(Uint8Array.of(0xe2));
    expect([1, 3, 4].map((id) => textOf([found[id]]))).toEqual([" a b", "é", "<tool>"]);
    expect(textOf([bytesOfTokens(library, { type: "Metaspace", replacement: "▁" }, "here")[2]])).toBe("<0xE2>");
  });

  test("are rejected if a token's text depends on its neighbours", () => {
    expect(() => bytesOfTokens(library, { type: "WordPiece" }, "here")).toThrow(UserError);
    expect(() => bytesOfTokens(library, null, "here")).toThrow(/decoder missing/);
  });
});
