import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openSafetensorsFile, writeSafetensors } from "../../src/checkpoints/safetensors-node.ts";
import { readTensors } from "../../src/checkpoints/tensor-source.ts";
import { withFewerBlocks } from "./fewer-blocks.ts";

const LETTERS = [..."abcdefghijklmnopqrstuvwxyz"];

/** A tokenizer that knows letters alone, so that most words come to several tokens. */
function letterTokenizer(padTokenId: number): object {
  const special = ["[UNK]", "[CLS]", "[SEP]"];
  special.splice(padTokenId, 0, "[PAD]");
  const tokens = [...special, ...LETTERS, ...LETTERS.map((letter) => `##${letter}`), ".", ",", "-"];
  const id = (token: string): number => tokens.indexOf(token);
  const mark = (token: string) => ({ SpecialToken: { id: token, type_id: 0 } });
  const text = (name: string) => ({ Sequence: { id: name, type_id: 0 } });
  return {
    version: "1.0",
    added_tokens: special.map((content) => ({ id: id(content), content, special: true, single_word: false })),
    normalizer: { type: "BertNormalizer", clean_text: true, lowercase: true, handle_chinese_chars: true },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: {
      type: "TemplateProcessing",
      single: [mark("[CLS]"), text("A"), mark("[SEP]")],
      pair: [mark("[CLS]"), text("A"), mark("[SEP]"), text("B"), mark("[SEP]")],
      special_tokens: {
        "[CLS]": { id: "[CLS]", ids: [id("[CLS]")], tokens: ["[CLS]"] },
        "[SEP]": { id: "[SEP]", ids: [id("[SEP]")], tokens: ["[SEP]"] },
      },
    },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: "[UNK]",
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(tokens.map((token, i) => [token, i])),
    },
  };
}

/**
 * Writes a model folder of any family: a small random model of the fixtures with a tokenizer of letters.
 * @param blocks at most so many; the fixtures have two to four
 * @param settings replace those of its config.json
 */
export async function writeTinyFamily(
  directory: string,
  name: string,
  { blocks = 4, ...settings }: { blocks?: number } & Record<string, unknown> = {},
): Promise<string> {
  const fixture = fileURLToPath(new URL(`../fixtures/models/${name}/`, import.meta.url));
  await mkdir(directory, { recursive: true });
  const config = JSON.parse(await readFile(join(fixture, "config.json"), "utf8"));
  await writeFile(join(directory, "config.json"), JSON.stringify({ ...withFewerBlocks(config, blocks), ...settings }));
  await writeFile(join(directory, "tokenizer.json"), JSON.stringify(letterTokenizer(config.pad_token_id ?? 0)));
  await cp(join(fixture, "model.safetensors"), join(directory, "model.safetensors"));
  return directory;
}

/** Takes everything but the backbone out of a model folder, as checkpoints of pretraining have no head. */
export async function removeHead(directory: string, prefix: string): Promise<void> {
  const path = join(directory, "model.safetensors");
  const source = await openSafetensorsFile(path);
  const tensors = await readTensors(source);
  const kept = [...tensors].filter(([name]) => name.startsWith(`${prefix}.`) && !/pooler/.test(name));
  await writeSafetensors(path, new Map(kept));
}

/** Words of three letters: those of a name begin with x or z. */
const word = (i: number, first: string): string => `${first}${LETTERS[(i * 7) % 26]}${LETTERS[(i * 3) % 26]}`;

/** Sentences with a PER of one or two words (x) and at times a LOC (z), each word with its tag. */
export function taggedSentences(count: number): { words: string[]; tags: string[] }[] {
  return Array.from({ length: count }, (_, i) => {
    const sentence = [
      [word(i, "a"), "O"],
      [word(i + 1, "x"), "B-PER"],
      ...(i % 2 ? [[word(i + 2, "x"), "I-PER"]] : []),
      [word(i + 3, "b"), "O"],
      ...(i % 3 ? [[word(i + 4, "z"), "B-LOC"]] : []),
      [".", "O"],
    ] as [string, string][];
    return { words: sentence.map(([each]) => each), tags: sentence.map(([, tag]) => tag) };
  });
}

/** The sentences as a CoNLL file has them. */
export const conll = (sentences: readonly { words: string[]; tags: string[] }[]): string =>
  sentences.map(({ words, tags }) => `${words.map((each, i) => `${each} ${tags[i]}\n`).join("")}\n`).join("");
