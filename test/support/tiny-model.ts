import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const BERT = fileURLToPath(new URL("../fixtures/models/bert-1/", import.meta.url));

/** Words of the tiny model's vocabulary, beside BERT's special tokens. */
const WORDS =
  "my the a card was charged twice app does not open crash bill invoice money refund screen button login where is order parcel late lost when comes again please help".split(
    " ",
  );

/**
 * Writes a model folder that trains in milliseconds: the small BERT of the fixtures, with a vocabulary.
 * @param blocks how many of its two blocks the model has; graphs of two take almost twice as long to compile
 */
export async function writeTinyModel(directory: string, blocks: 1 | 2 = 1): Promise<string> {
  await mkdir(directory, { recursive: true });
  await cp(join(BERT, "model.safetensors"), join(directory, "model.safetensors"));
  const config = JSON.parse(await readFile(join(BERT, "config.json"), "utf8"));
  await writeFile(join(directory, "config.json"), JSON.stringify({ ...config, num_hidden_layers: blocks }));
  await writeVocabulary(directory);
  return directory;
}

/** Writes the vocabulary of a model folder. @returns its size */
export async function writeVocabulary(directory: string): Promise<number> {
  const words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ...WORDS];
  await writeFile(join(directory, "vocab.txt"), words.map((word) => `${word}\n`).join(""));
  return words.length;
}

const TEXTS: Record<string, string[]> = {
  billing: ["my card was charged twice", "the invoice is late", "refund my money please", "a bill again", "money lost"],
  bug: ["the app does not open", "crash again", "the login button does not help", "screen crash when open", "a crash"],
  delivery: [
    "where is my order",
    "the parcel is late",
    "parcel lost please help",
    "when comes my parcel",
    "order late",
  ],
};

/** Support tickets of three teams, as rows: 15 texts, each `repeats` times with another word before it. */
export function tickets(repeats = 3): { message: string; team: string }[] {
  return Array.from({ length: repeats }, (_, i) =>
    Object.entries(TEXTS).flatMap(([team, texts]) => texts.map((text) => ({ message: `${WORDS[i]!} ${text}`, team }))),
  ).flat();
}

/** Writes rows as a CSV file, nothing in them needing quotes. */
export async function writeCsv(path: string, rows: readonly Record<string, string | number>[]): Promise<string> {
  const lines = [Object.keys(rows[0]!), ...rows.map((row) => Object.values(row))];
  await writeFile(path, lines.map((cells) => `${cells.join(",")}\n`).join(""));
  return path;
}
