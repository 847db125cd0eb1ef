/**
 * Embeds texts, once for each line on stdin; answers with the seconds and the process's peak memory in bytes. bench/embed.ts starts it.
 *
 *     tsx peer-embed.ts MODEL BASE TEXTS.json THREADS
 */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { BaseFormat } from "../src/architectures/base-format.ts";
import { loadEmbedder } from "../src/inference/load-embedder-node.ts";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";

const [name, base, file, threads] = process.argv.slice(2) as [string, BaseFormat, string, string];
const model = await loadEmbedder(name, nodeRuntime({ threads: Number(threads) }), { base });
const texts = JSON.parse(readFileSync(file, "utf8")) as string[];
for await (const _ of createInterface({ input: process.stdin })) {
  const start = performance.now();
  await model.embed(texts);
  process.stdout.write(`${(performance.now() - start) / 1000} ${process.resourceUsage().maxRSS * 1024}\n`);
}
await model.release();
