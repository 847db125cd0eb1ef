import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { adalora } from "../../src/methods/adalora.ts";
import { aflora } from "../../src/methods/aflora.ts";
import type { BlockFreezingSettings } from "../../src/methods/block-freezing.ts";
import { head } from "../../src/methods/head.ts";
import { lora } from "../../src/methods/lora.ts";
import type { MethodDefinition } from "../../src/methods/method.ts";
import { findMethod } from "../../src/methods/methods.ts";
import { openSpillFile } from "../../src/runs/spill-file.ts";
import { crossEntropy } from "../../src/tasks/losses/objective.ts";
import { BoundaryStates } from "../../src/training/frozen-blocks/boundary-states.ts";
import { TrainingStep } from "../../src/training/step.ts";
import { trainedByBlock, writeStep } from "../../src/training/step-graph.ts";
import type { TrainingState } from "../../src/training/training-state.ts";
import { withFewerBlocks } from "../support/fewer-blocks.ts";
import { exampleOf, LABELS, randomModel } from "../support/random-model.ts";
import { runtime } from "../support/runtime.ts";
import { type Base, openFixture, readBase, readJson, smallBert } from "../support/small-bert.ts";
import { numbersOf, type SmallRun, type SmallRunOptions, smallRun } from "./small-run.ts";

const DROPOUT = {
  ...{ hidden_dropout_prob: 0.1, attention_dropout: 0.1, attention_probs_dropout_prob: 0.1 },
  ...{ attn_pdrop: 0.1, resid_pdrop: 0.1, mlp_dropout: 0.1 },
};

const examples = [7, 3, 12, 7, 7].map(exampleOf);

const families = [
  ["bert-1", "aflora"],
  ["bert-1", "full"],
  ["modernbert-2", "lora"],
  ["deberta-v2-2", "full"],
  ["mpnet-1", "full"],
  ["llama-2", "full"],
  ["gpt2-1", "aflora"],
] as const;

