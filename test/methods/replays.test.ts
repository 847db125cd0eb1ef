import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { openSafetensorsFile } from "../../src/checkpoints/safetensors-node.ts";
import type { TensorSource } from "../../src/checkpoints/tensor-source.ts";
import { aflora } from "../../src/methods/aflora.ts";
import { findMethod } from "../../src/methods/methods.ts";
import { learningRateFactor } from "../../src/training/optimizer/learning-rate.ts";
import {
  Bench,
  batches,
  layersOf,
  openFixture,
  type Row,
  readBase,
  readJson,
  relativeError,
  smallBert,
} from "../support/small-bert.ts";

/** Content of a method's JSON fixture (oracle/README.md). */
interface Trace {
  modules: string[];
  point: { logits: number[][]; loss: number };
  steps: { loss: number; ranks?: number[]; zeroGates?: number[] }[];
  rankPattern?: Record<string, boolean[]>;
}

const traces = {
  lora: ["lora", ({ rank, alpha }) => ({ rank, alpha })],
  "lora-rs": ["lora", ({ rank, alpha }) => ({ rank, alpha, useRslora: true })],
  "lora-fa": ["lora", ({ rank, alpha }) => ({ rank, alpha, freezeA: true })],
  "lora-plus": ["lora", ({ rank, alpha, ratio }) => ({ rank, alpha, loraplusLrRatio: ratio })],
  dora: ["lora", ({ rank, alpha }) => ({ rank, alpha, useDora: true })],
  pissa: ["lora", ({ rank, alpha }) => ({ rank, alpha, initLoraWeights: "pissa" })],
  psoft: ["psoft", ({ rank }) => ({ rank })],
  vera: ["vera", ({ rank }) => ({ rank, sharing: "sliced" })],
  adalora: [
    "adalora",
    (facts) => ({
      rank: facts.targetRank,
      initialRank: facts.initialRank,
      alpha: facts.alpha,
      pruneInitial: facts.initialSteps,
      pruneFinal: facts.finalSteps,
      pruneInterval: facts.interval,
      orthogonality: facts.orthogonalWeight,
      beta1: facts.beta1,
      beta2: facts.beta2,
    }),
  ],
  sora: [
    "sora",
    (facts) => ({
      rank: facts.rank,
      alpha: facts.alpha,
      gatePenalty: facts.penaltyWeight,
      gateThreshold: facts.threshold,
    }),
  ],
} satisfies Record<string, [string, (facts: Record<string, number>) => Record<string, unknown>]>;

describe("against Hugging Face peft, and SoRA against PyTorch (oracle/method_peft.py, method_sora.py)", () => {
  test.each(Object.entries(traces))(
    "%s: logits and gradients at one point, and 20 steps",
    async (file, [name, optionsOf]) => {
      const trace: Trace = readJson(`methods/${file}.json`);
      const tensors = await openFixture(`methods/${file}.safetensors`);
      const bench = Bench.create(await smallBert(), findMethod(name), optionsOf(readJson(`methods/${file}.json`)));
      for (const shared of ["A", "B"]) {
        if (tensors.tensors.has(shared))
          bench.weights.get(`shared.${shared}`)!.data.set((await tensors.read(shared)).data);
      }

      await bench.load(tensors, "point");
      await expectPoint(bench, batches[0]!, trace.point, tensors, "gradients.");

      await bench.load(tensors, "initial");
      const kept = (parameter: string) =>
        trace.modules.map(
          (module) => bench.weights.get(`${module}.${parameter}`)!.data.filter((value) => value !== 0).length,
        );
      for (const [step, expected] of trace.steps.entries()) {
        const { loss } = await bench.step(batches[step % batches.length]!);
        expect(Math.abs(loss / expected.loss - 1), `loss of step ${step}`).toBeLessThan(1e-3);
        if (expected.ranks) expect(kept("E"), `ranks after step ${step}`).toEqual(expected.ranks);
        if (expected.zeroGates) {
          const rank = bench.weights.get(`${trace.modules[0]}.g`)!.data.length;
          expect(
            kept("g").map((open) => rank - open),
            `zero gates after step ${step}`,
          ).toEqual(expected.zeroGates);
        }
      }
      for (const [module, pattern] of Object.entries(trace.rankPattern ?? {})) {
        expect(
          [...bench.weights.get(`${module}.E`)!.data].map((value) => value !== 0),
          module,
        ).toEqual(pattern);
      }
      await expectFinal(bench, tensors, "final.");
      await bench.release();
    },
  );
});

