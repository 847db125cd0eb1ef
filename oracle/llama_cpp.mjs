// What llama.cpp writes after prompts, greedily, with a model in GGUF and perhaps an adapter, through node-llama-cpp.
//
//     node llama_cpp.mjs FOLDER MODEL.gguf [ADAPTER.gguf] < asked.json
//
// FOLDER is where `npm install node-llama-cpp` was run; asked.json is { "prompts": ids of each, "tokens": how many to write }.
// Prints the ids that were written, an array for each prompt; an end token is the last.
import { createRequire } from "node:module";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

const [folder, modelPath, adapter] = process.argv.slice(2);
const { prompts, tokens } = JSON.parse(await text(process.stdin));
const entry = createRequire(join(folder, "x.js")).resolve("node-llama-cpp");
const { getLlama } = await import(pathToFileURL(entry));
const llama = await getLlama({ gpu: false, maxThreads: 1, build: "never", logLevel: "error" });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({ contextSize: 512, sequences: 1, threads: 1, ...(adapter && { lora: adapter }) });
const sequence = context.getSequence();
const answers = [];
for (const prompt of prompts) {
  await sequence.clearHistory();
  const answer = [];
  for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    answer.push(token);
    if (model.isEogToken(token) || answer.length === tokens) break;
  }
  answers.push(answer);
}
process.stdout.write(`${JSON.stringify(answers)}\n`);
await llama.dispose();