describe.each(families)("%s with %s", (name, methodName) => {
  const { model, weights } = randomModel(
    { ...withFewerBlocks(readJson(`models/${name}/config.json`), 2), ...DROPOUT },
    methodName,
    LABELS,
  );
  const trained = trainedByBlock(model);

  test("trainable parameters are listed by block: each name once, an adapter's in its own block", () => {
    const all = trained.flat();
    expect(new Set(all).size).toBe(all.length);
    expect(trained).toHaveLength(model.config.layerCount);
    for (const { name, block } of methodName === "full" ? [] : model.adaptation.modules) {
      const own = [...model.adaptation.trainable].filter((each) => each.startsWith(`${name}.`));
      expect(trained[block]).toEqual(expect.arrayContaining(own));
    }
  });

  test("gradients after any boundary equal those of the whole graph", async () => {
    for (const count of new Set([1, trained.length])) {
      const parameters = new Set(trained.slice(0, count).flat());
      const trainable = new Set([...model.adaptation.trainable].filter((each) => !parameters.has(each)));
      const settings = { objective: crossEntropy, tokenBudget: 16, dropout: false, seed: 1 };
      const outcomes = [];
      for (const boundary of [0, count]) {
        const states = new BoundaryStates(model, weights, runtime, { format: "float32", memory: 1e6, tokenBudget: 16 });
        const own = { ...model, trainable, frozenBlocks: { count: boundary, parameters } };
        const step = await TrainingStep.compile(own, weights, runtime, { ...settings, boundaryStates: states });
        const { loss, gradients, flops, flopsSaved } = await step.run(0, examples);
        const copies = new Map([...gradients].map(([key, { data }]) => [key, [...data]]));
        const again = await step.run(1, examples);
        outcomes.push({ loss, gradients: copies, flops, flopsSaved, again });
        await step.release();
        await states.release();
      }
      const [whole, fromBoundary] = outcomes;
      expect(Math.abs(fromBoundary!.loss - whole!.loss)).toBeLessThanOrEqual(1e-6 * whole!.loss);
      expect([...fromBoundary!.gradients.keys()].sort()).toEqual([...whole!.gradients.keys()].sort());
      expect([...fromBoundary!.gradients.values()].flat().some((value) => value !== 0)).toBe(true);
      for (const [parameter, expected] of whole!.gradients) {
        const found = fromBoundary!.gradients.get(parameter)!;
        const largest = Math.max(...expected.map(Math.abs));
        const worst = Math.max(...expected.map((value, i) => Math.abs(value - found[i]!)));
        expect(worst, `${parameter} from boundary ${count}`).toBeLessThanOrEqual(1e-6 * largest);
      }
      // Cached states are not computed again; without them, a step includes a forward pass.
      expect(fromBoundary!.again.flops).toBeLessThan(fromBoundary!.flops);
      expect(fromBoundary!.again.flops).toBeLessThan(whole!.flops);
      expect(fromBoundary!.again.loss).toBe(fromBoundary!.loss);
      // If nothing were frozen, the parameters of these blocks would have gradients too.
      expect(whole!.flopsSaved).toBe(0);
      expect(fromBoundary!.again.flops + fromBoundary!.again.flopsSaved).toBeGreaterThan(whole!.flops);
    }
  });

  test("hidden states at a boundary do not depend on other texts, nor on the boundary they are computed from", async () => {
    const settings = { format: "int8", memory: 1e6, tokenBudget: 512 } as const;
    const [together, apart] = [0, 1].map(() => new BoundaryStates(model, weights, runtime, settings));
    // Including a single token, where a product has one row.
    const texts = [...examples, ...[1, 1].map((length, i) => exampleOf(length, examples.length + i))];
    await apart!.prepare(texts.slice(3, 4), 1);
    for (const example of texts) {
      await together!.prepare(texts, trained.length);
      const expected = [...together!.rows([example]).boundary.data];
      await apart!.prepare([example], trained.length);
      expect([...apart!.rows([example]).boundary.data]).toEqual(expected);
    }
    await together!.release();
    await apart!.release();
  });

  test("dropout after the boundary equals that of the whole graph, and frozen blocks have none", () => {
    const whole = writeStep(model, crossEntropy, { dropout: true }).dropouts;
    const frozenBlocks = { count: 1, parameters: new Set(trained[0]) };
    const trainable = new Set([...model.adaptation.trainable].filter((each) => !frozenBlocks.parameters.has(each)));
    const left = writeStep({ ...model, trainable, frozenBlocks }, crossEntropy, { dropout: true }).dropouts;
    expect(left.length).toBeGreaterThan(0);
    expect(left.length).toBeLessThan(whole.length);
    for (const layer of left) expect(whole).toContainEqual(layer);
  });
});

test("texts of later batches are computed with those of the current one, as far as the cache can keep them", async () => {
  const { model, weights } = randomModel({ ...readJson("models/bert-1/config.json"), ...DROPOUT }, "lora", LABELS);
  const [now, next] = [examples.slice(0, 2), examples.slice(2)];
  const ahead = () => next;
  for (const [memory, kept] of [
    [1e6, true],
    [0, false],
  ] as const) {
    const states = new BoundaryStates(model, weights, runtime, { format: "int16", memory, tokenBudget: 64 });
    const alone = new BoundaryStates(model, weights, runtime, { format: "int16", memory: 0, tokenBudget: 64 });
    const together = await states.prepare(now, 1, { ahead });
    expect(together > (await alone.prepare(now, 1))).toBe(kept);
    expect((await states.prepare(next, 1)) === 0).toBe(kept);
    await alone.prepare(next, 1);
    expect(states.rows(next)).toEqual(alone.rows(next));
    await states.release();
    await alone.release();
  }
});

