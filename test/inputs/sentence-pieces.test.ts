import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { folderFiles } from "../../src/checkpoints/file-source-node.ts";
import { loadTokenizer } from "../../src/inputs/load-tokenizer.ts";

const fixtures = fileURLToPath(new URL("../fixtures/tokenizers/pieces", import.meta.url));

interface Slow {
  texts: [string, string?][];
  folders: Record<string, { model: string; settings: object | null; ids: number[][]; decoded: string[] }>;
}

describe("folders with tokenizer.model alone", () => {
  let folder: string;
  let slow: Slow;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "aflora-pieces-"));
    slow = JSON.parse(await readFile(join(fixtures, "slow.json"), "utf8"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const load = async (name: string) => {
    const { model, settings } = slow.folders[name]!;
    const place = await mkdtemp(join(folder, "model-"));
    await copyFile(join(fixtures, `${model}.model`), join(place, "tokenizer.model"));
    if (settings) await writeFile(join(place, "tokenizer_config.json"), JSON.stringify(settings));
    return loadTokenizer(folderFiles(place));
  };

  it.each([
    // Byte pairs with Llama's settings; bos, eos, added tokens; neither bos nor a space before the text.
    ["llama", /never^/],
    ["llama-2", /never^/],
    ["llama-bare", /never^/],
    ["unigram", /never^/],
    // Rules replace characters; Transformers' other tokenizers apply them to graphemes, and these two texts hold some
    // that SentencePiece takes apart.
    ["plain", /^字ﬁ|^ oα {2},\n/],
    // Spaces that are written as "▁" are no symbols of the model.
    ["symbols", /▁ ▁▁/],
  ])("%s gives the ids of Transformers' slow tokenizer", async (name, apart) => {
    const tokenizer = await load(name);
    for (const [i, [text, pair]] of slow.texts.entries()) {
      const found = [...tokenizer.encode(text, pair, 10_000).inputIds];
      const { ids } = slow.folders[name]!;
      if (apart.test(text)) expect(found, JSON.stringify(text)).not.toEqual(ids[i]);
      else expect(found, JSON.stringify(text)).toEqual(ids[i]);
    }
  });

  it.each(["llama", "llama-2", "unigram", "symbols"])("%s writes the texts of its ids", async (name) => {
    const tokenizer = await load(name);
    const plain = slow.texts.flatMap(([text], i) =>
      /^[ ▁\ufeff]|<|\[PAD|▁|\ufeff/.test(text) ? [] : [[text, slow.folders[name]!.decoded[i]!] as const],
    );
    expect(plain.length).toBeGreaterThan(100);
    for (const [text, written] of plain) expect(tokenizer.decode(tokenizer.idsOf(text))).toBe(written);
  });

  it("tells what each token writes, and finds its special tokens", async () => {
    const tokenizer = await load("llama");
    const bytes = tokenizer.tokenBytes();
    expect(bytes[3 + 0xe4]).toEqual(Uint8Array.of(0xe4));
    const written = tokenizer.idsOf("日 x").flatMap((id) => [...bytes[id]!]);
    expect(new TextDecoder().decode(Uint8Array.from(written))).toBe(" 日 x");
    expect(tokenizer.specialTokens).toEqual({ bos: { id: 1, text: "<s>" }, eos: { id: 2, text: "</s>" } });
    expect((await load("llama-2")).padTokenId).toBe(801);
    expect((await load("symbols")).padTokenId).toBe(3);
  });

  it("refuses models of words, and files that are none, by name", async () => {
    const refused = async (bytes: Uint8Array) => {
      const place = await mkdtemp(join(folder, "refused-"));
      await writeFile(join(place, "tokenizer.model"), bytes);
      return expect(loadTokenizer(folderFiles(place))).rejects;
    };
    const words = new Uint8Array([10, 3, 10, 1, 97, 18, 2, 24, 3]);
    await (await refused(words)).toThrow(/tokenizer\.model is a SentencePiece model of words/);
    await (await refused(new TextEncoder().encode("IQ== 0\nIg== 1\n"))).toThrow(/not a SentencePiece model/);
    // One piece as long as no tokenizer's.
    const long = Buffer.concat([Buffer.from([10, 0x84, 0x80, 2, 10, 0x80, 0x80, 2]), Buffer.alloc(32768, 97)]);
    const type = Buffer.from([18, 2, 24, 2]);
    await (await refused(Buffer.concat([long, type]))).toThrow(/longer than any tokenizer's/);
  });
});
