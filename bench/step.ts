/**
 * Speed of an AFLoRA training step, dropout on, at 512-token micro-batches, with a float32 and an int8 base. Bare matrix products of
 * the same format are measured alternately in the same run. Each measurement has a process of its own, so that peak memory is its own.
 * `bart-large`, the encoder-decoder, is measured only if it is named, because it takes minutes: it reads 4 texts of 512 tokens, each
 * with 64 tokens to write, text by text.
 *
 *     npm run bench:step [-- MODEL [BASE]]
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { aflora } from "../src/methods/aflora.ts";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";
import { crossEntropy, indexCrossEntropy } from "../src/tasks/losses/objective.ts";
import { TrainingStep } from "../src/training/step.ts";
import { oneOf } from "./arguments.ts";
import { BareProduct } from "./bare-product.ts";
import {
  adapted,
  BART_LARGE,
  batchOf,
  ENCODER_NAMES,
  ENCODERS,
  type EncoderName,
  median,
  randomModel,
  textPairs,
} from "./random-model.ts";

const BART = "bart-large";
type Model = EncoderName | typeof BART;
const BASES = ["float32", "int8"] as const;
type Base = (typeof BASES)[number];

/** Examples of a step, the tokens of their texts, and how wide a model is. */
function shapeOf(name: Model) {
  if (name === BART) {
    const { d_model: hidden, encoder_ffn_dim: intermediate } = BART_LARGE;
    const [rows, length, decoderLength] = [4, 512, 64];
    const batch = textPairs(rows, length, decoderLength);
    // As many products as are worth timing: there is no need for as many weights as the model has.
    const bare = { tokens: length + decoderLength, hidden, intermediate, layers: 6 };
    return { batch, bare, said: `${rows} x (${length} + ${decoderLength})` };
  }
  const { hidden_size: hidden, intermediate_size: intermediate, num_hidden_layers: layers } = ENCODERS[name];
  const [rows, length] = [8, 64];
  const bare = { tokens: rows * length, hidden, intermediate, layers };
  return { batch: batchOf(rows, length), bare, said: `${rows} x ${length}` };
}

const ROUNDS = 9;
const WARM_UP = 2;

async function measure(name: Model, base: Base): Promise<void> {
  const runtime = nodeRuntime();
  const { batch, bare: products, said } = shapeOf(name);
  const model = adapted(randomModel(name, base), aflora);
  const settings = {
    objective: name === BART ? indexCrossEntropy : crossEntropy,
    tokenBudget: products.tokens,
    dropout: true,
    seed: 1,
  } as const;
  const step = await TrainingStep.compile(model, model.weights, runtime, settings);
  const bare = await BareProduct[base](runtime, products);

  const speeds: { step: number; bare: number; ratio: number }[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = await bare.measure();
    const start = performance.now();
    const { flops } = await step.run(round, batch);
    const speed = flops / (performance.now() - start) / 1e6;
    const limit = (before + (await bare.measure())) / 2;
    if (round >= WARM_UP) speeds.push({ step: speed, bare: limit, ratio: speed / limit });
  }

  // The compilation that freezing half of the projection matrices brings about.
  const { freezable = [], trainable } = model.adaptation;
  const left = new Set([...trainable].filter((parameter) => freezable.indexOf(parameter) % 2 < 1));
  await step.release();
  const frozen = await TrainingStep.compile({ ...model, trainable: left }, model.weights, runtime, settings);
  await frozen.release();
  await bare.release();

  const middle = (key: "step" | "bare" | "ratio"): number => median(speeds.map((speed) => speed[key]));
  console.log(
    `${name}, ${base}: step ${middle("step").toFixed(1)} GFLOP/s, bare product ${middle("bare").toFixed(1)} GFLOP/s, ratio ${middle("ratio").toFixed(2)}; ` +
      `peak memory ${Math.round(process.resourceUsage().maxRSS / 1e3)} MB; compiled again after a freeze in ${(frozen.compileSeconds * 1000).toFixed(0)} ms ` +
      `(${said} tokens, ${runtime.threads} threads, medians of ${speeds.length} rounds)`,
  );
}

const [wanted, wantedBase, child] = process.argv.slice(2);
if (child === "--here") {
  await measure(wanted as Model, wantedBase as Base);
} else {
  const bases = wantedBase ? [oneOf<Base>("base", wantedBase, BASES)] : BASES;
  for (const name of wanted ? [oneOf<Model>("model", wanted, [...ENCODER_NAMES, BART])] : ENCODER_NAMES) {
    for (const base of bases) {
      const script = fileURLToPath(import.meta.url);
      spawnSync(process.execPath, [...process.execArgv, script, name, base, "--here"], { stdio: "inherit" });
    }
  }
}
