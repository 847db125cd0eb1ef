// llama.cpp's side of bench/language-model.ts, through node-llama-cpp: for each line on stdin tokens written greedily after a
// prompt. Answers with the seconds, prompt included, and the process's peak memory in bytes.
//
//     node llama_cpp_speed.mjs FOLDER MODEL.gguf PROMPT_TOKENS NEW_TOKENS THREADS
//
// FOLDER is where `npm install node-llama-cpp` was run.
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [folder, modelPath, ...numbers] = process.argv.slice(2);
const [promptTokens, newTokens, threads] = numbers.map(Number);
const entry = createRequire(join(folder, "x.js")).resolve("node-llama-cpp");
const { getLlama } = await import(pathToFileURL(entry));
const llama = await getLlama({ gpu: false, maxThreads: threads, build: "never", logLevel: "error" });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({ contextSize: promptTokens + newTokens + 8, sequences: 1, threads });
const sequence = context.getSequence();
const prompt = Array.from({ length: promptTokens }, (_, i) => 100 + ((i * 7919) % 20_000));
for await (const _ of createInterface({ input: process.stdin })) {
  const start = performance.now();
  await sequence.clearHistory();
  let [written, next] = [0, prompt];
  // Where an answer ends early, another goes on.
  while (written < newTokens) {
    for await (const token of sequence.evaluate(next, { temperature: 0, yieldEogToken: true })) {
      written++;
      next = [model.isEogToken(token) ? prompt[0] : token];
      if (written === newTokens) break;
    }
  }
  const seconds = (performance.now() - start) / 1000;
  process.stdout.write(`${seconds} ${process.resourceUsage().maxRSS * 1024}\n`);
}
await llama.dispose();
