// llama.cpp's side of bench/answers.ts, through node-llama-cpp: answers to documents, once for each line on stdin. Answers with the seconds
// and the process's peak memory in bytes.
//
//     node llama_cpp_answers.mjs FOLDER MODE MODEL.gguf ADAPTER.gguf DOCUMENTS.jsonl PROMPT_TOKENS NEW_TOKENS THREADS
//
// FOLDER is where `npm install node-llama-cpp` was run; MODE is first, write or eight, as in bench/writing-modes.ts.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [folder, mode, modelPath, lora, documents, ...numbers] = process.argv.slice(2);
const [promptTokens, newTokens, threads] = numbers.map(Number);
const entry = createRequire(join(folder, "x.js")).resolve("node-llama-cpp");
const { getLlama } = await import(pathToFileURL(entry));
const llama = await getLlama({ gpu: false, maxThreads: threads, build: "never", logLevel: "error" });
const model = await llama.loadModel({ modelPath });
const count = mode === "eight" ? 8 : 1;
const contextSize = promptTokens + newTokens + 8;
const context = await model.createContext({ contextSize, sequences: count, threads, lora });
const sequences = Array.from({ length: count }, () => context.getSequence());
const prompts = readFileSync(documents, "utf8")
  .trim()
  .split("\n")
  .map((line) => model.tokenize(JSON.parse(line).dialogue).slice(0, promptTokens))
  .filter(({ length }) => length === promptTokens);
let nextPrompt = 0;

/** Writes on, where an answer ends too. @returns the token to go on from */
async function write(sequence, ids, tokens) {
  let [written, next] = [0, ids];
  while (written < tokens) {
    for await (const token of sequence.evaluate(next, { temperature: 0, yieldEogToken: true })) {
      written++;
      next = [model.isEogToken(token) ? ids[0] : token];
      if (written === tokens) break;
    }
  }
  return next;
}

for await (const _ of createInterface({ input: process.stdin })) {
  const asked = sequences.map(() => prompts[nextPrompt++ % prompts.length]);
  for (const sequence of sequences) await sequence.clearHistory();
  let start = performance.now();
  const firsts = await Promise.all(sequences.map((sequence, i) => write(sequence, asked[i], 1)));
  if (mode !== "first") {
    start = performance.now();
    await Promise.all(sequences.map((sequence, i) => write(sequence, firsts[i], newTokens)));
  }
  const seconds = (performance.now() - start) / 1000;
  process.stdout.write(`${seconds} ${process.resourceUsage().maxRSS * 1024}\n`);
}
await llama.dispose();