describe("AFLoRA against PyTorch", () => {
  test("logits and gradients at one point (oracle/method_aflora.py)", async () => {
    const { rank, point } = readJson("methods/aflora.json");
    const tensors = await openFixture("methods/aflora.safetensors");
    const bench = Bench.create(await smallBert(), aflora, { rank });
    await bench.load(tensors, "initial");
    await bench.load(tensors, "point");
    await expectPoint(bench, batches[0]!, point, tensors, "gradients.");
    await bench.release();
  });

  test.each(["unfrozen", "frozen", "recipe"])("20 steps: %s", async (run) => {
    const facts = readJson("methods/aflora.json");
    const tensors = await openFixture("methods/aflora.safetensors");
    const base = await smallBert();
    const adaptation = aflora.adapt(aflora.options.parse({ rank: facts.rank }), layersOf(base));
    const frozen = new Set<string>();
    const schedule = { trainable: () => new Set([...adaptation.trainable].filter((name) => !frozen.has(name))) };
    const bench = new Bench(base, adaptation, { schedule });
    await bench.load(tensors, "initial");
    for (const [step, expected] of facts.runs[run].entries()) {
      const { loss, gradientNorm } = await bench.step(batches[step % batches.length]!, {
        learningRate: facts.learningRate,
        headLearningRate: facts.headLearningRate,
        weightDecay: facts.weightDecay,
        ...(run === "recipe" && {
          learningRateFactor: (step: number) => learningRateFactor(step, 20, { warmupRatio: facts.warmupSteps / 20 }),
          maxGradNorm: facts.maxGradNorm,
        }),
      });
      expect(Math.abs(loss / expected.loss - 1), `loss of step ${step}`).toBeLessThan(1e-3);
      expect(Math.abs(gradientNorm / expected.gradientNorm - 1), `norm at step ${step}`).toBeLessThan(1e-3);
      if (run !== "unfrozen" && step === facts.freezeStep) for (const name of facts.freezes) frozen.add(name);
    }
    await expectFinal(bench, tensors, `final.${run}.`);
    await bench.release();
  });

  const encoder = new URL("../../assets/all-MiniLM-L6-v2/", import.meta.url);
  test.skipIf(!existsSync(encoder))("loss and gradients on the bundled encoder (oracle/minilm_aflora.py)", async () => {
    const facts = readJson("minilm/aflora.json");
    const texts: Omit<Row, "label">[] = readJson("minilm/logits.json").examples;
    const weights = await openSafetensorsFile(fileURLToPath(new URL("model.safetensors", encoder)));
    const config = JSON.parse(readFileSync(new URL("config.json", encoder), "utf8"));
    const base = await readBase(config, weights);
    const head = await openFixture("minilm/head.safetensors");
    const withHead = new Map(base.weights);
    for (const name of head.tensors.keys()) withHead.set(name, await head.read(name));
    const adaptation = aflora.adapt(
      aflora.options.parse({ rank: facts.rank, attentionMatrices: "trained", ffnMatrices: "trained" }),
      layersOf(base),
    );
    const bench = new Bench({ ...base, weights: withHead }, adaptation, { trainsPooler: true });
    const parameters = await openFixture("minilm/aflora.safetensors");
    for (const name of parameters.tensors.keys()) {
      bench.weights.get(name)!.data.set((await parameters.read(name)).data);
    }
    const rows = facts.examples.map((example: number, i: number) => ({ ...texts[example]!, label: facts.labels[i] }));
    const gradients = await openFixture("minilm/aflora-gradients.safetensors");
    await expectPoint(bench, rows, facts, gradients, "");
    await bench.release();
  });
});

async function expectPoint(
  bench: Bench,
  rows: readonly Row[],
  point: Trace["point"],
  tensors: TensorSource,
  prefix: string,
): Promise<void> {
  const logits = await bench.logits(rows);
  point.logits.flat().forEach((expected, i) => {
    expect(Math.abs(logits[i]! - expected)).toBeLessThan(1e-4);
  });
  const { loss, gradients } = await bench.differentiate(rows);
  expect(Math.abs(loss / point.loss - 1)).toBeLessThan(1e-3);
  const expected = [...tensors.tensors.keys()].filter((name) => name.startsWith(prefix));
  expect([...gradients.keys()].map((name) => prefix + name).sort()).toEqual(expected.sort());
  for (const [name, gradient] of gradients) {
    expect(relativeError(gradient, await tensors.read(prefix + name)), name).toBeLessThan(1e-3);
  }
}

async function expectFinal(bench: Bench, tensors: TensorSource, prefix: string): Promise<void> {
  for (const name of tensors.tensors.keys()) {
    if (!name.startsWith(prefix)) continue;
    const found = bench.weights.get(name.slice(prefix.length))!;
    expect(relativeError(found, await tensors.read(name)), name).toBeLessThan(1e-3);
  }
}
