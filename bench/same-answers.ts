/**
 * How close a language model over few bits comes to the same in float32, from a GGUF file: how many answers to documents are the same, token by
 * token, the cosine of logits, and the perplexity of the documents.
 *
 *     npm run bench:same-answers -- MODEL.gguf DOCUMENTS.jsonl [FORMAT [PROMPTS]]
 *
 * DOCUMENTS is a file of DialogSum's with a `dialogue` in each line, FORMAT q4_1, q4_0 or q8_0 (q8_0), PROMPTS how many documents are answered
 * (100).
 */
import { existsSync, readFileSync } from "node:fs";
import { ANSWER_FORMATS } from "../src/architectures/base-format.ts";
import type { CachedDecoder } from "../src/inference/generation/cached-decoder.ts";
import { generateTokens } from "../src/inference/generation/generate-tokens.ts";
import { generationOptions } from "../src/inference/generation/generation-options.ts";
import type { TextReader } from "../src/inference/generation/text-reader.ts";
import { writerWithLora } from "./answers-model.ts";
import { oneOf, refuse } from "./arguments.ts";
import { PROMPT_TOKENS } from "./writing-modes.ts";

/** Tokens of an answer. */
const NEW_TOKENS = 32;
/** Texts that are read side by side. */
const TOGETHER = 8;
/** Documents whose first tokens' logits are compared, and how many of these. */
const [COMPARED, COMPARED_TOKENS] = [16, 96];

const [file = "", documents = "", given = "q8_0", prompts = "100"] = process.argv.slice(2);
for (const each of [file, documents]) if (!existsSync(each)) refuse(`there is no file "${each}"`);
const format = oneOf("format", given, ANSWER_FORMATS);

const plain = await writerWithLora(file, "float32");
const rounded = await writerWithLora(file, format);
const lines = readFileSync(documents, "utf8").trim().split("\n");
const ids = lines.map((line) => plain.tokenizer.idsOf(JSON.parse(line).dialogue).slice(0, PROMPT_TOKENS));

const options = { ...generationOptions.parse({ maxNewTokens: NEW_TOKENS }), eosTokenIds: [] };
async function answers(decoder: CachedDecoder, asked: readonly number[][]): Promise<number[][]> {
  const reader = decoder.reader();
  const written: number[][] = asked.map(() => []);
  await generateTokens(reader, asked, options, { take: ({ answer, token }) => written[answer]!.push(token) });
  reader.release();
  return written;
}

let [same, tokens] = [0, 0];
for (let start = 0; start < Number(prompts); start += TOGETHER) {
  const asked = ids.slice(start, Math.min(start + TOGETHER, Number(prompts)));
  const [left, right] = [await answers(plain.decoder, asked), await answers(rounded.decoder, asked)];
  left.forEach((own, i) => {
    const differs = own.findIndex((token, place) => token !== right[i]![place]);
    if (differs === -1) same++;
    tokens += differs === -1 ? NEW_TOKENS : differs;
  });
}
console.log(
  `${format}: ${same} of ${prompts} answers of ${NEW_TOKENS} tokens are float32's; up to the first other token ${(tokens / Number(prompts)).toFixed(1)}`,
);

const long = ids.filter(({ length }) => length === PROMPT_TOKENS).slice(0, COMPARED);
const logLikelihood = (logits: Float32Array, token: number): number => {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  return logits[token]! - most - Math.log(logits.reduce((sum, each) => sum + Math.exp(each - most), 0));
};
function cosine(a: Float32Array, b: Float32Array): number {
  let [dot, left, right] = [0, 0, 0];
  for (const [i, own] of a.entries()) {
    dot += own * b[i]!;
    left += own * own;
    right += b[i]! * b[i]!;
  }
  return dot / Math.sqrt(left * right);
}
const cosines: number[] = [];
const sums = [0, 0];
for (let start = 0; start < long.length; start += TOGETHER) {
  const texts = long.slice(start, start + TOGETHER);
  const readers: TextReader[] = [plain.decoder.reader(), rounded.decoder.reader()];
  for (let place = 0; place < COMPARED_TOKENS; place++) {
    const each: Float32Array[][] = [];
    for (const reader of readers) each.push(await reader.read(texts.map((text) => [text[place]!])));
    texts.forEach((text, i) => {
      cosines.push(cosine(each[0]![i]!, each[1]![i]!));
      each.forEach((logits, model) => {
        sums[model]! -= logLikelihood(logits[i]!, text[place + 1]!);
      });
    });
  }
  for (const reader of readers) reader.release();
}
const perplexities = sums.map((sum) => Math.exp(sum / cosines.length));
cosines.sort((a, b) => a - b);
const at = (share: number): string => cosines[Math.floor(share * (cosines.length - 1))]!.toFixed(5);
const mean = cosines.reduce((sum, each) => sum + each, 0) / cosines.length;
console.log(
  `cosine of ${cosines.length} tokens' logits to float32's: mean ${mean.toFixed(5)}, median ${at(0.5)}, the first percentile ${at(0.01)}, least ${at(0)}`,
);
console.log(
  `perplexity ${perplexities.map((each) => each.toFixed(3)).join(" in float32, ")}: ${(100 * (perplexities[1]! / perplexities[0]! - 1)).toFixed(2)} %`,
);
await plain.decoder.release();
await rounded.decoder.release();
