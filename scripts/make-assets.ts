/**
 * Makes the folder assets/ (its README files apart) from the originals:
 *
 *     npx tsx scripts/make-assets.ts MODEL_FOLDER SST2_FOLDER
 *
 * MODEL_FOLDER is sentence-transformers/all-MiniLM-L6-v2 as the hub has it; SST2_FOLDER holds GLUE's train.tsv and
 * dev.tsv of SST-2. The same inputs make the same files, byte for byte.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TensorToWrite } from "../src/checkpoints/safetensors.ts";
import { openSafetensorsFile, writeSafetensors } from "../src/checkpoints/safetensors-node.ts";
import { SENTENCE_FILES } from "../src/checkpoints/sentence-modules.ts";
import { epochOrder } from "../src/training/batches/batch-order.ts";

const SAMPLE_SEED = 42;
const SAMPLE_SIZE = 4500;
const FEWEST_WORDS = 5;

const [modelFolder, sst2Folder] = process.argv.slice(2);
if (!modelFolder || !sst2Folder) {
  console.error("usage: npx tsx scripts/make-assets.ts MODEL_FOLDER SST2_FOLDER");
  process.exit(2);
}
const assets = fileURLToPath(new URL("../assets", import.meta.url));
await makeModel(modelFolder, join(assets, "all-MiniLM-L6-v2"));
await makeSst2(sst2Folder, join(assets, "sst2"));

/** The model folder with its weights rounded to half precision and without the position ids, which are just 0, 1, 2, … */
async function makeModel(from: string, to: string): Promise<void> {
  await mkdir(join(to, "1_Pooling"), { recursive: true });
  const ofTransformers = ["config.json", "tokenizer.json", "tokenizer_config.json"];
  for (const file of [...ofTransformers, ...Object.values(SENTENCE_FILES)]) {
    await writeFile(join(to, file), await readFile(join(from, file)));
  }
  const source = await openSafetensorsFile(join(from, "model.safetensors"));
  const tensors = new Map<string, TensorToWrite>();
  for (const name of source.tensors.keys()) {
    if (!name.endsWith("position_ids")) tensors.set(name, { ...(await source.read(name)), storedAs: "F16" });
  }
  await writeSafetensors(join(to, "model.safetensors"), tensors, { format: "pt" });
}

/** The dev set as it is, and a sample of the training set's whole sentences. */
async function makeSst2(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  await writeFile(join(to, "dev.tsv"), await readFile(join(from, "dev.tsv")));
  const [header, ...lines] = (await readFile(join(from, "train.tsv"), "utf8")).trimEnd().split("\n");
  const sentences = wholeSentences(lines);
  const order = epochOrder(SAMPLE_SEED, 0, sentences.length).subarray(0, SAMPLE_SIZE);
  const sample = Array.from(order, (i) => sentences[i]);
  await writeFile(join(to, "train.tsv"), `${[header, ...sample].join("\n")}\n`);
  console.log(`${sample.length} of ${sentences.length} whole sentences, of ${lines.length} rows`);
}

/**
 * The rows of at least `FEWEST_WORDS` words whose text is no part of a longer row's: SST-2's training set holds every phrase
 * of its sentences' parse trees beside the sentences.
 */
function wholeSentences(lines: readonly string[]): string[] {
  const parts = new Set<string>();
  const whole = new Set<string>();
  const wordsOf = (line: string) => line.slice(0, line.indexOf("\t")).trim().split(" ");
  for (const line of [...lines].sort((a, b) => wordsOf(b).length - wordsOf(a).length)) {
    const words = wordsOf(line);
    if (words.length < FEWEST_WORDS) break;
    if (parts.has(words.join(" "))) continue;
    whole.add(line);
    for (let start = 0; start < words.length; start++) {
      for (let end = start + FEWEST_WORDS; end <= words.length; end++) parts.add(words.slice(start, end).join(" "));
    }
  }
  return lines.filter((line) => whole.has(line));
}
