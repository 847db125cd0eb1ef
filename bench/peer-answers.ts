/**
 * Writes answers to documents, once for each line on stdin; answers with the seconds and the process's peak memory in bytes.
 * bench/answers.ts starts it.
 *
 *     tsx peer-answers.ts MODE BASE MODEL.gguf DOCUMENTS.jsonl THREADS
 *
 * MODE is `first` (a prompt and the first token), `write` (the tokens that follow) or `eight` (the same of eight prompts at once).
 */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { BaseFormat } from "../src/architectures/base-format.ts";
import { generateTokens } from "../src/inference/generation/generate-tokens.ts";
import { generationOptions } from "../src/inference/generation/generation-options.ts";
import { writerWithLora } from "./answers-model.ts";
import { NEW_TOKENS, PROMPT_TOKENS, type WritingMode } from "./writing-modes.ts";

const [mode, format, file, documents, threads] = process.argv.slice(2) as [
  WritingMode,
  BaseFormat,
  string,
  string,
  string,
];
const { decoder, parameters: adapter, tokenizer } = await writerWithLora(file, format, Number(threads));
const texts = readFileSync(documents, "utf8").trim().split("\n");
const prompts = texts.map((line) => tokenizer.idsOf(JSON.parse(line).dialogue).slice(0, PROMPT_TOKENS));
const long = prompts.filter(({ length }) => length === PROMPT_TOKENS);

let next = 0;
const options = {
  // No token ends an answer.
  ...generationOptions.parse({ maxNewTokens: mode === "first" ? 1 : 1 + NEW_TOKENS }),
  eosTokenIds: [],
};
for await (const _ of createInterface({ input: process.stdin })) {
  const asked = Array.from({ length: mode === "eight" ? 8 : 1 }, () => long[next++ % long.length]!);
  const reader = decoder.reader(adapter, { alone: asked.length === 1 });
  let start = performance.now();
  let isFirst = mode !== "first";
  await generateTokens(reader, asked, options, {
    take() {
      if (isFirst) start = performance.now();
      isFirst = false;
    },
  });
  const seconds = (performance.now() - start) / 1000;
  reader.release();
  process.stdout.write(`${seconds} ${process.resourceUsage().maxRSS * 1024}\n`);
}
await decoder.release();
