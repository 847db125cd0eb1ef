/**
 * Writes tokens greedily after a prompt for each line on stdin; answers with the seconds, prompt included, and the process's peak
 * memory in bytes. bench/language-model.ts starts it.
 *
 *     tsx peer-generation.ts MODEL BASE PROMPT_TOKENS NEW_TOKENS THREADS
 */
import { createInterface } from "node:readline";
import type { BaseFormat } from "../src/architectures/base-format.ts";
import { CachedDecoder } from "../src/inference/generation/cached-decoder.ts";
import { generateTokens } from "../src/inference/generation/generate-tokens.ts";
import { generationOptions } from "../src/inference/generation/generation-options.ts";
import { lora } from "../src/methods/lora.ts";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";
import { adapted, batchOf, type ConfigName, randomModel } from "./random-model.ts";

const [name, format] = process.argv.slice(2) as [ConfigName, BaseFormat];
const [promptTokens, maxNewTokens, threads] = process.argv.slice(4).map(Number) as [number, number, number];
const model = adapted(randomModel(name, format), lora);
const decoder = await CachedDecoder.compile(model, model.weights, nodeRuntime({ threads }), { constantAdapter: true });
const prompt = [...batchOf(1, promptTokens)[0]!.encoding.inputIds];
// No token ends an answer.
const options = { ...generationOptions.parse({ maxNewTokens }), eosTokenIds: [] };
for await (const _ of createInterface({ input: process.stdin })) {
  const start = performance.now();
  const reader = decoder.reader();
  await generateTokens(reader, [prompt], options, { take: () => {} });
  reader.release();
  const seconds = (performance.now() - start) / 1000;
  process.stdout.write(`${seconds} ${process.resourceUsage().maxRSS * 1024}\n`);
}
await decoder.release();