/** Four blocks, some of which freeze early; every second step is a check. */
const BLOCKS: BlockFreezingSettings = {
  freezeBlocks: "linear",
  freezeBlocksEarliest: "2",
  freezeBlocksInterval: "2",
  freezeBlocksMost: 3,
};
const FREEZING = { freezeInterval: 2, freezeInitial: 1, freezeFinal: 10 };

let bert: Base;
let modern: Base;
let folder: string;
beforeAll(async () => {
  bert = await smallBert();
  modern = await readBase(
    { ...readJson("models/modernbert-2/config.json"), ...DROPOUT, num_labels: 3 },
    await openFixture("models/modernbert-2/model.safetensors"),
  );
  folder = await mkdtemp(join(tmpdir(), "aflora-blocks-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Results that must not depend on the cache; the number of operations does, if states are computed again. */
function trainedBy(run: SmallRun) {
  const { totals: _, ...numbers } = numbersOf(run);
  return { ...numbers, frozenAtStep: run.state.frozenAtStep, blocksFrozenAtStep: run.state.blocksFrozenAtStep };
}

/** Result of a run that is interrupted after `stop` steps and resumed from its checkpoint. */
async function cutAfter(stop: number, run: (more: SmallRunOptions) => Promise<SmallRun>) {
  const abort = new AbortController();
  let saved: TrainingState | undefined;
  const first = await run({
    signal: abort.signal,
    onStep: ({ step }) => step + 1 === stop && abort.abort(),
    onCheckpoint: (state) => {
      saved = structuredClone(state);
    },
  });
  const second = await run({ resume: saved! });
  return trainedBy({
    ...second,
    steps: [...first.steps, ...second.steps],
    freezing: [...first.freezing, ...second.freezing],
    evaluations: [...first.evaluations, ...second.evaluations],
  });
}

const modernRun = (more: SmallRunOptions & { method?: MethodDefinition } = {}): Promise<SmallRun> =>
  smallRun(modern, more.method ?? (lora as MethodDefinition), { blocks: BLOCKS, ...more });

/** Uninterrupted runs that several tests compare with, by the format of the cache. */
const uninterrupted = new Map<string, Promise<SmallRun>>();
function wholeRun(freezeBlocksCache: "float32" | "int8"): Promise<SmallRun> {
  const known = uninterrupted.get(freezeBlocksCache) ?? modernRun({ settings: { freezeBlocksCache } });
  uninterrupted.set(freezeBlocksCache, known);
  return known;
}

describe("a run whose blocks freeze", () => {
  test("is the same, to the bit, with its hidden states in memory, in a file or not cached", async () => {
    const openSpill = () => openSpillFile(join(folder, "states.bin"));
    const kept = await wholeRun("float32");
    expect(kept.state.blocksFrozenAtStep).toEqual([2, 6, 8]);
    expect(kept.steps.map(({ frozenBlocks }) => frozenBlocks)).toEqual([0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 3]);
    expect(kept.kept.memory).toBeGreaterThan(0);
    const inFile = await modernRun({ settings: { freezeBlocksCache: "float32", freezeBlocksMemory: 0 }, openSpill });
    expect(inFile.kept).toEqual({ memory: 0, file: kept.kept.memory });
    expect(await readdir(folder)).toEqual([]);
    const again = await modernRun({ settings: { freezeBlocksCache: "none" } });
    expect(again.kept).toEqual({ memory: 0, file: 0 });
    expect(trainedBy(inFile)).toEqual(trainedBy(kept));
    expect(trainedBy(again)).toEqual(trainedBy(kept));
    expect(again.state.flops).toBeGreaterThan(kept.state.flops);
    expect(kept.state.flopsSaved).toBeGreaterThan(again.state.flopsSaved);
  });

  test("continues with a note if the storage for hidden states cannot be written", async () => {
    const openSpill = () => openSpillFile(join(folder, "no such folder", "states.bin"));
    const settings = { freezeBlocksCache: "int8", freezeBlocksMemory: 0.002 } as const;
    const run = await modernRun({ settings, openSpill });
    expect(run.notes).toContainEqual(expect.stringMatching(/could not be kept .*computed again at each step/));
    expect(run.kept.memory).toBeLessThanOrEqual(2000);
    expect(trainedBy(run)).toEqual(trainedBy(await wholeRun("int8")));
  });

  // While the cache has states of two boundaries; states stored in 8 bits are rounded again in the same way.
  test.each(["float32", "int8"] as const)(
    "interrupted and resumed, the run equals the uninterrupted one (%s)",
    async (format) => {
      const run = (more: SmallRunOptions) => modernRun({ settings: { freezeBlocksCache: format }, ...more });
      expect(await cutAfter(8, run)).toEqual(trainedBy(await wholeRun(format)));
    },
  );

  test.each([
    ["aflora", FREEZING],
    ["full", {}],
  ] as const)("%s %j: cut off and resumed, likewise", async (name, options) => {
    const blocks = { ...BLOCKS, freezeBlocksMost: 1 };
    const run = (more: SmallRunOptions) => smallRun(bert, findMethod(name), { options, blocks, ...more });
    const whole = await run({});
    expect(whole.state.blocksFrozenAtStep).toHaveLength(1);
    expect(await cutAfter(5, run)).toEqual(trainedBy(whole));
  });

  test("with AFLoRA, a block freezes only after its matrices, and frozen parameters do not train", async () => {
    const weights: Map<string, number[]>[] = [];
    const run = await smallRun(bert, aflora as MethodDefinition, {
      options: FREEZING,
      blocks: { ...BLOCKS, freezeBlocksMost: 1, freezeBlocksEarliest: "0" },
      onStep: (_, values) => void weights.push(new Map([...values].map(([name, { data }]) => [name, [...data]]))),
    });
    const [blockFrozenAt] = run.state.blocksFrozenAtStep;
    const frozen = Object.entries(run.state.frozenAtStep).filter(([name]) => name.includes("layer.0."));
    expect(blockFrozenAt).toBeGreaterThanOrEqual(Math.max(...frozen.map(([, step]) => step)));
    expect(run.freezing.filter(({ blocks }) => blocks?.frozenBlocks)).toHaveLength(1);
    const [atBoundary, end] = [weights[blockFrozenAt!]!, weights.at(-1)!];
    const moved = [...end].filter(([name, values]) => values.some((value, i) => value !== atBoundary.get(name)![i]));
    expect(moved.filter(([name]) => /layer\.0\.|embeddings/.test(name))).toEqual([]);
    expect(moved.some(([name]) => name.includes("layer.1."))).toBe(true);
  });

  test("all blocks may freeze with a method that trains only the head", async () => {
    const blocks = { ...BLOCKS, freezeBlocksEarliest: "0", freezeBlocksMost: 2 };
    const run = await smallRun(bert, head as MethodDefinition, { blocks });
    expect(run.state.blocksFrozenAtStep).toEqual([2, 6]);
  });

  test("methods that change parameters of all blocks until the end are refused, and options without a rule too", async () => {
    const options = { rank: 2, pruneInitial: 1, pruneFinal: 2, pruneInterval: 2 };
    await expect(smallRun(bert, adalora as MethodDefinition, { options, blocks: BLOCKS })).rejects.toThrow(
      /"adalora" changes parameters of all blocks/,
    );
    await expect(smallRun(bert, lora as MethodDefinition, { blocks: { freezeBlocksMost: 2 } })).rejects.toThrow(
      UserError,
    );
    await expect(
      smallRun(bert, lora as MethodDefinition, { blocks: { ...BLOCKS, freezeBlocksMost: 3 } }),
    ).rejects.toThrow(/"freezeBlocksMost" is 3, but the model has 2 blocks/);
  });
});
