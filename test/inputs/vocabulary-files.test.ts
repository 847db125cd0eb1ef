import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Tokenizer } from "@huggingface/tokenizers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { folderFiles } from "../../src/checkpoints/file-source-node.ts";
import { UserError } from "../../src/errors.ts";
import { makeExact } from "../../src/inputs/library-patches.ts";
import { readVocabularyFiles } from "../../src/inputs/read-vocabulary-files.ts";

const fixtures = fileURLToPath(new URL("../fixtures/tokenizers", import.meta.url));
const readJson = async (path: string) => JSON.parse(await readFile(path, "utf8"));

describe("tokenizers without tokenizer.json", () => {
  let folder: string;
  let texts: [string, string?][];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "aflora-vocabulary-"));
    texts = await readJson(join(fixtures, "texts.json"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it.each([
    ["bert-uncased", ["config.json", "vocab.txt"]],
    ["bert-cased", ["config.json", "tokenizer_config.json", "vocab.txt"]],
    ["mpnet", ["config.json", "vocab.txt"]],
    ["roberta", ["config.json", "vocab.json", "merges.txt"]],
    ["xlm-roberta", ["config.json", "sentencepiece.bpe.model"]],
    ["camembert", ["config.json", "../xlm-roberta/sentencepiece.bpe.model"]],
    ["deberta-v2", ["config.json", "tokenizer_config.json", "spm.model"]],
  ])("%s gives the ids of Transformers on 500 real and odd texts and pairs", async (kind, files) => {
    const place = await mkdtemp(join(folder, kind));
    for (const file of files) await copyFile(join(fixtures, kind, file), join(place, file.split("/").at(-1)!));
    const { tokenizer: json, config } = (await readVocabularyFiles(folderFiles(place)))!;
    const tokenizer = new Tokenizer(json, config);
    makeExact(tokenizer as unknown as Parameters<typeof makeExact>[0], json, "here");
    const expected: { inputIds: number[]; tokenTypeIds?: number[] }[] = await readJson(
      join(fixtures, kind, "ids.json"),
    );
    for (const [i, [text, textPair = null]] of texts.entries()) {
      const found = tokenizer.encode(text, { text_pair: textPair, return_token_type_ids: true });
      expect(found.ids, JSON.stringify(text)).toEqual(expected[i]!.inputIds);
      // Kept if the model distinguishes the second text.
      if (expected[i]!.tokenTypeIds) expect(found.token_type_ids).toEqual(expected[i]!.tokenTypeIds);
    }
  });

  const build = async (files: Record<string, string | Uint8Array>) => {
    const place = await mkdtemp(join(folder, "built-"));
    for (const [name, content] of Object.entries(files)) await writeFile(join(place, name), content);
    return readVocabularyFiles(folderFiles(place));
  };

  it("keeps added tokens from either kind of settings file", async () => {
    const vocabulary = { "vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\nhi\n" };
    const older = await build({ ...vocabulary, "added_tokens.json": '{"<new>": 5}' });
    const settings = { added_tokens_decoder: { 5: { content: "<new>" } }, pad_token: { content: "[PAD]" } };
    const newer = await build({ ...vocabulary, "tokenizer_config.json": JSON.stringify(settings) });
    for (const built of [older, newer]) {
      // [MASK], which the vocabulary lacks, has the last id.
      expect(built!.tokenizer.added_tokens.map(({ id, content }) => [id, content])).toEqual([
        [0, "[PAD]"],
        [1, "[UNK]"],
        [2, "[CLS]"],
        [3, "[SEP]"],
        [5, "<new>"],
        [6, "[MASK]"],
      ]);
      expect(built!.config.pad_token).toBe("[PAD]");
      expect(new Tokenizer(built!.tokenizer, built!.config).encode("hi <new>").ids).toEqual([2, 4, 5, 3]);
    }
  });

  it("reports files that it cannot read, by name", async () => {
    expect(await build({ "config.json": "{}" })).toBeUndefined();
    await expect(build({ "vocab.json": "{}" })).rejects.toThrow(/no merges\.txt/);
    await expect(build({ "vocab.json": "{", "merges.txt": "" })).rejects.toThrow(/vocab\.json is not valid JSON/);
    await expect(build({ "spm.model": "no model" })).rejects.toThrow(/spm\.model is .*not a SentencePiece model/);
    await expect(build({ "spm.model": new Uint8Array() })).rejects.toThrow(UserError);
    const bpe = new Uint8Array([10, 3, 10, 1, 97, 18, 2, 24, 2]);
    await expect(build({ "spm.model": bpe })).rejects.toThrow(/not a unigram model/);
  });
});
