/**
 * Speed and memory of embedding 20,000 texts with the bundled encoder, tokenisation and all, beside a bare matrix product
 * measured alternately in the same run. The texts are the sentences of GLUE's STS-B, over and over.
 *
 *     npm run bench:embed -- STSB_FOLDER [TEXTS]
 */
import { join } from "node:path";
import { readTexts } from "../src/datasets/texts-node.ts";
import { countFlops, totalFlops } from "../src/graph/flops.ts";
import { BUNDLED_MODEL } from "../src/inference/bundled-model.ts";
import { loadEmbedder } from "../src/inference/load-embedder-node.ts";
import { head } from "../src/methods/head.ts";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";
import { embedding } from "../src/tasks/kinds/embedding.ts";
import { cutMicroBatches, sizeOf } from "../src/training/micro-batches.ts";
import { layOut } from "../src/training/model-inputs.ts";
import { TOKEN_BUDGET } from "../src/training/predictor.ts";
import { writeInference } from "../src/training/step-graph.ts";
import { BareProduct } from "./bare-product.ts";
import { median } from "./random-model.ts";

/** Texts between two looks at the bare product and the memory. */
const PART = 1000;

const [folder, count = "20000"] = process.argv.slice(2);
if (folder === undefined || !/^\d+$/.test(count)) {
  console.error("usage: npm run bench:embed -- STSB_FOLDER [TEXTS]");
  process.exit(2);
}
const runtime = nodeRuntime();
const model = await loadEmbedder(BUNDLED_MODEL, runtime);
const { base } = model;
const { maxLength } = model.description;
const { outputs, streams } = writeInference({ ...base, adaptation: head.adapt({}, []), trainsHead: () => false });
const flopsOf = countFlops(Object.values(outputs));

const sentences = (
  await Promise.all(["sentence1", "sentence2"].map((column) => readTexts(join(folder, "train.tsv"), column)))
).flat();
const texts = Array.from({ length: Number(count) }, (_, i) => sentences[i % sentences.length]!);
const shape = { tokens: TOKEN_BUDGET, hidden: base.config.hiddenSize, intermediate: 4 * base.config.hiddenSize };
const bare = await BareProduct.compile(runtime, { ...shape, layers: base.config.layerCount });

const parts: { speed: number; limit: number; memory: number }[] = [];
let [tokens, seconds] = [0, 0];
for (let start = 0; start < texts.length; start += PART) {
  const part = texts.slice(start, start + PART);
  // What the part costs, counted apart from the time.
  const encoded = part.map((text, index) => embedding.encode({ index, text }, base.tokenizer, maxLength));
  let flops = 0;
  for (const chosen of cutMicroBatches(encoded.map(sizeOf), { tokens: TOKEN_BUDGET, outputs: base.labelCount })) {
    const { sizes } = layOut(
      streams,
      chosen.map((i) => encoded[i]!),
    );
    flops += totalFlops(flopsOf(sizes));
  }
  const before = await bare.measure();
  const started = performance.now();
  await model.embed(part);
  const taken = performance.now() - started;
  const limit = (before + (await bare.measure())) / 2;
  parts.push({ speed: flops / taken / 1e6, limit, memory: process.memoryUsage.rss() });
  tokens += encoded.reduce((sum, each) => sum + sizeOf(each).tokens, 0);
  seconds += taken / 1000;
}
await model.release();
await bare.release();

const middle = (of: (part: (typeof parts)[number]) => number): number => median(parts.map(of));
const memory = (at: number): string => `${Math.round(parts[Math.min(parts.length - 1, at)]!.memory / 1e6)} MB`;
console.log(
  `${texts.length} texts, ${tokens} tokens in ${seconds.toFixed(1)} s: ${middle(({ speed }) => speed).toFixed(1)} GFLOP/s, ` +
    `bare product ${middle(({ limit }) => limit).toFixed(1)} GFLOP/s, ratio ${middle(({ speed, limit }) => speed / limit).toFixed(2)}; ` +
    `memory ${memory(1)} after ${2 * PART} texts, ${memory(parts.length - 1)} at the end (${runtime.threads} threads, medians of ${parts.length} parts)`,
);
