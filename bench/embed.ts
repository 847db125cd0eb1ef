/**
 * Speed and memory of embedding 20,000 texts with the bundled encoder, tokenisation and all, beside a bare matrix product
 * measured alternately in the same run. The texts are the sentences of GLUE's STS-B, over and over.
 *
 *     npm run bench:embed -- STSB_FOLDER [TEXTS]
 *     npm run bench:embed -- --peer PYTHON STSB_FOLDER [MODEL [ROUNDS]]
 *
 * `--peer` embeds 3,000 of the sentences over a base in float32 and in 8 bits, in turn with sentence-transformers in float32 and with its ONNX
 * backend in 8 bits, each in a process of its own (PYTHON has what oracle/embed_speed.py needs), and says how near the vectors over both
 * bases are. MODEL is a folder that all can read (the bundled encoder's), ROUNDS how often each goes (9).
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { BaseFormat } from "../src/architectures/base-format.ts";
import { BUNDLED_MODEL } from "../src/base-models/bundled-model.ts";
import { modelDirectory } from "../src/base-models/load-base-model-node.ts";
import { readTexts } from "../src/datasets/texts-node.ts";
import { countFlops, totalFlops } from "../src/graph/flops.ts";
import { loadEmbedder } from "../src/inference/load-embedder-node.ts";
import { head } from "../src/methods/head.ts";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";
import { embedding } from "../src/tasks/kinds/embedding.ts";
import { spearman } from "../src/tasks/metrics/metrics.ts";
import { dot, unitVector } from "../src/tasks/vectors.ts";
import { cutMicroBatches, exampleSize, runBudget } from "../src/training/batches/micro-batches.ts";
import { layOut } from "../src/training/batches/model-inputs.ts";
import { TOKEN_BUDGET } from "../src/training/prediction/predictor.ts";
import { writeInference } from "../src/training/step-graph.ts";
import { pythonOf, refuse } from "./arguments.ts";
import { BareProduct } from "./bare-product.ts";
import { Contestant, inTurn, ROUNDS, tableOf } from "./contestant.ts";
import { median } from "./random-model.ts";

/** Texts between two looks at the bare product and the memory. */
const PART = 1000;
/** Sentences that all contestants embed. */
const PEER_TEXTS = 3000;
const BASES: readonly BaseFormat[] = ["float32", "int8"];

/** The sentences of one of STS-B's files: the first of each pair, then the second. */
async function sentencesOf(folder: string, file: "train" | "dev"): Promise<string[]> {
  const columns = ["sentence1", "sentence2"].map((column) => readTexts(join(folder, `${file}.tsv`), column));
  return (await Promise.all(columns)).flat();
}

async function measure(folder: string, count: number): Promise<void> {
  const runtime = nodeRuntime();
  const model = await loadEmbedder(BUNDLED_MODEL, runtime);
  const { base } = model;
  const { maxLength } = model.description;
  const { outputs, streams } = writeInference({ ...base, adaptation: head.adapt({}, []), trainsHead: () => false });
  const flopsOf = countFlops(Object.values(outputs));

  const sentences = await sentencesOf(folder, "train");
  const texts = Array.from({ length: count }, (_, i) => sentences[i % sentences.length]!);
  const shape = { tokens: TOKEN_BUDGET, hidden: base.config.hiddenSize, intermediate: 4 * base.config.hiddenSize };
  const bare = await BareProduct.float32(runtime, { ...shape, layers: base.config.layerCount });

  const parts: { speed: number; limit: number; memory: number }[] = [];
  let [tokens, seconds] = [0, 0];
  for (let start = 0; start < texts.length; start += PART) {
    const part = texts.slice(start, start + PART);
    // What the part costs, counted apart from the time.
    const encoded = part.map((text, index) => embedding.encode({ index, text }, base.tokenizer, maxLength));
    let flops = 0;
    for (const chosen of cutMicroBatches(encoded.map(exampleSize), runBudget(base, TOKEN_BUDGET))) {
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
    tokens += encoded.reduce((sum, each) => sum + exampleSize(each).tokens, 0);
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
}

/** Each embeds the sentences in turn. */
async function compareSpeed(
  python: string,
  model: string,
  sentences: readonly string[],
  rounds: number,
): Promise<void> {
  const threads = String(availableParallelism());
  const home = await mkdtemp(join(tmpdir(), "aflora-embed-"));
  const file = join(home, "sentences.json");
  await writeFile(file, JSON.stringify(sentences));
  const pathOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
  const own = BASES.map((base) => {
    const args = [...process.execArgv, pathOf("peer-embed.ts"), model, base, file, threads];
    return new Contestant(`aflora, ${base}`, process.execPath, args);
  });
  const theirs = Object.entries({ torch: "float32", onnx: "ONNX, int8" }).map(([backend, name]) => {
    const args = [pathOf("../oracle/embed_speed.py"), modelDirectory(model), backend, file, threads];
    return new Contestant(`sentence-transformers, ${name}`, python, args);
  });
  await inTurn([...own, ...theirs], rounds);
  const embedder = await loadEmbedder(model);
  const tokens = sentences.reduce((sum, text) => sum + embedder.tokenIds(text).length, 0);
  await embedder.release();
  const size = `${sentences.length} sentences, ${tokens} tokens`;
  console.log(`${size} (${threads} threads, medians of ${rounds} rounds, ratios with their range)`);
  console.log(tableOf([...own, ...theirs], own, tokens));
  await rm(home, { recursive: true });
}

/** How near vectors over 8 bits are to those over float32, and how well both rank STS-B's pairs. */
async function compareVectors(folder: string, name: string): Promise<void> {
  const scores = (await readTexts(join(folder, "dev.tsv"), "score")).map(Number);
  const sentences = await sentencesOf(folder, "dev");
  const vectorsOf = async (base: BaseFormat): Promise<Float32Array[]> => {
    const model = await loadEmbedder(name, undefined, { base });
    const vectors = await model.embed(sentences);
    await model.release();
    return vectors.map((vector) => unitVector(vector));
  };
  const [float32, int8] = [await vectorsOf("float32"), await vectorsOf("int8")];
  const correlation = (vectors: readonly Float32Array[]): string => {
    const similarities = scores.map((_, i) => dot(vectors[i]!, vectors[scores.length + i]!));
    return spearman(similarities, scores).toFixed(4);
  };
  const cosines = float32.map((vector, i) => dot(vector, int8[i]!));
  const mean = cosines.reduce((sum, cosine) => sum + cosine, 0) / cosines.length;
  console.log(
    `STS-B, ${scores.length} pairs: Spearman ${correlation(float32)} in float32, ${correlation(int8)} in int8; ` +
      `cosine of a sentence's vectors ${mean.toFixed(4)} on average, ${Math.min(...cosines).toFixed(4)} at least`,
  );
}

const { values, positionals } = parseArgs({ options: { peer: { type: "string" } }, allowPositionals: true });
const [folder, ...rest] = positionals;
if (folder === undefined) refuse("give the folder of STS-B's files");
if (values.peer === undefined) {
  const [count = "20000"] = rest;
  if (!/^[1-9]\d*$/.test(count)) refuse(`"${count}" is no number of texts`);
  await measure(folder, Number(count));
} else {
  const [name = BUNDLED_MODEL, rounds = String(ROUNDS)] = rest;
  if (!/^[1-9]\d*$/.test(rounds)) refuse(`"${rounds}" is no number of rounds`);
  const model = name === BUNDLED_MODEL ? name : resolve(name);
  const sentences = (await sentencesOf(folder, "train")).slice(0, PEER_TEXTS);
  await compareSpeed(pythonOf(values.peer), model, sentences, Number(rounds));
  await compareVectors(folder, model);
}
